//! What Aegis changed on a node: found by comparing the node before and after an action, written down on the node, and
//! put back on demand.
//!
//! An action holds its node's place in the book from before it is made until this was written, so no other action of
//! ours is mixed up with it. What somebody else changed on the same node at the same time cannot be told apart.

use std::collections::BTreeMap;

use aegis_crds::names::CHANGES_ANNOTATION;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The field of a cordon.
pub const UNSCHEDULABLE: &str = "unschedulable";
/// Set by Kubernetes itself for a node that is cordoned or in trouble; nobody decides on these.
const KUBERNETES_TAINTS: &str = "node.kubernetes.io/";
/// How many changes are kept on a node; the oldest go first.
const MOST_CHANGES: usize = 50;

/// One thing that an action changed on a node.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Change {
    /// "unschedulable", "taint/KEY:EFFECT" or "label/KEY".
    pub field: String,
    /// Its value before; `None` if it was not there. A cordon is "true".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its value after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The alert that led to it.
    pub alert: String,
    /// The rule, as namespace/name.
    pub rule: String,
    /// The Workflow or Job.
    pub action: String,
    /// When the action was seen to have ended.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// When it is put back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// Of what expires: when the API server last took the field, as its managedFields tell. Another time says that
    /// somebody has set it anew, be it to the same value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub written: Option<Timestamp>,
}

/// Who changed something, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The alert.
    pub alert: &'a str,
    /// The rule, as namespace/name.
    pub rule: &'a str,
    /// The Workflow or Job.
    pub action: &'a str,
    /// When the action was seen to have ended.
    pub time: Timestamp,
    /// For how long after that a cordon stands, if not until somebody lifts it.
    pub cordon_for: Option<SignedDuration>,
}

/// What of a node an action may change, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture(BTreeMap<String, String>);

impl Picture {
    /// The node as it is.
    pub fn of(node: &Node) -> Self {
        let mut fields = BTreeMap::new();
        let spec = node.spec.as_ref();
        if spec.and_then(|spec| spec.unschedulable).unwrap_or(false) {
            fields.insert(UNSCHEDULABLE.to_owned(), "true".to_owned());
        }
        for taint in spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten() {
            if !taint.key.starts_with(KUBERNETES_TAINTS) {
                let field = format!("taint/{}:{}", taint.key, taint.effect);
                fields.insert(field, taint.value.clone().unwrap_or_default());
            }
        }
        for (key, value) in node.labels() {
            fields.insert(format!("label/{key}"), value.clone());
        }
        Self(fields)
    }

    /// Reads what [`Picture::to_text`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As it stands on an action.
    pub fn to_text(&self) -> String {
        json!(self.0).to_string()
    }

    fn get(&self, field: &str) -> Option<&String> {
        self.0.get(field)
    }
}

/// What stands on the node of our changes; what cannot be read is none of ours.
pub fn recorded(node: &Node) -> Vec<Change> {
    let text = node.annotations().get(CHANGES_ANNOTATION);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether the node's cordon is ours.
pub fn cordon_is_ours(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.field == UNSCHEDULABLE && change.after.is_some())
}

/// What should stand on the node after an action, given the node as it was before; `None` if that is what stands.
///
/// A field keeps the value that it had before the first of our changes, and is left out once it has that value again
/// or somebody else's. A cordon of ours that stood already never ends earlier for it: its end moves to the later one,
/// and one without an end keeps none.
pub fn record(before: &Picture, node: &Node, author: Author<'_>) -> Option<Vec<Change>> {
    let stood = recorded(node);
    let after = Picture::of(node);
    let mut changes: Vec<Change> =
        stood.iter().filter(|change| after.get(&change.field) == change.after.as_ref()).cloned().collect();
    let fields: std::collections::BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
    for field in fields {
        let (was, is) = (before.get(field), after.get(field));
        let expires = author.expires(field).filter(|_| is.is_some());
        if was == is {
            let ours = changes.iter_mut().find(|change| change.field == *field);
            if let (Some(Change { expires: Some(stands), .. }), Some(later)) = (ours, expires) {
                *stands = later.max(*stands);
            }
            continue;
        }
        let first = stood.iter().find(|change| change.field == *field && change.after.as_ref() == was);
        let original = first.map_or_else(|| was.cloned(), |change| change.before.clone());
        changes.retain(|change| change.field != *field);
        if original.as_ref() != is {
            changes.push(Change {
                field: field.clone(),
                before: original,
                after: is.cloned(),
                alert: author.alert.to_owned(),
                rule: author.rule.to_owned(),
                action: author.action.to_owned(),
                time: author.time,
                expires,
                written: expires.and_then(|_| written_at(node, field)),
            });
        }
    }
    changes.drain(..changes.len().saturating_sub(MOST_CHANGES));
    (changes != stood).then_some(changes)
}

