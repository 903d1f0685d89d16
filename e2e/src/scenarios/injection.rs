//! Hostile values come in through the real Alertmanager and go through the real Argo into a real shell: each reaches the
//! script as it is, or the alert says why it was refused; none is ever taken for code.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::Aegis;
use crate::alertmanager::Alertmanager;
use crate::cluster::Cluster;
use crate::parts;
use crate::procedure;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "injection",
    about: "hostile values reach a script's shell unchanged, or are refused with the reason in status; none runs",
    smoke: true,
    parts: &[&parts::ALERTMANAGER],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "injection";

/// Values that make a file called canary if any reader on the way takes them for code, and such as break a format.
const HOSTILE: &[&str] = &[
    "$(touch canary)",
    "`touch canary`",
    ";touch canary;",
    "&touch canary&",
    "|touch canary|",
    "a\ntouch canary\n",
    "';touch canary;'",
    "\";touch canary;\"",
    "\\';touch canary;\\'",
    "\"$(touch canary)\"",
    "))touch canary",
    "}touch canary",
    ";;esac;touch canary",
    "${a:-$(touch canary)}",
    "\\\\$(touch canary)",
    "$$(touch canary)",
    "$$$(touch canary)",
    "$(HOSTNAME) ${HOSTNAME} $HOSTNAME",
    "$((a[$(touch canary)]))",
    "E\n$(touch canary)\nF",
    ">canary",
    "<<E",
    "-lall",
    "--from-file=canary",
    "\n",
    "\\",
    "'",
    "\"",
    "~ * [a-z]* ? {a,b} !! #",
    "a\r\n\tb\\\nc",
    "\u{8}\u{1b}[2J\u{9b}\u{2028}",
    "\u{e9}\u{4f60}\u{1f600}",
    "x\"\n      serviceAccountName: default\n      z: \"",
    "x'\n- name: y\n  command: [touch, canary]",
    "---\nkind: Pod\n...",
    "a: &b !!binary c # d",
    "{\"a\": [1, *b]}",
    "| \n  touch canary",
    "{%if true%} { { =1} }",
    "null",
    "%s%n\\x41\\0101",
];

/// What a value stands in: a name, a piece of a script in which `VALUE` is the value's tag, and what comes around it.
const FORMS: &[(&str, &str, &str, &str)] = &[
    ("bare", "aVALUE", "a", ""),
    ("double", "\"'VALUE'\"", "'", "'"),
    ("single", "'\"VALUE\"'", "\"", "\""),
    ("nested", "\"$(printf '%s_' \"$(printf '%s-' aVALUE)\")\"", "a", "-_"),
    ("here", "\"$(cat <<END\n$((1+1))VALUE_\nEND\n)\"", "2", "_"),
    ("literal", "\"$(cat <<'END'\n$((1+1))VALUE_\nEND\n)\"", "$((1+1))", "_"),
];

/// Refused, and why: what a shell is given, a value, and words of the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    ("kubectl cordon VALUE", "-lall", "-"),
    ("echo aVALUE", "{{workflow.name}}", "{{"),
    ("echo aVALUE", "{{=sprig.env('HOME')}}", "{{"),
    ("eval echo aVALUE", "a;touch canary", "eval"),
    ("ssh host VALUE", "a;touch canary", "ssh"),
    ("echo $((VALUE))", "a[$(touch canary)]", "number"),
    ("VALUE now", "touch", "program"),
    ("python3 -c \"print('VALUE')\"", "');import os;os.system('touch canary')#", "python"),
    ("echo aVALUE", "\u{1}", "control character"),
    ("cat /data/VALUE", "../../etc/passwd", ".."),
];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let controller = aegis.start(8080, &[]).await?;
    aegis.publish(&controller).await?;
    let receiver = include_str!("data/alertmanager.yaml").replace("aegis.monitoring", "aegis.injection");
    let alertmanager = Alertmanager::start(cluster, &receiver).await?;
    cluster.apply(NAMESPACE, &rules()).await?;

    let mut labels = BTreeMap::from([("alertname".to_owned(), "Hostile".to_owned())]);
    for (nth, value) in HOSTILE.iter().enumerate() {
        labels.insert(label(nth), (*value).to_owned());
    }
    let description = HOSTILE.join(" ");
    let mut alerts = vec![alert(labels, &description)];
    for (nth, (_, value, _)) in REFUSED.iter().enumerate() {
        let labels = [("alertname".to_owned(), format!("Refused{nth}")), (label(0), (*value).to_owned())];
        alerts.push(alert(labels.into(), ""));
    }
    alertmanager.fire(&Value::Array(alerts)).await?;

    for (nth, (script, value, words)) in REFUSED.iter().enumerate() {
        let alert = aegis.until_alert(&format!("Refused{nth}"), "TemplateInvalid", "").await?;
        let status = serde_json::to_value(&alert.status)?;
        let told = status.pointer("/verdict/message").and_then(Value::as_str).unwrap_or_default();
        ensure!(told.contains(words), "{value:?} in {script:?}: the status does not tell of {words:?}: {status}");
    }
    let alert = aegis.until_alert("Hostile", "Triggered", "Succeeded").await?;

    let workflows = aegis.workflows().list(&kube::api::ListParams::default()).await?.items;
    let names: Vec<String> = workflows.iter().map(|workflow| workflow.name_any()).collect();
    let [workflow] = workflows.as_slice() else { anyhow::bail!("expected one Workflow, found {names:?}") };
    ensure!(workflow.name_any().starts_with(&alert.name_any()), "{names:?} is not of {}", alert.name_any());
    let account = workflow.data.pointer("/spec/serviceAccountName").and_then(Value::as_str);
    ensure!(account == Some("aegis-workflow"), "the Workflow runs as {account:?}");

    let selector = format!("workflows.argoproj.io/workflow={}", workflow.name_any());
    let log = cluster.kubectl(&["logs", "-n", NAMESPACE, "-l", &selector, "-c", "main", "--tail=-1"]).await?;
    // Argo's executor says in the same log, since some version, that the command has ended.
    let shown: BTreeMap<&str, &str> =
        log.lines().filter(|line| !line.contains(" argo=true")).filter_map(|line| line.split_once(' ')).collect();
    compare(&shown, &expected(&description))?;
    aegis.uninstall(controller).await
}

