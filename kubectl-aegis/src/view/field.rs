//! One thing to know of an object: its name, its column, and how it is read.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// What is read of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// The object does not say.
    Nothing,
    /// A text, on one line and without control characters.
    Text(String),
    /// A number.
    Number(i64),
    /// A moment; shown as the time since then.
    Time(Timestamp),
}

/// What kind of datum a field gives where it gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// [`Datum::Text`]
    Text,
    /// [`Datum::Number`]
    Number,
    /// [`Datum::Time`]
    Time,
}

/// Where a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In every table.
    Always,
    /// In wide tables.
    Wide,
    /// In tables over several namespaces.
    Namespaces,
    /// In none; it can be filtered by.
    Nowhere,
}

/// How a cell strikes the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Under way, or waiting.
    Busy,
    /// Something is wrong.
    Bad,
    /// Beside the point.
    Faint,
}

/// One thing to know of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in filters.
    pub name: &'static str,
    /// Other names for it in filters.
    pub aliases: &'static [&'static str],
    /// The title of its column.
    pub title: &'static str,
    /// Where it is shown.
    pub place: Place,
    /// What it gives.
    pub what: What,
    /// Reads it.
    pub read: fn(&Value) -> Datum,
    /// How its cell strikes the eye.
    pub tone: fn(&Datum) -> Tone,
}

impl Field {
    /// A text in every table.
    pub const fn text(name: &'static str, title: &'static str, read: fn(&Value) -> Datum) -> Self {
        Self { name, aliases: &[], title, place: Place::Always, what: What::Text, read, tone: plain }
    }

    /// A number in every table.
    pub const fn number(name: &'static str, title: &'static str, read: fn(&Value) -> Datum) -> Self {
        Self { what: What::Number, ..Self::text(name, title, read) }
    }

    /// A moment in every table.
    pub const fn time(name: &'static str, title: &'static str, read: fn(&Value) -> Datum) -> Self {
        Self { what: What::Time, ..Self::text(name, title, read) }
    }

    /// The field under other names too.
    #[must_use]
    pub const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The field shown there.
    #[must_use]
    pub const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The field with that tone.
    #[must_use]
    pub const fn toned(self, tone: fn(&Datum) -> Tone) -> Self {
        Self { tone, ..self }
    }

    /// Whether filters mean this field by that name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }
}

impl Datum {
    /// A text; [`Datum::Nothing`] if it is empty.
    pub fn of_text(text: &str) -> Self {
        let text = one_line(text);
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }

    /// The text, number or truth value at that JSON pointer.
    pub fn at(object: &Value, pointer: &str) -> Self {
        match object.pointer(pointer) {
            Some(Value::String(text)) => Self::of_text(text),
            Some(Value::Number(number)) => number.as_i64().map_or(Self::Nothing, Self::Number),
            Some(Value::Bool(truth)) => Self::Text(truth.to_string()),
            _ => Self::Nothing,
        }
    }

    /// The moment at that JSON pointer.
    pub fn time_at(object: &Value, pointer: &str) -> Self {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.and_then(|text| text.parse().ok()).map_or(Self::Nothing, Self::Time)
    }

    /// This one, or the other if it is nothing.
    #[must_use]
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Nothing { other() } else { self }
    }

    /// As it stands in a table; nothing is an empty text.
    pub fn shown(&self, now: Timestamp) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Time(time) => age(now.duration_since(*time)),
        }
    }
}

/// The usual tone.
pub fn plain(_: &Datum) -> Tone {
    Tone::Plain
}

/// The text on one line, without what a terminal would take for a command.
pub fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How long ago, in the words of kubectl: the longer, the coarser. What lies ahead is 0s.
pub fn age(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: &str, small: i64, part: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{part}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let cases = [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_160, "3h6m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
        ];
        for (seconds, want) in cases {
            assert_eq!(age(SignedDuration::from_secs(seconds)), want, "{seconds} s");
        }
    }

    #[test]
    fn a_senders_text_cannot_command_the_terminal_nor_break_the_line() {
        assert_eq!(Datum::of_text("a\u{1b}[2J\n\tb"), Datum::Text("a [2J b".into()));
        assert_eq!(Datum::of_text(" \n"), Datum::Nothing);
    }

    #[test]
    fn what_is_not_there_or_of_another_type_is_nothing() {
        let object = json!({"a": "x", "n": 3, "t": "2026-01-02T03:04:05Z", "l": []});
        assert_eq!(Datum::at(&object, "/a"), Datum::Text("x".into()));
        assert_eq!(Datum::at(&object, "/n"), Datum::Number(3));
        assert_eq!((Datum::at(&object, "/l"), Datum::at(&object, "/z")), (Datum::Nothing, Datum::Nothing));
        assert_eq!(Datum::time_at(&object, "/a"), Datum::Nothing);
        assert_eq!(Datum::time_at(&object, "/t"), Datum::Time("2026-01-02T03:04:05Z".parse().unwrap()));
    }
}
