//! The everyday verbs of the real kubectl on every kind: apply on the client and on the server, explain, get and its
//! watch, edit, label, patch, delete.

use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::audit;
use crate::cluster::Cluster;
use crate::lists::Lists;
use crate::wait::{PATIENCE, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "kubectl",
    about: "apply on both sides, explain, get and its watch, edit, label, patch and delete by the real kubectl",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "kubectl";
const KINDS: [&str; 7] = [
    "aegisalert",
    "aegisalertopsrule",
    "aegisopstemplate",
    "aegisdiagnosis",
    "aegisnodehealthcheck",
    "aegisclusterhealthcheck",
    "aegisguard",
];
/// The name of the rule and of the template that the compatible system's users know.
const SEED: &str = "nodehasemergencyevent";

/// One of each kind that the seed's file does not hold.
const OTHERS: &str = "\
apiVersion: aegis.io/v1alpha1
kind: AegisAlert
metadata: {name: by-hand}
spec:
  type: ByHand
  status: Firing
  source: kubectl
  involvedObject: {kind: Node, name: node1, node: node1}
---
apiVersion: aegis.io/v1alpha1
kind: AegisDiagnosis
metadata: {name: by-hand}
spec:
  object: {kind: Node, name: node1}
---
apiVersion: aegis.io/v1alpha1
kind: AegisNodeHealthCheck
metadata: {name: by-hand}
spec:
  node: node1
  ruleConfigmapSelector: {matchLabels: {check: gpu}}
  template: {spec: {containers: [{name: main, image: busybox:latest}]}}
---
apiVersion: aegis.io/v1alpha1
kind: AegisClusterHealthCheck
metadata: {name: by-hand}
spec:
  schedule: '0 3 * * *'
  timeout: 600
  ruleConfigmapSelector: {matchLabels: {check: gpu}}
  template: {spec: {containers: [{name: main, image: busybox:latest}]}}
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let controller = aegis.start(8080, &[]).await?;
    definitions(cluster).await?;
    let seed = repository("kubectl-aegis/tests/data/seed.yaml").display().to_string();
    let mut watch = Watch::start(cluster, "aegisopstemplate")?;
    apply(cluster, &seed).await?;
    ensure!(watch.row().await? == [SEED], "a new template's row shows a status that nobody wrote yet");
    watch.until(&[SEED, "Recorded"]).await?;
    mistakes(cluster, &seed).await?;
    edit(cluster, &mut watch).await?;

    cluster.apply(NAMESPACE, OTHERS).await?;
    explain(cluster).await?;
    every_kind(cluster).await?;
    until_equal("the controller judges the alert", "RuleNotFound".to_owned(), || async {
        get(cluster, &["aegisalert", "by-hand", "-o", "jsonpath={.status.opsStatus.triggerStatus}"]).await
    })
    .await?;
    label_patch_delete(cluster).await?;
    aegis.uninstall(controller).await?;
    lists(cluster).await
}

/// The plugin lists what kubectl does, in as few requests.
async fn lists(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, "kubectl-lists").await?;
    let lists = Lists::store(cluster, aegis.namespace(), 100).await?;
    let kubectl = lists.by_kubectl().await?;
    ensure!(kubectl.names.len() == 100, "kubectl lists {:?}", kubectl.names);
    let mark = audit::mark(cluster)?;
    let plugin = lists.by_the_plugin().await?;
    let requests = lists.requests_since(mark).await?;
    ensure!(plugin.names == kubectl.names, "the plugin lists {:?}", plugin.names);
    ensure!(requests <= 2, "the plugin's list takes {requests} requests");
    aegis.delete().await
}

/// The definitions are there already: either side's apply takes them as they are, and the other's after it.
async fn definitions(cluster: &Cluster) -> anyhow::Result<()> {
    let files = repository("manifest/install").display().to_string();
    let told = cluster.kubectl(&["apply", "-f", &files]).await?;
    let unchanged = told.lines().filter(|line| line.ends_with(" unchanged")).count();
    ensure!(unchanged == KINDS.len() && told.lines().count() == KINDS.len(), "apply says {told}");
    let told = cluster.kubectl(&["apply", "--server-side", "-f", &files]).await?;
    let applied = told.lines().filter(|line| line.ends_with(" serverside-applied")).count();
    ensure!(applied == KINDS.len(), "apply on the server says {told}");
    let told = cluster.kubectl(&["apply", "-f", &files]).await?;
    ensure!(!told.contains("created"), "apply after that on the server says {told}");
    Ok(())
}

