//! taint: KEY=VALUE:EFFECT and KEY:EFFECT set one, KEY:EFFECT- and KEY- remove.

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{Change, Error, target};
use crate::output;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Sets or removes taints on the nodes named.
pub(super) async fn taint(client: &Client, change: &Change) -> Result<(), Error> {
    let is_change = |word: &String| word.contains([':', '=']) || word.ends_with('-');
    let split = change.words.iter().position(is_change).unwrap_or(change.words.len());
    let (objects, edits) = change.words.split_at(split);
    let (type_, names) = target::parse(objects)?;
    if type_.label != "node" {
        return Err(Error::Usage(format!("only nodes have taints, not {}", type_.label)));
    }
    if names.is_empty() || edits.is_empty() {
        return Err(Error::Usage("name the nodes and at least one taint: node NAME KEY=VALUE:EFFECT".to_owned()));
    }
    let edits = edits.iter().map(|word| Edit::parse(word)).collect::<Result<Vec<_>, _>>()?;
    let api: Api<Node> = Api::all(client.clone());
    for name in names {
        let node = api.get(&name).await?;
        let mut taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        for edit in &edits {
            edit.apply(&mut taints, change.overwrite).map_err(|why| Error::Usage(format!("node {name} {why}")))?;
        }
        // The resourceVersion makes a taint that somebody sets meanwhile a conflict instead of a loss.
        let version = node.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let removed_only = edits.iter().all(|edit| matches!(edit, Edit::Remove { .. }));
        output::line(&format!("node/{name} {}", if removed_only { "untainted" } else { "tainted" }));
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Edit {
    Set(Taint),
    Remove { key: String, effect: Option<String> },
}

impl Edit {
    fn parse(word: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Usage(format!("invalid taint \"{word}\": {why}")));
        if let Some(word) = word.strip_suffix('-') {
            let (key, effect) = word.split_once(':').map_or((word, None), |(key, effect)| (key, Some(effect)));
            let key = key.split_once('=').map_or(key, |(key, _)| key);
            if effect.is_some_and(|effect| !EFFECTS.contains(&effect)) {
                return wrong("the effect is one of NoSchedule, PreferNoSchedule, NoExecute");
            }
            return Ok(Self::Remove { key: key.to_owned(), effect: effect.map(str::to_owned) });
        }
        let Some((pair, effect)) = word.rsplit_once(':') else {
            return wrong("write KEY=VALUE:EFFECT, or KEY- to remove");
        };
        if !EFFECTS.contains(&effect) {
            return wrong("the effect is one of NoSchedule, PreferNoSchedule, NoExecute");
        }
        let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return wrong("the key is empty");
        }
        Ok(Self::Set(Taint {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            effect: effect.to_owned(),
            time_added: None,
        }))
    }

    fn apply(&self, taints: &mut Vec<Taint>, overwrite: bool) -> Result<(), String> {
        match self {
            Self::Set(taint) => {
                let same = |old: &Taint| old.key == taint.key && old.effect == taint.effect;
                if !overwrite && taints.iter().any(|old| same(old) && old.value != taint.value) {
                    return Err(format!(
                        "already has {} taint(s) with same effect(s) and --overwrite is false",
                        taint.key
                    ));
                }
                taints.retain(|old| !same(old));
                taints.push(taint.clone());
            }
            Self::Remove { key, effect } => {
                let before = taints.len();
                taints.retain(|old| old.key != *key || effect.as_ref().is_some_and(|effect| old.effect != *effect));
                if taints.len() == before {
                    return Err(format!("has no taint \"{key}\" to remove"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taints(edits: &str, overwrite: bool) -> Result<String, String> {
        let mut taints = Vec::new();
        for word in edits.split_whitespace() {
            Edit::parse(word).map_err(|error| error.to_string())?.apply(&mut taints, overwrite)?;
        }
        let shown = taints.iter().map(|t| format!("{}={}:{}", t.key, t.value.as_deref().unwrap_or(""), t.effect));
        Ok(shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn taints_are_set_replaced_and_removed_by_key_and_effect() {
        let cases = [
            ("gpu=bad:NoSchedule", false, "gpu=bad:NoSchedule"),
            ("gpu:NoExecute", false, "gpu=:NoExecute"),
            ("gpu=a:NoSchedule gpu=b:NoSchedule", true, "gpu=b:NoSchedule"),
            ("gpu=a:NoSchedule gpu=a:NoExecute gpu:NoSchedule-", false, "gpu=a:NoExecute"),
            ("gpu=a:NoSchedule gpu=a:NoExecute gpu-", false, ""),
        ];
        for (edits, overwrite, want) in cases {
            assert_eq!(taints(edits, overwrite).as_deref(), Ok(want), "{edits}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for edits in
            ["gpu", "gpu=bad", "gpu=bad:Whenever", "=x:NoSchedule", "gpu-", "gpu=a:NoSchedule gpu=b:NoSchedule"]
        {
            assert!(taints(edits, false).is_err(), "{edits}");
        }
    }
}
