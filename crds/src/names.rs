//! Names: labels, annotations, and object names derived from what they stand for, so that a retry meets its own work.

use sha2::{Digest, Sha256};

use crate::alert::AlertStatus;

/// The API group of every kind.
pub const GROUP: &str = "aegis.io";

/// On a node: "true" keeps Aegis away from it.
pub const OPT_OUT_LABEL: &str = "aegis.io/disable";

/// On an alert: the kind of sender.
pub const SOURCE_LABEL: &str = "alert-source-type";
/// On an alert: its type.
pub const TYPE_LABEL: &str = "alert-type";
/// On an alert: the phase in which it was first reported.
pub const STATUS_LABEL: &str = "alert-status";
/// On an alert: its fingerprint, see [`fingerprint_label`].
pub const FINGERPRINT_LABEL: &str = "fingerprint";
/// On an alert: a UUID derived from its namespace and name, for those who select by it as in the first version.
pub const UUID_LABEL: &str = "uuid";
/// On an alert: "true" marks a test, which can only ever be a dry run.
pub const TEST_LABEL: &str = "aegis.io/test";

/// On a Workflow or Job: "aegis"; our watches select by it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "aegis";
/// On a Workflow or Job: the alert's name.
pub const ALERT_LABEL: &str = "aegis.io/alert";
/// On a Workflow or Job: the alert's UID.
pub const ALERT_UID_LABEL: &str = "aegis.io/alert-uid";
/// On a Workflow or Job: the alert's phase that it was made for.
pub const PHASE_LABEL: &str = "aegis.io/phase";
/// On a Workflow or Job: the attempt, counted from 1.
pub const ATTEMPT_LABEL: &str = "aegis.io/attempt";
/// On a Workflow or Job: "true" if it only checks what the action of the same attempt achieved.
pub const CHECK_LABEL: &str = "aegis.io/check";
/// On a Workflow or Job: the rule that asked for it, as namespace/name.
pub const RULE_ANNOTATION: &str = "aegis.io/rule";
/// On a Workflow or Job: the template that it was made from, as namespace/name.
pub const TEMPLATE_ANNOTATION: &str = "aegis.io/template";
/// On an alert whose name is derived from the alert before it: that one's UID, or "first".
pub const PREDECESSOR_ANNOTATION: &str = "aegis.io/predecessor";
/// On an alert that was stored as Resolved: the endsAt that came with it, RFC 3339.
pub const ENDS_AT_ANNOTATION: &str = "aegis.io/ends-at";
/// On an alert: "true" if details were cut or left out because the sender's alert was too large.
pub const SHORTENED_ANNOTATION: &str = "aegis.io/shortened";
/// The one AegisGuard that counts, in the namespace of the alerts.
pub const GUARD_NAME: &str = "aegis";
/// On the AegisGuard: pauses everything; the value is the reason. Like a pause of "all" in its spec.
pub const PAUSE_ANNOTATION: &str = "aegis.io/pause";
/// On a Node: what Aegis changed on it, as JSON, so that it can be put back.
pub const CHANGES_ANNOTATION: &str = "aegis.io/changes";
/// On a Workflow or Job: its node as it was right before, as JSON.
pub const BEFORE_ANNOTATION: &str = "aegis.io/node-before";
/// On an alert: "<plan digest> by <user>" approves the action that its status shows.
pub const APPROVAL_ANNOTATION: &str = "aegis.io/approval";
/// On an alert: the same by a second person.
pub const SECOND_APPROVAL_ANNOTATION: &str = "aegis.io/approval-2";
/// On an alert: "<user>: <reason>", why whoever approved last did.
pub const APPROVAL_REASON_ANNOTATION: &str = "aegis.io/approval-reason";
/// On an alert: "<plan digest> by <user>", optionally ": <reason>", refuses that action.
pub const REJECTION_ANNOTATION: &str = "aegis.io/rejection";
/// On an alert that a person asked for: "<user>: <reason>".
pub const REQUEST_ANNOTATION: &str = "aegis.io/request";
/// On an alert, and on the Workflow or Job that is made for it: for how long a cordon that it leaves on a node stands,
/// such as "2h". What stands on the alert goes before what its rule says.
pub const CORDON_FOR_ANNOTATION: &str = "aegis.io/cordon-for";
/// On the template and the rules of a procedure that people ask for by its name: that name.
pub const SOP_LABEL: &str = "aegis.io/sop";
/// On a Workflow or Job: "true" once its outcome stands in the alert's status and nothing will be read of it again.
pub const RELEASED_LABEL: &str = "aegis.io/released";
/// Keeps a Workflow or Job until its outcome stands in the alert's status.
pub const OUTCOME_FINALIZER: &str = "aegis.io/outcome";
/// The label in which Argo tells a Workflow's phase.
pub const ARGO_PHASE_LABEL: &str = "workflows.argoproj.io/phase";

