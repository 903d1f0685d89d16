//! The desk: the only place that writes the book. Those who come while a write is under way are served by the next one,
//! so a burst of actions takes few writes; the write holds only for the AegisGuard as it was read, so a pause that was
//! written in between, or another leader's claim, makes it read and judge again.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_crds::AegisGuard;
use aegis_crds::guard::Claim;
use aegis_crds::names::{GUARD_NAME, PAUSE_ANNOTATION};
use aegis_engine::guard::changes::Picture;
use aegis_engine::guard::{Answer, Book, Ended, Guard, Line, Place, Reason, Request, Round};
use aegis_engine::plan::keeps_no_place;
use jiff::SignedDuration;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::View;
use super::last_look::read_node;
use crate::alert::fresh;
use crate::cache::Key;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::queue::{Lane, Queue};

/// How many are served by one write.
const AT_ONCE: usize = 256;
/// The least time between two rounds. In a burst more are served by one write; one that comes alone does not wait.
const PACE: Duration = Duration::from_millis(20);
/// At most so many times as long as a round took is the time to the next one: with many places taken a write of the book
/// costs the API server more than all the rest of an action, so it is written seldom just when there is much to do.
const REST: u32 = 4;
/// A place that came free is not left empty for longer than this by that.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How often a write is tried that others were faster than.
const TRIES: usize = 16;
/// Changes of nodes come in swarms.
const SWARM: Duration = Duration::from_millis(50);
/// How soon those in line are looked at again after the book could not be read or written.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Clocks can be set, and timers do not count suspended time: nothing waits for longer than this without a look.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why a place was not taken.
#[derive(Debug)]
pub enum Turned {
    /// A gate refuses it, or somebody took it before: plan again with what is known now.
    Refused,
    /// There is room, but others come first.
    OthersFirst,
    /// The book could not be written.
    Failed(Failure),
}

/// Where places are asked for and given back.
pub struct Desk {
    asks: mpsc::UnboundedSender<Ask>,
    /// How many of them have no answer yet.
    open: AtomicUsize,
    /// Taken by whoever serves.
    received: Mutex<Option<mpsc::UnboundedReceiver<Ask>>>,
    line: Mutex<Line<Key>>,
    /// Nodes as they were before actions that are under way, if they were there. That stands on the actions too, for the
    /// next leader.
    pictures: Mutex<HashMap<Place, Option<Picture>>>,
    /// The version of the AegisGuard that the last write made: whoever waits was thought of in that one.
    written: Mutex<Option<String>>,
    /// The nodes under action in the books that somebody was judged by, until their places are known to be given back.
    busy: Mutex<BTreeSet<String>>,
    again: Notify,
}

/// What may hold all alike, and comes and goes for all at once: the policy, what people paused, the breaker.
#[derive(PartialEq)]
struct HoldsAll {
    generation: Option<i64>,
    paused: Option<String>,
    tripped: bool,
}

impl HoldsAll {
    fn of(view: &View) -> Self {
        let object = view.guard_object();
        let object = object.as_deref();
        Self {
            generation: object.and_then(|object| object.metadata.generation),
            paused: object.and_then(|object| object.annotations().get(PAUSE_ANNOTATION).cloned()),
            tripped: view.guard().book.has_tripped(),
        }
    }
}

/// The version of the AegisGuard that an answer was judged by: the write held only for that one.
pub type Judged = Option<String>;

struct Ask {
    what: What,
    answer: oneshot::Sender<Result<Judged, Turned>>,
}

enum What {
    Claim(Request),
    Adopt(Request),
    GiveBack { place: Place, ended: Ended, cooldown: SignedDuration },
}

impl Ask {
    fn gives_back(&self) -> Option<&Place> {
        match &self.what {
            What::GiveBack { place, .. } => Some(place),
            What::Claim(_) | What::Adopt(_) => None,
        }
    }
}

impl Default for Desk {
    fn default() -> Self {
        let (asks, received) = mpsc::unbounded_channel();
        Self {
            asks,
            open: AtomicUsize::default(),
            received: Mutex::new(Some(received)),
            line: Mutex::default(),
            pictures: Mutex::default(),
            written: Mutex::default(),
            busy: Mutex::default(),
            again: Notify::new(),
        }
    }
}

impl Desk {
    /// Takes a place for an action that is about to be made. Says which version of the AegisGuard it was judged by.
    pub async fn claim(&self, request: &Request) -> Result<Judged, Turned> {
        self.ask(What::Claim(request.clone())).await
    }

