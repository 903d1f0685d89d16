//! A Workflow as far as the runner runs it. [`super::read`] makes these from the object, or names what is not run.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::depends::Depends;

/// A Workflow that the runner can run: every reference in it resolves, every field in it is understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workflow {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) entrypoint: String,
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) arguments: Vec<Parameter>,
    pub(crate) on_exit: Option<String>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) parallelism: Option<usize>,
    pub(crate) retry: Option<Retry>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) ttl: Ttl,
    pub(crate) pod: PodFields,
}

/// What a Workflow or template says about the pods that it makes, in the pod's own fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodFields {
    /// Fields of the pod's spec.
    pub(crate) spec: Map<String, Value>,
    pub(crate) labels: Map<String, Value>,
    pub(crate) annotations: Map<String, Value>,
}

/// `argo stop` and `argo terminate` write this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Ends everything but the exit handler.
    Stop,
    /// Ends everything.
    Terminate,
}

impl Shutdown {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stop => "Stop",
            Self::Terminate => "Terminate",
        }
    }
}

/// How long a finished Workflow is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ttl {
    pub(crate) after_completion: Option<Duration>,
    pub(crate) after_success: Option<Duration>,
    pub(crate) after_failure: Option<Duration>,
}

impl Ttl {
    /// The time that applies to a Workflow which ended so; None keeps it.
    pub(crate) fn after(&self, succeeded: bool) -> Option<Duration> {
        if succeeded { self.after_success } else { self.after_failure }.or(self.after_completion)
    }
}

/// A parameter of the Workflow or an input of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// An output of a steps or dag template: `value` is read with the scope of its last step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) default: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Parameter>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) body: Body,
    pub(crate) retry: Option<Retry>,
    /// activeDeadlineSeconds: how long the pod may be active; may hold a tag.
    pub(crate) deadline: Option<String>,
    /// timeout: how long the node may take, waiting included; may hold a tag.
    pub(crate) timeout: Option<String>,
    pub(crate) parallelism: Option<usize>,
    pub(crate) pod: PodFields,
}

impl Template {
    /// Whether it runs as one pod.
    pub(crate) fn is_pod(&self) -> bool {
        matches!(self.body, Body::Container(_) | Body::Script { .. })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Container(Map<String, Value>),
    Script {
        container: Map<String, Value>,
        source: String,
    },
    /// Groups run one after the other, the calls of a group side by side.
    Steps(Vec<Vec<Call>>),
    Dag {
        tasks: Vec<Task>,
        fail_fast: bool,
        /// The tasks that decide the result: those that `target` names, else those on which no other depends.
        targets: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) call: Call,
    pub(crate) depends: Option<Depends>,
}

/// A step or task: a template called with arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) template: String,
    pub(crate) arguments: Vec<(String, String)>,
    pub(crate) when: String,
    pub(crate) over: Option<Over>,
    pub(crate) continue_on_failed: bool,
    pub(crate) continue_on_error: bool,
}

/// What a call is repeated over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Over {
    Items(Vec<Value>),
    /// Text that is a JSON list once its tags are filled in.
    Param(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Retry {
    /// How many attempts may follow the first; may hold a tag. None: no limit.
    pub(crate) limit: Option<String>,
    pub(crate) policy: Policy,
    pub(crate) backoff: Option<Backoff>,
}

/// Which endings are tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    #[default]
    OnFailure,
    OnError,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) duration: Duration,
    pub(crate) factor: f64,
    pub(crate) max_duration: Option<Duration>,
    pub(crate) cap: Option<Duration>,
}
