//! What senders do: episodes of a problem that begins and ends, and the reports of it that arrive.

use std::collections::BTreeMap;
use std::fmt;

use aegis_crds::alert::{AlertStatus, InvolvedObject};
use aegis_engine::signal::Signal;
use proptest::prelude::*;

use crate::world::{Key, at};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// How long two reports may tell of one incident though their times differ.
const SETTLE: i64 = 2 * MINUTE;
/// How long a report without startsAt belongs to the incident before.
const REPEAT: i64 = MINUTE;

/// A report on its arrival at a replica.
#[derive(Clone)]
pub struct Delivery {
    pub at: i64,
    pub what: What,
    pub signal: Signal,
    /// How far the replica's cache is behind.
    pub lag: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Firing,
    /// With `crash` the replica dies after its first write, and the report comes again.
    Resolved {
        crash: bool,
    },
    /// A person deletes an alert.
    Deleted {
        place: usize,
    },
}

impl Delivery {
    pub fn is_firing(&self) -> bool {
        self.what == What::Firing
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: _, what, signal, lag } = self;
        write!(f, "{what:?} {}", signal.type_)?;
        signal.starts_at.iter().try_for_each(|time| write!(f, " since {time}"))?;
        signal.ends_at.iter().try_for_each(|time| write!(f, " until {time}"))?;
        if *lag > 0 { write!(f, ", cache {lag} ms behind") } else { Ok(()) }
    }
}

/// One time that the problem is there.
#[derive(Clone, Debug)]
pub struct Episode {
    /// How long after the end of the one before it begins.
    pub gap: Gap,
    /// How long until its first report arrives.
    pub delay: i64,
    /// How often it is reported again while it lasts.
    pub repeats: i64,
    /// Every 12 hours, as Alertmanager does, or every few minutes.
    pub seldom: bool,
    /// The times that each report arrives, as (after how long, how far that replica's cache is behind, from the second
    /// Prometheus).
    pub arrivals: Vec<(i64, i64, bool)>,
    /// How much later the second Prometheus saw it begin, at most a minute.
    pub second_prometheus: i64,
    /// How long it lasts after its last report.
    pub tail: i64,
    /// How often its end is reported: 0 is a lost report.
    pub resolutions: usize,
    /// The last report of its end arrives when the next episode fires.
    pub late_resolution: bool,
    /// A replica dies while it writes its end.
    pub crash: bool,
    pub twist: Twist,
}

#[derive(Clone, Debug)]
pub enum Gap {
    Seconds(i64),
    Minutes(i64),
    Week,
}

/// What else may go wrong.
#[derive(Clone, Debug)]
pub enum Twist {
    None,
    /// It is over before its only report arrives, after that of its end.
    ResolvedFirst,
    /// Alertmanager loses Prometheus, says that it is over, and that much later says that it is not.
    TakenBack(i64),
}

impl Episode {
    pub fn plain() -> Self {
        Self {
            gap: Gap::Minutes(10),
            delay: 0,
            repeats: 0,
            seldom: true,
            arrivals: vec![(0, 0, false)],
            second_prometheus: 0,
            tail: 100 * SECOND,
            resolutions: 1,
            late_resolution: false,
            crash: false,
            twist: Twist::None,
        }
    }

    pub fn any() -> impl Strategy<Value = Self> {
        let gap = prop_oneof![
            3 => (1_i64..30).prop_map(Gap::Seconds),
            2 => (3_i64..600).prop_map(Gap::Minutes),
            1 => Just(Gap::Week),
        ];
        let arrivals =
            prop::collection::vec((0_i64..3 * SECOND, prop_oneof![Just(0), 0_i64..5 * SECOND], any::<bool>()), 1..5);
        let twist = prop_oneof![
            5 => Just(Twist::None),
            1 => Just(Twist::ResolvedFirst),
            1 => prop_oneof![5 * SECOND..SETTLE - 10 * SECOND, SETTLE + 10 * SECOND..10 * MINUTE].prop_map(Twist::TakenBack),
        ];
        let reports = (0..20 * SECOND, 0_i64..4, any::<bool>(), arrivals, 0..=MINUTE);
        let end = (70 * SECOND..300 * SECOND, 0_usize..3, any::<bool>(), any::<bool>());
        (gap, reports, end, twist).prop_map(|(gap, reports, end, twist)| {
            let (delay, repeats, seldom, arrivals, second_prometheus) = reports;
            let (tail, resolutions, late_resolution, crash) = end;
            Self {
                gap,
                delay,
                repeats,
                seldom,
                arrivals,
                second_prometheus,
                tail,
                resolutions,
                late_resolution,
                crash,
                twist,
            }
        })
    }
}

