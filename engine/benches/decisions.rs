//! How long the decisions take: matching an alert against a thousand rules, rendering, reading a webhook's body.
//!
//! Beside each stands the time that serde_json takes, in the same rounds, to parse the body of the same alerts: a
//! yardstick that says more than microseconds, which differ between machines. See docs/performance.md.
#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

mod figures;
#[path = "figures/rounds.rs"]
mod rounds;

use std::collections::BTreeMap;
use std::hint::black_box;

use aegis_crds::AegisAlertOpsRule;
use aegis_crds::alert::{AlertStatus, TtlStrategy};
use aegis_crds::rule::{AegisAlertOpsRuleSpec, AlertCondition};
use aegis_engine::incident::IncidentId;
use aegis_engine::intake;
use aegis_engine::render::{Parameters, Template, checks, fill};
use aegis_engine::rules::{AlertFacts, RuleBook};
use aegis_engine::scope::Namespaces;
use aegis_engine::signal::Signal;
use figures::{Arguments, Figure, Target};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use rounds::{Sample, Work};

/// Two alerts in one group, as Alertmanager sent them.
const BODY: &[u8] = include_bytes!("../testdata/alertmanager-0.31-1.json");
/// About 5 KB with conditions, shell text in three kinds of quotes, environment variables and Argo's own tags.
const MANIFEST: &str = include_str!("repair.yaml");

const YARDSTICK: &str = "parse";

