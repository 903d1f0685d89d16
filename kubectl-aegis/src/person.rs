//! Who asks, and what time it is, as the API server knows it: what people write on objects names them, and their own
//! clocks may be off.

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::Kubeconfig;

use crate::cluster::ClusterArgs;
use crate::dry_run::DryRun;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// The name that the API server knows them by; the kubeconfig's where the server does not say.
    pub(crate) name: String,
    /// The API server's time, in whole seconds; this machine's where the server does not say.
    pub(crate) now: Timestamp,
}

impl Person {
    /// Asks the API server, unless the change is one that nothing is sent for.
    pub(crate) async fn known(client: &Client, cluster: &ClusterArgs, dry_run: DryRun) -> Self {
        if dry_run == DryRun::Client { Self::presumed(cluster) } else { Self::asked(client, cluster).await }
    }

    async fn asked(client: &Client, cluster: &ClusterArgs) -> Self {
        let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
        // Not everybody may ask. What else is wrong shows when something is read or written.
        let Ok(review) = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await else {
            return Self::presumed(cluster);
        };
        let presumed = Self::presumed(cluster);
        let name = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        let now = review.metadata.creation_timestamp.map(|time| time.0);
        Self { name: name.unwrap_or(presumed.name), now: now.unwrap_or(presumed.now) }
    }

    /// What can be told without asking.
    fn presumed(cluster: &ClusterArgs) -> Self {
        let name = kubeconfig_user(cluster).unwrap_or_else(|| "unknown".to_owned());
        let now = Timestamp::now();
        Self { name, now: Timestamp::from_second(now.as_second()).unwrap_or(now) }
    }
}

fn kubeconfig_user(cluster: &ClusterArgs) -> Option<String> {
    let kubeconfig = match &cluster.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.ok()?;
    let of_context = || {
        let name = cluster.context.as_ref().or(kubeconfig.current_context.as_ref())?;
        let found = kubeconfig.contexts.iter().find(|context| context.name == *name)?;
        found.context.as_ref()?.user.clone()
    };
    let user = cluster.user.clone().or_else(of_context)?;
    let login =
        kubeconfig.auth_infos.iter().find(|login| login.name == user).and_then(|login| login.auth_info.as_ref());
    Some(login.and_then(|login| login.impersonate.clone()).unwrap_or(user))
}
