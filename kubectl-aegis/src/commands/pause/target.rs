//! What a pause is of: as people type it, and as it stands in the guard.

use std::fmt;

use crate::failure::{Failure, Kind};

/// Everything.
const ALL: &str = "all";
/// What stops a storm; it can be resumed, not paused.
const BREAKER: &str = "breaker";
/// What kubectl also calls rules by.
const RULES: [&str; 5] = ["rule", "rules", "arule", "aegisalertopsrule", "aegisalertopsrule.aegis.io"];
/// What kubectl also calls nodes by.
const NODES: [&str; 3] = ["node", "nodes", "no"];

/// What a pause is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everything.
    All,
    /// What stops a storm.
    Breaker,
    /// The actions of one rule.
    Rule { namespace: String, name: String },
    /// The actions on one node.
    Node(String),
    /// The actions on another object, as "kind/NAMESPACE/NAME", or for an alert about none, as "alert/NAME".
    Other(String),
}

impl Target {
    /// Reads what can be paused. A rule without a namespace is one of `namespace`.
    pub(crate) fn paused(text: &str, namespace: &str) -> Result<Self, Failure> {
        let expected = "all, rule/NAME, rule/NAMESPACE/NAME, node/NAME, pod/NAMESPACE/NAME or KIND/NAMESPACE/NAME";
        match Self::read(text, namespace) {
            Some(Self::Breaker) => Err(Failure::new(Kind::Usage, "the breaker opens by itself and cannot be paused")
                .hint("`kubectl aegis pause all` stops everything")),
            Some(target) => Ok(target),
            None => Err(Failure::new(Kind::Usage, format!("TARGET: found {text:?}, expected {expected}"))),
        }
    }

    /// Reads what can be resumed.
    pub(crate) fn resumed(text: &str, namespace: &str) -> Result<Self, Failure> {
        let expected =
            "all, breaker, rule/NAME, rule/NAMESPACE/NAME, node/NAME, pod/NAMESPACE/NAME or KIND/NAMESPACE/NAME";
        Self::read(text, namespace)
            .ok_or_else(|| Failure::new(Kind::Usage, format!("TARGET: found {text:?}, expected {expected}")))
    }

    fn read(text: &str, namespace: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let kind = parts.first()?.to_lowercase();
        match parts.as_slice() {
            [ALL] => Some(Self::All),
            [BREAKER] => Some(Self::Breaker),
            [_, name] if RULES.contains(&kind.as_str()) => Self::rule(namespace, name),
            [_, namespace, name] if RULES.contains(&kind.as_str()) => Self::rule(namespace, name),
            [_, name] if NODES.contains(&kind.as_str()) => is_name(name).then(|| Self::Node((*name).to_owned())),
            [_, ..] if NODES.contains(&kind.as_str()) => None,
            ["pod" | "pods" | "po", namespace, name] => {
                (is_name(namespace) && is_name(name)).then(|| Self::Other(format!("pod/{namespace}/{name}")))
            }
            ["alert", name] => is_name(name).then(|| Self::Other(format!("alert/{name}"))),
            // What an alert is about may be of any kind, be called as its sender likes, and be of no namespace.
            [_, "", name] => [&kind, *name].into_iter().all(is_word).then(|| Self::Other(format!("{kind}//{name}"))),
            [_, namespace, name] => [&kind, *namespace, *name]
                .into_iter()
                .all(is_word)
                .then(|| Self::Other(format!("{kind}/{namespace}/{name}"))),
            _ => None,
        }
    }

    /// Whether a pause that people wrote is of this target. One that nobody can read holds everything, so it ends with a
    /// pause of everything; a rule without a namespace is one of every namespace.
    pub(super) fn is_of(&self, written: &str) -> bool {
        let written = written.trim();
        let any_namespace = written.strip_prefix("rule/").filter(|name| is_word(name));
        match (self, any_namespace) {
            (Self::Rule { name, .. }, Some(written)) => name == written,
            (_, Some(_)) => false,
            (_, None) => Self::read(written, "").unwrap_or(Self::All) == *self,
        }
    }

    fn rule(namespace: &str, name: &str) -> Option<Self> {
        (is_name(namespace) && is_name(name))
            .then(|| Self::Rule { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// As it stands in the guard.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Breaker => f.write_str(BREAKER),
            Self::Rule { namespace, name } => write!(f, "rule/{namespace}/{name}"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Other(target) => f.write_str(target),
        }
    }
}

/// Whether a sender's object may be called so: letters, digits, '-', '.', '_' and ':'.
fn is_word(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    !text.is_empty() && text.len() <= 253 && text.chars().all(inside)
}

/// Whether an object may be called so: lower-case letters, digits, '-' and '.', a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    text.len() <= 253 && text.chars().all(inside) && edge(text.chars().next()) && edge(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stands_in_the_guard_in_one_form_however_it_was_typed() {
        let cases = [
            ("all", "all"),
            ("rule/drain", "rule/monitoring/drain"),
            ("rule/team-a/drain", "rule/team-a/drain"),
            ("aegisalertopsrule.aegis.io/drain", "rule/monitoring/drain"),
            ("node/n1.example.com", "node/n1.example.com"),
            ("nodes/n1", "node/n1"),
            ("Node/n1", "node/n1"),
            ("pod/web/web-0", "pod/web/web-0"),
            ("Switch/Hall_2/Leaf_1", "switch/Hall_2/Leaf_1"),
            ("job/batch/train", "job/batch/train"),
            ("Switch//Leaf_1", "switch//Leaf_1"),
            ("alert/default-x-1", "alert/default-x-1"),
        ];
        for (typed, want) in cases {
            assert_eq!(Target::paused(typed, "monitoring").unwrap().to_string(), want, "{typed}");
        }
        assert_eq!(Target::resumed("breaker", "monitoring").unwrap().to_string(), "breaker");
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_is_expected() {
        let odd = [
            "",
            "n1",
            "node/",
            "node/a/b",
            "node/n*",
            "pod/web-0",
            "rule/",
            "rule/A",
            "a/b/c/d",
            "x/y",
            "x/ y/z",
            "ALL",
            "/x",
        ];
        for typed in odd {
            let told = Target::paused(typed, "monitoring").expect_err(typed).to_string();
            assert!(told.contains(&format!("found {typed:?}, expected all, rule/NAME")), "{told}");
        }
        assert!(Target::paused("breaker", "monitoring").is_err(), "it opens by itself");
    }

    #[test]
    fn what_people_wrote_in_the_guard_by_hand_ends_with_its_target() {
        let rule = |namespace: &str| Target::Rule { namespace: namespace.to_owned(), name: "drain".to_owned() };
        let cases = [
            (Target::All, " all ", true, "with white space around it"),
            (Target::All, "everything", true, "nobody can read it, so it holds everything"),
            (Target::All, "node/n1", false, "one node"),
            (Target::Node("n1".to_owned()), "node/n1", true, "the node"),
            (Target::Node("n1".to_owned()), "everything", false, "more than the node"),
            (rule("a"), "rule/a/drain", true, "the rule"),
            (rule("a"), "rule/b/drain", false, "one of its name elsewhere"),
            (rule("a"), "rule/drain", true, "those of its name anywhere"),
            (Target::All, "rule/drain", false, "a rule"),
            (
                Target::Other("pod/web/web-0".to_owned()),
                "Pod/web/web-0",
                true,
                "kinds are often written with a capital",
            ),
        ];
        for (target, written, want, why) in cases {
            assert_eq!(target.is_of(written), want, "{written:?} for {target}: {why}");
        }
    }
}
