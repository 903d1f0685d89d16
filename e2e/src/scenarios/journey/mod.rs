//! The way of those who take Aegis up: the plugin from krew, an installation, an alert from end to end, a procedure asked
//! for, approved, undone, and everything taken away again. First as an administrator, then by people with a role each.

mod people;

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::Aegis;
use crate::alertmanager::Alertmanager;
use crate::cluster::Cluster;
use crate::krew::Bench;
use crate::parts;
use crate::person::{ADMIN, Person};
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "journey",
    about: "from krew to uninstall: check, alert, trace, a procedure approved and undone, as administrator and as each role",
    smoke: false,
    parts: &[&parts::KREW, &parts::ALERTMANAGER],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "journey";
/// What the alert's rule says, and where its second step stands in the log.
const TYPE: &str = "DiskFull";
const SAID: &str = "the disk of node1 is clean";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let bench = Bench::with_the_plugin(cluster).await?;
    let argo = cluster.argo_in_a_pod().await?;
    let walked = walk(cluster, &bench).await;
    argo.end().await?;
    walked?;
    bench.kubectl(&["krew", "uninstall", "aegis"]).await?;
    bench.is_empty()
}

async fn walk(cluster: &Cluster, bench: &Bench) -> anyhow::Result<()> {
    let aegis = Aegis::fresh(cluster, NAMESPACE).await?;
    let way = Way { cluster, aegis: &aegis, path: bench.path() };
    let alertmanager = way.install().await.context("install")?;
    way.alert(&alertmanager).await.context("an alert")?;
    way.procedures().await.context("procedures")?;
    way.lists().await.context("lists")?;
    people::walk(&way).await.context("people")?;
    way.uninstall().await.context("uninstall")?;
    aegis.delete().await
}

/// Who goes, and where.
struct Way<'a> {
    cluster: &'a Cluster,
    aegis: &'a Aegis<'a>,
    /// On which kubectl finds what krew has installed.
    path: &'a str,
}