    /// Takes the place of an action that is there already, whatever the gates say; refuses if it is over by now.
    pub async fn adopt(&self, request: &Request) -> Result<(), Turned> {
        self.ask(What::Adopt(request.clone())).await.map(drop)
    }

    /// Gives a place back.
    pub async fn give_back(&self, claim: &Claim, ended: Ended, cooldown: SignedDuration) -> Result<(), Turned> {
        self.ask(What::GiveBack { place: Place::of(claim), ended, cooldown }).await.map(drop)
    }

    /// Whether nobody waits for an answer: whoever comes now is served in a moment.
    pub fn is_free(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    async fn ask(&self, what: What) -> Result<Judged, Turned> {
        let (answer, answered) = oneshot::channel();
        self.open.fetch_add(1, Ordering::Relaxed);
        if self.asks.send(Ask { what, answer }).is_err() {
            return Err(Turned::Failed(Failure::NotLeading));
        }
        answered.await.unwrap_or(Err(Turned::Failed(Failure::NotLeading)))
    }

    /// Remembers the node as it is before an action of that place; `None` if there is no such node.
    pub fn remember(&self, place: Place, picture: Option<Picture>) {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner).insert(place, picture);
    }

    /// The node as it was before the action of that place, if this leader made it.
    pub fn recall(&self, place: &Place) -> Option<Option<Picture>> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner).remove(place)
    }

    /// The alert waits until there is room for this, which was refused for that reason by what it was judged by. Says
    /// whether that still holds: what it waits for may have come before it stood in line, and called others.
    #[must_use]
    pub fn wait(&self, key: &Key, request: Request, refused: Reason, judged_by: &Arc<Guard>, view: &View) -> bool {
        self.line(|line| line.wait(key.clone(), request));
        self.take(&judged_by.book);
        // Whoever is one too many trips the breaker, for all to see.
        if refused == Reason::BreakerOpen && !judged_by.book.has_tripped() {
            self.look_again();
        }
        Arc::ptr_eq(judged_by, &view.guard())
    }

    /// The alert waits no more.
    pub fn leave(&self, key: &Key) {
        self.line(|line| line.leave(key));
    }

    /// Something changed that those in line may have waited for.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// All in line are looked at anew: what their alerts say may be so no longer, also where there is still no room.
    fn retell(&self, queue: &Queue<Key>) {
        let keys: Vec<Key> = self.line(|line| line.keys().cloned().collect());
        for key in keys {
            queue.push(key, Lane::Again);
        }
        // Those in hand were judged before, and join the line in a moment.
        queue.push_taken(Lane::Again);
    }

    fn line<T>(&self, work: impl FnOnce(&mut Line<Key>) -> T) -> T {
        work(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves until it is dropped.
    pub async fn serve(&self, lead: &Lead, queue: &Queue<Key>) {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut received) = received else { return };
        let watch = async {
            let (mut guards, mut fleet) = (lead.guards.subscribe(), lead.view.fleet_changes());
            let mut known = HoldsAll::of(&lead.view);
            loop {
                tokio::select! {
                    _ = guards.next() => {
                        let now = HoldsAll::of(&lead.view);
                        if now != known {
                            known = now;
                            self.retell(queue);
                        }
                        let version = lead.view.guard_object().and_then(|object| object.resource_version());
                        if *self.written.lock().unwrap_or_else(PoisonError::into_inner) == version {
                            continue;
                        }
                    }
                    // The view that tells lives as long as this does.
                    _ = fleet.changed() => tokio::time::sleep(SWARM).await,
                }
                self.look_again();
            }
        };
        let work = async {
            let mut asks = Vec::new();
            let mut next = Instant::now();
            let mut due: Option<Duration> = None;
            loop {
                tokio::select! {
                    biased;
                    some = received.recv_many(&mut asks, AT_ONCE) => if some == 0 { return },
                    () = self.again.notified() => {}
                    () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
                }
                tokio::time::sleep_until(next).await;
                while asks.len() < AT_ONCE
                    && let Ok(ask) = received.try_recv()
                {
                    asks.push(ask);
                }
                let (begun, served) = (Instant::now(), asks.len());
                due = self.round(lead, queue, std::mem::take(&mut asks)).await;
                next = begun + rest(begun.elapsed(), served);
            }
        };
        tokio::join!(watch, work);
    }

    /// One write for all who ask, and a look at who in line finds room now. Says how soon to look at them again even if
    /// nothing happens.
    async fn round(&self, lead: &Lead, queue: &Queue<Key>, asks: Vec<Ask>) -> Option<Duration> {
        let mut claims = Vec::new();
        for ask in &asks {
            if let What::Claim(request) = &ask.what {
                claims.push(request.clone());
            }
        }
        let mut outcome = Err(Failure::NotLeading);
        let mut freed: Vec<Key> = Vec::new();
        let mut over = BTreeSet::new();
        for _ in 0..TRIES {
            let object = lead.view.guard_object();
            if let Err(failure) = self.catch_up(lead, &lead.view.guard_of(object.clone())).await {
                outcome = Err(failure);
                break;
            }
            let guard = lead.view.guard_of(object.clone());
            over = match over_by_now(lead, &guard, &asks).await {
                Ok(over) => over,
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            };
            let joined = self.line(|line| line.joined());
            let round = self.plan(&guard, &asks, &claims, &over, lead);
            match write(lead, object.as_deref(), &guard, &round).await {
                Ok(()) => {
                    let given_back = asks.iter().filter_map(Ask::gives_back);
                    self.free(given_back.filter_map(|place| guard.book.find(place)?.node.as_deref()));
                    self.take(&round.book);
                    // Whoever joined meanwhile was judged by the book before this write, and not thought of in it.
                    if self.line(|line| line.joined()) != joined {
                        self.look_again();
                    }
                    // Those who wait for a target that is free now may be held by something else.
                    freed = self.line(|line| {
                        let places = asks.iter().filter_map(Ask::gives_back);
                        let claims = places.filter_map(|place| guard.book.find(place));
                        claims.flat_map(|claim| line.waiting_for(claim)).cloned().collect()
                    });
                    outcome = Ok((round, object.as_deref().and_then(AegisGuard::resource_version)));
                    break;
                }
                Err(failure) => {
                    let conflict = failure.code() == Some(409);
                    outcome = Err(failure);
                    if !conflict {
                        break;
                    }
                    if let Err(failure) = read(lead).await {
                        outcome = Err(failure);
                        break;
                    }
                }
            }
        }
        let mut answers = match &outcome {
            Ok((round, _)) => round.answers.clone().into_iter(),
            Err(_) => Vec::new().into_iter(),
        };
        self.open.fetch_sub(asks.len(), Ordering::Relaxed);
        for ask in asks {
            let answer = match (&outcome, &ask.what) {
                (Err(failure), _) => Err(Turned::Failed(failure.again())),
                (Ok((_, judged_by)), What::Claim(_)) => match answers.next() {
                    Some(Answer::Taken) => Ok(judged_by.clone()),
                    Some(Answer::OthersFirst) => Err(Turned::OthersFirst),
                    Some(Answer::Refused | Answer::TakenBefore) | None => Err(Turned::Refused),
                },
                (Ok(_), What::Adopt(request)) if over.contains(&request.place) => Err(Turned::Refused),
                (Ok((_, judged_by)), What::Adopt(_) | What::GiveBack { .. }) => Ok(judged_by.clone()),
            };
            // Whoever asked may have been stopped.
            let _ = ask.answer.send(answer);
        }
        // What could not be written now is worth another look soon, also for those who did not ask.
        let Ok((round, _)) = outcome else { return Some(AFTER_FAILURE) };
        for key in round.wake.into_iter().chain(freed) {
            queue.push(key, Lane::Again);
        }
        let wait = Duration::try_from(round.again?.duration_since(lead.context.clock.now())).unwrap_or_default();
        Some(wait.clamp(SWARM, LONGEST_WAIT))
    }

    /// Looks at the nodes whose places another leader gave back: what that action did to them came before, and the watch
    /// of nodes may be behind that of the book.
    async fn catch_up(&self, lead: &Lead, guard: &Guard) -> Result<(), Failure> {
        let taken: BTreeSet<&str> = guard.book.nodes().collect();
        let freed: Vec<String> = self.busy().iter().filter(|node| !taken.contains(node.as_str())).cloned().collect();
        for node in freed {
            read_node(lead, &node, None).await?;
            self.free([node.as_str()]);
        }
        Ok(())
    }

    fn take(&self, book: &Book) {
        let mut busy = self.busy();
        for node in book.nodes() {
            if !busy.contains(node) {
                busy.insert(node.to_owned());
            }
        }
    }

    fn free<'a>(&self, nodes: impl IntoIterator<Item = &'a str>) {
        let mut busy = self.busy();
        for node in nodes {
            busy.remove(node);
        }
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the book should be once all who ask are served.
    fn plan(&self, guard: &Guard, asks: &[Ask], claims: &[Request], over: &BTreeSet<Place>, lead: &Lead) -> Round<Key> {
        let now = lead.context.clock.now();
        let policy = guard.policy.or_default();
        let mut book = Book::clone(&guard.book);
        for ask in asks {
            match &ask.what {
                What::GiveBack { place, ended, cooldown } => book = book.without(place, *ended, *cooldown, now),
                What::Adopt(request) if !over.contains(&request.place) => book = book.with(request, &policy, now),
                What::Adopt(_) | What::Claim(_) => {}
            }
        }
        let resumed = guard.breaker_resumed();
        book = book.with_breaker(&policy, resumed, false, now);
        let guard = Guard { book: book.into(), ..guard.clone() };
        let mut round = self.line(|line| line.round(&guard, claims, now));
        round.book = round.book.with_breaker(&policy, resumed, round.too_many, now);
        round
    }
}

