//! What a leader does, from the day it takes the Lease to the day it loses it or gives it back.

use std::sync::Arc;
use std::time::Duration;

use aegis_crds::{AegisGuard, AegisOpsTemplate};
use aegis_engine::plan::TemplateBook;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::alert;
use crate::cache::{self, Objects, Source, Templates};
use crate::context::{self, Context, Lead};
use crate::definition;
use crate::executors::{self, Workflow};
use crate::guard::{Desk, View};
use crate::leader::Term;
use crate::notify;
use crate::policy;
use crate::takeover::{self, Takeover};
use crate::tally;

/// For how long the AegisGuard is waited for.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);

/// Does a leader's work until `stop`; then finishes what is in hand.
///
/// Everything is listed from the API server first: what was cached before this term may lack what an earlier leader
/// did.
pub async fn serve(context: Context, term: Term, stop: CancellationToken) {
    let feeds = CancellationToken::new();
    let _ended = feeds.clone().drop_guard();
    let Some(lead) = stop.run_until_cancelled(begin(context, term, &feeds)).await else { return };
    if stop.run_until_cancelled(takeover::look(&lead)).await.is_none() {
        return;
    }
    let lead = Arc::new(lead);
    info!(
        alerts = lead.context.alerts.len(),
        workflows = lead.workflows.len(),
        jobs = lead.jobs.len(),
        "all is listed"
    );

    // What earlier leaders told, as it stands before anything is done.
    let before = lead.context.alerts.all();
    let mut tasks = JoinSet::new();
    tasks.spawn(alert::drive(lead.clone(), stop.clone()));
    tasks.spawn(takeover::follow(lead.clone(), stop.clone()));
    tasks.spawn(definition::watch(lead.clone(), lead.context.rules.clone(), stop.clone()));
    tasks.spawn(definition::watch(lead.clone(), lead.templates.clone(), stop.clone()));
    tasks.spawn(policy::watch(lead.clone(), stop.clone()));
    tasks.spawn(notify::follow_held(lead.clone(), stop.clone()));
    lead.counts.recover(before, lead.context.rules.objects(), lead.templates.objects()).await;
    while stop.run_until_cancelled(tokio::time::sleep(tally::FLUSH)).await.is_some() {
        lead.counts.flush(&lead).await;
    }
    while tasks.join_next().await.is_some() {}
    lead.counts.flush(&lead).await;
}

async fn begin(context: Context, term: Term, feeds: &CancellationToken) -> Lead {
    let Context { client, settings, metrics, events, .. } = &context;
    let publish = &settings.alert.publish_namespace;
    let namespaces = context::namespaces(settings);
    let options = cache::Options::default();

    let workflows: Source<PartialObjectMeta<Workflow>> =
        Source::labelled(Api::namespaced(client.clone(), publish), executors::ours());
    let workflows = Objects::start(vec![workflows], &options, metrics, feeds);
    let jobs: Source<DeserializeGuard<Job>> =
        Source::labelled(Api::namespaced(client.clone(), publish), executors::ours());
    let jobs = Objects::start(vec![jobs], &options, metrics, feeds);
    let nodes: Source<DeserializeGuard<Node>> = Api::all(client.clone()).into();
    let nodes = Objects::start(vec![nodes], &options, metrics, feeds);
    let guards: Source<DeserializeGuard<AegisGuard>> = Api::namespaced(client.clone(), publish).into();
    let guards = Objects::start(vec![guards], &context::telling::<AegisGuard>(events), metrics, feeds);
    let old_pods = Objects::start(vec![takeover::old_pods(client, publish)], &options, metrics, feeds);
    let templates = context::sources::<DeserializeGuard<AegisOpsTemplate>>(client, &namespaces);
    let telling = context::telling::<AegisOpsTemplate>(events);
    let templates = Objects::start(templates, &telling, metrics, feeds);
    let templates = Templates::start(templates, TemplateBook::of(namespaces, []), feeds);

    tokio::join!(
        context.rules.refresh(),
        workflows.until_ready(),
        jobs.until_ready(),
        nodes.until_ready(),
        // Without its definition nothing but recovery begins; that is no reason not to follow what has begun.
        async { drop(tokio::time::timeout(GUARD_PATIENCE, guards.until_ready()).await) },
        async {
            // What an earlier version's controller stored last is listed after its pods were.
            old_pods.until_ready().await;
            context.alerts.refresh().await;
        },
        templates.until_ready(),
    );
    Lead {
        settings: Arc::new(context::plan_settings(settings)),
        term,
        templates,
        guards: guards.clone(),
        workflows,
        jobs,
        view: View::new(publish, guards, nodes),
        desk: Desk::default(),
        takeover: Takeover::new(old_pods),
        counts: tally::Counts::default(),
        memory: alert::Memory::default(),
        stages: alert::Stages::default(),
        context,
    }
}
