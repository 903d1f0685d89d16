//! Which replica leads: a Lease that one holds and renews. It saves work, it does not protect: two leaders at
//! once make no second action, because names are derived and everything is POSTed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff;
use crate::clock::Moment;

/// How the Lease is named and timed.
#[derive(Clone, Debug)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    /// Who we are: another word for every process that ever runs.
    pub identity: String,
    /// How long others wait after they saw the last renewal before they take over.
    pub lease_duration: Duration,
    /// How long we act after we began our last successful renewal; shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// How often we renew. Whoever waits looks four times as often whether it may take over: after a leader that gave
    /// the Lease back nobody leads until somebody looks.
    pub retry_period: Duration,
}

impl Election {
    /// How long after a look or a try in vain the next one comes.
    fn pause(&self) -> Duration {
        jittered(self.retry_period / 4)
    }
}

/// One time of leading, from taking the Lease until its deadline passed or it was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Counts the terms of this process.
    number: u64,
    /// Nothing is done after this; `None` when there is no election and we always lead.
    deadline: Option<Moment>,
}

/// Tells everybody who acts whether we lead, and for how long still.
#[derive(Clone, Debug)]
pub struct Leadership {
    term: watch::Receiver<Option<Term>>,
}

impl Leadership {
    /// For a controller without an election: it always leads.
    pub fn always() -> Self {
        // A receiver goes on to show the last value when its sender is gone.
        let (_, term) = watch::channel(Some(Term { number: 1, deadline: None }));
        Self { term }
    }

    /// A leadership and the end that an [`Election`] drives.
    pub fn elected() -> (watch::Sender<Option<Term>>, Self) {
        let (sender, term) = watch::channel(None);
        (sender, Self { term })
    }

    /// How long we may still act in the term with this number, read from the clock now. `None` when that term is over.
    pub fn remaining(&self, term: Term) -> Option<Duration> {
        let now = Moment::now();
        match *self.term.borrow() {
            Some(current) if current.number == term.number => match current.deadline {
                None => Some(Duration::MAX),
                Some(deadline) => Some(now.until(deadline)).filter(|left| !left.is_zero()),
            },
            _ => None,
        }
    }

    /// Whether we lead now.
    pub fn leads(&self) -> bool {
        let term = *self.term.borrow();
        term.is_some_and(|term| self.remaining(term).is_some())
    }

    /// Waits until we lead. `None` when the election has stopped.
    pub async fn begun(&mut self) -> Option<Term> {
        match self.term.wait_for(Option::is_some).await {
            Ok(term) => *term,
            Err(_) => None,
        }
    }

    /// Waits until this term is over. Without an election it never is.
    pub async fn ended(&mut self, term: Term) {
        if term.deadline.is_none() {
            return std::future::pending().await;
        }
        // An error says that the election has stopped, and with it the term.
        let _ = self.term.wait_for(|now| now.is_none_or(|now| now.number != term.number)).await;
    }
}

/// Takes part in the election until `stop` is cancelled, then gives the Lease back.
///
/// Errors are logged once per failure and tried again; they never end the election. After `stop` the term is over
/// for [`Leadership`] before the Lease is given back: whoever must finish under it does so before cancelling. A write
/// that is under way is heard to its end, since one that is given up may still be carried out and leave the Lease with
/// somebody who is gone.
pub async fn take_part(
    client: Client,
    election: Election,
    terms: watch::Sender<Option<Term>>,
    stop: CancellationToken,
) {
    let mut candidate = Candidate::new(client, election);
    let mut number = 0;
    while let Some(mut until) = candidate.wait_for_lease(&stop).await {
        number += 1;
        info!(identity = %candidate.election.identity, lease = %candidate.election.name, "leading now");
        while !stop.is_cancelled() {
            terms.send_replace(Some(Term { number, deadline: Some(until) }));
            match candidate.renew_before(until, &stop).await {
                Some(renewed) => until = renewed,
                None => break,
            }
        }
        terms.send_replace(None);
        if stop.is_cancelled() {
            break;
        }
        warn!(lease = %candidate.election.name, "leading no more: the lease could not be renewed in time");
    }
    candidate.give_back().await;
}

/// A record of the Lease as we last saw it, and since when it has not changed.
struct Seen {
    resource_version: Option<String>,
    since: Moment,
}

struct Candidate {
    api: Api<Lease>,
    election: Election,
    /// The Lease that we hold, as the server returned it.
    held: Option<Lease>,
    seen: Option<Seen>,
}

impl Candidate {
    fn new(client: Client, election: Election) -> Self {
        Self { api: Api::namespaced(client, &election.namespace), election, held: None, seen: None }
    }

    /// Waits until the Lease is ours and says until when we may act. `None` when it was not by the time of `stop`.
    async fn wait_for_lease(&mut self, stop: &CancellationToken) -> Option<Moment> {
        loop {
            let begun = Moment::now();
            match self.within_deadline(Self::try_to_take).await {
                Ok(true) => return Some(begun.after(self.election.renew_deadline)),
                Ok(false) => {}
                Err(problem) => warn!(lease = %self.election.name, "could not take the lease: {problem}"),
            }
            stop.run_until_cancelled(tokio::time::sleep(self.election.pause())).await?;
        }
    }