/// The actions that were to be given the place which they lack, and are over: another leader told it and gave the place
/// back, and of that our watches show only the book so far. Asked after the book was read: who gives a place back later
/// changes the AegisGuard.
async fn over_by_now(lead: &Lead, guard: &Guard, asks: &[Ask]) -> Result<BTreeSet<Place>, Failure> {
    let namespace = &lead.context.settings.alert.publish_namespace;
    let mut over = BTreeSet::new();
    for ask in asks {
        let What::Adopt(Request { place, alert, .. }) = &ask.what else { continue };
        if guard.book.find(place).is_some() {
            continue;
        }
        let known = lead.context.alerts.get(namespace, alert).filter(|known| known.uid().as_ref() == Some(&place.uid));
        let alert = match known {
            Some(known) => fresh(lead, &known).await?,
            None => None,
        };
        if alert.is_none_or(|alert| keeps_no_place(&alert, place)) {
            over.insert(place.clone());
        }
    }
    Ok(over)
}

/// How long after the beginning of a round that took so long and served so many the next one may begin. Whoever came
/// alone has shared it with nobody: there is no storm, and nobody is made to wait for the next one.
fn rest(took: Duration, served: usize) -> Duration {
    let others = u32::try_from(served.saturating_sub(1)).unwrap_or(REST);
    took.saturating_mul(others.min(REST)).clamp(PACE, LONGEST_REST)
}

