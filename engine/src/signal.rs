//! Step 1 of the loop: an alert in our own words, checked once at the door.

use std::collections::BTreeMap;

use aegis_crds::alert::{AlertStatus, InvolvedObject};
use jiff::Timestamp;

/// The source of an alert that came as Alertmanager's webhook body.
pub const ALERTMANAGER: &str = "alertmanager";
/// The source of an alert that came as our own JSON.
pub const DEFAULT: &str = "default";
/// The source of what a person asked for. No webhook takes an alert from it.
pub const MANUAL: &str = "manual";

/// A detail of this name marks a test alert, unless its value says no: see [`is_test`].
pub const TEST_DETAIL: &str = aegis_crds::names::TEST_LABEL;
/// [`TEST_DETAIL`] for senders whose label names take letters, digits and '_' only.
pub const TEST_DETAIL_PLAIN: &str = "aegis_io_test";

/// An alert as a sender reported it, whoever the sender is. Made by the intakes alone, so that its parts hold what
/// is said of them here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Which kind of sender reported it: [`ALERTMANAGER`], [`DEFAULT`] or [`MANUAL`].
    pub source: String,
    /// The alert's type: one line of text, never empty.
    pub type_: String,
    /// Whether the problem is there or has gone.
    pub status: AlertStatus,
    /// How grave the sender says it is.
    pub severity: Option<String>,
    /// What it is about. A Pod has a name and a namespace, a Node has a name, which is its `node` too.
    pub object: InvolvedObject,
    /// Everything else that the sender said, by name.
    pub details: BTreeMap<String, String>,
    /// The sender's identity of the series that fires: one line of text, never empty.
    pub fingerprint: String,
    /// When the sender says that the incident began, if it says so.
    pub starts_at: Option<Timestamp>,
    /// When the sender says that the incident ended, if it says so.
    pub ends_at: Option<Timestamp>,
    /// Details were cut or left out so that the alert is no larger than one alert may be.
    pub shortened: bool,
    /// A marked test alert, which can only ever be a dry run.
    pub test: bool,
}

impl Signal {
    /// What this alert shares with every other report of the same thing.
    pub fn key(&self) -> Key {
        Key {
            source: self.source.clone(),
            type_: self.type_.clone(),
            fingerprint: self.fingerprint.clone(),
            test: self.test,
        }
    }
}

/// Alerts of one key tell of one thing, at one time or another. At most one of them is open.
///
/// A test is part of the key: a real alert is never taken for the repeat of a test that happens to be open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which kind of sender reported it.
    pub source: String,
    /// The alert's type.
    pub type_: String,
    /// The sender's identity of the series.
    pub fingerprint: String,
    /// Whether it is a marked test.
    pub test: bool,
}

/// Whether details mark a test alert: one of [`TEST_DETAIL`] and [`TEST_DETAIL_PLAIN`] is there with any value but
/// "", "false", "no" and "0". Whoever writes "yes" or "True" means a test, and a test too many does no harm.
pub fn is_test(details: &BTreeMap<String, String>) -> bool {
    let says_no = |value: &str| ["", "false", "no", "0"].iter().any(|no| value.trim().eq_ignore_ascii_case(no));
    [TEST_DETAIL, TEST_DETAIL_PLAIN].iter().filter_map(|name| details.get(*name)).any(|value| !says_no(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_marked_by_a_detail_that_does_not_say_no() {
        let cases = [
            ("nothing marks it", vec![], false),
            ("our label's name", vec![(TEST_DETAIL, "true")], true),
            ("a name that every Prometheus takes", vec![(TEST_DETAIL_PLAIN, "true")], true),
            ("another word for yes", vec![(TEST_DETAIL, "Yes")], true),
            ("it says no", vec![(TEST_DETAIL, "False")], false),
            ("an empty label is an absent label", vec![(TEST_DETAIL, "")], false),
            ("either may mark it", vec![(TEST_DETAIL, "false"), (TEST_DETAIL_PLAIN, "1")], true),
            ("another detail", vec![("test", "true")], false),
        ];
        for (why, details, want) in cases {
            let details = details.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(is_test(&details), want, "{why}");
        }
    }
}
