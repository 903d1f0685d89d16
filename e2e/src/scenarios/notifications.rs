//! Outcomes reach the chats and programs that a Secret names, in bodies that they take, while receivers that fail, hang or
//! are gone cost the alert path nothing; and nothing of the Secret shows anywhere.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use http::StatusCode;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, node_alert, repository};
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::procedure;
use crate::receiver::{Kind, Receivers};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "notifications",
    about: "each outcome reaches Slack, Feishu, DingTalk and a program; a receiver in trouble slows no alert, no secret shows",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "notifications";
/// Every receiver: its name, the path under which it listens, and what it is. The paths are as secret as the vendors' own.
const RECEIVERS: [(&str, &str, Kind); 7] = [
    ("slack", "/services/T0SLACKPATH", Kind::Slack),
    ("feishu", "/hook/f0-feishu-path", Kind::Feishu("f0-feishu-secret")),
    ("dingtalk", "/robot/send", Kind::DingTalk("SEC0dingtalk")),
    ("program", "/program-s3cretpath", Kind::Program("pr0gram-token")),
    ("fails-once", "/fails-once-s3cretpath", Kind::FailsOnce),
    ("hangs", "/hangs-s3cretpath", Kind::Hangs),
    ("gone", "/gone-s3cretpath", Kind::Gone),
];
/// What may stand nowhere but in the Secret.
const SECRETS: [&str; 9] = [
    "T0SLACKPATH",
    "f0-feishu-path",
    "f0-feishu-secret",
    "d0-access-token",
    "SEC0dingtalk",
    "pr0gram-token",
    "s3cretpath",
    "s3crettoken",
    "nobody-listens",
];
/// For how long a message is left with a receiver that hangs, in seconds, as the guide says.
const ANSWER: i64 = 10;
/// The alerts that come at once.
const BURST: usize = 20;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let receivers = Receivers::start(&cluster.machine, &RECEIVERS.map(|(_, path, kind)| (path, kind))).await?;
    let file = cluster.machine.folder().join("notify.yaml");
    std::fs::write(&file, notify_file(&receivers).to_string())?;
    let from = format!("--from-file=notify.yaml={}", file.display());
    cluster.kubectl(&["create", "secret", "generic", "aegis-notify", "-n", NAMESPACE, &from]).await?;
    cluster.apply(NAMESPACE, &rules()).await?;
    cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &deployment()]).await?;
    cluster.kubectl(&["rollout", "status", "deployment/aegis", "-n", NAMESPACE, "--timeout=120s"]).await?;
    let words = ["get", "service", "aegis", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"];
    let webhook = format!("http://{}:8080/default/alert", cluster.kubectl(&words).await?);
    let scene = Scene { aegis: &aegis, receivers: &receivers, webhook };
    scene.each_outcome().await.context("each outcome")?;
    scene.a_burst().await.context("a burst beside a receiver that hangs")?;
    scene.in_trouble().await.context("receivers in trouble")?;
    scene.secrets_stay_secret().await.context("what is secret")?;
    aegis.let_go().await?;
    cluster.kubectl(&["delete", "-n", NAMESPACE, "-f", &deployment()]).await?;
    aegis.delete().await
}

fn deployment() -> String {
    repository("manifest/deploy/deployment.yaml").display().to_string()
}

/// Who is told, as an administrator writes it. Nobody listens where the last one points to.
fn notify_file(receivers: &Receivers) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for (name, path, kind) in RECEIVERS {
        let (format, query, key, secret) = match kind {
            Kind::Slack => ("slack", "", "name", name),
            Kind::Feishu(secret) => ("feishu", "", "secret", secret),
            Kind::DingTalk(secret) => ("dingtalk", "?access_token=d0-access-token", "secret", secret),
            Kind::Program(token) => ("json", "", "token", token),
            Kind::FailsOnce | Kind::Hangs | Kind::Gone => ("json", "?key=s3crettoken", "name", name),
        };
        let url = receivers.url(&format!("{path}{query}"));
        all.push(json!({"name": name, "format": format, "url": url, "outcomes": "all", key: secret}));
    }
    let nowhere =
        json!({"name": "nobody", "format": "slack", "url": "http://127.0.0.1:9/nobody-listens", "outcomes": "all"});
    all.push(nowhere);
    json!({"cluster": "e2e", "heldAfter": "5s", "receivers": all})
}

/// A rule for each way in which an alert can end.
fn rules() -> String {
    let (wait, fail) = (procedure::wait(), procedure::fail());
    let check = procedure::rule("stays-check", "", &fail);
    let stays = procedure::rule("stays", "^NodeStays$", &wait);
    let verified = json!({"template": "stays-check", "within": "1m"});
    let given_up = procedure::rule("given-up", "^NodeGivenUp$", &fail);
    let asks = procedure::rule("asks", "^NodeAsks$", &wait);
    let rules = [
        procedure::rule("waits", "^NodeWaits$", &wait),
        procedure::rule("fails", "^NodeFails$", &fail),
        procedure::where_rule(stays, "verification", verified),
        procedure::where_rule(given_up, "retries", json!({"attempts": 1})),
        procedure::where_rule(asks, "approval", json!("Required")),
        procedure::rule("paused", "^NodePaused$", &wait),
    ];
    let [_, check] = check;
    procedure::list(rules.into_iter().flatten().chain([check]))
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    receivers: &'a Receivers,
    webhook: String,
}

