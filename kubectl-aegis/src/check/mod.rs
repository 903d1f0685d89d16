//! Preflight and health: what was read of a cluster, judged by functions that need no cluster, a file for each family.

mod api;
mod argo;
mod ask;
mod before;
mod controller;
pub(crate) mod finding;
pub(crate) mod fire;
mod guard;
mod rejections;
pub(crate) mod report;
mod rights;
mod webhook;
mod world;

use self::finding::Finding;
pub(crate) use self::world::World;
use crate::failure::Failure;

/// What `check -o json` prints.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<report::Report>()
}

/// Whether Aegis is well: everything that was looked at, in the order in which one thing needs the other.
///
/// # Errors
/// Where the API server cannot be reached: nothing else can be told then.
pub(crate) async fn health(world: &World, alertmanager: Option<&str>) -> Result<Vec<Finding>, Failure> {
    let (client, namespace) = (&world.client, world.namespace.as_str());
    let version = world.version().await?;
    let controller = rights::granted("aegis", namespace)?;
    let workflow = rights::granted("aegis-workflow", namespace)?;
    let (api, controller_may, workflow_may, controller, webhook, argo, guard, rejections) = futures::join!(
        api::look(client, version),
        rights::look(client, Some(world.account()), namespace, controller),
        rights::look(client, Some("aegis-workflow"), namespace, workflow),
        controller::look(world),
        webhook::look(world, alertmanager),
        argo::look(world),
        guard::look(world),
        rejections::look(world),
    );
    let mut findings = api::judge(&api, false);
    findings.push(rights::judge(&controller_may));
    findings.push(rights::judge(&workflow_may));
    findings.extend(controller::judge(&controller));
    findings.extend(webhook::judge(&webhook));
    findings.extend(argo::judge(&argo));
    findings.extend(guard::judge(&guard));
    findings.push(rejections::judge(&rejections));
    Ok(findings)
}

/// What installing takes, and what stands in its way.
///
/// # Errors
/// Where the API server cannot be reached.
pub(crate) async fn before(world: &World) -> Result<Vec<Finding>, Failure> {
    let version = world.version().await?;
    let rights = rights::to_install(&world.namespace)?;
    let (api, may, found, argo) = futures::join!(
        api::look(&world.client, version),
        rights::look(&world.client, None, &world.namespace, rights),
        before::look(world),
        argo::look(world),
    );
    let mut findings = api::judge(&api, true);
    findings.push(rights::judge(&may));
    findings.extend(before::judge(&found, &world.namespace)?);
    // Its ServiceAccount comes with the installation, and all else of it may come later.
    let argo = argo::judge(&argo).into_iter().filter(|finding| finding.name != argo::ACCOUNT);
    findings.extend(argo.map(Finding::at_most_a_warning));
    Ok(findings)
}
