//! Repeated measurements of short work, all kinds of it in each round, so that what disturbs one disturbs the others.
//!
//! What is measured is the time of this thread on a processor: other programs cost it caches, but not its turns.

use std::time::Duration;

/// How long one kind of work is repeated within a round.
const SLICE: Duration = Duration::from_millis(40);
const ROUNDS: usize = 25;

/// A kind of work to measure.
pub struct Work<'w> {
    /// How it is called.
    pub name: &'static str,
    /// The work; it must not be something that a compiler can leave out.
    pub once: Box<dyn FnMut() + 'w>,
}

/// What the rounds measured of one kind of work, in microseconds each time that it was done.
#[derive(Debug)]
pub struct Sample {
    /// How it is called.
    pub name: &'static str,
    rounds: Vec<f64>,
}

impl Sample {
    /// The median of the rounds.
    pub fn median(&self) -> f64 {
        quantile(self.rounds.clone(), 0.5)
    }

    /// The quartiles around it.
    pub fn quartiles(&self) -> (f64, f64) {
        (quantile(self.rounds.clone(), 0.25), quantile(self.rounds.clone(), 0.75))
    }

    /// How often the other work would fit into this, round by round.
    pub fn times(&self, other: &Self) -> f64 {
        quantile(self.rounds.iter().zip(&other.rounds).map(|(one, other)| one / other).collect(), 0.5)
    }
}

/// Measures all kinds of work in turn, many times.
pub fn sample(mut works: Vec<Work<'_>>) -> Vec<Sample> {
    let repeats: Vec<u32> = works.iter_mut().map(|work| repeats(work)).collect();
    let mut samples: Vec<Sample> =
        works.iter().map(|work| Sample { name: work.name, rounds: Vec::with_capacity(ROUNDS) }).collect();
    for _ in 0..ROUNDS {
        for ((work, repeats), sample) in works.iter_mut().zip(&repeats).zip(&mut samples) {
            sample.rounds.push(time(work, *repeats).as_secs_f64() * 1e6 / f64::from(*repeats));
        }
    }
    samples
}

/// How often the work fits into a slice; finding out also warms caches up.
fn repeats(work: &mut Work<'_>) -> u32 {
    let mut repeats = 1;
    while time(work, repeats) < SLICE {
        repeats *= 2;
    }
    repeats
}

fn time(work: &mut Work<'_>, repeats: u32) -> Duration {
    let start = now();
    for _ in 0..repeats {
        (work.once)();
    }
    now().saturating_sub(start)
}

#[cfg(unix)]
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // The clock of a thread begins at 0.
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(not(unix))]
fn now() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