/// What arrives, and how many actions of each type a person would expect.
#[derive(Debug)]
pub struct History {
    pub deliveries: Vec<Delivery>,
    pub expected: BTreeMap<Key, usize>,
    pub action_lasts: i64,
    pub reconciler_waits: i64,
}

/// A sender of alerts of some types that share a fingerprint and come and go together.
pub struct Sender {
    types: Vec<Key>,
    starts_at: bool,
}

impl Sender {
    pub fn with_starts_at(types: usize) -> Self {
        Self { types: (0..types).map(Key::of_type).collect(), starts_at: true }
    }

    pub fn without_starts_at(types: usize) -> Self {
        Self { starts_at: false, ..Self::with_starts_at(types) }
    }

    pub fn history(&self, episodes: &[Episode], action_lasts: i64, reconciler_waits: i64) -> History {
        let mut script = Script { sender: self, deliveries: Vec::new(), incidents: 0 };
        let mut before = Before { ended: 0, heard: -HOUR, told: -HOUR, resolved: true, late: None };
        for episode in episodes {
            before = script.episode(episode, &before, action_lasts + reconciler_waits);
        }
        let mut deliveries = script.deliveries;
        deliveries.sort_by_key(|delivery| delivery.at);
        let expected = self.types.iter().map(|key| (key.clone(), script.incidents)).collect();
        History { deliveries, expected, action_lasts, reconciler_waits }
    }

    fn signal(&self, key: &Key, status: AlertStatus, starts_at: i64, ends_at: Option<i64>) -> Signal {
        Signal {
            source: if self.starts_at { "alertmanager" } else { "default" }.into(),
            type_: key.type_().into(),
            status,
            severity: None,
            object: InvolvedObject { kind: "Node".into(), name: "n1".into(), node: "n1".into(), ..Default::default() },
            details: BTreeMap::new(),
            fingerprint: "f1".into(),
            starts_at: self.starts_at.then(|| at(starts_at)),
            ends_at: ends_at.filter(|_| self.starts_at).map(at),
            shortened: false,
            test: false,
        }
    }
}

/// How the episode before ended.
struct Before {
    /// When the problem went.
    ended: i64,
    /// When the last report that it is there had arrived.
    heard: i64,
    /// When the last report of any kind had arrived.
    told: i64,
    /// Whether its end was reported.
    resolved: bool,
    /// A report of its end that arrives late.
    late: Option<Signal>,
}

struct Script<'a> {
    sender: &'a Sender,
    deliveries: Vec<Delivery>,
    incidents: usize,
}