/// The longest alert name: its Workflow adds nine characters and Argo takes at most 63.
pub const LONGEST_ALERT_NAME: usize = 54;
/// The longest name of a Workflow or Job.
pub const LONGEST_ACTION_NAME: usize = 63;

const ALERT_DIGITS: usize = 13;
const ACTION_DIGITS: usize = 8;

/// What makes an alert this alert and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertIdentity<'a> {
    /// The kind of sender.
    pub source: &'a str,
    /// The alert's type.
    pub type_: &'a str,
    /// The sender's fingerprint.
    pub fingerprint: &'a str,
    /// What tells this incident from others of the same key: its startsAt (RFC 3339), or the UID of the
    /// alert before it, or "first".
    pub incident: &'a str,
}

/// The alert's name: "<source>-<type>" in lower case, every run of other characters a '-', cut, and 13 base32
/// characters of a hash over its identity. At most [`LONGEST_ALERT_NAME`] characters, a valid DNS label.
/// `salt` is 0 unless that name is held by an object of another identity.
pub fn alert(identity: AlertIdentity<'_>, salt: u32) -> String {
    let AlertIdentity { source, type_, fingerprint, incident } = identity;
    let digits = digest(&["alert", source, type_, fingerprint, incident, &salt.to_string()], ALERT_DIGITS);
    let stem = label_stem(&format!("{source}-{type_}"), LONGEST_ALERT_NAME - ALERT_DIGITS - 1);
    if stem.is_empty() { format!("alert-{digits}") } else { format!("{stem}-{digits}") }
}

/// The name of the Workflow or Job of an alert's phase and attempt: the alert's name, '-', and 8 base32 characters.
/// At most [`LONGEST_ACTION_NAME`] characters; a longer alert name (older versions had no limit) is cut.
pub fn action(alert_name: &str, alert_uid: &str, phase: AlertStatus, attempt: i32, salt: i32) -> String {
    of_alert("action", alert_name, alert_uid, phase, attempt, salt)
}

/// The name of the Workflow or Job that checks what that action achieved; of the same form.
pub fn check(alert_name: &str, alert_uid: &str, phase: AlertStatus, attempt: i32, salt: i32) -> String {
    of_alert("check", alert_name, alert_uid, phase, attempt, salt)
}

fn of_alert(what: &str, alert_name: &str, alert_uid: &str, phase: AlertStatus, attempt: i32, salt: i32) -> String {
    let parts = [what, alert_uid, phase.as_str(), &attempt.to_string(), &salt.to_string()];
    let digits = digest(&parts, ACTION_DIGITS);
    let stem = label_stem(alert_name, LONGEST_ACTION_NAME - ACTION_DIGITS - 1);
    format!("{stem}-{digits}")
}

/// The fingerprint as a label value: itself where that is valid, else the first 63 hex digits of its SHA-256.
pub fn fingerprint_label(fingerprint: &str) -> String {
    if is_label_value(fingerprint) && !fingerprint.is_empty() {
        return fingerprint.to_owned();
    }
    let mut hex: String = Sha256::digest(fingerprint.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(63);
    hex
}

/// Whether the text is a valid label value: at most 63 of [A-Za-z0-9._-], beginning and ending with a letter or digit.
pub fn is_label_value(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inside) && edge(text.chars().next()) && edge(text.chars().next_back())
}

