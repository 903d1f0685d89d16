//! The pods of a Job. Their names are derived, so that making one twice meets the first.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// As Kubernetes writes random name endings: no vowels, and none of the digits that look like one.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const ENDING: u32 = 5;
/// The longest name of a pod whose name becomes a host name.
const LONGEST: usize = 63;

/// The next `count` pods of `job` beside those in `pods`.
pub(super) fn new(job: &Job, pods: &[Pod], count: usize) -> Vec<Pod> {
    let taken: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    (0u32..)
        .map(|number| name(job, number))
        .filter(|name| !taken.contains(name.as_str()))
        .take(count)
        .map(|name| pod(job, name))
        .collect()
}

fn name(job: &Job, number: u32) -> String {
    let stem = job.metadata.name.as_deref().unwrap_or_default();
    let stem: String = stem.chars().take(LONGEST - 1 - ENDING as usize).collect();
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let seed = format!("{uid}/{number}");
    let mut hash = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut ending = String::new();
    for _ in 0..ENDING {
        let letter = usize::try_from(hash % 27).ok().and_then(|index| ALPHABET.get(index)).copied().unwrap_or(b'x');
        ending.push(char::from(letter));
        hash /= 27;
    }
    format!("{stem}-{ending}")
}

fn pod(job: &Job, name: String) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let job_name = job.metadata.name.clone().unwrap_or_default();
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let mut labels = metadata.labels.unwrap_or_default();
    for prefix in ["", "batch.kubernetes.io/"] {
        labels.insert(format!("{prefix}job-name"), job_name.clone());
        labels.insert(format!("{prefix}controller-uid"), uid.clone());
    }
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: job.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: metadata.annotations,
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "Job".to_owned(),
                name: job_name,
                uid,
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": "u-1"},
            "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_carries_its_jobs_labels_and_owner_and_a_name_of_its_own() {
        let job = job("j");
        let first = new(&job, &[], 1);
        assert_eq!(new(&job, &[], 1), first, "the same again");
        let second = new(&job, &first, 2);
        let names: BTreeSet<_> = first.iter().chain(&second).map(|pod| pod.metadata.name.clone()).collect();
        assert_eq!(names.len(), 3);
        let labels = first[0].metadata.labels.as_ref().unwrap();
        for (key, value) in
            [("app", "x"), ("job-name", "j"), ("batch.kubernetes.io/job-name", "j"), ("controller-uid", "u-1")]
        {
            assert_eq!(labels[key], value);
        }
        assert_eq!(first[0].metadata.owner_references.as_ref().unwrap()[0].uid, "u-1");
    }

    #[test]
    fn a_long_name_is_cut() {
        let pods = new(&job(&"j".repeat(63)), &[], 1);
        assert_eq!(pods[0].metadata.name.as_ref().unwrap().len(), LONGEST);
    }
}
