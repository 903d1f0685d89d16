//! Windows: when actions are held back, and when alone they may begin.

use std::collections::BTreeSet;

use aegis_crds::guard::{Window, WindowKind};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::policy::{PolicyFlaw, length};
use super::pools::DEFAULT_POOL;
use super::schedule::Schedule;
use crate::duration;
use crate::flaw::shown;
use crate::scope::ObjectName;

/// All windows of a policy.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Compiled>);

/// Why nothing may begin at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowHold {
    /// The freeze window that is open, or the maintenance window that opens next.
    pub window: String,
    /// Whether a freeze window is open; else a maintenance window is waited for.
    pub frozen: bool,
    /// When actions may begin again, as far as windows go. If that is years away, a time to ask again.
    pub until: Timestamp,
    /// The reason as a sentence without a full stop.
    pub message: String,
}

#[derive(Clone, Debug)]
struct Compiled {
    name: String,
    kind: WindowKind,
    schedule: Schedule,
    rules: Vec<RuleName>,
    pools: BTreeSet<String>,
}

/// A rule as a window names it; without a namespace it is any of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleName {
    namespace: Option<String>,
    name: String,
}

/// The longest that a window may stay open.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How many openings are followed in a row: more only make the answer later, and it is asked for again.
const STEPS: usize = 64;

impl Windows {
    /// Checks and compiles the windows, which may name the pools and "default".
    pub(super) fn compile(windows: &[Window], pools: &[&str], flaws: &mut Vec<PolicyFlaw>) -> Self {
        let zones = TimeZoneDatabase::bundled();
        let mut names = BTreeSet::new();
        let mut compiled = Vec::with_capacity(windows.len());
        for (index, window) in windows.iter().enumerate() {
            let field = format!("spec.windows[{index}]");
            if window.name.trim().is_empty() {
                flaws.push(PolicyFlaw::new(format!("{field}.name"), shown(&window.name), "a name"));
            }
            if !names.insert(&window.name) {
                let expected = "a name that no window before it has";
                flaws.push(PolicyFlaw::new(format!("{field}.name"), shown(&window.name), expected));
            }
            compiled.extend(Compiled::compile(window, pools, &zones, &field, flaws));
            flaws.extend(never_met(window, windows, &field));
        }
        Self(compiled)
    }

    /// What holds an action of the rule at `now`, if anything does: an open freeze window, or that none of the
    /// maintenance windows for it is open. `pool` is that of the node that it takes out, if it takes out any.
    pub fn standing(&self, rule: &ObjectName, pool: Option<&str>, now: Timestamp) -> Option<WindowHold> {
        let ours: Vec<&Compiled> = self.0.iter().filter(|window| window.is_for(rule, pool)).collect();
        if ours.is_empty() {
            return None;
        }
        let hold = next_hold(&ours, now)?;
        // A freeze may end where another begins, or where no maintenance window is open.
        let mut until = hold.until();
        for _ in 0..STEPS {
            match next_hold(&ours, until) {
                Some(next) if next.until() > until => until = next.until(),
                _ => break,
            }
        }
        Some(match hold {
            Hold::Frozen { window, .. } => WindowHold {
                window: window.name.clone(),
                frozen: true,
                until,
                message: format!("freeze window {} is open; actions may begin again at {until}", shown(&window.name)),
            },
            Hold::Closed { window, .. } => WindowHold {
                window: window.name.clone(),
                frozen: false,
                until,
                message: format!("no maintenance window is open; the next, {}, opens at {until}", shown(&window.name)),
            },
        })
    }
}

enum Hold<'a> {
    Frozen { window: &'a Compiled, end: Timestamp },
    Closed { window: &'a Compiled, opening: Timestamp },
}

impl Hold<'_> {
    fn until(&self) -> Timestamp {
        match self {
            Self::Frozen { end, .. } => *end,
            Self::Closed { opening, .. } => *opening,
        }
    }
}

/// What holds at that moment, for as long as this one window says.
fn next_hold<'a>(windows: &[&'a Compiled], now: Timestamp) -> Option<Hold<'a>> {
    let of = |kind: WindowKind| windows.iter().copied().filter(move |window| window.kind == kind);
    let frozen = of(WindowKind::Freeze)
        .filter_map(|window| window.schedule.open_until(now).map(|end| (window, end)))
        .max_by_key(|(_, end)| *end);
    if let Some((window, end)) = frozen {
        return Some(Hold::Frozen { window, end });
    }
    if of(WindowKind::Maintenance).any(|window| window.schedule.open_until(now).is_some()) {
        return None;
    }
    of(WindowKind::Maintenance)
        .filter_map(|window| window.schedule.next_opening(now).map(|opening| (window, opening)))
        .min_by_key(|(_, opening)| *opening)
        .map(|(window, opening)| Hold::Closed { window, opening })
}