impl Author<'_> {
    fn expires(&self, field: &str) -> Option<Timestamp> {
        let length = self.cordon_for.filter(|_| field == UNSCHEDULABLE)?;
        Some(self.time.saturating_add(length).unwrap_or(Timestamp::MAX))
    }
}

/// When the API server last took the node's cordon, where it tells.
fn written_at(node: &Node, field: &str) -> Option<Timestamp> {
    let entries = node.metadata.managed_fields.iter().flatten().filter(|_| field == UNSCHEDULABLE);
    let owns = |fields: &Value| fields.pointer("/f:spec/f:unschedulable").is_some();
    let of = entries.filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0)));
    of.filter_map(|entry| entry.time.as_ref().map(|time| time.0)).max()
}

impl Change {
    /// Whether the field has the value that Aegis gave it.
    pub fn stands(&self, now: &Picture) -> bool {
        now.get(&self.field) == self.after.as_ref()
    }

    /// The same, and nobody was seen to have set it anew. Only for a node with its managedFields.
    pub(super) fn is_as_left(&self, node: &Node) -> bool {
        self.stands(&Picture::of(node)) && (self.written.is_none() || self.written == written_at(node, &self.field))
    }
}

/// The merge patch that writes these changes on the node that was read.
pub fn annotate(node: &Node, changes: &[Change]) -> Value {
    json!({"metadata": {"resourceVersion": node.resource_version(), "annotations": annotation(changes)}})
}

fn annotation(changes: &[Change]) -> Value {
    let text = (!changes.is_empty()).then(|| json!(changes).to_string());
    json!({CHANGES_ANNOTATION: text})
}

/// Why changes are not put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotUndo {
    /// Nothing of ours stands there.
    #[error("Aegis has changed nothing there that still stands")]
    Nothing,
    /// Somebody changed it since.
    #[error("{field} is {found} now and no longer {left}, as {alert} left it: put it back by hand")]
    MovedOn {
        /// The field.
        field: String,
        /// What it is now.
        found: String,
        /// What we left.
        left: String,
        /// The alert that changed it.
        alert: String,
    },
}

/// The merge patch that puts back what Aegis changed on the node; of one alert only, if one is named. It holds for the
/// node as it was read.
pub fn undo(node: &Node, alert: Option<&str>) -> Result<Value, CannotUndo> {
    let (taken, kept): (Vec<Change>, Vec<Change>) =
        recorded(node).into_iter().partition(|change| alert.is_none_or(|alert| change.alert == alert));
    if taken.is_empty() {
        return Err(CannotUndo::Nothing);
    }
    let now = Picture::of(node);
    let shown = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), |value| format!("{value:?}"));
    match taken.iter().find(|change| !change.stands(&now)) {
        None => Ok(put_back(node, &taken, &kept)),
        Some(change) => Err(CannotUndo::MovedOn {
            field: change.field.clone(),
            found: shown(now.get(&change.field)),
            left: shown(change.after.as_ref()),
            alert: change.alert.clone(),
        }),
    }
}