/// Writes what is new in the book, if anything is, on the condition that the AegisGuard is the one that was judged by.
async fn write(lead: &Lead, object: Option<&AegisGuard>, guard: &Guard, round: &Round<Key>) -> Result<(), Failure> {
    let status = round.book.status_since(&guard.book);
    if status.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let Some(object) = object else { return Ok(()) };
    let patch = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": status});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = lead.request(api(lead).patch_status(GUARD_NAME, &parameters, &Patch::Merge(patch))).await?;
    *lead.desk.written.lock().unwrap_or_else(PoisonError::into_inner) = written.resource_version();
    lead.guards.insert(written);
    Ok(())
}

/// Reads the AegisGuard as it is at this moment.
async fn read(lead: &Lead) -> Result<(), Failure> {
    if let Some(object) = lead.request(api(lead).get_opt(GUARD_NAME)).await? {
        lead.guards.insert(object);
    }
    Ok(())
}

fn api(lead: &Lead) -> Api<AegisGuard> {
    Api::namespaced(lead.context.client.clone(), &lead.context.settings.alert.publish_namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_a_write_was_and_the_more_shared_it_the_longer_the_book_is_left_alone() {
        let cases = [
            (0, 0, 20, "nothing was written: whoever comes next is served soon"),
            (90, 1, 20, "one came alone: whoever comes next is served soon, also where the API server is slow"),
            (30, 2, 30, "two came together"),
            (30, 40, 120, "in a storm a fifth of the time goes into the book"),
            (9_000, 40, 500, "a place that came free is not left empty for long"),
        ];
        for (took, served, want, why) in cases {
            assert_eq!(rest(Duration::from_millis(took), served), Duration::from_millis(want), "{why}");
        }
    }
}
