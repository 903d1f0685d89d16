//! Rules for tests. A builder begins with a rule that is valid but for its conditions.

use aegis_crds::AegisAlertOpsRule;
use aegis_crds::alert::AlertStatus;
use aegis_crds::rule::{AegisAlertOpsRuleSpec, AlertCondition, Repeat};
use k8s_openapi::api::core::v1::ObjectReference;

#[derive(Clone, Debug)]
pub(crate) struct RuleBuilder(AegisAlertOpsRule);

/// A rule in the namespace monitoring that asks for the template of its own name.
pub(crate) fn rule(name: &str) -> RuleBuilder {
    let ops_template = ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() };
    let mut rule = AegisAlertOpsRule::new(name, AegisAlertOpsRuleSpec { ops_template, ..Default::default() });
    rule.metadata.namespace = Some("monitoring".to_owned());
    RuleBuilder(rule)
}

impl RuleBuilder {
    pub(crate) fn firing(self, type_: &str) -> Self {
        self.condition(type_, AlertStatus::Firing)
    }

    pub(crate) fn resolved(self, type_: &str) -> Self {
        self.condition(type_, AlertStatus::Resolved)
    }

    pub(crate) fn condition(mut self, type_: &str, status: AlertStatus) -> Self {
        self.0.spec.alert_conditions.push(AlertCondition { type_: type_.to_owned(), status });
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        let selector = self.0.spec.selector.get_or_insert_default();
        selector.match_labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn priority(mut self, priority: i32) -> Self {
        self.0.spec.priority = Some(priority);
        self
    }

    pub(crate) fn repeat(mut self, after: &str, limit: i32) -> Self {
        self.0.spec.repeat = Some(Repeat { after: after.to_owned(), limit });
        self
    }

    /// The rule with more fields in its spec, as people write them.
    pub(crate) fn with(mut self, more: serde_json::Value) -> Self {
        let mut spec = serde_json::to_value(&self.0.spec).unwrap();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.0.spec = serde_json::from_value(spec).unwrap();
        self
    }

    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        self.0.metadata.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn build(self) -> AegisAlertOpsRule {
        self.0
    }
}