const SUBJECTS: [&str; 25] = [
    "Node",
    "Kubelet",
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "Volume",
    "Etcd",
    "APIServer",
    "Scheduler",
    "Controller",
    "CoreDNS",
    "Ingress",
    "Network",
    "Disk",
    "Memory",
    "GPU",
    "NVLink",
    "InfiniBand",
    "Storage",
    "Registry",
    "Certificate",
    "Backup",
    "Training",
];
const PROBLEMS: [&str; 40] = [
    "Down",
    "NotReady",
    "Unreachable",
    "Flapping",
    "Overcommitted",
    "Saturated",
    "AlmostFull",
    "Full",
    "Pressure",
    "Slow",
    "HighLatency",
    "ErrorsHigh",
    "Throttled",
    "CrashLooping",
    "Restarting",
    "Stuck",
    "Pending",
    "Evicted",
    "OOMKilled",
    "Misscheduled",
    "ReplicasMismatch",
    "GenerationMismatch",
    "Lagging",
    "Lost",
    "Corrupt",
    "ExpiringSoon",
    "Expired",
    "Unhealthy",
    "Degraded",
    "Overheated",
    "ECCError",
    "LinkDown",
    "PacketLoss",
    "ClockSkew",
    "Readonly",
    "Leaking",
    "Missing",
    "Failed",
    "TimedOut",
    "HasEmergencyEvent",
];

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read();
    let book = RuleBook::of(Namespaces::of("monitoring", ["team-a"]), &rules());
    let labels = labels();
    let types = types();
    let facts = |type_| AlertFacts { type_, phase: AlertStatus::Firing, labels: &labels };
    let matched = types.iter().filter(|type_| book.pick(&facts(type_)).is_some()).count();

    let template = Template::parse(MANIFEST).expect("the manifest is a template");
    let parameters = parameters();
    let object = render(&template, &parameters);
    let evaluated = template.evaluate(&parameters).expect("the parameters are there");
    let filled = serde_json::to_string(&object).expect("an object can be written").len();

    let mut turn = types.iter().cycle();
    let mut works = vec![
        Work {
            name: YARDSTICK,
            once: Box::new(|| {
                black_box(serde_json::from_slice::<serde_json::Value>(black_box(BODY)).expect("the body is JSON"));
            }),
        },
        Work {
            name: "yaml",
            once: Box::new(|| {
                let read = serde_saphyr::from_str::<serde_json::Value>(black_box(&evaluated.text));
                black_box(read.expect("the evaluated text is YAML"));
            }),
        },
        Work {
            name: "match",
            once: Box::new(|| {
                let type_ = turn.next().copied().unwrap_or_default();
                black_box(book.pick(&facts(black_box(type_))));
            }),
        },
        Work {
            name: "render",
            once: Box::new(|| {
                black_box(render(&template, black_box(&parameters)));
            }),
        },
        Work {
            name: "render anew",
            once: Box::new(|| {
                let evaluated = template.evaluate(black_box(&parameters)).expect("the parameters are there");
                black_box(checked(fill(&evaluated).expect("the values can stand where they are")));
            }),
        },
        Work {
            name: "compile",
            once: Box::new(|| {
                black_box(Template::parse(black_box(MANIFEST)).expect("the manifest is a template"));
            }),
        },
        Work {
            name: "intake",
            once: Box::new(|| {
                black_box(intake::alertmanager(black_box(BODY)).expect("the body can be read"));
            }),
        },
        Work {
            name: "store",
            once: Box::new(|| {
                black_box(stored(black_box(BODY)));
            }),
        },
    ];
    works.retain(|work| work.name == YARDSTICK || arguments.wants(work.name));
    let samples = rounds::sample(works);

    let Some((yardstick, measured)) = samples.split_first() else { return Ok(()) };
    let mut rows = vec![
        Figure::new("yardstick: serde_json parses an alert body", yardstick.median(), "us").note(spread(yardstick)),
    ];
    for sample in measured {
        let (name, target, what) = match sample.name {
            "match" => (
                format!("match one alert against {} rules", book.len()),
                Some(20.0),
                format!("{} alert types in turn, {matched} of them match", types.len()),
            ),
            "render" => (
                format!("render a manifest of {} bytes with its checks", MANIFEST.len()),
                Some(100.0),
                format!("to an object of {filled} bytes"),
            ),
            "yaml" => ("yardstick: serde-saphyr reads that manifest's YAML".to_owned(), None, "no checks".to_owned()),
            "render anew" => ("the same for the first time".to_owned(), None, "its YAML is read, too".to_owned()),
            "compile" => ("read that manifest as a template".to_owned(), None, "once for each change of it".to_owned()),
            "intake" => ("take in an alert body".to_owned(), None, format!("{} bytes, 2 alerts", BODY.len())),
            _ => ("take it in, to the objects that are stored".to_owned(), None, "with names and labels".to_owned()),
        };
        let note = format!("{:.1} x the yardstick; {}; {what}", sample.times(yardstick), spread(sample));
        let figure = Figure::new(name, sample.median(), "us").note(note);
        rows.push(match target {
            Some(target) => figure.target(Target::About(target)),
            None => figure,
        });
    }
    figures::publish("decisions", &rows, &arguments)
}

fn spread(sample: &Sample) -> String {
    let (low, high) = sample.quartiles();
    format!("quartiles {low:.1} to {high:.1}")
}

/// All that a rendering costs when an alert is acted on: the template itself was read when it was written.
fn render(template: &Template, parameters: &Parameters) -> serde_json::Value {
    checked(template.render(parameters).expect("the values can stand where they are"))
}

fn checked(object: serde_json::Value) -> serde_json::Value {
    let accounts = checks::service_accounts(&object).expect("the patches can be read");
    assert_eq!(checks::namespace(&object), None);
    assert!(accounts.iter().all(|account| account.name == "aegis-workflow"));
    object
}

fn stored(body: &[u8]) -> Vec<aegis_crds::AegisAlert> {
    let intake = intake::alertmanager(body).expect("the body can be read");
    let object = |signal: &Signal| {
        let incident = signal.starts_at.map_or(IncidentId::First, IncidentId::StartsAt);
        let name = incident.alert_name(&signal.key(), 0);
        intake::alert_object(signal, &name, "monitoring", &incident, &TtlStrategy::default())
    };
    intake.signals.iter().map(|(_, signal)| object(signal)).collect()
}

