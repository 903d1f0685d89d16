//! A body of the administrator's: JSON whose texts are templates. It is filled text by text, so whatever an alert says
//! stays within the text that shows it.

use std::sync::Arc;

use minijinja::{Environment, Error, UndefinedBehavior, Value as Word};
use serde_json::{Map, Value, json};

use super::{Notice, plain, text, title};

/// How much work one text may be.
const FUEL: u64 = 50_000;
/// The longest text that may come of it.
const LONGEST: usize = 64 << 10;

/// A body with templates in its texts.
#[derive(Debug)]
pub struct Own {
    body: Value,
}

impl Own {
    /// Checks the body by filling it with that notice. An error names the text and says what is wrong with it.
    pub fn new(body: Value, sample: Notice) -> Result<Self, String> {
        if !body.is_object() {
            return Err("expected a mapping, which is sent as JSON".to_owned());
        }
        let own = Self { body };
        own.body("", &[Arc::new(sample)]).map(|_| own)
    }

    /// The body, filled.
    pub fn body(&self, cluster: &str, notices: &[Arc<Notice>]) -> Result<Value, String> {
        let words = json!({
            "cluster": cluster,
            "title": title(cluster, notices),
            "text": text(cluster, notices),
            "outcome": notices.first().map_or("", |notice| notice.outcome.as_str()),
            "notices": plain(notices),
        });
        let words = word(&words);
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_fuel(Some(FUEL));
        filled(&engine, &words, &self.body, "body")
    }
}

fn filled(engine: &Environment<'_>, words: &Word, part: &Value, path: &str) -> Result<Value, String> {
    Ok(match part {
        Value::String(template) => {
            let text = engine.render_str(template, words.clone()).map_err(|error| wrong(path, &error))?;
            if text.len() > LONGEST {
                return Err(format!("{path}: its text has {} bytes, expected at most {LONGEST}", text.len()));
            }
            Value::String(text)
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| filled(engine, words, item, &format!("{path}[{index}]")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                filled(engine, words, value, &format!("{path}.{name}")).map(|value| (name.clone(), value))
            });
            Value::Object(fields.collect::<Result<Map<_, _>, _>>()?)
        }
        other => other.clone(),
    })
}

/// A value as templates read it.
fn word(value: &Value) -> Word {
    match value {
        Value::Null => Word::from(()),
        Value::Bool(truth) => Word::from(*truth),
        Value::Number(number) => number.as_i64().map_or_else(|| Word::from(number.to_string()), Word::from),
        Value::String(text) => Word::from(text.as_str()),
        Value::Array(items) => Word::from(items.iter().map(word).collect::<Vec<_>>()),
        Value::Object(fields) => Word::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), word(value)))),
    }
}

/// Without the template's own text: a body may hold a key.
fn wrong(path: &str, error: &Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    format!(
        "{path}: {}{line}; a template may use cluster, title, text, outcome and notices, each of which has the fields of \
         the format json",
        error.kind()
    )
}
