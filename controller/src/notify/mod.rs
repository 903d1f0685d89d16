//! Telling people: what became of an alert goes to webhooks that the administrator names, to a chat or to a program.
//!
//! `alert::report` hands over every status that it wrote; `outcome` says what of it is worth telling, `notice` in which
//! words, `receivers` who wants to hear of it. Each receiver has a `line` of what waits and a task that sends it (`post`),
//! in the form that the receiver reads (`body`). Nothing here is waited for and nothing is stored: what waits at a crash is
//! lost, and what a receiver took without saying so is sent again.

mod body;
mod deliver;
mod held;
mod line;
mod notice;
mod outcome;
mod post;
mod receivers;
mod sign;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aegis_crds::AegisAlert;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::Clock;
use crate::metrics::{Delivery, Metrics};
use notice::Notice;
use post::{Pace, Post};
use receivers::Receivers;

pub use held::follow as follow_held;
pub use outcome::Outcome;

/// How often the file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long what waits may take to be sent after everything else has stopped.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Takes what is to be told. Clones share everything.
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    metrics: Metrics,
}

/// Who is told, as the file says now.
#[derive(Default)]
struct State {
    held_after: Duration,
    posts: Vec<Arc<Post>>,
}

/// Reads the file whenever it changes, and sends.
pub struct Keeper {
    notifier: Notifier,
    file: Option<PathBuf>,
    /// What was read last, if it could be used or not.
    read: Option<Result<Vec<u8>, String>>,
    clock: Clock,
    pace: Pace,
    closing: CancellationToken,
    work: JoinSet<()>,
}

impl Notifier {
    /// Who is told is what the file says, which may not exist yet; nobody without one. The [`Keeper`] is to be run; both
    /// are made inside of a runtime.
    pub fn new(file: Option<PathBuf>, clock: Clock, metrics: &Metrics) -> (Self, Keeper) {
        Self::paced(file, clock, metrics, Pace::default())
    }

    fn paced(file: Option<PathBuf>, clock: Clock, metrics: &Metrics, pace: Pace) -> (Self, Keeper) {
        let shared = Shared { state: RwLock::default(), metrics: metrics.clone() };
        let notifier = Self { shared: Arc::new(shared) };
        let (closing, work) = (CancellationToken::new(), JoinSet::new());
        let mut keeper = Keeper { notifier: notifier.clone(), file, read: None, clock, pace, closing, work };
        // Before anything can be told.
        keeper.look();
        (notifier, keeper)
    }

    /// A status was written, `after` in place of `before`: what is new in it is told to whoever wants to hear of it.
    pub fn tell(&self, before: &AegisAlert, after: &AegisAlert, now: Timestamp) {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.posts.is_empty() {
            return;
        }
        for told in outcome::told(before, after) {
            self.hand_out(&state.posts, after, &told, now);
        }
    }

    /// How long an alert waits before that is told; `None` if nobody wants to hear of it.
    fn held_after(&self) -> Option<Duration> {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        state.posts.iter().any(|post| post.wants(Outcome::Held)).then_some(state.held_after)
    }

    /// An alert has waited for so long.
    fn tell_held(&self, alert: &AegisAlert, told: &outcome::Told<'_>, now: Timestamp) {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        self.hand_out(&state.posts, alert, told, now);
    }

    fn hand_out(&self, posts: &[Arc<Post>], alert: &AegisAlert, told: &outcome::Told<'_>, now: Timestamp) {
        let mut made: Option<Arc<Notice>> = None;
        for post in posts.iter().filter(|post| post.wants(told.outcome)) {
            let notice = made.get_or_insert_with(|| Arc::new(notice::notice(alert, told, now)));
            let lost = post.line.push(notice.clone());
            self.shared.metrics.notified(&post.name, Delivery::Dropped, lost);
        }
    }
}

impl Keeper {
    /// Sends until `stop`; then what waits still, for a short while.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            self.look();
            while self.work.try_join_next().is_some() {}
        }
        self.closing.cancel();
        let posts = self.notifier.replace(State::default());
        posts.iter().for_each(|post| post.line.close());
        let all = async { while self.work.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(LAST_WORDS, all).await.is_ok();
        let left: usize = posts.iter().map(|post| post.line.len()).sum();
        if !in_time || left > 0 {
            info!(left, "some notifications were still to be sent at the end");
        }
        for post in posts {
            self.notifier.shared.metrics.notified(&post.name, Delivery::Dropped, post.line.len());
        }
    }

    /// Takes the file as it is now, if it has changed. One that cannot be used changes nothing.
    fn look(&mut self) {
        let Some(file) = &self.file else { return };
        let read = receivers::read(file, &sample());
        let seen = read.as_ref().map(|(bytes, _)| bytes.clone()).map_err(ToString::to_string);
        if self.read.as_ref() == Some(&seen) {
            return;
        }
        self.notifier.shared.metrics.receivers_readable(seen.is_ok());
        match read {
            Ok((_, receivers)) => self.take(receivers),
            Err(error) => error!("nobody new is told of outcomes: {error}"),
        }
        self.read = Some(seen);
    }

    fn take(&mut self, receivers: Receivers) {
        let Receivers { cluster, held_after, all } = receivers;
        if !all.is_empty() || self.read.is_some() {
            let names: Vec<&str> = all.iter().map(|receiver| receiver.name.as_str()).collect();
            info!(receivers = names.join(","), "outcomes are told to {} receivers", names.len());
        }
        let cluster: Arc<str> = cluster.into();
        let old = self.notifier.posts();
        let mut posts = Vec::new();
        for receiver in all {
            self.notifier.shared.metrics.receiver(&receiver.name);
            match old.iter().find(|post| post.name == receiver.name) {
                // What waits for it goes where it listens now.
                Some(post) => {
                    post.move_to(receiver, cluster.clone());
                    posts.push(post.clone());
                }
                None => {
                    let post = Arc::new(Post::new(receiver, cluster.clone()));
                    let (metrics, clock) = (self.notifier.shared.metrics.clone(), self.clock);
                    self.work.spawn(post.clone().serve(metrics, clock, self.pace, self.closing.clone()));
                    posts.push(post);
                }
            }
        }
        let stay: Vec<String> = posts.iter().map(|post| post.name.clone()).collect();
        for gone in self.notifier.replace(State { held_after, posts }) {
            if !stay.contains(&gone.name) {
                gone.end();
            }
        }
    }
}

impl Notifier {
    fn posts(&self) -> Vec<Arc<Post>> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner).posts.clone()
    }

    fn replace(&self, state: State) -> Vec<Arc<Post>> {
        let mut held = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, state).posts
    }
}

/// What a body of an administrator's is tried out with.
fn sample() -> Notice {
    let alert = AegisAlert::new("sample", aegis_crds::alert::AegisAlertSpec::default());
    notice::notice(&alert, &outcome::Told::sample(), Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
