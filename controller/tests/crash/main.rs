//! The controller stopped dead at every request of an alert's life, before and after the server has carried it out,
//! and started again: one alert, one Workflow, a true status, whatever else happened in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aegis_controller::Settings;
use aegis_sandbox::{Match, Request, When};
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use common::{COMPONENT, Controller};
use life::{Life, Meanwhile, Sender, Span};

/// How many lives are lived at the same time: mostly they wait.
static PLACES: Semaphore = Semaphore::const_new(64);
/// How often a death that did not come is waited for: on a busy machine a controller that loses its Lease gives up the
/// request that it was to die at.
const LIVES: usize = 3;

/// The request at which the controller dies.
#[derive(Clone, Debug)]
struct Death {
    request: Request,
    /// Which of those requests, counted from 1.
    nth: u64,
    when: When,
    span: Span,
    meanwhile: Meanwhile,
}

impl Death {
    fn kind(&self) -> String {
        format!("{:?} {}", self.when, kind(&self.request))
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, nth, when, meanwhile, .. } = self;
        write!(f, "{when:?} the {nth}. {}, meanwhile {meanwhile:?}", kind(request))
    }
}

fn kind(request: &Request) -> String {
    let slash = if request.subresource.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{}", request.verb, request.resource, request.subresource)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_at_any_request_is_followed_by_one_that_finishes_its_work() {
    die_everywhere(Meanwhile::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_deleted_while_nobody_looks_is_not_made_again() {
    die_everywhere(Meanwhile::WorkflowDeleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_edited_while_nobody_looks_starts_no_second_action() {
    die_everywhere(Meanwhile::RuleEdited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_a_controller_costs_no_outcome_and_makes_no_second_action() {
    die_everywhere(Meanwhile::AnHour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_resolved_while_nobody_looks_ends_as_resolved() {
    die_everywhere(Meanwhile::Resolved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_while_the_end_of_an_alert_is_acted_on_is_followed_by_one_that_acts_once() {
    let known = count(&record(Span::Firing).await);
    let requests = record(Span::Whole).await;
    let of_the_end = |request: &Request, nth| nth > known.get(&kind(request)).copied().unwrap_or(0);
    die_at(deaths(requests, of_the_end, Span::Whole, Meanwhile::Nothing)).await;
}

/// Lives an alert's life once, then once for each of its requests and each side of the commit with a death there.
async fn die_everywhere(meanwhile: Meanwhile) {
    let requests = record(Span::Firing).await;
    // As long as there is no alert, nothing that happens meanwhile is of interest to it.
    let start_up =
        requests.iter().take_while(|request| kind(request) != "create aegisalerts").cloned().collect::<Vec<_>>();
    let start_up = if meanwhile == Meanwhile::Nothing { BTreeMap::new() } else { count(&start_up) };
    let of_interest = |request: &Request, nth| nth > start_up.get(&kind(request)).copied().unwrap_or(0);
    die_at(deaths(requests, of_interest, Span::Firing, meanwhile)).await;
}

/// How many requests there are of each kind.
fn count(requests: &[Request]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(kind(request)).or_default() += 1;
    }
    counts
}

/// A death on each side of every request that is picked, by what it is and which of its kind.
fn deaths(
    requests: Vec<Request>,
    pick: impl Fn(&Request, u64) -> bool,
    span: Span,
    meanwhile: Meanwhile,
) -> Vec<Death> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut deaths = Vec::new();
    for request in requests {
        let nth = counts.entry(kind(&request)).or_default();
        *nth += 1;
        // One renewal of the Lease is like the other, and how many there are depends on the machine.
        let is_renewal = kind(&request) == "update leases" && *nth > 2;
        // The AegisGuard is read when its policy's verdict and an action's place were written at the same time.
        let is_chance = kind(&request) == "get aegisguards";
        if !is_renewal && !is_chance && pick(&request, *nth) {
            let death = Death { request, nth: *nth, when: When::Before, span, meanwhile };
            deaths.extend([Death { when: When::After, ..death.clone() }, death]);
        }
    }
    deaths
}

/// Lives a life for each death, and sees to it that the controller came to die at every kind of request.
async fn die_at(deaths: Vec<Death>) {
    let all = deaths.len();
    assert!(all > 0);
    let (mut left, mut failed) = (deaths, Vec::new());
    for _ in 0..LIVES {
        let lives = left.into_iter().map(|death| async move {
            let _place = PLACES.acquire().await.unwrap();
            let life = Box::pin(die_once(death.clone()));
            (death, AssertUnwindSafe(life).catch_unwind().await)
        });
        let (mut died, mut lived) = (BTreeSet::new(), Vec::new());
        let mut lives = futures::stream::iter(lives).buffer_unordered(all);
        while let Some((death, life)) = lives.next().await {
            match life {
                Ok(true) => drop(died.insert(death.kind())),
                Ok(false) => lived.push(death),
                Err(_) => failed.push(death.to_string()),
            }
        }
        lived.retain(|death| !died.contains(&death.kind()));
        left = lived;
    }
    assert!(failed.is_empty(), "{} of {all} lives went wrong: {failed:#?}", failed.len());
    assert!(left.is_empty(), "the controller did not come to die at {left:#?}");
}

/// The requests of a life without a death.
async fn record(span: Span) -> Vec<Request> {
    let life = Life::new(span, Meanwhile::Nothing).await;
    life.cluster.sandbox.requests().reset();
    let controller = Controller::without_waiting(&life.cluster, settings());
    let mut sender = Sender::default();
    life.with_executor(life.through(&controller, &mut sender)).await;
    controller.kill().await;
    let entries = life.cluster.sandbox.requests().matching(&Match::any().component(COMPONENT));
    entries.into_iter().map(|entry| entry.request).collect()
}

/// Lives one life with that death. Says whether the controller came to die.
async fn die_once(death: Death) -> bool {
    let life = Life::new(death.span, death.meanwhile).await;
    let Request { verb, group, resource, subresource, .. } = &death.request;
    let of = Match::any().verb(*verb).group(group).resource(resource).subresource(subresource);
    let stop = life.cluster.sandbox.faults().stop_at_match(COMPONENT, of, death.nth, death.when);
    let mut sender = Sender::default();
    let story = async {
        let first = Controller::without_waiting(&life.cluster, settings());
        let died = tokio::select! {
            biased;
            () = stop.reached() => true,
            () = life.through(&first, &mut sender) => false,
        };
        first.kill().await;
        if died {
            life.meanwhile(&mut sender).await;
            stop.resume();
            let second = Controller::without_waiting(&life.cluster, settings());
            life.through(&second, &mut sender).await;
            second.kill().await;
        }
        life.judge(&sender, died).await;
        died
    };
    life.with_executor(story).await
}

fn settings() -> Settings {
    let mut settings = common::settings();
    settings.lease.duration = Duration::from_secs(1);
    settings.lease.renew_deadline = Duration::from_millis(900);
    settings.lease.retry_period = Duration::from_millis(150);
    settings
}
