//! When a window opens: five cron fields in a time zone, and for how long it stays open.

use croner::Cron;
use croner::parser::CronParser;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::policy::PolicyFlaw;
use crate::flaw::shown;

/// Times at which a window opens, and the length of time after each for which it stays open.
///
/// The times are those of the clock on the wall. One that a clock going forward leaps over counts as the first moment
/// after the leap; one that a clock going back shows twice counts once, the first time, if the schedule names a minute
/// and an hour. The length of time is real time whatever the clocks do.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    cron: Cron,
    zone: TimeZone,
    length: SignedDuration,
}

struct Field {
    name: &'static str,
    /// What it may hold, for people.
    range: &'static str,
    /// Letters that it may hold beside digits.
    letters: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", range: "0 to 59", letters: &[] },
    Field { name: "hour", range: "0 to 23", letters: &[] },
    Field { name: "day of month", range: "1 to 31, or L for the last", letters: &["L", "W"] },
    Field { name: "month", range: "1 to 12, or JAN to DEC", letters: MONTHS },
    Field {
        name: "day of week",
        range: "0 to 7, where both 0 and 7 are Sunday, or SUN to SAT; SUN#1 for the first in the month",
        letters: DAYS,
    },
];

impl Schedule {
    /// Reads five cron fields: minute, hour, day of month, month, day of week. With both days given, either will do.
    pub(super) fn read(
        text: &str,
        zone: TimeZone,
        length: SignedDuration,
        field: &str,
    ) -> Result<Self, Vec<PolicyFlaw>> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.len() != FIELDS.len() {
            return Err(vec![PolicyFlaw::new(
                field,
                format!("{}, which has {} fields", shown(text), words.len()),
                "five cron fields: minute, hour, day of month, month, day of week, such as \"0 22 * * FRI\"",
            )]);
        }
        let flaws: Vec<PolicyFlaw> = std::iter::zip(FIELDS, &words)
            .enumerate()
            .filter(|(index, (kind, word))| !reads(*index, kind, word))
            .map(|(_, (kind, word))| {
                let found = format!("{} for the {}", shown(word), kind.name);
                let expected = format!("numbers of {}, ranges as 1-3, lists as 1,3, steps as */5, or *", kind.range);
                PolicyFlaw::new(field, found, expected)
            })
            .collect();
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let cron = parse(&words.join(" ")).ok_or_else(|| {
            vec![PolicyFlaw::new(
                field,
                shown(text),
                "five cron fields: minute, hour, day of month, month, day of week",
            )]
        })?;
        Ok(Self { cron, zone, length })
    }

    /// When the opening that is in force at `now` ends; `None` if it is closed then.
    pub(super) fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let latest = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?;
        latest.timestamp().checked_add(self.length).ok().filter(|end| now < *end)
    }

    /// When it opens next after `now`; `None` if it never does.
    pub(super) fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok()?;
        Some(next.timestamp())
    }
}

fn reads(index: usize, kind: &Field, word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let mut runs = upper.split(|c: char| !c.is_ascii_alphabetic()).filter(|run| !run.is_empty());
    // "5L" and "15W" hold single letters, "MON-FRI" two names.
    let letters = runs.all(|run| kind.letters.contains(&run));
    let alone: Vec<&str> = (0..FIELDS.len()).map(|at| if at == index { upper.as_str() } else { "*" }).collect();
    let items = upper.split(',').all(|item| !item.is_empty());
    letters && items && parse(&alone.join(" ")).is_some()
}

fn parse(text: &str) -> Option<Cron> {
    CronParser::builder().build().parse(text).ok()
}
