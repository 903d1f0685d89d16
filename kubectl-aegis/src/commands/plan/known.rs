//! What is known around an alert: rules, templates, and alerts stored before. From the cluster or from files.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_controller::{Settings, context};
use aegis_crds::guard::AegisGuardSpec;
use aegis_crds::names::{self, FINGERPRINT_LABEL, GUARD_NAME};
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisGuard, AegisOpsTemplate};
use aegis_engine::guard::Guard;
use aegis_engine::plan::{self, Snapshot, TemplateBook};
use aegis_engine::rules::RuleBook;
use aegis_engine::scope::Namespaces;
use aegis_engine::signal::Signal;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::manifests::{self, Manifests};

pub(crate) struct Known {
    /// Those of the controller that is asked about.
    pub(super) settings: Settings,
    decisions: Arc<plan::Settings>,
    rules: Arc<RuleBook>,
    templates: Arc<TemplateBook>,
    alerts: Vec<AegisAlert>,
    guard: Arc<Guard>,
}

impl Known {
    /// Reads what the decision about these alerts needs; from the files alone if there are any.
    pub(super) async fn gather(
        cluster: &ClusterArgs,
        settings: Settings,
        files: &[String],
        signals: &[(usize, Signal)],
    ) -> Result<Self, Failure> {
        if !files.is_empty() {
            let manifests = manifests::read(files, &cluster.namespace)?;
            if manifests.rules.is_empty() {
                return Err(Failure::new(Kind::Usage, "no AegisAlertOpsRule in the files of --rules"));
            }
            return Ok(Self::of_manifests(settings, &manifests));
        }
        let client = cluster.client().await?;
        let namespaces = context::namespaces(&settings);
        let rules = list::<AegisAlertOpsRule>(&client, &namespaces, "rules").await?;
        let templates = list::<AegisOpsTemplate>(&client, &namespaces, "templates").await?;
        let alerts = alerts_of(&client, &cluster.namespace, signals).await?;
        let guard = guard(client, &cluster.namespace).await?;
        Ok(Self::of(settings, &rules, &templates, alerts, guard))
    }

    /// Reads the rules and templates alone, as the plan of an alert that is stored needs them.
    pub(in crate::commands) async fn of_cluster(client: &Client, settings: Settings) -> Result<Self, Failure> {
        let namespaces = context::namespaces(&settings);
        let rules = list::<AegisAlertOpsRule>(client, &namespaces, "rules").await?;
        let templates = list::<AegisOpsTemplate>(client, &namespaces, "templates").await?;
        Ok(Self::of(settings, &rules, &templates, Vec::new(), Guard::default()))
    }

    /// Those of files. Without an AegisGuard among them, one that says nothing holds.
    pub(in crate::commands) fn of_manifests(settings: Settings, manifests: &Manifests) -> Self {
        let Manifests { rules, templates, guard, nodes } = manifests;
        let saying_nothing = AegisGuard::new(GUARD_NAME, AegisGuardSpec::default());
        let guard = Guard::of(Some(guard.as_ref().unwrap_or(&saying_nothing)), nodes);
        Self::of(settings, rules, templates, Vec::new(), guard)
    }

    /// Rules, templates, and what holds actions back in that namespace now.
    pub(in crate::commands) async fn with_guard(
        client: &Client,
        settings: Settings,
        namespace: &str,
    ) -> Result<Self, Failure> {
        let guard = guard(client.clone(), namespace).await?;
        Ok(Self { guard: Arc::new(guard), ..Self::of_cluster(client, settings).await? })
    }

    pub(in crate::commands) fn of(
        settings: Settings,
        rules: &[AegisAlertOpsRule],
        templates: &[AegisOpsTemplate],
        alerts: Vec<AegisAlert>,
        guard: Guard,
    ) -> Self {
        let namespaces = context::namespaces(&settings);
        Self {
            decisions: Arc::new(context::plan_settings(&settings)),
            settings,
            rules: Arc::new(RuleBook::of(namespaces.clone(), rules)),
            templates: Arc::new(TemplateBook::of(namespaces, templates)),
            alerts,
            guard: Arc::new(guard),
        }
    }

    /// The stored alerts that may tell of the same incident.
    pub(super) fn of_signal(&self, signal: &Signal) -> Vec<&AegisAlert> {
        let label = names::fingerprint_label(&signal.fingerprint);
        self.alerts.iter().filter(|alert| alert.labels().get(FINGERPRINT_LABEL) == Some(&label)).collect()
    }

    /// The alert among all of it.
    pub(crate) fn snapshot(&self, alert: AegisAlert) -> Snapshot {
        Snapshot {
            alert: Arc::new(alert),
            actions: Vec::new(),
            absent: BTreeSet::new(),
            unused: BTreeSet::new(),
            siblings: Vec::new(),
            siblings_confirmed: true,
            guard: self.guard.clone(),
            others_first: false,
            gone: None,
            rules: self.rules.clone(),
            templates: self.templates.clone(),
            settings: self.decisions.clone(),
            old_controller: None,
            trouble: None,
        }
    }
}

/// What holds actions back in the cluster now.
async fn guard(client: Client, namespace: &str) -> Result<Guard, Failure> {
    let guards = Api::<AegisGuard>::namespaced(client.clone(), namespace);
    let guard = match guards.get(GUARD_NAME).await {
        Ok(guard) => Some(guard),
        // The controller makes it, with the default policy; but without its definition there is none.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
            names_object.then(|| AegisGuard::new(GUARD_NAME, AegisGuardSpec::default()))
        }
        Err(error) => return Err(Failure::of_call("could not read the AegisGuard", error)),
    };
    let nodes = Api::<Node>::all(client).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| Failure::of_call("could not list the nodes", error))?;
    Ok(Guard::of(guard.as_ref(), &nodes.items))
}

async fn list<K>(client: &Client, namespaces: &Namespaces, what: &str) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let places: Vec<(Api<K>, String)> = match namespaces {
        Namespaces::All => vec![(Api::all(client.clone()), "all namespaces".to_owned())],
        Namespaces::Only(names) => {
            names.iter().map(|name| (Api::namespaced(client.clone(), name), format!("namespace {name}"))).collect()
        }
    };
    let mut found = Vec::new();
    for (api, place) in places {
        let listed = api.list(&ListParams::default()).await.map_err(|error| {
            Failure::of_call(format!("could not list the {what} in {place}"), error)
                .hint("is Aegis installed (`kubectl aegis install`)? --rules reads files instead")
        })?;
        found.extend(listed.items);
    }
    Ok(found)
}

async fn alerts_of(client: &Client, namespace: &str, signals: &[(usize, Signal)]) -> Result<Vec<AegisAlert>, Failure> {
    let labels: BTreeSet<String> =
        signals.iter().map(|(_, signal)| names::fingerprint_label(&signal.fingerprint)).collect();
    let api = Api::<AegisAlert>::namespaced(client.clone(), namespace);
    let mut alerts = Vec::new();
    for label in labels {
        let of_label = ListParams::default().labels(&format!("{FINGERPRINT_LABEL}={label}"));
        let found = api.list(&of_label).await;
        alerts.extend(found.map_err(|error| Failure::of_call("could not list the alerts stored before", error))?.items);
    }
    Ok(alerts)
}
