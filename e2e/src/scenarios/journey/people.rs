//! The same way by people, each with one of the shipped roles: what it lets them do, and what it does not, with the verb
//! that is missing.

use std::fs;

use anyhow::{Context as _, ensure};

use super::{NAMESPACE, TYPE, Way, rules};
use crate::cluster::Cluster;
use crate::person::Person;

const VIEWER: &str = "vic";
/// Also may what `plan` takes.
const PLANNER: &str = "pam";
const OPERATOR: &str = "dan";
const APPROVER: &str = "ann";
const AUTHOR: &str = "ada";
const ALL: [&str; 5] = [VIEWER, PLANNER, OPERATOR, APPROVER, AUTHOR];

const CREATE_ALERT: &str = "the verb create on aegisalerts is needed";
const PAUSE: &str = "the verbs patch and create on aegisguards are needed";
const APPROVE: &str = "the verbs patch and approve on aegisalerts are needed";
const SEND: &str = "the verb create on services/proxy in namespace journey";
const DELETE_RULE: &str = "the verb delete on aegisalertopsrules.aegis.io in namespace journey";
const TEMPLATE: &str = "the verb patch on aegisopstemplates.aegis.io in namespace journey";
const NODES: &str = "the verb list on nodes in the whole cluster";

/// Goes it.
pub(super) async fn walk(way: &Way<'_>) -> anyhow::Result<()> {
    let plan = format!("{NAMESPACE}-plan");
    let bind = ["create", "clusterrolebinding", &plan, "--clusterrole=aegis-plan", &format!("--user={PLANNER}")];
    let people = People { way };
    for (name, role) in [
        (VIEWER, "aegis-viewer"),
        (PLANNER, "aegis-viewer"),
        (OPERATOR, "aegis-operator"),
        (APPROVER, "aegis-approver"),
        (AUTHOR, "aegis-author"),
    ] {
        way.person(name)?.is_given(&format!("--clusterrole={role}")).await?;
    }
    way.cluster.kubectl(&bind).await?;
    let walked = people.walk().await;
    way.cluster.kubectl(&["delete", "clusterrolebinding", &plan]).await?;
    walked
}

struct People<'a> {
    way: &'a Way<'a>,
}