    /// Renews the Lease, as often as it takes before `until`. `None` when that passed, another one holds it, or at `stop`.
    async fn renew_before(&mut self, until: Moment, stop: &CancellationToken) -> Option<Moment> {
        stop.run_until_cancelled(tokio::time::sleep(jittered(self.election.retry_period))).await?;
        loop {
            let begun = Moment::now();
            let left = begun.until(until);
            if left.is_zero() {
                return None;
            }
            match tokio::time::timeout(left, self.try_to_renew()).await {
                Ok(Ok(true)) => return Some(begun.after(self.election.renew_deadline)),
                Ok(Ok(false)) => return None,
                Ok(Err(problem)) => warn!(lease = %self.election.name, "could not renew the lease: {problem}"),
                Err(_) => return None,
            }
            // Tokio's timers do not count suspended time; the loop reads the clock that does after each short sleep.
            let pause = self.election.pause().min(Moment::now().until(until));
            stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
        }
    }

    async fn within_deadline(
        &mut self,
        attempt: impl AsyncFnOnce(&mut Self) -> Result<bool, kube::Error>,
    ) -> Result<bool, Problem> {
        let limit = self.election.renew_deadline;
        match tokio::time::timeout(limit, attempt(self)).await {
            Ok(result) => result.map_err(Problem::Api),
            Err(_) => Err(Problem::NoAnswer(limit)),
        }
    }

    /// Takes the Lease if it is free, ours, or has not been renewed for its duration.
    async fn try_to_take(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.election.name).await? else {
            let metadata = ObjectMeta { name: Some(self.election.name.clone()), ..ObjectMeta::default() };
            let fresh = Lease { metadata, spec: Some(self.spec(None)) };
            return self.written(self.api.create(&PostParams::default(), &fresh).await);
        };
        if !self.may_take(&lease) {
            return Ok(false);
        }
        let spec = self.spec(lease.spec.as_ref());
        let taken = Lease { spec: Some(spec), ..lease };
        self.written(self.api.replace(&self.election.name, &PostParams::default(), &taken).await)
    }

    /// Renews the Lease that we hold. False when it has become another one's.
    async fn try_to_renew(&mut self) -> Result<bool, kube::Error> {
        loop {
            let Some(lease) = self.still_held().await? else { return Ok(false) };
            let spec = self.spec(lease.spec.as_ref());
            let renewed = Lease { spec: Some(spec), ..lease };
            // After a conflict the next round reads who holds it now.
            if self.written(self.api.replace(&self.election.name, &PostParams::default(), &renewed).await)? {
                return Ok(true);
            }
        }
    }

    /// The Lease if it is ours: as we last wrote it, else (an answer was lost, or somebody wrote it) as it is now.
    async fn still_held(&mut self) -> Result<Option<Lease>, kube::Error> {
        if let Some(lease) = self.held.take() {
            return Ok(Some(lease));
        }
        let lease = self.api.get_opt(&self.election.name).await?;
        Ok(lease.filter(|lease| holder(lease) == self.election.identity))
    }

    /// Lets another replica take over at once. Says in the log when that fails: then others wait for the duration.
    async fn give_back(&mut self) {
        match self.within_deadline(Self::try_to_give_back).await {
            Ok(true) => info!(lease = %self.election.name, "gave the lease back"),
            Ok(false) => {}
            Err(problem) => warn!(lease = %self.election.name, "could not give the lease back: {problem}"),
        }
    }

    async fn try_to_give_back(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.still_held().await? else { return Ok(false) };
        let ours = self.spec(lease.spec.as_ref());
        let spec = LeaseSpec { holder_identity: Some(String::new()), lease_duration_seconds: Some(1), ..ours };
        let free = Lease { spec: Some(spec), ..lease };
        self.written(self.api.replace(&self.election.name, &PostParams::default(), &free).await)
    }

    fn may_take(&mut self, lease: &Lease) -> bool {
        let holder = holder(lease);
        if holder.is_empty() || holder == self.election.identity {
            return true;
        }
        // Clocks of two machines differ, so only the time since we last saw a change counts.
        let seen = match self.seen.take() {
            Some(seen) if seen.resource_version == lease.metadata.resource_version => seen,
            _ => Seen { resource_version: lease.metadata.resource_version.clone(), since: Moment::now() },
        };
        let promised = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let duration = self.election.lease_duration.max(Duration::from_secs(u64::try_from(promised).unwrap_or(0)));
        let expired = Moment::now() >= seen.since.after(duration);
        self.seen = Some(seen);
        expired
    }

    /// The Lease's content while we hold it.
    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let ours = before.and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.election.identity);
        let seconds = i32::try_from(self.election.lease_duration.as_secs()).unwrap_or(i32::MAX).max(1);
        LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: Some(seconds),
            acquire_time: before
                .filter(|_| ours)
                .and_then(|spec| spec.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours || before.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    /// True when the write was stored, false when another one wrote before us.
    fn written(&mut self, answer: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
        match answer {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Api(kube::Error),
    #[error("the API server did not answer within {0:?}")]
    NoAnswer(Duration),
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// Up to a fifth more, so that replicas that started together do not ask together.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(1.0 + 0.2 * backoff::chance())
}