/// The merge patch that gives these fields of the node that was read their values of before, and keeps the record of
/// those changes alone.
pub(super) fn put_back(node: &Node, taken: &[Change], kept: &[Change]) -> Value {
    let mut labels = Map::new();
    let mut spec = Map::new();
    let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut tainted = false;
    for change in taken {
        if change.field == UNSCHEDULABLE {
            let value = if change.before.is_some() { json!(true) } else { Value::Null };
            spec.insert("unschedulable".to_owned(), value);
        } else if let Some(key) = change.field.strip_prefix("label/") {
            labels.insert(key.to_owned(), json!(change.before));
        } else if let Some((key, effect)) = change.field.strip_prefix("taint/").and_then(|field| field.rsplit_once(':'))
        {
            tainted = true;
            taints.retain(|taint| taint.key != key || taint.effect != effect);
            if let Some(value) = &change.before {
                taints.push(k8s_openapi::api::core::v1::Taint {
                    key: key.to_owned(),
                    effect: effect.to_owned(),
                    value: Some(value.clone()).filter(|value| !value.is_empty()),
                    time_added: None,
                });
            }
        }
    }
    if tainted {
        spec.insert("taints".to_owned(), json!(taints));
    }
    let mut metadata = json!({"resourceVersion": node.resource_version(), "annotations": annotation(kept)});
    if let (false, Some(metadata)) = (labels.is_empty(), metadata.as_object_mut()) {
        metadata.insert("labels".to_owned(), Value::Object(labels));
    }
    let mut patch = json!({"metadata": metadata});
    if let (false, Some(patch)) = (spec.is_empty(), patch.as_object_mut()) {
        patch.insert("spec".to_owned(), Value::Object(spec));
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::merge;

    fn node(text: Value) -> Node {
        let mut node: Node = serde_json::from_value(text).unwrap();
        node.metadata.name = Some("n1".into());
        node.metadata.resource_version = Some("7".into());
        node
    }

    fn healthy() -> Node {
        node(json!({"metadata": {"labels": {"gpu": "ok"}}, "spec": {}}))
    }

    fn broken() -> Node {
        node(json!({
            "metadata": {"labels": {"gpu": "broken", "ticket": "1"}},
            "spec": {"unschedulable": true, "taints": [
                {"key": "gpu", "value": "broken", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            ]},
        }))
    }

    fn by(alert: &str) -> Author<'_> {
        Author { alert, rule: "m/r", action: "w", time: Timestamp::UNIX_EPOCH, cordon_for: None }
    }

    /// The node with what was recorded.
    fn with(mut node: Node, changes: &[Change]) -> Node {
        let text = json!(changes).to_string();
        node.metadata.annotations.get_or_insert_default().insert(CHANGES_ANNOTATION.into(), text);
        node
    }

    fn fields(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.field.as_str()).collect()
    }

    #[test]
    fn what_an_action_changed_is_found_by_comparing() {
        let changes = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        assert_eq!(fields(&changes), ["label/gpu", "label/ticket", "taint/gpu:NoSchedule", "unschedulable"]);
        assert_eq!((changes[0].before.as_deref(), changes[0].after.as_deref()), (Some("ok"), Some("broken")));
        assert!(cordon_is_ours(&changes));
        assert_eq!(record(&Picture::of(&broken()), &broken(), by("a")), None, "nothing changed");
    }

    #[test]
    fn putting_back_gives_the_node_as_it_was() {
        let changes = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        let mut patched = json!(with(broken(), &changes));
        merge(&mut patched, &undo(&with(broken(), &changes), None).unwrap());
        let back: Node = serde_json::from_value(patched).unwrap();
        assert_eq!(Picture::of(&back), Picture::of(&healthy()));
        assert!(recorded(&back).is_empty());
    }

    #[test]
    fn what_moved_on_is_not_put_back() {
        let changes = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        let mut moved = with(broken(), &changes);
        moved.metadata.labels.as_mut().unwrap().insert("gpu".into(), "replaced".into());
        let error = undo(&moved, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "label/gpu is \"replaced\" now and no longer \"broken\", as a left it: put it back by hand"
        );
        assert_eq!(undo(&healthy(), None), Err(CannotUndo::Nothing));
        assert_eq!(undo(&with(broken(), &changes), Some("other")), Err(CannotUndo::Nothing));
    }

    #[test]
    fn a_second_action_keeps_what_was_before_the_first() {
        let first = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        let stood = with(broken(), &first);
        let mut worse = stood.clone();
        worse.metadata.labels.as_mut().unwrap().insert("gpu".into(), "dead".into());
        let second = record(&Picture::of(&stood), &worse, by("b")).unwrap();
        let gpu = second.iter().find(|change| change.field == "label/gpu").unwrap();
        assert_eq!((gpu.before.as_deref(), gpu.alert.as_str()), (Some("ok"), "b"));
        assert!(cordon_is_ours(&second), "the first one's cordon is still ours");
    }

    #[test]
    fn what_a_recovery_put_back_is_no_longer_ours() {
        let first = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        let stood = with(broken(), &first);
        let mut lifted = stood.clone();
        lifted.spec.as_mut().unwrap().unschedulable = None;
        let left = record(&Picture::of(&stood), &lifted, by("b")).unwrap();
        assert!(!cordon_is_ours(&left));
        assert_eq!(left.len(), 3);
    }

    #[test]
    fn a_cordon_by_somebody_else_is_not_ours() {
        assert!(!cordon_is_ours(&recorded(&broken())));
        let unreadable = node(json!({"metadata": {"annotations": {CHANGES_ANNOTATION: "{"}}}));
        assert!(recorded(&unreadable).is_empty());
        // Ours was lifted by a person and another cordon set since: the next action finds the field unchanged, and
        // what stands is as we left it, so it still counts as ours until it was seen lifted.
        let ours = record(&Picture::of(&healthy()), &broken(), by("a")).unwrap();
        let lifted = with(healthy(), &ours);
        let left = record(&Picture::of(&lifted), &lifted, by("b")).unwrap();
        assert!(!cordon_is_ours(&left));
    }

    #[test]
    fn a_picture_is_read_as_it_is_written() {
        let picture = Picture::of(&broken());
        assert_eq!(Picture::parse(&picture.to_text()), Some(picture));
        assert_eq!(Picture::parse("nonsense"), None);
    }
}