impl People<'_> {
    async fn walk(&self) -> anyhow::Result<()> {
        for name in ALL {
            self.looks(name).await.with_context(|| format!("what {name} sees"))?;
        }
        self.writes().await.context("the author")?;
        let (operator, approver) = (self.person(OPERATOR)?, self.person(APPROVER)?);
        let alert = self.way.asked_for(&operator).await.context("the operator")?;
        self.refused(&alert).await?;
        self.way.approved(&approver, &alert).await.context("the approver")?;
        let told = self.person(VIEWER)?.aegis(&["trace", &format!("alert/{alert}")]).await?;
        for part in
            ["asked by  dan: a fan is loud", "approved  by ann", "was not read", "cannot list resource \"workflows\""]
        {
            ensure!(told.contains(part), "{part:?} is not on the page that a viewer sees: {told}");
        }
        let uncordon = ["uncordon", &self.way.node(), "--reason", "all is well", "--wait", "--timeout", "2m"];
        operator.aegis(&uncordon).await?;
        ensure!(!self.way.is_cordoned().await?, "uncordon leaves the node cordoned");
        operator.aegis(&["pause", &self.way.node(), "--for", "1h", "--reason", "a trial"]).await?;
        operator.aegis(&["resume", &self.way.node()]).await?;
        operator.aegis(&["alert", "send", "ByHand", "--node", Cluster::NODE]).await.map(drop)
    }

    fn person<'b>(&'b self, name: &'b str) -> anyhow::Result<Person<'b>> {
        self.way.person(name)
    }

    /// What everybody sees, and what of the rest nobody does, each with its reason.
    async fn looks(&self, name: &str) -> anyhow::Result<()> {
        let person = self.person(name)?;
        let disk = self.way.name_of(&format!("alert-type={TYPE}")).await?;
        let trace = format!("alert/{disk}");
        let sees: [(&[&str], &str); 9] = [
            (&["get", "alerts"], TYPE),
            (&["get", "rules"], "sop-cordon"),
            (&["get", "templates"], "sop-uncordon"),
            (&["get", "diagnoses"], ""),
            (&["get", "inspections"], ""),
            (&["top", "--once"], TYPE),
            (&["guard"], "breaker"),
            (&["alert", "rejected"], "nothing was rejected"),
            (&["trace", &trace], "severity  critical"),
        ];
        for (words, part) in sees {
            let told = person.aegis(words).await?;
            ensure!(told.contains(part), "{words:?} tells {told}");
        }
        let node = self.way.node();
        self.is_refused(name, &["get", "workflows"], "the verb list on workflows.argoproj.io").await?;
        // They read many things at the same time, and tell of the first that was refused.
        self.is_refused(name, &["install"], "ask for a role with the verb get on ").await?;
        self.is_refused(name, &["uninstall"], "ask for a role with the verb get on ").await?;
        self.is_refused(name, &["check"], "the verb get on deployments.apps in namespace journey").await?;
        if name == PLANNER {
            let (ended, told) = person.tries(&["plan", TYPE, "--node", Cluster::NODE]).await?;
            ensure!(
                ended == Some(0) && told.contains(&format!("{NAMESPACE}/disk")),
                "plan ends with {ended:?}: {told}"
            );
            let told = person.aegis(&["get", "nodes"]).await?;
            ensure!(told.contains(Cluster::NODE), "get nodes tells {told}");
            return Ok(());
        }
        self.is_refused(name, &["plan", TYPE, "--node", Cluster::NODE], NODES).await?;
        self.is_refused(name, &["get", "nodes"], NODES).await?;
        self.is_refused(name, &["undo", &node], "the verb get on nodes in the whole cluster").await
    }

    /// The author brings procedures, takes a rule away and puts it back; a procedure with roles of its own takes more.
    async fn writes(&self) -> anyhow::Result<()> {
        let author = self.person(AUTHOR)?;
        author.aegis(&["sop", "install", "cordon", "uncordon"]).await?;
        author.aegis(&["rule", "delete", "disk"]).await?;
        let file = self.way.cluster.machine.folder().join("journey-rules.json");
        fs::write(&file, rules())?;
        author.aegis(&["rule", "apply", "-f", &file.display().to_string()]).await?;
        self.is_refused(AUTHOR, &["sop", "install", "drain"], "the verb patch on serviceaccounts in namespace journey")
            .await
    }

    /// What is of another role, while that alert waits for a yes.
    async fn refused(&self, held: &str) -> anyhow::Result<()> {
        let ask: &[&str] = &["sop", "run", "uncordon", "--node", Cluster::NODE, "--reason", "why"];
        let pause: &[&str] = &["pause", "--reason", "why"];
        let (approve, reject): (&[&str], &[&str]) = (&["approve", held], &["reject", held, "--reason", "no"]);
        let send: &[&str] = &["alert", "send", "ByHand", "--node", Cluster::NODE];
        let delete: &[&str] = &["rule", "delete", "disk"];
        let install: &[&str] = &["sop", "install", "cordon"];
        for (name, words, missing) in [
            (VIEWER, ask, CREATE_ALERT),
            (VIEWER, pause, PAUSE),
            (VIEWER, approve, APPROVE),
            (VIEWER, reject, APPROVE),
            (VIEWER, send, SEND),
            (VIEWER, delete, DELETE_RULE),
            (VIEWER, install, TEMPLATE),
            (OPERATOR, approve, APPROVE),
            (OPERATOR, delete, DELETE_RULE),
            (OPERATOR, install, TEMPLATE),
            (APPROVER, ask, CREATE_ALERT),
            (APPROVER, pause, PAUSE),
            (APPROVER, send, SEND),
            (APPROVER, delete, DELETE_RULE),
            (APPROVER, install, TEMPLATE),
            (AUTHOR, ask, CREATE_ALERT),
            (AUTHOR, pause, PAUSE),
            (AUTHOR, approve, APPROVE),
            (AUTHOR, send, SEND),
        ] {
            self.is_refused(name, words, missing).await?;
        }
        Ok(())
    }

    async fn is_refused(&self, name: &str, words: &[&str], missing: &str) -> anyhow::Result<()> {
        let (ended, told) = self.person(name)?.tries(words).await?;
        ensure!(ended == Some(4), "{name} {words:?} ends with {ended:?}: {told}");
        ensure!(told.contains(missing), "{name} {words:?} is told {told}, which lacks {missing:?}");
        Ok(())
    }
}
