//! What a field is: how its text is read, of what type it is, and who may paste it elsewhere.
//!
//! Fields are told by their names and by what encloses them, wherever they stand, so that a container or an
//! expression in a part of the object that we do not know is still treated as one.

use super::shell::Bound;
use super::word::Place;
use super::yaml_scalar::FieldType;

/// One step on the way to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// A trail as people write it, such as `spec.templates[0].container.args[1]`.
pub(super) fn path(trail: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in trail {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// How the text of a field is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it is.
    Data,
    /// Once more, by a reader of which no quoting is known.
    Reread(Bound),
    /// Once more, as an expression of Argo's.
    Expression,
    /// Once more, as YAML or JSON.
    Manifest,
}

/// All that is known of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) reading: Reading,
    pub(super) field: FieldType,
    /// Whether it is the name of a file.
    pub(super) path: bool,
    /// Whether kubelet expands `$(NAME)` in it.
    pub(super) expanded: bool,
    /// Whether Argo's tags can paste it elsewhere.
    pub(super) pasted: bool,
    /// Whether it is an item of a loop.
    pub(super) item: bool,
}

/// Mappings whose keys people choose: a key in them says nothing about its value.
const USER_KEYED: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
    "stringData",
    "volumeAttributes",
    "driverOpts",
    "podLabels",
    "podAnnotations",
];