impl Compiled {
    fn compile(
        window: &Window,
        pools: &[&str],
        zones: &TimeZoneDatabase,
        field: &str,
        flaws: &mut Vec<PolicyFlaw>,
    ) -> Option<Self> {
        let Window { name, kind, schedule, duration, time_zone, rules, pools: of } = window;
        let open = length(Some(duration), &format!("{field}.duration"), flaws);
        if open.is_some_and(|open| open > LONGEST) {
            let expected = "at most 744h, which is 31 days; a pause stops things without an end";
            flaws.push(PolicyFlaw::new(format!("{field}.duration"), shown(duration), expected));
        }
        let zone = zone(time_zone.as_deref(), zones).or_else(|| {
            let found = time_zone.as_deref().map_or_else(|| "none".to_owned(), shown);
            let expected = "the name of a time zone such as \"Asia/Shanghai\", \"America/New_York\" or \"UTC\"";
            flaws.push(PolicyFlaw::new(format!("{field}.timeZone"), found, expected));
            None
        });
        let names: Vec<RuleName> = rules
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| {
                let name = RuleName::read(rule);
                if name.is_none() {
                    let expected = "a rule's NAMESPACE/NAME or NAME";
                    flaws.push(PolicyFlaw::new(format!("{field}.rules[{index}]"), shown(rule), expected));
                }
                name
            })
            .collect();
        for (index, pool) in of.iter().enumerate().filter(|(_, pool)| !pools.contains(&pool.as_str())) {
            if pool != DEFAULT_POOL {
                let known: Vec<&str> = pools.iter().copied().chain([DEFAULT_POOL]).collect();
                let expected = format!("one of the pools of spec.pools or \"default\": {}", known.join(", "));
                flaws.push(PolicyFlaw::new(format!("{field}.pools[{index}]"), shown(pool), expected));
            }
        }
        // Without zone or length the cron fields are still checked: all flaws are told at once.
        let usable = zone.is_some() && open.is_some_and(|open| open <= LONGEST);
        let length = open.unwrap_or(SignedDuration::from_hours(1));
        let written = schedule;
        let at = format!("{field}.schedule");
        let schedule = match Schedule::read(schedule, zone.unwrap_or(TimeZone::UTC), length, &at) {
            Ok(schedule) => schedule,
            Err(found) => {
                flaws.extend(found);
                return None;
            }
        };
        flaws.extend(schedule_flaw(&schedule, written, &at).filter(|_| usable));
        let pools = of.iter().cloned().collect();
        Some(Self { name: name.clone(), kind: *kind, schedule, rules: names, pools })
    }

    fn is_for(&self, rule: &ObjectName, pool: Option<&str>) -> bool {
        (self.rules.is_empty() || self.rules.iter().any(|name| name.is(rule)))
            && (self.pools.is_empty() || pool.is_some_and(|pool| self.pools.contains(pool)))
    }
}

fn zone(name: Option<&str>, zones: &TimeZoneDatabase) -> Option<TimeZone> {
    match name {
        None | Some("UTC") => Some(TimeZone::UTC),
        Some(name) => zones.get(name).ok(),
    }
}

/// A window that never opens or never closes is not what its author meant. It is tried from a fixed day on, since a
/// policy is judged alike on all days.
fn schedule_flaw(schedule: &Schedule, written: &str, field: &str) -> Option<PolicyFlaw> {
    /// A window whose openings overlap may take many steps to close.
    const MOST: usize = 2000;
    let Some(first) = schedule.next_opening(Timestamp::UNIX_EPOCH) else {
        return Some(PolicyFlaw::new(field, shown(written), "a time that comes: this window never opens"));
    };
    let mut end = first;
    for _ in 0..MOST {
        match schedule.open_until(end) {
            Some(later) if later.duration_since(first) <= LONGEST => end = later,
            Some(_) => break,
            None => return None,
        }
    }
    let open = duration::brief(end.duration_since(first));
    let expected = "a window that closes before it opens again; a pause stops things without an end";
    Some(PolicyFlaw::new(field, format!("{}, which stays open for more than {open} on end", shown(written)), expected))
}

/// A maintenance window within a freeze window of the same schedule never lets anything begin.
fn never_met(window: &Window, all: &[Window], field: &str) -> Option<PolicyFlaw> {
    let fields = |text: &str| text.split_whitespace().map(str::to_ascii_uppercase).collect::<Vec<_>>();
    let covers = |wide: &[String], narrow: &[String]| {
        wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|one| wide.contains(one)))
    };
    let freeze = all.iter().find(|freeze| {
        freeze.kind == WindowKind::Freeze
            && fields(&freeze.schedule) == fields(&window.schedule)
            && freeze.time_zone == window.time_zone
            && duration::parse(&freeze.duration).ok() >= duration::parse(&window.duration).ok()
            && covers(&freeze.rules, &window.rules)
            && covers(&freeze.pools, &window.pools)
    })?;
    (window.kind == WindowKind::Maintenance).then(|| {
        let expected = format!("a time outside of freeze window {}, which holds everything in it", shown(&freeze.name));
        PolicyFlaw::new(format!("{field}.schedule"), shown(&window.schedule), expected)
    })
}

impl RuleName {
    fn read(text: &str) -> Option<Self> {
        let name = match text.split_once('/') {
            Some((namespace, name)) => Self { namespace: Some(namespace.to_owned()), name: name.to_owned() },
            None => Self { namespace: None, name: text.to_owned() },
        };
        let valid = |part: &str| {
            let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
            !part.is_empty() && part.len() <= 253 && part.chars().all(inside)
        };
        (valid(&name.name) && name.namespace.as_deref().is_none_or(valid)).then_some(name)
    }

    fn is(&self, rule: &ObjectName) -> bool {
        self.name == rule.name && self.namespace.as_ref().is_none_or(|namespace| *namespace == rule.namespace)
    }
}

#[cfg(test)]
mod tests;