impl Script<'_> {
    fn episode(&mut self, episode: &Episode, before: &Before, action_lasts: i64) -> Before {
        self.incidents += 1;
        let gap = match episode.gap {
            Gap::Seconds(seconds) => seconds * SECOND,
            Gap::Minutes(minutes) => minutes * MINUTE,
            Gap::Week => 7 * 24 * HOUR,
        };
        let mut begin = before.ended + gap;
        if !before.resolved {
            // Nobody could tell it from the one before if it followed at once.
            let silence = if self.sender.starts_at { SETTLE } else { REPEAT + action_lasts };
            begin = begin.max(before.heard + silence + 5 * SECOND);
        }
        let first = (begin + episode.delay).max(before.told + SECOND);

        // Where the alert before is open still, this report of an end would end that one, and what follows is late.
        if matches!(episode.twist, Twist::ResolvedFirst) && before.resolved {
            let end = begin + MINUTE + SECOND;
            self.resolved(end, begin, end, episode.crash);
            let heard = self.report(episode, begin, end + 5 * SECOND);
            return Before { ended: end, heard, told: heard, resolved: false, late: None };
        }

        let mut heard = self.report(episode, begin, first);
        // A sender does not retry for a week.
        if let Some(late) = before.late.as_ref().filter(|_| !matches!(episode.gap, Gap::Week)) {
            let what = What::Resolved { crash: false };
            self.deliveries.push(Delivery { at: heard + 5 * SECOND, what, signal: late.clone(), lag: 0 });
            heard += 6 * SECOND;
        }
        let mut taken_back = None;
        if let (Twist::TakenBack(after), true) = (&episode.twist, self.sender.starts_at) {
            let said = heard + 150 * SECOND;
            self.resolved(said, begin, said, false);
            heard = self.report(episode, begin, said + after);
            taken_back = Some((said, *after > SETTLE));
        }
        let pause = match (self.sender.starts_at, episode.seldom) {
            (true, true) => 12 * HOUR,
            (true, false) => 5 * MINUTE,
            (false, true) => 45 * SECOND,
            (false, false) => 5 * SECOND,
        };
        for _ in 0..episode.repeats {
            heard = self.report(episode, begin, heard + pause);
        }
        if let Some((_, at_once)) = taken_back {
            // Once it has settled that the problem is there again it is another incident.
            self.incidents += usize::from(at_once || episode.repeats > 0);
        }

        let end = heard + episode.tail;
        let mut told = end;
        let early = episode.resolutions - usize::from(episode.late_resolution && episode.resolutions > 1);
        for _ in 0..early {
            told += SECOND;
            self.resolved(told, begin, end, episode.crash);
        }
        let late = (early < episode.resolutions && self.sender.starts_at)
            .then(|| self.sender.signal(&self.sender.types[0], AlertStatus::Resolved, begin, Some(end)));
        Before { ended: end, heard, told, resolved: episode.resolutions > 0, late }
    }

    /// A firing report of every type, as often as it arrives; says when the last one did.
    fn report(&mut self, episode: &Episode, begin: i64, from: i64) -> i64 {
        let mut heard = from;
        for (place, (after, lag, second)) in episode.arrivals.iter().enumerate() {
            for (number, key) in self.sender.types.iter().enumerate() {
                let at = from + if place == 0 { 0 } else { *after } + number as i64;
                let starts_at = begin + if *second { episode.second_prometheus } else { 0 };
                let signal = self.sender.signal(key, AlertStatus::Firing, starts_at, None);
                self.deliveries.push(Delivery { at, what: What::Firing, signal, lag: *lag });
                heard = heard.max(at);
            }
        }
        heard
    }

    /// A report of the end. One type speaks for all that share the fingerprint.
    fn resolved(&mut self, at: i64, begin: i64, end: i64, crash: bool) {
        let signal = self.sender.signal(&self.sender.types[0], AlertStatus::Resolved, begin, Some(end));
        self.deliveries.push(Delivery { at, what: What::Resolved { crash }, signal, lag: 0 });
    }
}

/// Reports that no sane sender would send, and persons who delete what they like.
pub fn anything() -> impl Strategy<Value = Vec<Delivery>> {
    let time = || prop_oneof![0_i64..5 * SECOND, 0_i64..10 * MINUTE, 0_i64..7 * 24 * HOUR];
    let what = prop_oneof![
        8 => Just(What::Firing),
        3 => any::<bool>().prop_map(|crash| What::Resolved { crash }),
        1 => (0_usize..4).prop_map(|place| What::Deleted { place }),
    ];
    let starts_at = prop::option::of((time(), any::<bool>()));
    let one = (time(), what, 0_usize..2, starts_at, prop::option::of(time()), prop_oneof![Just(0), 0_i64..5 * SECOND]);
    prop::collection::vec(one, 1..30).prop_map(|all| {
        let mut now = 0;
        all.into_iter()
            .map(|(pause, what, number, starts_at, ends_at, lag)| {
                now += pause;
                let sender = Sender::with_starts_at(2);
                let status = if what == What::Firing { AlertStatus::Firing } else { AlertStatus::Resolved };
                let mut signal = sender.signal(&sender.types[number], status, 0, None);
                signal.starts_at = starts_at.map(|(ago, ahead)| at(if ahead { now + ago } else { now - ago }));
                signal.ends_at = ends_at.filter(|_| status == AlertStatus::Resolved).map(|ago| at(now - ago));
                Delivery { at: now, what, signal, lag }
            })
            .collect()
    })
}