impl Scene<'_> {
    async fn send(&self, type_: &str, fingerprint: &str, node: &str) -> anyhow::Result<()> {
        let body = node_alert(type_, fingerprint, node).to_string();
        let answer = reqwest::Client::new().post(&self.webhook).body(body).send().await?;
        let (code, text) = (answer.status(), answer.text().await?);
        ensure!(code == StatusCode::OK, "the webhook answered {code}: {text}");
        Ok(())
    }

    /// The notices that the program has taken: what became of which alert.
    fn taken(&self) -> Vec<Value> {
        let path = path_of("program");
        self.receivers.heard(path).iter().flat_map(|message| notices(&message.body)).collect()
    }

    /// Waits until the program has been told that of the alert with this fingerprint.
    async fn until_told(&self, outcome: &str, fingerprint: &str) -> anyhow::Result<()> {
        let alert = self.aegis.stored(fingerprint).await?.name_any();
        until(&format!("{outcome} of {fingerprint} is told"), || async {
            let taken = self.taken();
            let told =
                taken.iter().any(|notice| said(notice, "/outcome") == outcome && said(notice, "/alert/name") == alert);
            let summary: BTreeSet<(&str, &str)> =
                taken.iter().map(|notice| (said(notice, "/outcome"), said(notice, "/alert/name"))).collect();
            ensure!(
                told,
                "told was {summary:?}; the alert's status is {:?}",
                self.aegis.stored(fingerprint).await?.status
            );
            Ok(Some(()))
        })
        .await
    }

    /// One alert for each outcome, and each of them is told once to everybody who takes messages.
    async fn each_outcome(&self) -> anyhow::Result<()> {
        self.aegis.admin()?.aegis(&["pause", "rule/paused"]).await?;
        let alerts = [
            ("NodeWaits", "waits", &["Succeeded"][..]),
            ("NodeFails", "fails", &["Failed"]),
            ("NodeStays", "stays", &["Succeeded", "NotRepaired"]),
            ("NodeAsks", "asks", &["NeedsApproval"]),
            ("NodePaused", "paused", &["Held"]),
            ("NodeGivenUp", "given-up", &["Failed"]),
        ];
        for (type_, fingerprint, _) in alerts {
            self.send(type_, fingerprint, fingerprint).await?;
        }
        self.until_told("Failed", "given-up").await?;
        self.send("NodeGivenUp", "given-up-2", "given-up").await?;
        self.until_told("NeedsPerson", "given-up-2").await?;
        for (_, fingerprint, outcomes) in alerts {
            for outcome in outcomes {
                self.until_told(outcome, fingerprint).await?;
            }
        }
        Ok(())
    }

    /// Many alerts at once, while a message hangs: all are acted on sooner than that message is given up, and the chats
    /// are told of them in a few messages.
    async fn a_burst(&self) -> anyhow::Result<()> {
        let hung = self.receivers.heard(path_of("hangs"));
        ensure!(!hung.is_empty() && hung.iter().all(|message| message.code.is_none()), "nothing hangs: {hung:?}");
        let fingerprints: Vec<String> = (0..BURST).map(|number| format!("burst-{number}")).collect();
        for fingerprint in &fingerprints {
            self.send("NodeWaits", fingerprint, fingerprint).await?;
        }
        for fingerprint in &fingerprints {
            let alert = self.aegis.until_repaired(fingerprint).await?;
            let stored = alert.creation_timestamp().context("it was never stored")?.0;
            let begun = alert.status.iter().flat_map(|status| &status.actions).find_map(|action| action.start_time);
            let took = begun.context("its action never began")?.duration_since(stored).as_secs();
            ensure!(took < ANSWER, "{fingerprint} was acted on {took} s after it was stored");
        }
        for fingerprint in &fingerprints {
            self.until_told("Succeeded", fingerprint).await?;
        }
        let taken = self.taken();
        let ids: BTreeSet<&str> = taken.iter().map(|notice| said(notice, "/id")).collect();
        ensure!(ids.len() == taken.len(), "{} notices have {} different ids", taken.len(), ids.len());
        for name in ["slack", "feishu", "dingtalk", "program"] {
            until(&format!("{name} is told of all"), || async {
                let sent = self.counted(name, "Sent").await?;
                ensure!(
                    sent == u64::try_from(taken.len())?,
                    "it was told of {sent}, and the program of {}",
                    taken.len()
                );
                Ok(Some(()))
            })
            .await?;
            let messages = self.receivers.heard(path_of(name));
            let refused: Vec<&String> = messages.iter().filter_map(|message| message.refused.as_ref()).collect();
            ensure!(refused.is_empty(), "{name} refused some: {refused:?}");
            ensure!(messages.len() < taken.len(), "{name} got {} messages for {} notices", messages.len(), taken.len());
            ensure!(
                self.counted(name, "Failed").await? + self.counted(name, "Dropped").await? == 0,
                "{name} lost some"
            );
        }
        Ok(())
    }

    /// What failed is sent again and arrives; what nobody answers, or nobody takes, is counted as what it is.
    async fn in_trouble(&self) -> anyhow::Result<()> {
        let messages = self.receivers.heard(path_of("fails-once"));
        let [first, second, ..] = &messages[..] else { anyhow::bail!("it got {messages:?}") };
        ensure!(first.code == Some(StatusCode::INTERNAL_SERVER_ERROR), "the first one was answered {:?}", first.code);
        ensure!(second.code == Some(StatusCode::OK) && second.body == first.body, "{second:?} came after {first:?}");
        until("a message that hung is sent again", || async {
            let hung = self.receivers.heard(path_of("hangs"));
            Ok(hung.get(1).filter(|second| Some(&second.body) == hung.first().map(|first| &first.body)).map(drop))
        })
        .await?;
        ensure!(self.counted("fails-once", "Failed").await? == 0, "what arrived later is counted as lost");
        ensure!(self.counted("gone", "Failed").await? > 0, "what a receiver refused is not counted as lost");
        ensure!(self.counted("gone", "Sent").await? == 0, "what a receiver refused is counted as sent");
        ensure!(self.counted("hangs", "Sent").await? == 0, "what nobody answered is counted as sent");
        let logs = self.logs().await?;
        for part in [
            "could not tell fails-once, trying again: it answered 500",
            "could not tell hangs, trying again: no answer in time",
            "could not tell nobody, trying again: ",
            "notifications for gone are given up: ",
            "(it quotes what is secret)",
        ] {
            let ours: Vec<&str> = logs.lines().filter(|line| line.contains("::notify")).collect();
            ensure!(logs.contains(part), "no log says {part:?}: {ours:#?}");
        }
        Ok(())
    }

    async fn secrets_stay_secret(&self) -> anyhow::Result<()> {
        let kinds = "events,configmaps,aegisalerts,aegisalertopsrules,aegisopstemplates,aegisguards,workflows.argoproj.io,\
                     leases,pods,deployments,replicasets,services";
        let cluster = self.aegis.cluster();
        let mut shown = BTreeMap::from([("the logs", self.logs().await?)]);
        shown.insert("objects", cluster.kubectl(&["get", kinds, "-n", NAMESPACE, "-o", "yaml"]).await?);
        shown.insert("descriptions", cluster.kubectl(&["describe", "pods,aegisalerts", "-n", NAMESPACE]).await?);
        shown.insert(
            "the trace",
            self.aegis.admin()?.aegis(&["trace", &self.aegis.stored("fails").await?.name_any()]).await?,
        );
        let mut pages = String::new();
        for url in self.metrics().await? {
            pages.push_str(&reqwest::get(url).await?.error_for_status()?.text().await?);
        }
        shown.insert("the metrics", pages);
        for (place, text) in &shown {
            ensure!(!text.is_empty(), "{place} are empty");
            for secret in SECRETS {
                let line = text.lines().find(|line| line.contains(secret));
                ensure!(line.is_none(), "{place} show {secret}: {}", line.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// How many notices for that receiver ended so, with every replica.
    async fn counted(&self, receiver: &str, result: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for url in self.metrics().await? {
            let labels = [("receiver", receiver), ("result", result)];
            sum += Metrics::read(&url).await?.sum("aegis_notifications_total", &labels);
        }
        Ok(sum)
    }

    /// Where each replica tells what it counts.
    async fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let addresses = self.pods("jsonpath={.items[*].status.podIP}").await?;
        Ok(addresses.split_whitespace().map(|address| format!("http://{address}:8080/metrics")).collect())
    }

    async fn logs(&self) -> anyhow::Result<String> {
        let mut logs = String::new();
        for pod in self.pods("jsonpath={.items[*].metadata.name}").await?.split_whitespace() {
            logs.push_str(&self.aegis.cluster().kubectl(&["logs", "-n", NAMESPACE, pod]).await?);
        }
        Ok(logs)
    }

    async fn pods(&self, output: &str) -> anyhow::Result<String> {
        let selector = "app.kubernetes.io/name=aegis";
        self.aegis.cluster().kubectl(&["get", "pods", "-n", NAMESPACE, "-l", selector, "-o", output]).await
    }
}

fn path_of(name: &str) -> &'static str {
    RECEIVERS.iter().find(|(own, _, _)| *own == name).map_or("", |(_, path, _)| path)
}

fn notices(body: &Value) -> Vec<Value> {
    body.pointer("/notices").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn said<'v>(notice: &'v Value, pointer: &str) -> &'v str {
    notice.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