impl Way<'_> {
    /// Somebody of that name, whose kubectl finds the plugin that krew has installed.
    fn person<'b>(&'b self, name: &'b str) -> anyhow::Result<Person<'b>> {
        Ok(Person::new(self.cluster, NAMESPACE, name)?.on_path(self.path))
    }

    fn admin(&self) -> anyhow::Result<Person<'_>> {
        self.person(ADMIN)
    }

    /// Looks, installs, pastes what is printed for Alertmanager, and looks again.
    async fn install(&self) -> anyhow::Result<Alertmanager> {
        let admin = self.admin()?;
        let told = admin.aegis(&["check", "--pre"]).await?;
        ensure!(told.contains("`kubectl aegis install` would install it") && !told.contains("FAILED"), "{told}");
        // Roles for the whole cluster may be left from other scenarios, made by kubectl for other namespaces.
        admin.aegis(&["install", "--force-conflicts", "--wait", "--timeout", "2m"]).await?;
        self.aegis.name_is_known().await?;
        let receiver = admin.aegis(&["install", "--receiver"]).await?;
        let alertmanager = Alertmanager::start(self.cluster, &receiver).await?;
        let place = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "alertmanager"},
            "data": {"alertmanager.yaml": receiver},
        });
        self.cluster.apply(NAMESPACE, &place.to_string()).await?;
        let place = format!("configmap/{NAMESPACE}/alertmanager/alertmanager.yaml");
        let told = admin.aegis(&["check", "--wait", "--timeout", "1m", "--alertmanager-config", &place]).await?;
        self.all_well(&told)?;
        ensure!(told.contains("its receiver Aegis leads here; no report has arrived yet"), "{told}");
        ensure!(told.contains("(quay.io/argoproj/workflow-controller:"), "Argo's pod is not found: {told}");
        Ok(alertmanager)
    }

    fn all_well(&self, told: &str) -> anyhow::Result<()> {
        let mut rows = told.lines().skip_while(|line| !line.starts_with("STATUS"));
        ensure!(rows.next().is_some(), "no table: {told}");
        // What it waited for at first was told on standard error, which stands behind the table.
        let mut rows = rows.take_while(|row| !row.trim_start().starts_with("waiting: "));
        ensure!(rows.all(|row| row.starts_with("ok ")), "not all is well: {told}");
        Ok(())
    }

    /// Prometheus' alert, by Alertmanager, to a Workflow of two steps in pods, and the whole of it on one page.
    async fn alert(&self, alertmanager: &Alertmanager) -> anyhow::Result<()> {
        let admin = self.admin()?;
        let file = self.cluster.machine.folder().join("journey-rules.json");
        fs::write(&file, rules())?;
        let told = admin.aegis(&["rule", "apply", "-f", &file.display().to_string()]).await?;
        ensure!(told.contains("aegisalertopsrule.aegis.io/disk") && told.contains("template"), "{told}");
        alertmanager
            .fire(&json!([{
                "labels": {"alertname": TYPE, "kind": "Node", "node": Cluster::NODE, "severity": "critical"},
                "annotations": {"description": "It is full"},
            }]))
            .await?;
        self.aegis.until_alert(TYPE, "Triggered", "Succeeded").await?;
        let name = self.name_of(&format!("alert-type={TYPE}")).await?;
        let told = until("the page has what follows the end", || async {
            let told = admin.aegis(&["trace", &format!("alert/{name}")]).await?;
            Ok(told.contains(SAID).then_some(told))
        })
        .await?;
        for part in [
            "severity  critical",
            "source    alertmanager",
            &format!("{NAMESPACE}/disk"),
            "look",
            "clean",
            "looking at the disk of node1",
            SAID,
            "Succeeded",
        ] {
            ensure!(told.contains(part), "{part:?} is not on the page: {told}");
        }
        self.all_well(&admin.aegis(&["check"]).await?)
    }

    /// Procedures of the library: one that asks first, what it did undone, and another asked for by a verb of its own.
    async fn procedures(&self) -> anyhow::Result<()> {
        let admin = self.admin()?;
        admin.aegis(&["sop", "install", "cordon", "uncordon"]).await?;
        admin.kubectl(&["patch", "aegisalertopsrule", "sop-cordon", "--type=merge", "-p", ASKS]).await?;
        let alert = self.cordoned_with_a_yes(&admin, &admin).await?;
        admin.aegis(&["undo", &format!("alert/{alert}")]).await?;
        ensure!(!self.is_cordoned().await?, "undo leaves the node cordoned");

        self.cordoned_with_a_yes(&admin, &admin).await?;
        let uncordon = ["uncordon", &self.node(), "--reason", "all is well", "--wait", "--timeout", "2m"];
        admin.aegis(&uncordon).await?;
        ensure!(!self.is_cordoned().await?, "uncordon leaves the node cordoned");
        Ok(())
    }

    /// One person asks for a cordon, which waits, and another says yes; the alert that it led to, once what changed on the
    /// node is written down there.
    async fn cordoned_with_a_yes(&self, asks: &Person<'_>, approves: &Person<'_>) -> anyhow::Result<String> {
        let alert = self.asked_for(asks).await?;
        self.approved(approves, &alert).await?;
        Ok(alert)
    }

    /// Somebody asks for a cordon; the alert that it led to, once that waits for a yes.
    async fn asked_for(&self, asks: &Person<'_>) -> anyhow::Result<String> {
        let told = asks.aegis(&["sop", "run", "cordon", "--node", Cluster::NODE, "--reason", "a fan is loud"]).await?;
        let alert = told.split_whitespace().find_map(|word| word.strip_prefix("aegisalert.aegis.io/"));
        let alert = alert.with_context(|| format!("no alert is named in {told}"))?.to_owned();
        until("it asks for a yes", || async {
            let told = asks.aegis(&["get", "alerts", &alert, "-o", "wide"]).await?;
            ensure!(told.contains("NeedsApproval"), "it shows {told}");
            Ok(Some(()))
        })
        .await?;
        ensure!(!self.is_cordoned().await?, "it acted before it was approved");
        Ok(alert)
    }

    async fn approved(&self, approves: &Person<'_>, alert: &str) -> anyhow::Result<()> {
        let told = approves.aegis(&["approve", alert, "--reason", "go ahead"]).await?;
        ensure!(told.contains(&format!("aegisalert.aegis.io/{alert} approved")), "{told}");
        until("the node is cordoned, and whose cordon it is stands there", || async {
            let changes = ["get", "node", Cluster::NODE, "-o", r"jsonpath={.metadata.annotations.aegis\.io/changes}"];
            ensure!(self.is_cordoned().await?, "it is not cordoned");
            Ok(self.admin()?.kubectl(&changes).await?.contains(alert).then_some(()))
        })
        .await
    }

    /// Every list, for people and for programs.
    async fn lists(&self) -> anyhow::Result<()> {
        let admin = self.admin()?;
        for (kind, part) in [
            ("alerts", TYPE),
            ("rules", "sop-cordon"),
            ("templates", "sop-uncordon"),
            ("workflows", "Succeeded"),
            ("diagnoses", ""),
            ("inspections", ""),
            ("nodes", Cluster::NODE),
        ] {
            let table = admin.aegis(&["get", kind]).await?;
            ensure!(table.contains(part), "get {kind} says {table}");
            let list: Value = serde_json::from_str(&admin.aegis(&["get", kind, "-o", "json"]).await?)?;
            let items = list.get("items").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!((items == 0) == part.is_empty(), "get {kind} -o json has {items} items");
        }
        Ok(())
    }

    async fn uninstall(&self) -> anyhow::Result<()> {
        let admin = self.admin()?;
        let told = admin.aegis(&["uninstall", "--timeout", "3m"]).await?;
        ensure!(told.contains("deployment.apps/aegis deleted"), "{told}");
        let left = admin.kubectl(&["get", "deployments,services,roles,rolebindings", "-o", "name"]).await?;
        let ours = |line: &&str| line.contains("aegis");
        let left: Vec<&str> = left.lines().filter(ours).collect();
        ensure!(left.is_empty(), "these are left: {left:?}");
        let (ended, told) = admin.tries(&["check"]).await?;
        ensure!(ended == Some(7), "check ends with {ended:?} where nothing is installed: {told}");
        Ok(())
    }

    /// The one alert with that label.
    async fn name_of(&self, label: &str) -> anyhow::Result<String> {
        let names = self.admin()?.aegis(&["get", "alerts", "-l", label, "-o", "name"]).await?;
        let name = names.trim().rsplit('/').next().unwrap_or_default();
        ensure!(!name.is_empty() && names.lines().count() == 1, "expected one alert with {label}, found {names:?}");
        Ok(name.to_owned())
    }

    fn node(&self) -> String {
        format!("node/{}", Cluster::NODE)
    }

    async fn is_cordoned(&self) -> anyhow::Result<bool> {
        let cordoned = ["get", "node", Cluster::NODE, "-o", "jsonpath={.spec.unschedulable}"];
        Ok(self.cluster.kubectl(&cordoned).await? == "true")
    }
}

/// A rule whose actions wait for a person.
const ASKS: &str = r#"{"spec": {"approval": "Required"}}"#;

/// A rule for the alert, and its template: two steps, each in a pod.
fn rules() -> String {
    let step = |name: &str, says: &str| json!({"name": name, "container": {"image": "busybox:latest", "command": ["echo", says]}});
    let steps = json!([[{"name": "look", "template": "look"}], [{"name": "clean", "template": "clean"}]]);
    let workflow = procedure::workflow(&json!([
        {"name": "main", "steps": steps},
        step("look", "looking at the disk of {{.node}}"),
        step("clean", "the disk of {{.node}} is clean"),
    ]));
    procedure::list(procedure::rule("disk", &format!("^{TYPE}$"), &workflow))
}
