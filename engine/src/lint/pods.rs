//! The pods that a rendered Workflow or Job makes: where each may run, and what its containers are.

use serde_json::Value;

const HOSTNAME: &str = "kubernetes.io/hostname";
const NODE_NAME: &str = "metadata.name";

/// One pod, as its manifest says.
pub(super) struct Pod<'a> {
    /// Where it stands in the object.
    pub(super) path: String,
    /// Its containers, each with its path.
    pub(super) containers: Vec<(String, &'a Value)>,
    /// What says where it runs and what it shares with its node, the nearest first.
    settings: Vec<&'a Value>,
    /// A patch of it, where it could be read.
    patch: Option<Value>,
}

/// Every pod of the object, in its order.
pub(super) fn of(object: &Value) -> Vec<Pod<'_>> {
    let Some(spec) = object.get("spec") else { return Vec::new() };
    if object.get("kind").and_then(Value::as_str) == Some("Job") {
        let path = "spec.template.spec".to_owned();
        return spec
            .pointer("/template/spec")
            .map(|spec| pod(path, spec, &["containers"], vec![spec]))
            .into_iter()
            .collect();
    }
    let mut shared = vec![spec];
    shared.splice(0..0, spec.get("templateDefaults"));
    let templates = spec.get("templates").and_then(Value::as_array).into_iter().flatten().enumerate();
    let pods = templates.map(|(index, template)| {
        let settings = std::iter::once(template).chain(shared.iter().copied()).collect();
        pod(format!("spec.templates[{index}]"), template, &["sidecars"], settings)
    });
    pods.filter(|pod| !pod.containers.is_empty()).collect()
}

fn pod<'a>(path: String, written: &'a Value, lists: &[&str], settings: Vec<&'a Value>) -> Pod<'a> {
    let mut containers: Vec<(String, &Value)> = ["container", "script"]
        .into_iter()
        .filter_map(|key| Some((format!("{path}.{key}"), written.get(key)?)))
        .collect();
    for list in lists.iter().chain(&["initContainers"]) {
        let items = written.get(list).and_then(Value::as_array).into_iter().flatten().enumerate();
        containers.extend(items.map(|(index, item)| (format!("{path}.{list}[{index}]"), item)));
    }
    let set = written.pointer("/containerSet/containers").and_then(Value::as_array).into_iter().flatten().enumerate();
    containers.extend(set.map(|(index, item)| (format!("{path}.containerSet.containers[{index}]"), item)));
    let patch = settings.iter().find_map(|setting| setting.get("podSpecPatch")?.as_str());
    // One that cannot be read as it stands holds tags of Argo's.
    let patch = patch.and_then(|patch| serde_saphyr::from_str(patch).ok());
    Pod { path, containers, settings, patch }
}

impl Pod<'_> {
    /// A field of the pod's spec: its patch says it, or else the nearest that does.
    fn field(&self, name: &str) -> Option<&Value> {
        let patched = self.patch.as_ref().and_then(|patch| patch.get(name));
        patched.or_else(|| self.settings.iter().find_map(|setting| setting.get(name))).filter(|value| !value.is_null())
    }

    /// The one node that it may run on, if it is pinned: by name, by host name, or by affinity to either.
    pub(super) fn node(&self) -> Option<&str> {
        if let Some(name) = self.field("nodeName").and_then(Value::as_str) {
            return Some(name);
        }
        if let Some(name) = self.field("nodeSelector").and_then(|selector| selector.get(HOSTNAME)?.as_str()) {
            return Some(name);
        }
        match self.requirements("In").as_slice() {
            [values] => match values.as_slice() {
                [name] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it is kept away from that node.
    pub(super) fn avoids(&self, node: &str) -> bool {
        self.requirements("NotIn").iter().flatten().any(|name| *name == node)
    }

    /// Whether it is kept away from any node.
    pub(super) fn avoids_any(&self) -> bool {
        self.requirements("NotIn").iter().any(|names| !names.is_empty())
    }

    /// The nodes that its one required term of node affinity names with that operator.
    fn requirements(&self, operator: &str) -> Vec<Vec<&str>> {
        let required = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let terms = self.field("affinity").and_then(|affinity| affinity.pointer(required)?.as_array());
        // Of several terms any will do, so none of them decides.
        let Some([term]) = terms.map(Vec::as_slice) else { return Vec::new() };
        let by = |list: &str, key: &str| {
            let all = term.get(list).and_then(Value::as_array).into_iter().flatten();
            let word = |requirement: &Value, name: &str, want: &str| {
                requirement.get(name).and_then(Value::as_str) == Some(want)
            };
            let meant =
                all.filter(|requirement| word(requirement, "key", key) && word(requirement, "operator", operator));
            let values = |requirement: &&Value| requirement.get("values").and_then(Value::as_array).cloned();
            meant.filter(|requirement| values(requirement).is_some()).collect::<Vec<_>>()
        };
        let found = by("matchFields", NODE_NAME).into_iter().chain(by("matchExpressions", HOSTNAME));
        let names = found.map(|requirement| {
            let values = requirement.get("values").and_then(Value::as_array).into_iter().flatten();
            values.filter_map(Value::as_str).collect()
        });
        names.collect()
    }

    /// Whether it tolerates a taint of that key and effect.
    pub(super) fn tolerates(&self, key: &str, effect: &str) -> bool {
        let mut all = self.settings.iter().filter_map(|setting| setting.get("tolerations")?.as_array()).flatten();
        let patched = self.patch.as_ref().and_then(|patch| patch.get("tolerations")?.as_array());
        let tolerated = |toleration: &Value| {
            let word = |name: &str| toleration.get(name).and_then(Value::as_str).unwrap_or_default();
            let exists = word("operator") == "Exists";
            let same_key = if word("key").is_empty() { exists } else { word("key") == key };
            same_key && (word("effect").is_empty() || word("effect") == effect)
        };
        all.any(tolerated) || patched.into_iter().flatten().any(tolerated)
    }

    /// What lets it reach the node under it, in words and with the path of the field; none for an ordinary pod.
    pub(super) fn reach(&self) -> Option<(String, String)> {
        let shared = ["hostPID", "hostNetwork", "hostIPC"].into_iter();
        let shares = shared.filter(|name| self.field(name).and_then(Value::as_bool) == Some(true));
        if let Some(name) = shares.map(str::to_owned).next() {
            return Some((self.path.clone(), name));
        }
        let mut volumes = self.settings.iter().filter_map(|setting| setting.get("volumes")?.as_array()).flatten();
        let patched = self.patch.as_ref().and_then(|patch| patch.get("volumes")?.as_array());
        let on_host = |volume: &&Value| volume.get("hostPath").is_some_and(|path| !path.is_null());
        if volumes.any(|volume| on_host(&volume)) || patched.into_iter().flatten().any(|volume| on_host(&volume)) {
            return Some((self.path.clone(), "a volume of hostPath".to_owned()));
        }
        self.containers.iter().find_map(|(path, container)| {
            let context = container.get("securityContext")?;
            if context.get("privileged").and_then(Value::as_bool) == Some(true) {
                return Some((format!("{path}.securityContext.privileged"), "a privileged container".to_owned()));
            }
            let added = context.pointer("/capabilities/add").and_then(Value::as_array)?.first()?.as_str()?;
            Some((format!("{path}.securityContext.capabilities.add"), format!("the capability {added}")))
        })
    }
}
