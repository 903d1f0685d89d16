//! By which key the items of a list are told apart when a list is merged. The published schemas of the Kubernetes
//! types do not say it in Rust, so the table stands here.

/// The merge key of a list field; the empty key for a list of plain values that is merged as a set. `None` for lists
/// that are replaced as a whole.
pub(crate) fn merge_key(type_name: &str, field: &str) -> Option<&'static str> {
    let short = type_name.rsplit('.').next().unwrap_or_default();
    Some(match (short, field) {
        ("ObjectMeta", "ownerReferences") => "uid",
        ("ObjectMeta", "finalizers") => "",
        (
            "PodSpec",
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "imagePullSecrets"
            | "resourceClaims"
            | "schedulingGates",
        ) => "name",
        ("PodSpec", "hostAliases") => "ip",
        ("PodSpec", "topologySpreadConstraints") => "topologyKey",
        ("Container" | "EphemeralContainer", "env") => "name",
        ("Container" | "EphemeralContainer", "ports") => "containerPort",
        ("Container" | "EphemeralContainer", "volumeMounts") => "mountPath",
        ("Container" | "EphemeralContainer", "volumeDevices") => "devicePath",
        ("PodStatus", "podIPs" | "hostIPs") => "ip",
        ("NodeSpec", "podCIDRs") => "",
        ("NodeStatus", "addresses") => "type",
        ("ServiceSpec", "ports") => "port",
        ("ServiceAccount", "secrets") => "name",
        ("CustomResourceDefinitionStatus", "conditions") => "type",
        (status, "conditions") if status.ends_with("Status") => "type",
        _ => return None,
    })
}
