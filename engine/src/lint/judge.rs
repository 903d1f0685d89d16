//! The checks, each over one pod or the whole object.

use serde_json::Value;

use super::commands;
use super::pods::{self, Pod};
use super::{Code, Finding};

const CORDONED: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";

/// Everything worth a warning about a rendered object.
pub(super) fn object(object: &Value) -> Vec<Finding> {
    let mut findings: Vec<Finding> = time_to_live(object).into_iter().collect();
    for pod in pods::of(object) {
        let containers = pod.containers.iter().map(|(path, container)| (path.as_str(), commands::of(container)));
        let containers: Vec<(&str, Vec<Vec<String>>)> = containers.collect();
        findings.extend(unpinned(&pod));
        findings.extend(images(&pod));
        // One is enough to lose the pod; behind a carrier the same command is found more than once.
        let first = |(path, commands): &(&str, Vec<Vec<String>>)| {
            commands.iter().find_map(|words| on_itself(&pod, path, words))
        };
        findings.extend(containers.iter().filter_map(first));
        findings.extend(untolerated(&pod, containers.iter().flat_map(|(_, commands)| commands)));
    }
    findings
}

fn finding(code: Code, path: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { code, path: path.into(), problem: problem.into(), remedy: remedy.into() }
}

fn time_to_live(object: &Value) -> Option<Finding> {
    let spec = object.get("spec")?;
    let says = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    if object.get("kind").and_then(Value::as_str) == Some("Job") {
        let field = "ttlSecondsAfterFinished";
        let problem = "nothing removes the Job once it has ended";
        return (!says(spec.get(field))).then(|| {
            finding(Code::MissingTtl, format!("spec.{field}"), problem, "write ttlSecondsAfterFinished: 3600")
        });
    }
    let strategy = spec.get("ttlStrategy").and_then(Value::as_object);
    if strategy.is_some_and(|strategy| strategy.values().any(|value| !value.is_null())) {
        return None;
    }
    let problem = if says(spec.get("ttlSecondsAfterFinished")) {
        "Argo has not read ttlSecondsAfterFinished since version 3, so nothing removes the Workflow once it has ended"
    } else {
        "nothing removes the Workflow once it has ended"
    };
    let remedy = "write ttlStrategy: {secondsAfterCompletion: 3600}";
    Some(finding(Code::MissingTtl, "spec.ttlStrategy", problem, remedy))
}

fn unpinned(pod: &Pod<'_>) -> Option<Finding> {
    let (path, reach) = pod.reach()?;
    if pod.node().is_some() {
        return None;
    }
    let problem = format!("{reach} reaches the node under it, and this may be any node");
    let remedy = "pin the pod to the alert's node, by node affinity to the field metadata.name, or by nodeSelector \
                  with kubernetes.io/hostname";
    Some(finding(Code::PrivilegedUnpinned, path, problem, remedy))
}

fn images(pod: &Pod<'_>) -> Vec<Finding> {
    let named = pod.containers.iter().filter_map(|(path, container)| Some((path, container.get("image")?.as_str()?)));
    let loose = named.filter_map(|(path, image)| {
        if image.contains('@') || image.contains("{{") {
            return None;
        }
        // A colon before the last "/" is a registry's port.
        let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
        let problem = match tag {
            None | Some("") => format!("{image} has no tag, which means latest"),
            Some("latest") => format!("{image} is another image tomorrow"),
            Some(_) => return None,
        };
        let remedy = "name a version, such as aegis-sop:0.1.0, or a digest";
        Some(finding(Code::UnpinnedImage, format!("{path}.image"), problem, remedy))
    });
    loose.collect()
}

/// A command by which the step ends its own pod.
fn on_itself(pod: &Pod<'_>, path: &str, words: &[String]) -> Option<Finding> {
    let program = commands::name(words.first()?);
    if restarts(program, words) {
        // A pod that reaches no node restarts none.
        pod.reach()?;
        let problem = format!("`{}` takes the node away before the step can tell how it ended", words.join(" "));
        let remedy = "let the restart begin once the step has ended, as `shutdown -r +1` does, and see in a step on \
                      another node whether the node came back";
        return Some(finding(Code::ActsOnItself, path, problem, remedy));
    }
    let (verb, node) = on_node(program, words)?;
    let taints = verb == "taint" && words.iter().any(|word| word.ends_with(":NoExecute"));
    if verb != "drain" && !taints {
        return None;
    }
    // Which node a variable holds is not to be seen: a pod that avoids some node is taken to avoid that one.
    let apart = match node.contains('$') {
        true => pod.avoids_any(),
        false => pod.avoids(node) || pod.node().is_some_and(|own| own != node),
    };
    if apart {
        return None;
    }
    let problem = format!("`kubectl {verb}` may put out the very pod that calls it, which may be on that node");
    let remedy = "keep the step off that node: node affinity to the field metadata.name with the operator NotIn";
    Some(finding(Code::ActsOnItself, path, problem, remedy))
}

/// Whether the command restarts or stops the machine at once.
fn restarts(program: &str, words: &[String]) -> bool {
    const POWER: [&str; 5] = ["halt", "kexec", "poweroff", "reboot", "soft-reboot"];
    let operands = || words.iter().skip(1).filter(|word| !word.starts_with('-'));
    match program {
        "reboot" | "poweroff" | "halt" => true,
        "systemctl" => operands().next().is_some_and(|verb| POWER.contains(&verb.as_str())),
        "shutdown" => {
            let cancels = words.iter().any(|word| word == "-c");
            let at_once = operands().next().is_some_and(|when| when == "now" || when == "+0");
            !cancels && at_once
        }
        _ => false,
    }
}

/// The verb of a kubectl command that acts on a node, and the node.
fn on_node<'w>(program: &str, words: &'w [String]) -> Option<(&'w str, &'w str)> {
    if program != "kubectl" {
        return None;
    }
    let mut operands = words.iter().skip(1).filter(|word| !word.starts_with('-')).map(String::as_str);
    let verb = operands.next().filter(|verb| ["cordon", "uncordon", "drain", "taint"].contains(verb))?;
    let mut node = operands.next()?;
    if verb == "taint" && ["node", "nodes", "no"].contains(&node) {
        node = operands.next()?;
    }
    Some((verb, node.split_once('/').map_or(node, |(_, name)| name)))
}

fn untolerated<'w>(pod: &Pod<'_>, mut commands: impl Iterator<Item = &'w Vec<String>>) -> Option<Finding> {
    if pod.tolerates(CORDONED, NO_SCHEDULE) {
        return None;
    }
    if pod.node().is_some() {
        let problem = "the pod is pinned to a node whose taints it does not tolerate: cordoned or ailing, the node will \
                       not take it";
        let remedy = "tolerate them all: tolerations: [{operator: Exists}]";
        return Some(finding(Code::UntoleratedTaint, &pod.path, problem, remedy));
    }
    let uncordons = |words: &[String]| {
        let program = words.first().map(|word| commands::name(word)).unwrap_or_default();
        on_node(program, words).is_some_and(|(verb, _)| verb == "uncordon")
    };
    if commands.any(|words| uncordons(words)) {
        let problem = "where every node is cordoned, no node takes the pod that would uncordon one";
        let remedy =
            format!("tolerate that: tolerations: [{{key: {CORDONED}, operator: Exists, effect: {NO_SCHEDULE}}}]");
        return Some(finding(Code::UntoleratedTaint, &pod.path, problem, remedy));
    }
    None
}
