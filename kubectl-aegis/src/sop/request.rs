//! What a person asks for, as the alert that goes through the loop: from the source manual, in that person's name.

use std::collections::BTreeMap;

use aegis_crds::alert::{AlertStatus, TtlStrategy};
use aegis_crds::names::{self, CORDON_FOR_ANNOTATION, REQUEST_ANNOTATION, SOP_LABEL};
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::duration;
use aegis_engine::incident::IncidentId;
use aegis_engine::intake;
use aegis_engine::plan::CompiledTemplate;
use aegis_engine::rules::{AlertFacts, RuleBook};
use aegis_engine::scope::Namespaces;
use jiff::SignedDuration;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::person::Person;

/// The type of every alert that asks for a procedure by its name.
const TYPE: &str = "Sop";
/// The detail that names the procedure.
const DETAIL: &str = "sop";

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The procedure's name.
    pub(crate) sop: String,
    /// The object that it is about, as in the custom format of alerts.
    pub(crate) object: Value,
    /// Values for its parameters.
    pub(crate) parameters: BTreeMap<String, String>,
    /// For how long a cordon that it leaves stands, if not until somebody lifts it.
    pub(crate) cordon_for: Option<SignedDuration>,
    /// Why.
    pub(crate) reason: String,
}

impl Request {
    /// The alert to store. Each request is an incident of its own: nobody reports it again.
    pub(crate) fn alert(&self, person: &Person, nonce: &str, namespace: &str) -> Result<AegisAlert, Failure> {
        let mut details: BTreeMap<&str, &str> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        details.insert(DETAIL, &self.sop);
        if let Some(node) = self.object.get("node").and_then(Value::as_str) {
            details.insert("node", node);
        }
        let identity = json!([self.sop, self.object, person.name, person.now, nonce]).to_string();
        let mut fingerprint = names::fingerprint_label(&identity);
        fingerprint.truncate(16);
        let body = json!({
            "type": TYPE, "status": "Firing", "involvedObject": self.object, "details": details,
            "fingerprint": fingerprint, "startsAt": person.now,
        });
        let wrong = |why: String| Failure::new(Kind::Usage, format!("this cannot be asked for: {why}"));
        let intake = intake::manual(body.to_string().as_bytes()).map_err(|error| wrong(error.to_string()))?;
        if let Some(rejected) = intake.rejected.first() {
            return Err(wrong(rejected.to_string()));
        }
        let Some((_, signal)) = intake.signals.first() else { return Err(wrong("it says nothing".to_owned())) };
        let incident = IncidentId::StartsAt(person.now);
        let name = incident.alert_name(&signal.key(), 0);
        let mut alert = intake::alert_object(signal, &name, namespace, &incident, &TtlStrategy::default());
        let why = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        alert.annotations_mut().insert(REQUEST_ANNOTATION.to_owned(), format!("{}: {why}", person.name));
        if let Some(length) = self.cordon_for {
            alert.annotations_mut().insert(CORDON_FOR_ANNOTATION.to_owned(), duration::exact(length));
        }
        Ok(alert)
    }

