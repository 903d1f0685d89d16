//! Which objects a command line means: TYPE NAME..., TYPE/NAME...

use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};

use super::Error;

/// A type of objects that the stand-in knows.
#[derive(Debug)]
pub(super) struct Type {
    /// Singular, as kubectl prints it before the name, with the group where there is one.
    pub(super) label: String,
    /// How the API server calls it.
    pub(super) resource: ApiResource,
    /// Whether its objects live in a namespace.
    pub(super) namespaced: bool,
}

/// Spellings, group, version, kind, plural, namespaced.
type Row = (&'static [&'static str], &'static str, &'static str, &'static str, &'static str, bool);

const TYPES: &[Row] = &[
    (&["node", "nodes", "no"], "", "v1", "Node", "nodes", false),
    (&["namespace", "namespaces", "ns"], "", "v1", "Namespace", "namespaces", false),
    (&["pod", "pods", "po"], "", "v1", "Pod", "pods", true),
    (&["configmap", "configmaps", "cm"], "", "v1", "ConfigMap", "configmaps", true),
    (&["secret", "secrets"], "", "v1", "Secret", "secrets", true),
    (&["service", "services", "svc"], "", "v1", "Service", "services", true),
    (&["serviceaccount", "serviceaccounts", "sa"], "", "v1", "ServiceAccount", "serviceaccounts", true),
    (&["persistentvolume", "persistentvolumes", "pv"], "", "v1", "PersistentVolume", "persistentvolumes", false),
    (
        &["persistentvolumeclaim", "persistentvolumeclaims", "pvc"],
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        true,
    ),
    (&["event", "events", "ev"], "", "v1", "Event", "events", true),
    (&["deployment", "deployments", "deploy"], "apps", "v1", "Deployment", "deployments", true),
    (&["daemonset", "daemonsets", "ds"], "apps", "v1", "DaemonSet", "daemonsets", true),
    (&["statefulset", "statefulsets", "sts"], "apps", "v1", "StatefulSet", "statefulsets", true),
    (&["replicaset", "replicasets", "rs"], "apps", "v1", "ReplicaSet", "replicasets", true),
    (&["cronjob", "cronjobs", "cj"], "batch", "v1", "CronJob", "cronjobs", true),
    (&["job", "jobs"], "batch", "v1", "Job", "jobs", true),
    (&["workflow", "workflows", "wf"], "argoproj.io", "v1alpha1", "Workflow", "workflows", true),
    (&["aegisalert", "aegisalerts", "aalert"], "aegis.io", "v1alpha1", "AegisAlert", "aegisalerts", true),
];

impl Type {
    /// The type of that spelling, in any case and with or without its group.
    pub(super) fn parse(word: &str) -> Result<Self, Error> {
        let word = word.to_ascii_lowercase();
        let (bare, group_of_word) =
            word.split_once('.').map_or((word.as_str(), None), |(bare, group)| (bare, Some(group)));
        let row = TYPES.iter().find(|(spellings, group, ..)| {
            spellings.contains(&bare) && group_of_word.is_none_or(|wanted| wanted == *group)
        });
        let Some(&(_, group, version, kind, plural, namespaced)) = row else {
            let known: Vec<_> = TYPES.iter().map(|row| row.4).collect();
            return Err(Error::Usage(format!(
                "the server doesn't have a resource type \"{word}\" that this kubectl knows; it knows {}",
                known.join(", ")
            )));
        };
        let singular = kind.to_ascii_lowercase();
        let label = if group.is_empty() { singular } else { format!("{singular}.{group}") };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        Ok(Self { label, resource, namespaced })
    }

    /// The objects of this type in that namespace (in all for `None`).
    pub(super) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// The type and the names that words like `node n1 n2`, `node/n1` or `pods` mean; no names mean all of that type.
pub(super) fn parse(words: &[String]) -> Result<(Type, Vec<String>), Error> {
    let Some(first) = words.first() else {
        return Err(Error::Usage("name what is meant: TYPE NAME or TYPE/NAME".to_owned()));
    };
    if !first.contains('/') {
        return Ok((Type::parse(first)?, words.iter().skip(1).cloned().collect()));
    }
    let mut kind: Option<Type> = None;
    let mut names = Vec::new();
    for word in words {
        let Some((type_, name)) = word.split_once('/') else {
            return Err(Error::Usage(format!(
                "there is no need to mix TYPE/NAME with \"{word}\": write every object as TYPE/NAME"
            )));
        };
        let type_ = Type::parse(type_)?;
        if kind.as_ref().is_some_and(|kind| kind.label != type_.label) {
            return Err(Error::Usage("objects of one type only, please".to_owned()));
        }
        kind = Some(type_);
        names.push(name.to_owned());
    }
    kind.map(|kind| (kind, names)).ok_or_else(|| Error::Usage("name what is meant: TYPE NAME or TYPE/NAME".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn both_ways_to_write_an_object_mean_the_same() {
        for text in ["node n1 n2", "nodes n1 n2", "node/n1 no/n2", "Node/n1 node/n2"] {
            let (type_, names) = parse(&words(text)).unwrap();
            assert_eq!((type_.label.as_str(), names), ("node", words("n1 n2")), "{text}");
        }
        assert_eq!(parse(&words("workflows.argoproj.io w")).unwrap().0.label, "workflow.argoproj.io");
    }

    #[test]
    fn what_it_does_not_know_is_refused_by_name() {
        for (text, part) in [("gadget g1", "gadget"), ("node/n1 n2", "n2"), ("node/n1 pod/p1", "one type")] {
            let error = parse(&words(text)).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