fn compare(shown: &BTreeMap<&str, &str>, expected: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for (place, want) in expected {
        let seen = shown.get(place.as_str()).with_context(|| format!("nothing was shown at {place}"))?;
        ensure!(seen == want, "at {place} the script saw {seen}, expected {want}");
    }
    ensure!(shown.len() == expected.len(), "{} places were shown, expected {}", shown.len(), expected.len());
    Ok(())
}

/// What every pod writes: a place, and the bytes that were seen there.
fn expected(description: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for way in ["command", "source"] {
        for (nth, value) in HOSTILE.iter().enumerate() {
            for (form, _, before, after) in FORMS.iter().filter(|_| is_taken(way, value)) {
                all.insert(format!("{way}-{form}-{nth}"), hex(&format!("{before}{value}{after}")));
            }
            all.insert(format!("{way}-env-{nth}"), hex(value));
        }
        all.insert(format!("{way}-description"), hex(description));
        all.insert(format!("{way}-canary"), "none".to_owned());
    }
    for (nth, value) in HOSTILE.iter().enumerate() {
        all.insert(format!("command-argument-{nth}"), hex(&format!("={value}")));
    }
    all
}

/// A script that shows each value in each form.
fn script(way: &str) -> String {
    let mut script =
        "show() { printf '%s ' \"$1\"; printf '%s' \"$2\" | od -An -v -tx1 | tr -d ' \\n'; echo; }\n".to_owned();
    for (nth, value) in HOSTILE.iter().enumerate() {
        for (form, piece, _, _) in FORMS.iter().filter(|_| is_taken(way, value)) {
            let piece = piece.replace("VALUE", &tag(nth));
            let _ = writeln!(script, "show {way}-{form}-{nth} {piece}");
        }
        let _ = writeln!(script, "show {way}-env-{nth} \"$V{nth}\"");
    }
    let _ = writeln!(script, "show {way}-description \"$DESCRIPTION\"");
    if way == "command" {
        script
            .push_str("nth=0\nfor argument; do show \"command-argument-$nth\" \"$argument\"; nth=$((nth + 1)); done\n");
    }
    let _ = writeln!(script, "if [ -e canary ]; then echo {way}-canary found; else echo {way}-canary none; fi");
    script
}

/// Argo hands a source on in a variable, in which kubelet expands `$(NAME)`: such text is refused there.
fn is_taken(way: &str, value: &str) -> bool {
    way == "command" || !value.contains("$(")
}

/// The rules and templates: one that shows the values, and one for each that is refused.
fn rules() -> String {
    let mut env: Vec<Value> =
        (0..HOSTILE.len()).map(|nth| json!({"name": format!("V{nth}"), "value": tag(nth)})).collect();
    env.push(json!({"name": "DESCRIPTION", "value": "{{.description}}"}));
    let mut args = vec![script("command"), "sh".to_owned()];
    args.extend((0..HOSTILE.len()).map(|nth| format!("={}", tag(nth))));
    let mut items: Vec<Value> = pair(
        "Hostile",
        &json!([
            {"name": "main", "steps": [[{"name": "c", "template": "command"}, {"name": "s", "template": "source"}]]},
            {"name": "command", "container": {
                "image": "busybox:latest", "command": ["sh", "-c"], "args": args, "env": env,
            }},
            {"name": "source", "script": {
                "image": "busybox:latest", "command": ["sh"], "source": script("source"), "env": env,
            }},
        ]),
    )
    .into();
    for (nth, (script, _, _)) in REFUSED.iter().enumerate() {
        let script = script.replace("VALUE", &tag(0));
        let container = json!({"image": "busybox:latest", "command": ["sh", "-c", script]});
        items.extend(pair(&format!("Refused{nth}"), &json!([{"name": "main", "container": container}])));
    }
    procedure::list(items)
}

/// A rule for alerts of a type, and its template.
fn pair(type_: &str, templates: &Value) -> [Value; 2] {
    procedure::rule(&type_.to_lowercase(), &format!("^{type_}$"), &procedure::workflow(templates))
}

fn alert(mut labels: BTreeMap<String, String>, description: &str) -> Value {
    labels.insert("kind".to_owned(), "Node".to_owned());
    labels.insert("node".to_owned(), Cluster::NODE.to_owned());
    json!({"labels": labels, "annotations": {"description": description}})
}

/// The label that carries a value.
fn label(nth: usize) -> String {
    format!("v{nth}")
}

/// What stands in a template for it.
fn tag(nth: usize) -> String {
    format!("{{{{.{}}}}}", label(nth))
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
