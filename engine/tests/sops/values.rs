//! Hostile values: each stands in the object as the very value that it is, or is refused; nothing else changes.

use serde_json::Value;

use crate::library::all;

/// A word that stands nowhere else.
const WORD: &str = "w0rdw0rd";

const PAYLOADS: [&str; 16] = [
    "$(touch canary)",
    "`touch canary`",
    ";reboot;",
    "n1\nreboot\n",
    "'; reboot; '",
    "\"; reboot; \"",
    "$HOME ${HOME} $(HOME) $$",
    "{{workflow.name}}",
    "{{=1+1}}",
    "--all",
    "-l",
    "a: b",
    "- x",
    "*",
    "",
    "\u{0}\u{1b}[31m",
];

#[test]
fn a_hostile_value_changes_its_own_place_and_nothing_else() {
    let naughty = naughty_strings::BLNS.iter().step_by(5).copied();
    let values: Vec<&str> = PAYLOADS.into_iter().chain(naughty).collect();
    for sop in all() {
        let template = sop.compiled().manifest;
        let names: Vec<String> = template.parameters().map(str::to_owned).collect();
        let mut taken = 0;
        for name in &names {
            let Ok(plain) = template.render(&sop.parameters(&[(name, WORD)])) else {
                // Only a number can stand there.
                template.render(&sop.parameters(&[(name, "7")])).unwrap();
                for value in values.iter().filter(|value| value.trim().parse::<i64>().is_err() && !value.is_empty()) {
                    assert!(template.render(&sop.parameters(&[(name, value)])).is_err(), "{}: {value:?}", sop.name);
                }
                continue;
            };
            for value in values.iter().filter(|value| !value.is_empty()) {
                let Ok(object) = template.render(&sop.parameters(&[(name, value)])) else { continue };
                assert_eq!(object, filled(&plain, value, false), "{}: {name} {value:?}", sop.name);
                taken += 1;
            }
        }
        assert!(taken > 0, "{}: every value is refused", sop.name);
    }
}

#[test]
fn a_value_that_would_be_an_option_is_refused() {
    for sop in all() {
        let target = if sop.is_about_a_pod() { "InvolvedObjectName" } else { "InvolvedObjectNode" };
        let template = sop.compiled().manifest;
        if template.parameters().any(|name| name == target) && template.render(&sop.parameters(&[])).is_ok() {
            let refused = template.render(&sop.parameters(&[(target, "-l app=db")]));
            // A node may stand in an affinity alone, where it is no word of a command.
            let in_command = serde_json::to_string(&template.render(&sop.parameters(&[(target, WORD)])).unwrap())
                .unwrap()
                .contains(&format!("\"sop\",\"{WORD}\""));
            assert!(refused.is_err() || !in_command, "{}", sop.name);
        }
    }
}

/// The object with that value where the word stood. In a command each `$` of it is doubled for the kubelet.
fn filled(object: &Value, value: &str, command: bool) -> Value {
    match object {
        Value::String(text) if command => Value::String(text.replace(WORD, &value.replace('$', "$$"))),
        Value::String(text) => Value::String(text.replace(WORD, value)),
        Value::Array(items) => items.iter().map(|item| filled(item, value, command)).collect(),
        Value::Object(fields) => {
            let inside = |key: &str| command || ["command", "args", "env"].contains(&key);
            fields.iter().map(|(key, field)| (key.clone(), filled(field, value, inside(key)))).collect()
        }
        other => other.clone(),
    }
}
