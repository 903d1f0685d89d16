//! The reconciler of alerts: look, decide, act, tell.
//!
//! `feed` says which alerts to look at; for each of them `gather` takes a snapshot, `aegis_engine::plan` decides,
//! `execute` acts and `report` tells, until a plan has nothing left to do.

mod actions;
mod execute;
mod feed;
mod gather;
mod memory;
mod probe;
mod report;
mod stages;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use aegis_engine::plan::{Decision, SeenAction, plan};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cache::Key;
use crate::clock::Clock;
use crate::context::{Failure, Lead};
use crate::guard;
use crate::queue::Queue;
use execute::Progress;
use report::Told;
use turns::Turns;

pub use actions::{api as action_api, held, list};
pub use feed::{Pause, waits_for};
pub use gather::fresh;
pub use memory::Memory;
pub use report::worth_telling;
pub use stages::Stages;
pub use turns::Turn;

/// Plans in a row for one alert. The longest life of an alert takes fewer; more than that is a fault of ours that must
/// not keep a worker for ever.
const ROUNDS: usize = 32;
/// How often the release of an action is tried while its namespace goes away.
const RELEASES: u32 = 5;
/// Clocks can be set, and timers do not count suspended time: nothing waits for longer than this without a look.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why an alert could not be dealt with for now.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Execute(#[from] execute::Error),
    #[error(transparent)]
    Report(#[from] report::Error),
    #[error("{ROUNDS} plans in a row had something to do")]
    NoEnd,
}

impl Error {
    fn not_leading(&self) -> bool {
        match self {
            Self::Execute(error) => matches!(error.failure(), Failure::NotLeading),
            Self::Report(report::Error(failure)) => matches!(failure, Failure::NotLeading),
            Self::NoEnd => false,
        }
    }
}

/// When an alert is looked at again.
enum Next {
    /// There is no such alert.
    Gone,
    /// Then, or when something happens to it.
    At(Option<Timestamp>),
}

/// Deals with alerts until `stop`; then finishes those in hand.
pub async fn drive(lead: Arc<Lead>, stop: CancellationToken) {
    let queue = Arc::new(Queue::new());
    let turns = Arc::new(Turns::new(lead.context.settings.workers));
    let mut workers = JoinSet::new();
    for _ in 0..turns.most_in_hand() {
        workers.spawn(work(lead.clone(), queue.clone(), turns.clone(), stop.clone()));
    }
    let desk = {
        let (lead, queue, stop) = (lead.clone(), queue.clone(), stop.clone());
        tokio::spawn(async move { guard::keep(&lead, &queue, &stop).await })
    };
    stop.run_until_cancelled(Box::pin(feed::follow(&lead, &queue))).await;
    while workers.join_next().await.is_some() {}
    desk.abort();
    if lead.is_terminating().await {
        let_go(&lead).await;
    }
}

async fn work(lead: Arc<Lead>, queue: Arc<Queue<Key>>, turns: Arc<Turns>, stop: CancellationToken) {
    let next = async || {
        lead.context.patience.wait().await;
        queue.next().await
    };
    while let Some(key) = stop.run_until_cancelled(next()).await {
        let mut turn = turns.next().await;
        match Box::pin(reconcile(&lead, &key, &mut turn)).await {
            Ok(Next::Gone) => {
                lead.memory.forget(&key);
                queue.forget(&key);
            }
            Ok(Next::At(time)) => queue.done(&key, time.map(|time| until(lead.context.clock, time))),
            Err(error) => {
                let wait = queue.failed(&key, lead.context.patience.remaining());
                // The term is over, or about to be renewed: nothing is wrong with the alert.
                if error.not_leading() {
                    continue;
                }
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                warn!(alert = %key, "alert {key}: {error}: {cause}; trying again in {wait:?}");
            }
        }
    }
}

fn until(clock: Clock, time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(clock.now())).unwrap_or(Duration::ZERO).min(LONGEST_WAIT)
}