/// Which part of a Workflow with names of its own a field stands in.
pub(super) fn place(trail: &[Step<'_>]) -> Option<Place> {
    let (keys, _) = structural(trail);
    if keys.contains(&"metrics") {
        Some(Place::Metrics)
    } else if keys.contains(&"http") {
        Some(Place::Http)
    } else {
        None
    }
}

/// Whether a field holds a container's items that kubelet leaves alone: hooks of its life cycle are not expanded.
pub(super) fn is_expanded(trail: &[Step<'_>]) -> bool {
    !structural(trail).0.contains(&"lifecycle")
}

/// What the field at the end of a trail is.
pub(super) fn of(trail: &[Step<'_>]) -> Setting {
    let (keys, inside) = structural(trail);
    let key = keys.last().copied().unwrap_or_default();
    let parent = keys.len().checked_sub(2).and_then(|at| keys.get(at)).copied().unwrap_or_default();
    let mut setting = Setting {
        reading: Reading::Data,
        field: field_type(&keys, key, parent),
        path: matches!(key, "path" | "mountPath" | "subPath" | "subPathExpr" | "workingDir" | "devicePath"),
        expanded: key == "subPathExpr" || (key == "value" && parent == "env"),
        pasted: false,
        item: false,
    };
    if inside {
        setting.field = FieldType::Text;
        setting.pasted = matches!(key, "labels" | "annotations" | "podLabels" | "podAnnotations");
        return setting;
    }
    setting.reading = reading(&keys, key, parent);
    let looped = keys.iter().any(|key| matches!(*key, "withItems" | "withSequence" | "withParam"));
    setting.item = looped;
    setting.pasted = looped || is_parameter(&keys, key);
    setting
}

/// The keys of a trail up to the first mapping whose keys people choose, that one included, and whether the trail
/// leads into it.
fn structural<'a>(trail: &[Step<'a>]) -> (Vec<&'a str>, bool) {
    let mut keys = Vec::with_capacity(trail.len());
    for (at, step) in trail.iter().enumerate() {
        if let Step::Key(key) = step {
            keys.push(*key);
            // `data` alone may be the text of a raw artifact.
            if USER_KEYED.contains(key) && at + 1 < trail.len() {
                return (keys, true);
            }
        }
    }
    (keys, false)
}

/// Whether a trail leads into a mapping whose keys people choose.
pub(super) fn is_user_keyed(trail: &[Step<'_>]) -> bool {
    structural(trail).1 || matches!(trail.last(), Some(Step::Key(key)) if USER_KEYED.contains(key))
}

fn is_parameter(keys: &[&str], key: &str) -> bool {
    keys.contains(&"parameters") && matches!(key, "value" | "default" | "enum")
}

fn reading(keys: &[&str], key: &str, parent: &str) -> Reading {
    let reread = |why: &'static str| Reading::Reread(Bound::safe_word(why));
    match (key, parent) {
        ("kind" | "apiVersion", "") => Reading::Reread(Bound::never("it would decide what object this is")),
        ("podSpecPatch", _) | ("manifest", "resource") => Reading::Manifest,
        ("action", "resource") => Reading::Reread(Bound::never("it would decide what is done to the resource")),
        ("expression", _) => Reading::Expression,
        ("when", _) => reread("Argo evaluates when"),
        ("depends", _) => reread("Argo evaluates depends"),
        ("withParam", _) => reread("Argo reads withParam as JSON"),
        ("successCondition" | "failureCondition" | "conditions", _) => reread("Argo evaluates conditions"),
        ("jsonPath" | "jqFilter" | "jqFilters", _) => reread("Argo evaluates filters"),
        ("body", _) if keys.contains(&"http") => reread("the receiver of the request reads its body"),
        ("data", "raw") => reread("it becomes a file, which may be run"),
        ("flags", "resource") => reread("kubectl reads flags"),
        ("name", "env") | ("prefix", "envFrom") => {
            Reading::Reread(Bound::never("it would decide which variable is set"))
        }
        _ if keys.contains(&"plugin") => reread("a plugin reads it"),
        _ => Reading::Data,
    }
}

fn field_type(keys: &[&str], key: &str, parent: &str) -> FieldType {
    match key {
        "limit" if parent == "retryStrategy" => FieldType::IntegerOrText,
        "count" | "start" | "end" if parent == "withSequence" => FieldType::IntegerOrText,
        "factor" if parent == "backoff" => FieldType::IntegerOrText,
        // Text in a template of Argo's, an integer everywhere else.
        "activeDeadlineSeconds" if keys.contains(&"templates") || keys.contains(&"templateDefaults") => {
            FieldType::IntegerOrText
        }
        "port" | "targetPort" | "minAvailable" | "maxUnavailable" => FieldType::IntegerOrText,
        "failed" | "error" if parent == "continueOn" => FieldType::Boolean,
        "number" if parent == "port" => FieldType::Integer,
        _ if INTEGERS.contains(&key) => FieldType::Integer,
        _ if BOOLEANS.contains(&key) => FieldType::Boolean,
        _ if TEXTS.contains(&key) => FieldType::Text,
        _ => FieldType::Unknown,
    }
}

/// Integer fields of Workflow, Job and Pod.
const INTEGERS: &[&str] = &[
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "secondsAfterCompletion",
    "secondsAfterSuccess",
    "secondsAfterFailure",
    "parallelism",
    "completions",
    "backoffLimit",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "priority",
    "podPriority",
    "terminationGracePeriodSeconds",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "supplementalGroups",
    "containerPort",
    "hostPort",
    "defaultMode",
    "mode",
    "timeoutSeconds",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "weight",
    "tolerationSeconds",
    "expirationSeconds",
    "maxSkew",
    "minDomains",
    "replicas",
    "lun",
    "partition",
    "depth",
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
];

/// Boolean fields of Workflow, Job and Pod.
const BOOLEANS: &[&str] = &[
    "privileged",
    "hostPID",
    "hostIPC",
    "hostNetwork",
    "hostUsers",
    "readOnly",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "stdin",
    "stdinOnce",
    "tty",
    "optional",
    "suspend",
    "automountServiceAccountToken",
    "shareProcessNamespace",
    "setHostnameAsFQDN",
    "enableServiceLinks",
    "daemon",
    "archiveLogs",
    "mirrorVolumeMounts",
    "failFast",
    "setOwnerReference",
    "insecure",
    "insecureIgnoreHostKey",
    "insecureSkipVerify",
    "singleBranch",
    "disableSubmodules",
    "useSDKCreds",
    "forceFinalizerRemoval",
    "realtime",
    "recurseMode",
    "clusterScope",
    "deleted",
    "objectLocking",
    "manualSelector",
    "immutable",
    "blockOwnerDeletion",
    "controller",
];

/// Fields of text, in which a number or `yes` keeps its spelling.
const TEXTS: &[&str] = &[
    "value",
    "default",
    "enum",
    "image",
    "name",
    "generateName",
    "namespace",
    "hostname",
    "nodeName",
    "mountPath",
    "subPath",
    "path",
    "workingDir",
    "entrypoint",
    "template",
    "serviceAccountName",
    "timeout",
    "duration",
    "maxDuration",
    "source",
    "command",
    "args",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Setting {
        let steps: Vec<Step<'_>> = path
            .split('.')
            .map(|step| match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key(step),
            })
            .collect();
        of(&steps)
    }

    #[test]
    fn numbers_and_booleans_are_told_by_their_field() {
        use FieldType::{Boolean, Integer, IntegerOrText, Text, Unknown};
        let cases = [
            ("spec.activeDeadlineSeconds", Integer),
            ("spec.templates.0.activeDeadlineSeconds", IntegerOrText),
            ("spec.templates.0.retryStrategy.limit", IntegerOrText),
            ("spec.templates.0.container.securityContext.runAsUser", Integer),
            ("spec.templates.0.securityContext.supplementalGroups.0", Integer),
            ("spec.templates.0.container.securityContext.privileged", Boolean),
            ("spec.template.spec.hostPID", Boolean),
            ("spec.backoffLimit", Integer),
            ("spec.templates.0.container.env.0.value", Text),
            ("metadata.labels.priority", Text),
            ("spec.templates.0.nodeSelector.suspend", Text),
            ("spec.templates.0.container.resources.limits.cpu", Unknown),
        ];
        for (path, expected) in cases {
            assert_eq!(at(path).field, expected, "{path}");
        }
    }

    #[test]
    fn what_argo_can_paste_and_what_is_read_again_is_told_wherever_it_stands() {
        for path in [
            "spec.arguments.parameters.0.value",
            "spec.templates.0.inputs.parameters.0.default",
            "spec.templates.0.inputs.parameters.0.enum.1",
            "spec.templates.0.steps.0.0.withItems.0",
            "spec.templates.0.steps.0.0.withItems.0.key",
            "metadata.annotations.note",
            "spec.workflowMetadata.labels.a",
        ] {
            assert!(at(path).pasted, "{path}");
        }
        assert!(!at("spec.templates.0.container.env.0.value").pasted);
        assert_eq!(at("spec.templates.0.podSpecPatch").reading, Reading::Manifest);
        assert_eq!(at("spec.templates.0.resource.manifest").reading, Reading::Manifest);
        assert_eq!(at("spec.templates.0.retryStrategy.expression").reading, Reading::Expression);
        assert_eq!(at("metadata.annotations.expression").reading, Reading::Data);
        for path in [
            "spec.templates.0.steps.0.0.when",
            "spec.templates.0.dag.tasks.0.depends",
            "spec.templates.0.http.body",
            "spec.templates.0.inputs.artifacts.0.raw.data",
            "spec.templates.0.plugin.slack.text",
            "kind",
        ] {
            assert!(matches!(at(path).reading, Reading::Reread(_)), "{path}");
        }
        assert_eq!(at("involved.kind").reading, Reading::Data);
    }

    #[test]
    fn kubelet_expands_variables_and_arguments_but_no_hooks() {
        assert!(at("spec.templates.0.container.env.0.value").expanded);
        assert!(at("spec.templates.0.container.volumeMounts.0.subPathExpr").expanded);
        assert!(!at("spec.arguments.parameters.0.value").expanded);
        let hook = [Step::Key("lifecycle"), Step::Key("preStop"), Step::Key("exec")];
        assert!(!is_expanded(&hook));
    }
}