/// A thousand rules as a large installation has them: most types are plain words, a quarter is anchored, some are
/// expressions, and a few take every alert of some labels; one in three looks at labels, one in ten also acts when the
/// alert is resolved.
fn rules() -> Vec<AegisAlertOpsRule> {
    let names = SUBJECTS.iter().flat_map(|subject| PROBLEMS.iter().map(move |problem| (*subject, *problem)));
    names.enumerate().map(|(number, (subject, problem))| rule(number, subject, problem)).collect()
}

fn rule(number: usize, subject: &str, problem: &str) -> AegisAlertOpsRule {
    let type_ = match number % 20 {
        0 if number.is_multiple_of(200) => ".*".to_owned(),
        0..5 => format!("^{subject}{problem}$"),
        5 => format!("^{subject}.*{problem}"),
        6 => format!("(?i){subject}_?{problem}"),
        7 => format!("^{subject}({problem}|Broken)(Warning|Critical)?$"),
        8 if number % 100 == 8 => format!("^(Kube)?{subject}[A-Z][a-z]+$"),
        _ => format!("{subject}{problem}"),
    };
    let mut alert_conditions = vec![AlertCondition { type_: type_.clone(), status: AlertStatus::Firing }];
    if number.is_multiple_of(10) {
        alert_conditions.push(AlertCondition { type_, status: AlertStatus::Resolved });
    }
    let name = format!("rule-{number}");
    let ops_template = ObjectReference { name: Some(name.clone()), ..ObjectReference::default() };
    let selector = match number % 6 {
        0 => Some(LabelSelector {
            match_labels: Some(BTreeMap::from([("cluster".to_owned(), format!("c{}", number % 4))])),
            match_expressions: None,
        }),
        3 => Some(LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "severity".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec!["critical".to_owned(), "warning".to_owned()]),
            }]),
        }),
        _ => None,
    };
    let spec = AegisAlertOpsRuleSpec { selector, alert_conditions, ops_template, ..Default::default() };
    let mut rule = AegisAlertOpsRule::new(&name, spec);
    rule.metadata.namespace = Some("monitoring".to_owned());
    rule
}

/// The types of alerts that are matched in turn: of a rule's own name, longer ones, some that no rule knows.
fn types() -> Vec<&'static str> {
    vec![
        "NodeHasEmergencyEvent",
        "NodeDown",
        "PodCrashLooping",
        "GPUECCErrorCritical",
        "KubeletDownForLong",
        "DiskAlmostFull",
        "Watchdog",
        "InfiniBandLinkDownOnManyPorts",
        "SomethingThatNoRuleHasEverHeardOf",
        "TrainingTimedOut",
        "memory_pressure",
        "EtcdHighLatency",
        "CertificateExpiringSoon",
        "StorageDegradedWarning",
        "DeploymentReplicasMismatch",
        "NodeNodeDownNodeUp",
    ]
}

fn labels() -> BTreeMap<String, String> {
    let pairs = [
        ("alert-status", "Firing"),
        ("alert-source-type", "alertmanager"),
        ("alert-type", "NodeHasEmergencyEvent"),
        ("cluster", "c1"),
        ("fingerprint", "0effba0cd51bfc13"),
        ("kind", "Node"),
        ("node", "dev1"),
        ("severity", "critical"),
        ("team", "accelerators"),
        ("uuid", "0effba0c-d51b-8c13-9c13-0effba0cd51b"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn parameters() -> Parameters {
    [
        ("node", "dev1"),
        ("cluster", "c1"),
        ("severity", "critical"),
        ("team", "accelerators"),
        ("gpu", "GPU-3f2a"),
        ("kind", "Node"),
        ("description", "Node dev1: \"quoted\" & <tag> ; $(id) `id` \u{4e2d}\u{6587}"),
        ("InvolvedObjectKind", "Node"),
        ("InvolvedObjectName", "dev1"),
        ("InvolvedObjectNamespace", ""),
        ("InvolvedObjectNode", "dev1"),
        ("AlertName", "alertmanager-nodehasemergencyevent-0123456789abc"),
        ("AlertNamespace", "monitoring"),
    ]
    .into_iter()
    .collect()
}
