//! Rules and templates, compiled as they change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Changes, Kept, Key, Objects};

/// All that is compiled of one kind. Immutable: a change makes a new book that shares what did not change.
pub trait Book: Clone + Send + Sync + 'static {
    /// What is compiled.
    type Object: Kept;

    /// A book of all these, for the same namespaces.
    fn anew(&self, objects: &[Arc<Self::Object>]) -> Self;

    /// The book with one added or replaced.
    fn with(&self, object: &Self::Object) -> Self;

    /// The book without one.
    fn without(&self, key: &Key) -> Self;
}

/// All objects of one kind and the book made of them. Clones share both.
#[derive(Clone)]
pub struct Compiled<B: Book> {
    objects: Objects<B::Object>,
    asked: Arc<watch::Sender<u64>>,
    state: watch::Receiver<State<B>>,
}

#[derive(Clone)]
struct State<B> {
    book: Arc<B>,
    /// The book holds what the cache held when it was asked so many times.
    answered: u64,
}

/// How long the book waits for more changes: `kubectl apply -f` of a folder of rules is one change of the book.
const GATHER: Duration = Duration::from_millis(20);
/// With more changes than this the book is made anew; below, one object at a time.
const FEW: usize = 16;

impl<B: Book> Compiled<B> {
    /// A book of the objects in that cache, kept until `stop`. It begins as `empty`.
    pub fn start(objects: Objects<B::Object>, empty: B, stop: &CancellationToken) -> Self {
        let (sender, state) = watch::channel(State { book: Arc::new(empty), answered: 0 });
        let asked = Arc::new(watch::Sender::new(1));
        let work = compile(objects.clone(), objects.subscribe(), asked.subscribe(), sender);
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
        Self { objects, asked, state }
    }

    /// The book as it is now.
    pub fn book(&self) -> Arc<B> {
        self.state.borrow().book.clone()
    }

    /// The objects themselves.
    pub fn objects(&self) -> &Objects<B::Object> {
        &self.objects
    }

    /// Whether the book holds the objects of a first list.
    pub fn ready(&self) -> bool {
        self.state.borrow().answered > 0
    }

    /// Waits until [`Compiled::ready`].
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
        self.caught_up().await;
    }

    /// Returns when the book holds what the cache holds now.
    pub async fn caught_up(&self) {
        let mut round = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            round = *asked;
        });
        let _ = self.state.clone().wait_for(|state| state.answered >= round).await;
    }
}

async fn compile<B: Book>(
    objects: Objects<B::Object>,
    mut changes: Changes,
    mut asked: watch::Receiver<u64>,
    state: watch::Sender<State<B>>,
) {
    objects.until_ready().await;
    loop {
        // Read before the cache is: what is asked for later is not in this book.
        let round = *asked.borrow_and_update();
        let mut changed: Vec<Key> = std::iter::from_fn(|| changes.try_next()).collect();
        if !changed.is_empty() {
            tokio::time::sleep(GATHER).await;
            changed.extend(std::iter::from_fn(|| changes.try_next()));
            let book = followed(state.borrow().book.as_ref(), &objects, &changed);
            state.send_modify(|state| state.book = Arc::new(book));
        }
        state.send_if_modified(|state| std::mem::replace(&mut state.answered, round) != round);
        tokio::select! {
            () = changes.arrived() => {}
            answer = asked.changed() => if answer.is_err() { return },
        }
    }
}

fn followed<B: Book>(book: &B, objects: &Objects<B::Object>, changed: &[Key]) -> B {
    if changed.len() > FEW {
        return book.anew(&objects.all().collect::<Vec<_>>());
    }
    changed.iter().fold(book.clone(), |book, key| match objects.find(key) {
        Some(object) => book.with(&object),
        None => book.without(key),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aegis_crds::AegisAlertOpsRule;
    use aegis_crds::alert::AlertStatus;
    use aegis_crds::rule::{AegisAlertOpsRuleSpec, AlertCondition};
    use aegis_engine::rules::{AlertFacts, RuleBook};
    use aegis_engine::scope::Namespaces;
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::Rules;
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
        let mut rules = Rules::start(objects.clone(), RuleBook::of(Namespaces::of("monitoring", ["x"]), []), &stop);
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