/// Users' manifests are applied by either side.
async fn apply(cluster: &Cluster, seed: &str) -> anyhow::Result<()> {
    let steps: [(&[&str], &str); 5] = [
        (&["apply", "--dry-run=server"], "created (server dry run)"),
        (&["apply"], "created"),
        (&["apply"], "unchanged"),
        (&["apply", "--server-side"], "serverside-applied"),
        (&["diff"], ""),
    ];
    for (command, word) in steps {
        let words = [command, &["-n", NAMESPACE, "-f", seed]].concat();
        let told = cluster.kubectl(&words).await?;
        let want: String = match word {
            "" => String::new(),
            word => ["aegisalertopsrule", "aegisopstemplate"]
                .map(|kind| format!("{kind}.aegis.io/{SEED} {word}\n"))
                .concat(),
        };
        ensure!(told == want, "`kubectl {}` says {told:?}, expected {want:?}", command.join(" "));
    }
    Ok(())
}

/// What cannot be right is refused, by field.
async fn mistakes(cluster: &Cluster, seed: &str) -> anyhow::Result<()> {
    let seed = std::fs::read_to_string(seed)?;
    let cases = [
        ("status: Firing", "status: Fired", "spec.alertConditions[0].status"),
        ("alertConditions:", "alertConditionz:", "unknown field \"spec.alertConditionz\""),
        ("- type: NodeHasEmergencyEvent", "- type: [1]", "spec.alertConditions[0].type"),
    ];
    for (right, wrong, words) in cases {
        ensure!(seed.contains(right), "the seed's rule has no {right:?}");
        let Err(error) = cluster.apply(NAMESPACE, &seed.replace(right, wrong)).await else {
            bail!("a rule with {wrong:?} was taken")
        };
        ensure!(error.to_string().contains(words), "the error for {wrong:?} does not tell of {words}: {error}");
    }
    Ok(())
}

/// `kubectl edit` with an editor that is a script; the controller judges each edition, and the watch shows it.
async fn edit(cluster: &Cluster, watch: &mut Watch) -> anyhow::Result<()> {
    for (change, row) in [
        ("s/{{.node}}/{{.node/", &[SEED, "Invalid"]),
        ("s/{{.node$/{{.node}}/", &[SEED, "Recorded"]),
        ("s/limit: 1/limit: 2/", &[SEED, "Recorded"]),
    ] {
        let mut command = cluster.kubectl_command();
        command.args(["edit", "aegisopstemplate", SEED, "-n", NAMESPACE]);
        command.env("KUBE_EDITOR", format!("sed -i '{change}'"));
        let output = command.kill_on_drop(true).output().await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(told.trim() == format!("aegisopstemplate.aegis.io/{SEED} edited"), "edit with {change} says {told}");
        watch.until(row).await?;
    }
    let manifest = get(cluster, &["aegisopstemplate", SEED, "-o", "jsonpath={.spec.manifest}"]).await?;
    ensure!(manifest.contains("limit: 2\n"), "the edited manifest reads {manifest}");
    Ok(())
}

/// Each kind, and each of its fields one level down, says what it is.
async fn explain(cluster: &Cluster) -> anyhow::Result<()> {
    for kind in KINDS {
        for path in [kind.to_owned(), format!("{kind}.spec"), format!("{kind}.status")] {
            until_equal(&format!("kubectl explains {path}"), true, || async {
                let told = cluster.kubectl(&["explain", &path]).await?;
                ensure!(told.contains("GROUP:      aegis.io"), "it says {told}");
                ensure!(!told.contains("<empty>") && !told.contains("<no description>"), "it lacks words: {told}");
                Ok(told.contains("FIELDS:"))
            })
            .await?;
        }
    }
    let told = cluster.kubectl(&["explain", "aegisalert.spec.detials"]).await?;
    ensure!(told.contains("FIELD: detials <map[string]string>"), "the details are explained as {told}");
    Ok(())
}

