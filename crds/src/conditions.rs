//! Conditions: their types, and the one function that sets one.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A condition in Kubernetes' form. Older objects carry Complete, Failed and FailedCreateWorkflow in the same list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is judged.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word on why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub last_transition_time: Option<Timestamp>,
    /// Written by earlier versions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub last_probe_time: Option<Timestamp>,
    /// The generation of the object that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The conditions that this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// On an alert: whether its executor picked the action up. False with the likely cause after two minutes.
    PickedUp,
    /// On an alert: whether the problem went away after the action succeeded.
    Repaired,
    /// On an alert: whether its text was cut to fit.
    Shortened,
    /// On a rule or template: whether it can be used as written.
    Valid,
}

impl ConditionType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PickedUp => "PickedUp",
            Self::Repaired => "Repaired",
            Self::Shortened => "Shortened",
            Self::Valid => "Valid",
        }
    }
}

impl Condition {
    /// A condition as seen now; [`set`] decides which transition time it keeps.
    pub fn new(type_: ConditionType, holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self {
            type_: type_.as_str().to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.into()).filter(|text| !text.is_empty()),
            ..Self::default()
        }
    }
}

/// Puts a condition in its place: at the end if its type is absent, else where that type stands.
/// The transition time moves only when the status changes. Says whether anything changed.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition, now: Timestamp) -> bool {
    let Some(old) = conditions.iter_mut().find(|old| old.type_ == condition.type_) else {
        condition.last_transition_time = Some(now);
        conditions.push(condition);
        return true;
    };
    condition.last_transition_time = if old.status == condition.status { old.last_transition_time } else { Some(now) };
    condition.last_probe_time = old.last_probe_time;
    let changed = *old != condition;
    *old = condition;
    changed
}

/// The condition of that type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition of that type is there and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, Condition::new(ConditionType::Valid, true, "Checked", ""), at(1)));
        assert!(
            !set(&mut conditions, Condition::new(ConditionType::Valid, true, "Checked", ""), at(2)),
            "nothing changed"
        );
        assert_eq!(conditions[0].last_transition_time, Some(at(1)));
        assert!(
            set(&mut conditions, Condition::new(ConditionType::Valid, true, "Other", ""), at(3)),
            "the reason changed"
        );
        assert_eq!(conditions[0].last_transition_time, Some(at(1)));
        assert!(set(&mut conditions, Condition::new(ConditionType::Valid, false, "Bad", "why"), at(4)));
        assert_eq!(conditions[0].last_transition_time, Some(at(4)));
    }

    #[test]
    fn conditions_of_other_types_stay_where_they_are() {
        let old = Condition { type_: "Complete".into(), status: "True".into(), ..Condition::default() };
        let mut conditions = vec![old.clone()];
        set(&mut conditions, Condition::new(ConditionType::Repaired, false, "StillFiring", ""), at(1));
        assert_eq!(conditions[0], old);
        assert_eq!(conditions.len(), 2);
    }
}