    /// The procedure's template in that namespace, which must know the parameters that are given.
    pub(crate) async fn template(&self, client: &Client, namespace: &str) -> Result<AegisOpsTemplate, Failure> {
        let api: Api<AegisOpsTemplate> = Api::namespaced(client.clone(), namespace);
        let of_sop = ListParams::default().labels(&format!("{SOP_LABEL}={}", self.sop));
        let found = api.list(&of_sop).await.map_err(|error| unread("templates", namespace, error))?.items;
        let Some(template) = found.into_iter().next() else {
            let what = format!("the procedure {} is not installed in {namespace}", self.sop);
            return Err(Failure::new(Kind::NotFound, what)
                .hint(format!("kubectl aegis sop install {} -n {namespace}", self.sop)));
        };
        let compiled = CompiledTemplate::compile(&template).map_err(|broken| {
            Failure::new(Kind::Refused, format!("the template {} cannot be used", template.name_any())).because(broken)
        })?;
        let known: Vec<&str> =
            compiled.manifest.parameters().filter(|name| !name.starts_with("InvolvedObject")).collect();
        match self.parameters.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(template),
            Some(name) => {
                Err(Failure::new(Kind::Usage, format!("--param {name}: {} has no such parameter", self.sop)).hint(
                    if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) },
                ))
            }
        }
    }

    /// Makes sure that the alert leads to that template: another rule might take it.
    pub(crate) async fn check_rule(
        client: &Client,
        namespace: &str,
        alert: &AegisAlert,
        template: &AegisOpsTemplate,
    ) -> Result<(), Failure> {
        let api: Api<AegisAlertOpsRule> = Api::namespaced(client.clone(), namespace);
        let rules = api.list(&ListParams::default()).await.map_err(|error| unread("rules", namespace, error))?.items;
        let book = RuleBook::of(Namespaces::of(namespace, [""; 0]), &rules);
        let facts = AlertFacts { type_: TYPE, phase: AlertStatus::Firing, labels: alert.labels() };
        let want = template.name_any();
        match book.pick(&facts) {
            Some(choice) if choice.winner.template.name == want => Ok(()),
            Some(choice) => Err(Failure::new(
                Kind::Refused,
                format!(
                    "the rule {} would take it, and leads to {}: {}",
                    choice.winner.name, choice.winner.template, choice.why
                ),
            )
            .hint(format!("let it leave alerts of type {TYPE} alone, or give it a lower priority"))),
            None => {
                let sop = alert.labels().get(DETAIL).map(String::as_str).unwrap_or_default();
                Err(Failure::new(Kind::NotFound, format!("no rule in {namespace} leads to the template {want}"))
                    .hint(format!("kubectl aegis sop install {sop} -n {namespace}")))
            }
        }
    }
}

fn unread(what: &str, namespace: &str, error: kube::Error) -> Failure {
    match &error {
        kube::Error::Api(status) if status.code == 404 => {
            Failure::new(Kind::NotInstalled, format!("could not list the {what} in {namespace}"))
                .because(error)
                .hint("an administrator installs Aegis: kubectl aegis install")
        }
        _ => Failure::of_call(format!("could not list the {what} in {namespace}"), error),
    }
}

#[cfg(test)]
mod tests {
    use aegis_crds::names::SOURCE_LABEL;

    use super::*;

    fn request(parameters: &[(&str, &str)]) -> Request {
        Request {
            sop: "drain".into(),
            object: json!({"kind": "Node", "name": "n1", "node": "n1"}),
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cordon_for: None,
            reason: "the rack\nis wet".into(),
        }
    }

    fn ann() -> Person {
        Person { name: "ann".into(), now: "2026-01-01T00:00:00Z".parse().unwrap() }
    }

    #[test]
    fn a_request_is_an_alert_of_its_own_in_its_persons_name() {
        let alert = request(&[("force", "true")]).alert(&ann(), "1", "monitoring").unwrap();
        assert_eq!((alert.spec.source.as_str(), alert.labels()[SOURCE_LABEL].as_str()), ("manual", "manual"));
        assert_eq!((alert.labels()["sop"].as_str(), alert.labels()["force"].as_str()), ("drain", "true"));
        assert_eq!(alert.annotations()[REQUEST_ANNOTATION], "ann: the rack is wet");
        assert_eq!(alert.spec.involved_object.node, "n1");
        assert!(!alert.annotations().contains_key(CORDON_FOR_ANNOTATION));
        let lasting = Request { cordon_for: Some(SignedDuration::from_mins(90)), ..request(&[]) };
        assert_eq!(lasting.alert(&ann(), "1", "m").unwrap().annotations()[CORDON_FOR_ANNOTATION], "1h30m");
        let again = request(&[("force", "true")]).alert(&ann(), "2", "monitoring").unwrap();
        assert_ne!(alert.name_any(), again.name_any(), "asked for twice in one second, it is done twice");
    }

    #[test]
    fn a_parameter_cannot_stand_in_for_the_procedure() {
        let alert = request(&[("sop", "reboot"), ("alert-source-type", "default")]).alert(&ann(), "1", "m").unwrap();
        assert_eq!((alert.labels()["sop"].as_str(), alert.labels()[SOURCE_LABEL].as_str()), ("drain", "manual"));
    }
}
