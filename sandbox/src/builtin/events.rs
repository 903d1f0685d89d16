//! Events, which are kept as core/v1 and served as events.k8s.io/v1 too.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::object::{self, default_to};
use crate::schema::Schema;
use crate::status::FieldError;

/// The schema of events.k8s.io/v1, in which such events are sent.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(super::compiled::<k8s_openapi::api::events::v1::Event>);

pub(super) const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "reportingController",
];

/// Names of a field in events.k8s.io/v1 and in core/v1.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
];

/// From events.k8s.io/v1 to core/v1.
pub(crate) fn to_core(event: &mut Value) {
    rename(event, |name| NAMES.iter().find(|(new, _)| *new == name).map(|(_, core)| *core));
}

/// From core/v1 to events.k8s.io/v1.
pub(crate) fn from_core(event: &mut Value) {
    rename(event, |name| NAMES.iter().find(|(_, core)| *core == name).map(|(new, _)| *new));
}

fn rename(event: &mut Value, to: impl Fn(&str) -> Option<&'static str>) {
    if let Value::Object(map) = event {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(key, value)| (to(&key).map_or(key, String::from), value))
            .collect::<Map<_, _>>();
    }
}

pub(super) fn fields(event: &Value) -> Vec<(String, String)> {
    SELECTABLE
        .iter()
        .map(|path| {
            let value = match *path {
                "source" => {
                    let component = object::text(event, "/source/component");
                    if component.is_empty() { object::text(event, "/reportingComponent") } else { component }
                }
                "reportingController" => object::text(event, "/reportingComponent"),
                path => {
                    let core = path.replace("regarding.", "involvedObject.");
                    object::text(event, &format!("/{}", core.replace('.', "/")))
                }
            };
            ((*path).to_owned(), value.to_owned())
        })
        .collect()
}

pub(super) fn default(event: &mut Value) {
    if let Value::Object(event) = event {
        default_to(event, "type", "Normal");
    }
}

pub(super) fn validate(event: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let namespace = object::meta_text(event, "namespace");
    let involved = object::text(event, "/involvedObject/namespace");
    let fits = if involved.is_empty() { matches!(namespace, "default" | "kube-system") } else { namespace == involved };
    if !fits {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &involved.into(),
            "does not match event.namespace",
        ));
    }
    let timed = event.get("eventTime").is_some_and(|time| !time.is_null());
    if timed && old.is_none() {
        for (field, core) in [
            ("reportingController", "/reportingComponent"),
            ("reportingInstance", "/reportingInstance"),
            ("action", "/action"),
            ("reason", "/reason"),
        ] {
            if object::text(event, core).is_empty() {
                errors.push(FieldError::required(field, ""));
            }
        }
        if object::text(event, "/message").len() > 1024 {
            errors.push(FieldError::invalid(
                "message",
                &object::text(event, "/message").into(),
                "can have at most 1024 characters",
            ));
        }
        let kind = object::text(event, "/type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(FieldError::invalid("type", &kind.into(), "has invalid value"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_survives_the_way_to_core_and_back() {
        let event =
            json!({"metadata": {"name": "e"}, "regarding": {"kind": "Node"}, "note": "n", "reportingController": "c"});
        let mut changed = event.clone();
        to_core(&mut changed);
        assert_eq!(
            changed,
            json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Node"}, "message": "n", "reportingComponent": "c"})
        );
        from_core(&mut changed);
        assert_eq!(changed, event);
    }

    #[test]
    fn an_event_stands_in_the_namespace_of_what_it_is_about() {
        for (namespace, involved, want) in
            [("a", "a", true), ("a", "b", false), ("default", "", true), ("a", "", false)]
        {
            let event = json!({"metadata": {"namespace": namespace}, "involvedObject": {"namespace": involved}});
            assert_eq!(validate(&event, None).is_empty(), want, "{namespace} {involved}");
        }
    }
}
