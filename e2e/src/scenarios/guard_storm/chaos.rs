//! What happens to the controllers meanwhile: of three two lead at all times, each by a Lease of its own, and both are
//! killed with SIGKILL, or halted and let go on, again and again.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::aegis::{Aegis, Controller};

/// Short, so that a successor need not wait long.
const LEASE: [&str; 6] = ["--lease.duration", "6s", "--lease.renew-deadline", "5s", "--lease.retry-period", "1s"];
const OTHER_LEASE: &str = "aegis-other";
/// From one blow to the next.
const BETWEEN: Duration = Duration::from_secs(12);
/// Longer than the Lease lasts: another leads when it goes on.
const HALTED: Duration = Duration::from_secs(8);

/// What a leader with another Lease needs beside the shipped Role.
const ROLE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: other-lease}
rules:
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [aegis-other], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: other-lease}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: other-lease}
subjects: [{kind: ServiceAccount, name: aegis}]
";

/// How often it struck.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blows {
    pub(super) killed: usize,
    pub(super) halted: usize,
}

/// Three controllers.
pub(super) struct Chaos<'a> {
    aegis: &'a Aegis<'a>,
    /// The last one is alone with its Lease.
    replicas: [Controller; 3],
}

/// Where the controllers listen.
const PORTS: [u16; 3] = [8080, 8081, 8082];

impl<'a> Chaos<'a> {
    /// Starts them, and waits until all are ready.
    pub(super) async fn start(aegis: &'a Aegis<'a>) -> anyhow::Result<Self> {
        aegis.cluster().apply(aegis.namespace(), ROLE).await?;
        let [one, two, other] = PORTS;
        let mut replicas = [launch(aegis, one).await?, launch(aegis, two).await?, launch(aegis, other).await?];
        for replica in &mut replicas {
            replica.until_ready().await?;
        }
        Ok(Self { aegis, replicas })
    }

    /// Where their webhooks are.
    pub(super) fn webhooks(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.url("/default/alert")).collect()
    }

    /// Strikes until it is told to stop; then all run again.
    pub(super) async fn strike(&mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<Blows> {
        let mut blows = Blows::default();
        for round in 0.. {
            tokio::select! {
                () = tokio::time::sleep(BETWEEN) => {}
                told = stop.wait_for(|stop| *stop) => { told.context("nobody will ever stop it")?; break }
            }
            if round % 3 == 1 {
                let Some(leader) = self.leader().await? else { continue };
                leader.running.freeze()?;
                tokio::time::sleep(HALTED).await;
                leader.running.resume()?;
                blows.halted += 1;
                continue;
            }
            let aegis = self.aegis;
            let [_, _, other] = &mut self.replicas;
            let (port, struck) = match round % 3 {
                0 => (None, self.leader().await?),
                _ => (PORTS.last().copied(), Some(other)),
            };
            let Some(struck) = struck else { continue };
            let port = port.unwrap_or(struck.address().port());
            struck.running.kill().await?;
            *struck = launch(aegis, port).await?;
            blows.killed += 1;
        }
        for replica in &mut self.replicas {
            replica.until_ready().await?;
        }
        Ok(blows)
    }

    /// Which of the first two leads.
    async fn leader(&mut self) -> anyhow::Result<Option<&mut Controller>> {
        let holder = self.aegis.lease().await?.holder_identity.unwrap_or_default();
        let [one, two, _] = &mut self.replicas;
        Ok([one, two].into_iter().find(|replica| holder.starts_with(replica.name())))
    }

    /// Ends all but one.
    pub(super) async fn end(self) -> anyhow::Result<Controller> {
        let [one, mut two, mut other] = self.replicas;
        two.running.stop().await?;
        other.running.stop().await?;
        Ok(one)
    }
}

async fn launch(aegis: &Aegis<'_>, port: u16) -> anyhow::Result<Controller> {
    let mut flags = LEASE.to_vec();
    if PORTS.last() == Some(&port) {
        flags.extend(["--lease.name", OTHER_LEASE]);
    }
    aegis.launch(port, &flags).await
}
