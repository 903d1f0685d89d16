//! The gates that look at what stands around an action: the policy, pauses, windows, what else is under way, how the
//! last ones ended, and how much is out. They are asked twice: when a plan is made, and again by whoever takes the
//! place in the book, against the book as it is then.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_crds::AegisGuard;
use aegis_crds::alert::{GateRefusal, VerdictStatus};
use aegis_crds::names::GUARD_NAME;
use aegis_crds::rule::OnCordoned;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use super::book::Book;
use super::expiry;
use super::fleet::{Fleet, Out};
use super::pause::Pauses;
use super::policy::Policy;
use super::request::Request;
use super::verdict::{Finding, Reason, Refusal, Verdict};
use crate::duration;

/// How many nodes are named in a verdict.
const MOST_NAMED: usize = 3;
/// What stands in a verdict between how many nodes may be out and which others are.
const AND_OTHERS: &str = " may be out, and ";

/// Everything that the gates know beyond one alert.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The policy in force; `Err` with the reason if none can be read.
    pub policy: PolicyState,
    /// What is paused.
    pub pauses: Arc<Pauses>,
    /// When people said that things begin anew, by target.
    pub resumed: Arc<BTreeMap<String, Timestamp>>,
    /// The places that are taken.
    pub book: Arc<Book>,
    /// Whether there is an AegisGuard that they stand in.
    pub has_book: bool,
    /// The nodes.
    pub fleet: Arc<Fleet>,
    /// Whether the cluster makes sure that approvals are by whom they say; the reason, if not.
    pub approvals: Approvals,
}

/// The policy in force.
#[derive(Clone, Debug)]
pub enum PolicyState {
    /// This one.
    InForce(Arc<Policy>),
    /// None can be read; why, as a sentence without a full stop.
    Missing(String),
}

/// Whether approvals can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Approvals {
    /// The cluster admits an approval only from the person whom it names.
    #[default]
    Kept,
    /// It does not; why, as a sentence without a full stop.
    NotKept(String),
    /// Nobody can say; why, as a sentence without a full stop.
    Unknown(String),
}

impl Default for PolicyState {
    fn default() -> Self {
        Self::InForce(Arc::default())
    }
}

impl Default for Guard {
    /// An AegisGuard that says nothing, in a cluster without nodes.
    fn default() -> Self {
        Self {
            policy: PolicyState::default(),
            pauses: Arc::default(),
            resumed: Arc::default(),
            book: Arc::default(),
            has_book: true,
            fleet: Arc::default(),
            approvals: Approvals::default(),
        }
    }
}

impl PolicyState {
    /// The policy in force; where there is none, the one of an AegisGuard that says nothing.
    pub fn or_default(&self) -> Arc<Policy> {
        match self {
            Self::InForce(policy) => policy.clone(),
            Self::Missing(_) => Arc::default(),
        }
    }

    /// The nodes, counted by the pools of the policy; by those of the default policy where there is none.
    pub fn fleet<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) -> Fleet {
        Fleet::of(nodes, &self.or_default())
    }

    /// The policy of the AegisGuard: its spec, or the last one that could be used while the spec cannot. `None` is an
    /// AegisGuard that is not there.
    pub fn of(guard: Option<&AegisGuard>) -> Self {
        let Some(guard) = guard else {
            let why = format!("there is no AegisGuard {GUARD_NAME}: is manifest/install/aegisguards.yaml applied?");
            return Self::Missing(why);
        };
        let flaws = match Policy::compile(&guard.spec) {
            Ok(policy) => return Self::InForce(Arc::new(policy)),
            Err(flaws) => flaws,
        };
        let last = guard.status.as_ref().and_then(|status| status.in_force.as_ref());
        match last.and_then(|spec| Policy::compile(spec).ok()) {
            Some(policy) => Self::InForce(Arc::new(policy)),
            None => {
                let flaw = flaws.first().map(ToString::to_string).unwrap_or_default();
                Self::Missing(format!("AegisGuard {GUARD_NAME} cannot be used: {flaw}"))
            }
        }
    }
}

