//! Where it is measured: a namespace with the rule, watched by somebody independent, and a simulator that ends Workflows.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_crds::names::{MANAGED_BY, MANAGED_BY_LABEL, OUTCOME_FINALIZER};
use aegis_sandbox::agent::{Simulator, SimulatorOptions};
use anyhow::ensure;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use kube::core::PartialObjectMeta;

use super::bodies::bodies;
use super::observer::Observer;
use super::sender::Sender;
use crate::aegis::{Aegis, Controller};
use crate::audit::{self, Mark, Request};
use crate::cluster::Cluster;
use crate::wait::within;

const NAMESPACE: &str = "bench";
/// The controller's port.
pub(super) const PORT: u16 = 8080;
/// Argo's controller leaves Workflows alone that carry this label, whatever it says.
pub(super) const INSTANCE_LABEL: &str = "workflows.argoproj.io/controller-instanceid";
const SIMULATED: &str = "simulated";
/// Finalizers are released two lease durations after the end. Where a rate is measured that is to lie within the time
/// that counts.
pub(super) const SHORT_LEASE: [&str; 6] =
    ["--lease.duration", "5s", "--lease.renew-deadline", "4s", "--lease.retry-period", "1s"];
/// How long after the last end all finalizers are released then.
pub(super) const RELEASED: Duration = Duration::from_secs(12);

pub(super) struct Bed<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) aegis: Aegis<'a>,
    pub(super) observer: Observer,
}

impl<'a> Bed<'a> {
    pub(super) async fn make(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let aegis = Aegis::install(cluster, NAMESPACE).await?;
        cluster.apply(NAMESPACE, include_str!("data/guard.yaml")).await?;
        cluster.apply(NAMESPACE, include_str!("data/rules.yaml")).await?;
        let observer = Observer::start(&cluster.client, NAMESPACE).await?;
        Ok(Self { cluster, aegis, observer })
    }

    /// Starts a controller that has done a few alerts when this returns, so that connections are open and code is warm.
    pub(super) async fn warm(&self, name: &str, flags: &[&str]) -> anyhow::Result<Controller> {
        let controller = self.aegis.start(PORT, flags).await?;
        self.work_off(&Sender::to(&controller), bodies(&format!("warm-{name}"), 60, 20)).await?;
        Ok(controller)
    }

    /// Has the Workflows of this namespace ended as soon as they are there, in two writes each, until it is dropped.
    pub(super) fn simulate(&self) -> Simulator {
        let selector = Some(format!("{INSTANCE_LABEL}={SIMULATED}"));
        let options = SimulatorOptions { selector, jobs: false, ..SimulatorOptions::default() };
        Simulator::start(self.cluster.client.clone(), options)
    }

    /// Sends these bodies, returns once all their alerts have ended, and names those.
    pub(super) async fn work_off(&self, sender: &Sender, bodies: Vec<String>) -> anyhow::Result<BTreeSet<String>> {
        let taken = sender.deliver_all(bodies, 4).await?;
        let names: BTreeSet<String> = taken.into_iter().flat_map(|taken| taken.names).collect();
        // Alerts of another part may end meanwhile, so it is not enough to count.
        for name in &names {
            self.observer.until("all alerts have ended", |_| self.observer.alert_ended(name).is_some()).await?;
        }
        Ok(names)
    }

    /// Waits until no Workflow is held for its outcome any more.
    pub(super) async fn until_released(&self) -> anyhow::Result<()> {
        within(Duration::from_secs(90), "all finalizers are released", || async {
            let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
            let workflows = self.aegis.workflows().list_metadata(&ours).await?.items;
            let held = |object: &&PartialObjectMeta<DynamicObject>| {
                object.finalizers().iter().any(|one| one == OUTCOME_FINALIZER)
            };
            let held = workflows.iter().filter(held).count();
            ensure!(held == 0, "{held} are held");
            Ok(Some(()))
        })
        .await
    }

    /// Aegis's own user.
    pub(super) fn user(&self) -> String {
        format!("system:serviceaccount:{NAMESPACE}:aegis")
    }

    /// Writes of an alert's life that the API server accepted between these moments, whoever made them: everything in
    /// the namespace and Events about Nodes, which have none. Leases belong to no alert.
    pub(super) fn writes(&self, from: Mark, to: Mark) -> anyhow::Result<Vec<Request>> {
        let user = self.user();
        let mut requests = audit::between(self.cluster, from, to)?;
        requests.retain(|request| {
            let (resource, namespace, _) = request.target();
            let about_us = namespace == NAMESPACE || (resource == "events" && request.user() == user);
            request.is_write() && about_us && resource != "leases"
        });
        Ok(requests)
    }

    /// This moment in the API server's log.
    pub(super) fn mark(&self) -> anyhow::Result<Mark> {
        audit::mark(self.cluster)
    }
}
