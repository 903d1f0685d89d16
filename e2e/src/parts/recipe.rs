//! What is built from which module. To move to another version, change it here: the cache keeps versions apart.

/// How a part is built.
#[derive(Debug)]
pub struct Recipe {
    /// A word for folders and messages.
    pub name: &'static str,
    /// The module's version, without the "v".
    pub version: &'static str,
    /// The Go module.
    pub module: &'static str,
    /// The programs: file name, and package below the module ("" is its root).
    pub programs: &'static [(&'static str, &'static str)],
    /// Modules that the module replaces by folders of its repository, which only the repository itself has: they are
    /// taken as published, at the version 0.x of the module's 1.x.
    pub staging: &'static [&'static str],
    /// Variables that the linker sets (-X); `{version}` stands for the version.
    pub variables: &'static [&'static str],
    /// Files that the published module lacks: path below the module, and text.
    pub added: &'static [(&'static str, &'static str)],
    /// Folders of the module's sources that are kept beside the programs: path below the module, and name.
    pub kept: &'static [(&'static str, &'static str)],
}

impl Recipe {
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Name and version, for people.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

const PLAIN: Recipe =
    Recipe { name: "", version: "", module: "", programs: &[], staging: &[], variables: &[], added: &[], kept: &[] };

/// Every recipe there is, the slowest first.
pub const ALL: [&Recipe; 7] = [&KUBERNETES, &ARGO, &HELM, &KWOK, &ETCD, &ALERTMANAGER, &KREW];

/// The control plane, the kubelet, kube-proxy and kubectl. Most of their packages are shared, so the first takes longest.
pub static KUBERNETES: Recipe = Recipe {
    name: "kubernetes",
    version: "1.35.4",
    module: "k8s.io/kubernetes",
    programs: &[
        ("kube-apiserver", "cmd/kube-apiserver"),
        ("kube-controller-manager", "cmd/kube-controller-manager"),
        ("kube-scheduler", "cmd/kube-scheduler"),
        ("kubelet", "cmd/kubelet"),
        ("kube-proxy", "cmd/kube-proxy"),
        ("kubectl", "cmd/kubectl"),
    ],
    staging: &[
        "api",
        "apiextensions-apiserver",
        "apimachinery",
        "apiserver",
        "cli-runtime",
        "client-go",
        "cloud-provider",
        "cluster-bootstrap",
        "code-generator",
        "component-base",
        "component-helpers",
        "controller-manager",
        "cri-api",
        "cri-client",
        "csi-translation-lib",
        "dynamic-resource-allocation",
        "endpointslice",
        "externaljwt",
        "kms",
        "kube-aggregator",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
        "metrics",
        "mount-utils",
        "pod-security-admission",
        "sample-apiserver",
        "sample-cli-plugin",
        "sample-controller",
    ],
    // What `kubectl version` and /version tell.
    variables: &[
        "k8s.io/component-base/version.gitVersion=v{version}",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor=35",
    ],
    ..PLAIN
};

/// The store behind the API server.
pub static ETCD: Recipe =
    Recipe { name: "etcd", version: "3.6.8", module: "go.etcd.io/etcd/server/v3", programs: &[("etcd", "")], ..PLAIN };

/// Argo Workflows: the controller, the executor that stands in every pod of a Workflow, and the definitions.
pub static ARGO: Recipe = Recipe {
    name: "argo-workflows",
    version: "3.7.4",
    module: "github.com/argoproj/argo-workflows/v3",
    programs: &[("workflow-controller", "cmd/workflow-controller"), ("argoexec", "cmd/argoexec")],
    variables: &["github.com/argoproj/argo-workflows/v3.version=v{version}"],
    // The module proxy serves the module without this file, and argoexec does not compile without it.
    added: &[("workflow/executor/osspecific/signal_linux.go", include_str!("signal_linux.go.txt"))],
    kept: &[("manifests/base/crds/minimal", "crds")],
    ..PLAIN
};

/// The sender of alerts. Later versions lack their built web page in the module and do not compile.
pub static ALERTMANAGER: Recipe = Recipe {
    name: "alertmanager",
    version: "0.31.1",
    module: "github.com/prometheus/alertmanager",
    programs: &[("alertmanager", "cmd/alertmanager")],
    variables: &["github.com/prometheus/common/version.Version={version}"],
    ..PLAIN
};

/// Nodes without machines: it keeps their status and their leases as a kubelet would, for thousands of them.
pub static KWOK: Recipe = Recipe {
    name: "kwok",
    version: "0.7.0",
    module: "sigs.k8s.io/kwok",
    programs: &[("kwok", "cmd/kwok")],
    variables: &["sigs.k8s.io/kwok/pkg/consts.Version=v{version}"],
    ..PLAIN
};

/// The plugin manager of kubectl, and what its index looks at manifests with.
pub static KREW: Recipe = Recipe {
    name: "krew",
    version: "0.5.0",
    module: "sigs.k8s.io/krew",
    programs: &[("krew", "cmd/krew"), ("validate-krew-manifest", "cmd/validate-krew-manifest")],
    variables: &["sigs.k8s.io/krew/internal/version.gitTag=v{version}"],
    ..PLAIN
};

/// What installs charts. `scripts/helm` builds it into the same place for the tests.
pub static HELM: Recipe = Recipe {
    name: "helm",
    version: "3.19.5",
    module: "helm.sh/helm/v3",
    programs: &[("helm", "cmd/helm")],
    variables: &["helm.sh/helm/v3/internal/version.version=v{version}"],
    ..PLAIN
};