impl Guard {
    /// What an AegisGuard and the nodes say; `None` is an AegisGuard that is not there.
    pub fn of<'a>(guard: Option<&AegisGuard>, nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let policy = PolicyState::of(guard);
        let fleet = Arc::new(policy.fleet(nodes));
        Self { policy, fleet, ..Self::without_policy(guard) }
    }

    /// What an AegisGuard says beside its policy, in a cluster without nodes.
    pub fn without_policy(guard: Option<&AegisGuard>) -> Self {
        let Some(guard) = guard else { return Self { has_book: false, ..Self::default() } };
        Self {
            pauses: Arc::new(Pauses::of(&guard.spec, guard.metadata.annotations.as_ref())),
            resumed: Arc::new(guard.spec.resumed.clone()),
            book: Arc::new(Book::of(guard.status.as_ref())),
            ..Self::default()
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Option<&Policy> {
        match &self.policy {
            PolicyState::InForce(policy) => Some(policy),
            PolicyState::Missing(_) => None,
        }
    }

    fn resumed(&self, request: &Request) -> Option<Timestamp> {
        let rule = format!("rule/{}", request.rule);
        let at = |target: &str| self.resumed.get(target).copied();
        request.targets().iter().map(|target| at(target)).chain([at(&rule), at("all")]).flatten().max()
    }

    /// When a person last closed the breaker.
    pub fn breaker_resumed(&self) -> Option<Timestamp> {
        self.resumed.get("breaker").copied()
    }
}

type Gate = fn(&Request, &Guard, Timestamp) -> Verdict;

/// These gates with their names, in the order in which they are asked.
const ALL: &[(&str, Gate)] = &[
    ("policy", policy_readable),
    ("pause", not_paused),
    ("window", in_window),
    ("target", target_free),
    ("cordon", cordon_respected),
    ("cool-down", cooled_down),
    ("attempts", attempts_left),
    ("budget", room_in_budget),
    ("nodes out", room_in_pool),
    ("failure domain", room_in_domain),
    ("breaker", breaker_closed),
];

/// What each of these gates says.
pub fn findings(request: &Request, guard: &Guard, now: Timestamp) -> impl Iterator<Item = Finding> {
    ALL.iter().map(move |(gate, ask)| Finding { gate, verdict: ask(request, guard, now) })
}

/// Whether the place may be taken now.
pub fn admit(request: &Request, guard: &Guard, now: Timestamp) -> Result<(), Refusal> {
    for (_, ask) in ALL {
        if let Verdict::Refuse(refusal) = ask(request, guard, now) {
            return Err(refusal);
        }
    }
    Ok(())
}

fn policy_readable(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    match &guard.policy {
        PolicyState::Missing(why) if !request.recovery => refuse(Reason::NoPolicy, why.clone()),
        PolicyState::Missing(_) | PolicyState::InForce(_) => Verdict::Clear,
    }
}

fn not_paused(request: &Request, guard: &Guard, now: Timestamp) -> Verdict {
    let targets = request.targets();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let Some(hold) = guard.pauses.holding(&request.rule, &targets, request.recovery, now) else {
        return Verdict::Clear;
    };
    Verdict::Refuse(Refusal::new(Reason::Paused, hold.to_string()).until(hold.until))
}

fn in_window(request: &Request, guard: &Guard, now: Timestamp) -> Verdict {
    let Some(policy) = guard.policy().filter(|_| !request.recovery) else { return Verdict::Clear };
    let pool = request.node.as_deref().and_then(|node| guard.fleet.get(node)).map(|node| node.pool.as_str());
    let Some(hold) = policy.windows().standing(&request.rule, pool, now) else { return Verdict::Clear };
    let reason = if hold.frozen { Reason::Frozen } else { Reason::OutsideWindow };
    Verdict::Refuse(Refusal::new(reason, hold.message).until(Some(hold.until)))
}

fn target_free(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let Some(other) = guard.book.works_on(request) else { return Verdict::Clear };
    let on = if other.target == request.target { &request.target } else { other.target.as_str() };
    if expiry::took(other) {
        return refuse(
            Reason::TargetBusy,
            format!("what has expired on {on} is being put back; it is tried after that"),
        );
    }
    refuse(
        Reason::TargetBusy,
        format!("an action for alert {} works on {on}; it is tried when that has ended", other.alert),
    )
}

fn cordon_respected(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let node = request.node.as_deref().and_then(|name| Some((name, guard.fleet.get(name)?)));
    let Some((name, _)) = node.filter(|(_, node)| node.cordoned && !node.cordon_is_ours) else { return Verdict::Clear };
    if request.recovery {
        return refuse(
            Reason::NotOurs,
            format!("node {name} was cordoned by somebody else, and Aegis puts back only what it did itself"),
        );
    }
    if request.on_cordoned == OnCordoned::Act {
        return Verdict::Clear;
    }
    refuse(
        Reason::Cordoned,
        format!("node {name} was cordoned by somebody else; it is tried when that is lifted (or set onCordoned: Act)"),
    )
}

fn cooled_down(request: &Request, guard: &Guard, now: Timestamp) -> Verdict {
    let Some(ending) = guard.book.ending(request) else { return Verdict::Clear };
    let Some(ended) = ending.time.filter(|ended| guard.resumed(request).is_none_or(|resumed| resumed < *ended)) else {
        return Verdict::Clear;
    };
    let failures = usize::try_from(ending.failures.unwrap_or(0)).unwrap_or_default();
    // The wait after a failure keeps recovery from being tried without a pause; nothing else slows it.
    if request.recovery && failures == 0 {
        return Verdict::Clear;
    }
    let wait = request.retries.wait_after(failures);
    let due = ended.saturating_add(wait).unwrap_or(Timestamp::MAX);
    if due <= now {
        return Verdict::Clear;
    }
    let why = match failures {
        0 => "its rule waits that long between actions".to_owned(),
        1 => "it failed".to_owned(),
        more => format!("{more} in a row failed"),
    };
    let message = format!(
        "its last action on {} ended at {ended}, and {why}: it waits {}",
        request.target,
        duration::brief(wait)
    );
    Verdict::Refuse(Refusal::new(Reason::CoolingDown, message).until(Some(due)))
}

fn attempts_left(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let Some(ending) = guard.book.ending(request).filter(|_| !request.recovery) else { return Verdict::Clear };
    let failures = usize::try_from(ending.failures.unwrap_or(0)).unwrap_or_default();
    let resumed = guard.resumed(request);
    let counts = ending.time.is_some_and(|ended| resumed.is_none_or(|resumed| resumed < ended));
    if !counts || failures < request.retries.attempts {
        return Verdict::Clear;
    }
    refuse(
        Reason::NeedsPerson,
        format!(
            "{failures} actions of rule {} on {} failed in a row: somebody has to look; `kubectl aegis resume {}` lets it try again",
            request.rule, request.target, request.target
        ),
    )
}

fn room_in_budget(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let Some(policy) = guard.policy().filter(|_| !request.recovery) else { return Verdict::Clear };
    if guard.book.find(&request.place).is_some() {
        return Verdict::Clear;
    }
    let rule = request.rule.to_string();
    let own = policy.unfinished_per_rule(request.budget.unfinished);
    if guard.book.unfinished_of(&rule) >= own {
        return refuse(
            Reason::BudgetFull,
            format!(
                "{own} actions of rule {rule} are under way, which is as many as may be; it is tried when one ends"
            ),
        );
    }
    let all = policy.unfinished();
    if guard.book.unfinished() >= all {
        return refuse(
            Reason::BudgetFull,
            format!("{all} actions are under way in all, which is as many as may be; it is tried when one ends"),
        );
    }
    Verdict::Clear
}

fn room_in_pool(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let Some(policy) = guard.policy().filter(|_| !request.recovery) else { return Verdict::Clear };
    let Some((name, node)) = request.node.as_deref().and_then(|name| Some((name, guard.fleet.get(name)?))) else {
        return Verdict::Clear;
    };
    let Some(pool) = policy.pool(&node.pool) else { return Verdict::Clear };
    let (total, at_most) = guard.fleet.at_most_out(&node.pool, guard.book.unfinished());
    let limit = pool.nodes_limit(total, request.budget.nodes_out_percent);
    if at_most < limit {
        return Verdict::Clear;
    }
    let Some(out) = guard.fleet.out_with(name, guard.book.nodes()) else { return Verdict::Clear };
    if out.nodes.len() <= limit {
        return Verdict::Clear;
    }
    let message = format!("of the {} nodes of pool {} {limit}{AND_OTHERS}{}", out.total, node.pool, others(&out, name));
    refuse(Reason::TooManyNodesOut, message)
}

fn room_in_domain(request: &Request, guard: &Guard, _: Timestamp) -> Verdict {
    let Some(policy) = guard.policy().filter(|_| !request.recovery) else { return Verdict::Clear };
    let Some((name, node)) = request.node.as_deref().and_then(|name| Some((name, guard.fleet.get(name)?))) else {
        return Verdict::Clear;
    };
    let Some(out) = guard.fleet.out_of_domain(name, guard.book.nodes()) else { return Verdict::Clear };
    let Some(domain) = policy.pool(&node.pool).and_then(|pool| pool.domain.as_ref()) else { return Verdict::Clear };
    if out.nodes.len() <= domain.count {
        return Verdict::Clear;
    }
    let value = node.domain.as_deref().unwrap_or_default();
    let message =
        format!("of the nodes with {}={value} {}{AND_OTHERS}{}", domain.label, domain.count, others(&out, name));
    refuse(Reason::TooManyNodesOut, message)
}

/// Whether two verdicts on an alert differ at most in which other nodes are out, and how many, and in when the next try
/// is: in a storm that is another one at every look, and tells nobody anything that is worth a write at once.
pub fn differ_in_others_only(one: &VerdictStatus, other: &VerdictStatus) -> bool {
    let VerdictStatus { reason, message, next_try: _, gate, others, plan } = one;
    let refusals = |one: &GateRefusal, other: &GateRefusal| {
        let GateRefusal { gate, reason, message } = one;
        (gate, reason) == (&other.gate, &other.reason) && same_but_for_others(message, &other.message)
    };
    (reason, gate, plan) == (&other.reason, &other.gate, &other.plan)
        && same_but_for_others(message, &other.message)
        && others.len() == other.others.len()
        && others.iter().zip(&other.others).all(|(one, other)| refusals(one, other))
}

fn same_but_for_others(one: &str, other: &str) -> bool {
    match (one.split_once(AND_OTHERS), other.split_once(AND_OTHERS)) {
        (Some((limits, _)), Some((other, _))) => limits == other,
        _ => one == other,
    }
}

/// Which others are out, a few by name.
fn others(out: &Out, target: &str) -> String {
    let others: Vec<&str> = out.nodes.iter().map(String::as_str).filter(|node| *node != target).collect();
    let named = others.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match others.len().saturating_sub(MOST_NAMED) {
        0 => format!("{named} already are or are under action"),
        more => format!("{named} and {more} more already are or are under action"),
    }
}

fn breaker_closed(request: &Request, guard: &Guard, now: Timestamp) -> Verdict {
    let Some(policy) = guard.policy().filter(|_| !request.recovery) else { return Verdict::Clear };
    if guard.book.find(&request.place).is_some() {
        return Verdict::Clear;
    }
    let resumed = guard.breaker_resumed();
    let breaker = policy.breaker();
    let closes = guard.book.breaker_open(policy, resumed, now).or_else(|| {
        // The one that is too many trips it.
        let begun = guard.book.begun(policy, resumed, now);
        (begun >= breaker.actions).then(|| now.saturating_add(breaker.calm).unwrap_or(Timestamp::MAX))
    });
    let Some(closes) = closes else { return Verdict::Clear };
    let message = format!(
        "{} actions began within {}, so further ones are held back; `kubectl aegis resume breaker` closes the breaker",
        breaker.actions,
        duration::brief(breaker.within)
    );
    Verdict::Refuse(Refusal::new(Reason::BreakerOpen, message).until(Some(closes)))
}

fn refuse(reason: Reason, message: String) -> Verdict {
    Verdict::Refuse(Refusal::new(reason, message))
}