/// Lower-case letters, digits and single '-' that neither begins nor ends, at most `longest` characters.
fn label_stem(text: &str, longest: usize) -> String {
    let mut stem = String::with_capacity(longest);
    for c in text.chars() {
        if stem.len() == longest {
            break;
        }
        if c.is_ascii_alphanumeric() {
            stem.push(c.to_ascii_lowercase());
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
    }
    stem.truncate(stem.trim_end_matches('-').len());
    stem
}

/// The first base32 characters (RFC 4648, lower case) of a SHA-256 over the parts, each preceded by its length
/// so that no two lists of parts read alike. At most 25 of them: 125 of the hash's bits are used.
fn digest(parts: &[&str], digits: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut pool = hash.finalize().iter().take(16).fold(0u128, |pool, byte| (pool << 8) | u128::from(*byte));
    let mut text = String::with_capacity(digits);
    for _ in 0..digits {
        let index = (pool >> 123) as usize;
        text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        pool <<= 5;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: AlertIdentity<'_> = AlertIdentity {
        source: "default",
        type_: "NodeHasEmergencyEvent",
        fingerprint: "5f972974ccf1ee9b",
        incident: "first",
    };

    #[test]
    fn an_alert_keeps_the_readable_part_that_its_users_know() {
        let name = alert(SEED, 0);
        assert!(name.starts_with("default-nodehasemergencyevent-"), "{name}");
        assert_eq!(name.len(), "default-nodehasemergencyevent-".len() + 13);
        assert_eq!(name, alert(SEED, 0), "the same alert has the same name");
    }

    #[test]
    fn every_part_of_the_identity_changes_the_name() {
        let others = [
            AlertIdentity { source: "alertmanager", ..SEED },
            AlertIdentity { type_: "NodeHasEmergencyEvents", ..SEED },
            AlertIdentity { fingerprint: "5f972974ccf1ee9c", ..SEED },
            AlertIdentity { incident: "2026-11-22T11:43:28Z", ..SEED },
            AlertIdentity { fingerprint: "5f972974ccf1ee9bfirst", incident: "", ..SEED },
        ];
        for other in others {
            assert_ne!(alert(SEED, 0), alert(other, 0));
        }
        assert_ne!(alert(SEED, 0), alert(SEED, 1), "a salted name is another name");
    }

    #[test]
    fn names_fit_their_limits_whatever_the_type_is() {
        for type_ in [
            "",
            "X",
            "节点故障",
            "a.b/c d",
            &"Long".repeat(100),
            "-Dash-",
            "trailing---------------------------------------",
        ] {
            let name = alert(AlertIdentity { type_, ..SEED }, 0);
            assert!(name.len() <= LONGEST_ALERT_NAME && is_dns_label(&name), "{name}");
            let action = action(&name, "0b1d", AlertStatus::Firing, 1, 0);
            assert!(action.len() <= LONGEST_ACTION_NAME && is_dns_label(&action), "{action}");
            assert!(action.starts_with(&name), "a Workflow is found by its alert's name: {action}");
        }
    }

    #[test]
    fn phase_and_attempt_make_another_action() {
        let name = |phase, attempt, salt| action("default-x", "uid", phase, attempt, salt);
        let all = [
            name(AlertStatus::Firing, 1, 0),
            name(AlertStatus::Firing, 2, 0),
            name(AlertStatus::Resolved, 1, 0),
            name(AlertStatus::Firing, 1, 1),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_fingerprint_that_is_no_label_value_is_hashed() {
        assert_eq!(fingerprint_label("0effba0cd51bfc13"), "0effba0cd51bfc13");
        for odd in ["", "a b", &"f".repeat(64), "-x"] {
            let label = fingerprint_label(odd);
            assert!(is_label_value(&label) && label.len() == 63, "{label}");
        }
    }

    fn is_dns_label(name: &str) -> bool {
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.starts_with('-')
            && !name.ends_with('-')
    }
}