/// `kubectl get aegis` lists all kinds, and each kind by each of its names.
async fn every_kind(cluster: &Cluster) -> anyhow::Result<()> {
    let names = get(cluster, &["aegis", "-o", "name"]).await?;
    let mut found: Vec<&str> = names.lines().filter_map(|name| name.split('.').next()).collect();
    found.sort_unstable();
    let mut kinds = KINDS;
    kinds.sort_unstable();
    ensure!(found == kinds, "`kubectl get aegis` lists {names}");
    for kind in KINDS {
        let output = format!(
            "jsonpath={{range .items[?(@.spec.names.singular=='{kind}')]}}\
             {{.spec.names.plural}} {{.spec.names.shortNames[*]}}{{end}}"
        );
        let definitions = cluster.kubectl(&["get", "crd", "-o", &output]).await?;
        ensure!(!definitions.trim().is_empty(), "{kind} is not defined");
        for name in definitions.split_whitespace() {
            let table = get(cluster, &[name]).await?;
            ensure!(table.lines().count() == 2, "`kubectl get {name}` shows {table}");
        }
    }
    Ok(())
}

async fn label_patch_delete(cluster: &Cluster) -> anyhow::Result<()> {
    let rule = format!("aegisalertopsrule/{SEED}");
    let own =
        |words: &[&str]| -> Vec<String> { words.iter().copied().chain(["-n", NAMESPACE]).map(str::to_owned).collect() };
    let steps: [(Vec<String>, &str); 6] = [
        (own(&["label", &rule, "team=gpu"]), "labeled"),
        (own(&["annotate", &rule, "why=trial"]), "annotated"),
        (own(&["patch", &rule, "--type=merge", "-p", r#"{"spec":{"priority":7}}"#]), "patched"),
        (
            own(&["patch", &rule, "--type=json", "-p", r#"[{"op":"test","path":"/spec/priority","value":7}]"#]),
            "patched (no change)",
        ),
        (own(&["delete", &rule]), "deleted"),
        (own(&["delete", "aegisdiagnosis", "by-hand"]), "deleted"),
    ];
    for (command, word) in steps {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let told = cluster.kubectl(&words).await?;
        ensure!(told.contains(word), "`kubectl {}` says {told:?}, expected {word:?}", words.join(" "));
        if word == "patched" {
            let by_label =
                get(cluster, &["arule", "-l", "team=gpu", "-o", "jsonpath={.items[*].spec.priority}"]).await?;
            ensure!(by_label == "7", "the labelled rule's priority is {by_label:?}");
        }
    }
    let left = get(cluster, &["aegis", "-o", "name"]).await?;
    ensure!(left.lines().count() == KINDS.len() - 2, "after two were deleted there are {left}");
    Ok(())
}

async fn get(cluster: &Cluster, words: &[&str]) -> anyhow::Result<String> {
    cluster.kubectl(&[&["get", "-n", NAMESPACE], words].concat()).await
}

/// `kubectl get KIND --watch`, row by row.
struct Watch {
    lines: Lines<BufReader<ChildStdout>>,
    _kubectl: Child,
}

impl Watch {
    fn start(cluster: &Cluster, kind: &str) -> anyhow::Result<Self> {
        let mut command = cluster.kubectl_command();
        command.args(["get", kind, "-n", NAMESPACE, "--watch", "--no-headers"]);
        let mut kubectl = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = kubectl.stdout.take().context("kubectl has no output")?;
        Ok(Self { lines: BufReader::new(output).lines(), _kubectl: kubectl })
    }

    /// The words of the next row.
    async fn row(&mut self) -> anyhow::Result<Vec<String>> {
        let line =
            tokio::time::timeout(PATIENCE, self.lines.next_line()).await.context("the watch shows no more")??;
        let line = line.context("the watch ended")?;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Reads on to a row that begins with these words.
    async fn until(&mut self, words: &[&str]) -> anyhow::Result<()> {
        loop {
            let row = self.row().await.with_context(|| format!("no row {words:?} came"))?;
            if row.iter().map(String::as_str).take(words.len()).eq(words.iter().copied()) {
                return Ok(());
            }
        }
    }
}
