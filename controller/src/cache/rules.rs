//! The rules, compiled as they change.

use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisAlertOpsRule;
use aegis_engine::rules::RuleBook;
use aegis_engine::scope::{Namespaces, ObjectName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Changes, Key, Objects};

/// All rules of the watched namespaces and the book made of them. Clones share both.
#[derive(Clone)]
pub struct Rules {
    objects: Objects<AegisAlertOpsRule>,
    asked: Arc<watch::Sender<u64>>,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
struct State {
    book: Arc<RuleBook>,
    /// The book holds what the cache held when it was asked so many times.
    answered: u64,
}

/// How long the book waits for more changes: `kubectl apply -f` of a folder of rules is one change of the book.
const GATHER: Duration = Duration::from_millis(20);
/// With more changes than this the book is made anew; below, one rule at a time.
const FEW: usize = 16;

impl Rules {
    /// A book of the rules in that cache, kept until `stop`. Rules outside of `namespaces` never match.
    pub fn start(objects: Objects<AegisAlertOpsRule>, namespaces: Namespaces, stop: &CancellationToken) -> Self {
        let book = Arc::new(RuleBook::of(namespaces, []));
        let (sender, state) = watch::channel(State { book, answered: 0 });
        let asked = Arc::new(watch::Sender::new(1));
        let work = compile(objects.clone(), objects.subscribe(), asked.subscribe(), sender);
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
        Self { objects, asked, state }
    }

    /// The book as it is now.
    pub fn book(&self) -> Arc<RuleBook> {
        self.state.borrow().book.clone()
    }

    /// The rules themselves.
    pub fn objects(&self) -> &Objects<AegisAlertOpsRule> {
        &self.objects
    }

    /// Whether the book holds the rules of a first list.
    pub fn ready(&self) -> bool {
        self.state.borrow().answered > 0
    }

    /// Waits until [`Rules::ready`].
    pub async fn until_ready(&self) {
        // The sender is gone only when the controller stops, and then nobody cares.
        let _ = self.state.clone().wait_for(|state| state.answered > 0).await;
    }

    /// Waits for the next change of the book.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Lists again from the API server, and returns when the book holds what the list held.
    pub async fn refresh(&self) {
        self.objects.refresh().await;
        let mut round = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            round = *asked;
        });
        let _ = self.state.clone().wait_for(|state| state.answered >= round).await;
    }
}

async fn compile(
    objects: Objects<AegisAlertOpsRule>,
    mut changes: Changes,
    mut asked: watch::Receiver<u64>,
    state: watch::Sender<State>,
) {
    objects.until_ready().await;
    loop {
        // Read before the cache is: what is asked for later is not in this book.
        let round = *asked.borrow_and_update();
        let mut changed: Vec<Key> = std::iter::from_fn(|| changes.try_next()).collect();
        if !changed.is_empty() {
            tokio::time::sleep(GATHER).await;
            changed.extend(std::iter::from_fn(|| changes.try_next()));
            let book = followed(&state.borrow().book, &objects, &changed);
            state.send_modify(|state| state.book = Arc::new(book));
        }
        state.send_if_modified(|state| std::mem::replace(&mut state.answered, round) != round);
        tokio::select! {
            () = changes.arrived() => {}
            answer = asked.changed() => if answer.is_err() { return },
        }
    }
}

fn followed(book: &RuleBook, objects: &Objects<AegisAlertOpsRule>, changed: &[Key]) -> RuleBook {
    if changed.len() > FEW {
        let rules = objects.all();
        return RuleBook::of(book.namespaces().clone(), rules.iter().map(Arc::as_ref));
    }
    changed.iter().fold(book.clone(), |book, key| match objects.find(key) {
        Some(rule) => book.with(&rule),
        None => book.without(&ObjectName::new(&key.namespace, &key.name)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aegis_crds::alert::AlertStatus;
    use aegis_crds::rule::{AegisAlertOpsRuleSpec, AlertCondition};
    use aegis_engine::rules::AlertFacts;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    fn rule(name: &str, version: u64, type_: &str) -> AegisAlertOpsRule {
        let mut spec = AegisAlertOpsRuleSpec {
            alert_conditions: vec![AlertCondition { type_: type_.into(), status: AlertStatus::Firing }],
            ..Default::default()
        };
        spec.ops_template.name = Some("t".into());
        let mut rule = AegisAlertOpsRule::new(name, spec);
        rule.metadata.namespace = Some("monitoring".into());
        rule.metadata.resource_version = Some(version.to_string());
        rule
    }

    fn winner(rules: &Rules, type_: &str) -> Option<String> {
        let labels = BTreeMap::new();
        let choice = rules.book().pick(&AlertFacts { type_, phase: AlertStatus::Firing, labels: &labels });
        choice.map(|choice| choice.winner.name.name.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn the_book_follows_the_cache_and_is_ready_after_the_first_list() {
        let objects = Objects::<AegisAlertOpsRule>::new(vec![None], Gauge::default());
        let stop = CancellationToken::new();
        let mut rules = Rules::start(objects.clone(), Namespaces::of("monitoring", ["x"]), &stop);
        objects.applied(rule("a", 1, "NodeDown"));
        assert!(!rules.ready(), "nothing was listed yet");
        objects.shared.rounds[0].done.send_replace(1);
        rules.until_ready().await;
        assert_eq!(winner(&rules, "NodeDown").as_deref(), Some("a"));

        let many: Vec<_> =
            (0..FEW as u64 + 5).map(|n| rule(&format!("r{n:02}"), 10 + n, &format!("Type{n}x"))).collect();
        many.into_iter().for_each(|rule| objects.applied(rule));
        while winner(&rules, "Type20x").is_none() {
            rules.changed().await;
        }
        objects.gone(&Key::new("monitoring", "a"), 99);
        while winner(&rules, "NodeDown").is_some() {
            rules.changed().await;
        }
        assert_eq!(rules.book().len(), FEW + 5);
    }
}