fn after(clock: Clock, wait: Duration) -> Timestamp {
    clock.now().saturating_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// Brings one alert as far as it can be brought now. Run twice, the second run changes nothing.
async fn reconcile(lead: &Lead, key: &Key, turn: &mut Turn<'_>) -> Result<Next, Error> {
    let alert = lead.context.alerts.find(key);
    let uid = alert.as_ref().and_then(|alert| alert.metadata.uid.clone());
    for action in actions::held(lead, key) {
        if action.is_kept() && action.owner != uid {
            execute::release_orphan(lead, key, &action).await?;
        }
    }
    let holds = guard::drop_claims(lead, key, uid.as_deref(), turn).await.map_err(execute::Error::Book)?;
    let Some(alert) = alert else {
        lead.desk.leave(key);
        return Ok(holds.map_or(Next::Gone, |until| Next::At(Some(until))));
    };
    report::settle_doubt(lead, &alert);
    let Some(mut seen) = gather::snapshot(lead, key, lead.memory.trouble(&alert)) else { return Ok(Next::Gone) };

    for _ in 0..ROUNDS {
        let plan = plan(&seen, lead.context.clock.now());
        debug!(alert = %key, "alert {key}: {:?}", plan.decision);
        let still_holds = match (&plan.decision, &plan.request) {
            (Decision::Hold(refusal), Some(request)) if refusal.reason.is_standing() => {
                lead.desk.wait(key, request.clone(), refusal.reason, &seen.guard, &lead.view)
            }
            _ => {
                lead.desk.leave(key);
                true
            }
        };
        let kind = match &plan.decision {
            Decision::Start(remedy) => Some(remedy.kind),
            _ => None,
        };
        let mut steps = plan.steps.into_iter().peekable();
        let (mut acted, mut retold) = (false, None);
        loop {
            match execute::carry_out(lead, &mut seen, &mut steps, turn, &mut acted).await? {
                Progress::Tell(done) => match report::publish(lead, &mut seen, &done).await? {
                    Told::Written => acted = true,
                    Told::NotWorthIt => {}
                    Told::Later(left) => retold = Some(after(lead.context.clock, left)),
                    Told::Changed => break,
                    Told::Gone => return Ok(Next::Gone),
                },
                Progress::Replan => break,
                Progress::Started(action) => {
                    lead.memory.made(&seen.alert);
                    report::started(lead, &seen.alert, &action);
                    break;
                }
                Progress::NameTaken(holder) => {
                    report::name_taken(lead, &seen.alert, &holder);
                    break;
                }
                Progress::Trouble(obstacle) => {
                    let at_least = lead.context.patience.remaining();
                    let kind = kind.unwrap_or(aegis_engine::plan::ActionKind::Workflow);
                    let now = lead.context.clock.now();
                    seen.trouble = Some(lead.memory.met(&seen.alert, obstacle, kind, at_least, now));
                    break;
                }
                Progress::Deleted => return Ok(Next::Gone),
                // What was done may make something else due: only a plan without steps is the last one.
                Progress::Complete if acted => break,
                Progress::Complete if still_holds => {
                    return Ok(Next::At([plan.next_look, holds, retold].into_iter().flatten().min()));
                }
                Progress::Complete => return Ok(Next::At(Some(lead.context.clock.now()))),
            }
        }
    }
    Err(Error::NoEnd)
}

/// In a namespace that goes away nobody will ever read an outcome: what our finalizer keeps would keep the namespace.
async fn let_go(lead: &Lead) {
    // Others take what is theirs at the same time, and a release holds for one version only.
    for round in 1..=RELEASES {
        let mut kept = actions::all(lead);
        kept.retain(|(_, action)| action.is_kept());
        if kept.is_empty() {
            return;
        }
        let release = async |(namespace, action): (String, SeenAction)| {
            if let Err(error) = execute::release(lead, &namespace, &action).await
                && round == RELEASES
            {
                warn!(action = %action.name, "{error}: its finalizer keeps the namespace");
            }
        };
        futures::stream::iter(kept).for_each_concurrent(lead.context.settings.workers, release).await;
    }
}
