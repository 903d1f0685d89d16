//! Caches: what the API server holds, as far as decisions need it, fed by a list and a watch each.
//!
//! A cache shows what its watch has told plus what our own writes returned, so that the next decision sees the last
//! one. It may lag behind the API server: whoever must not miss anything asks [`Objects::refresh`] or the server.

mod bare;
mod books;
mod changes;
mod feed;
mod index;
mod items;
mod key;
mod objects;
mod packed;
mod wire;

pub use books::{Book, Compiled};
pub use changes::Changes;
pub use feed::{OnInvalid, Options, Source};
pub use key::Key;
pub(crate) use objects::shrink;
pub use objects::{Glance, Kept, Objects};
pub use wire::Wire;

use std::sync::Arc;

use aegis_crds::alert::{AlertOpsStatus, OpsStatus};
use aegis_crds::names::{FINGERPRINT_LABEL, fingerprint_label};
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisGuard, AegisOpsTemplate};
use aegis_engine::plan::TemplateBook;
use aegis_engine::rules::RuleBook;
use aegis_engine::scope::ObjectName;
use kube::ResourceExt;

/// All alerts of the watched namespaces.
pub type Alerts = Objects<AegisAlert>;

/// All rules of the watched namespaces, and the book to choose from.
pub type Rules = Compiled<RuleBook>;

/// The AegisGuards of the publish namespace; one of them counts.
pub type Guards = Objects<AegisGuard>;

/// All templates of the watched namespaces, parsed.
pub type Templates = Compiled<TemplateBook>;

impl Kept for AegisAlert {
    const KIND: &'static str = "AegisAlert";

    fn trim(&mut self) {
        objects::trim_metadata(&mut self.metadata);
        if let Some(status) = &mut self.status {
            status.actions.shrink_to_fit();
            status.conditions.shrink_to_fit();
        }
    }

    /// Its action has ended, and it waits for nothing.
    fn is_finished(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let ended = |ops: &OpsStatus| {
            matches!(ops.alert_ops_status, Some(AlertOpsStatus::Succeeded | AlertOpsStatus::Failed))
                && ops.active.is_none_or(|active| active == 0)
        };
        status.ops_status.as_ref().is_some_and(ended) && status.verdict.is_none()
    }

    /// The fingerprint label; that of the spec where the label is missing, as on alerts written by hand.
    fn index(&self) -> Option<String> {
        let label = self.labels().get(FINGERPRINT_LABEL).cloned();
        label.or_else(|| self.spec.fingerprint.as_deref().map(fingerprint_label))
    }
}

impl Kept for AegisAlertOpsRule {
    const KIND: &'static str = "AegisAlertOpsRule";
}

impl Kept for AegisOpsTemplate {
    const KIND: &'static str = "AegisOpsTemplate";
}

impl Kept for AegisGuard {
    const KIND: &'static str = "AegisGuard";
}

impl Alerts {
    /// The alerts of that fingerprint, whatever their source and type, in no particular order.
    pub fn of_fingerprint(&self, fingerprint: &str) -> Vec<Arc<AegisAlert>> {
        self.indexed(&fingerprint_label(fingerprint))
    }
}

impl Book for RuleBook {
    type Object = AegisAlertOpsRule;

    fn anew(&self, objects: &[Arc<AegisAlertOpsRule>]) -> Self {
        Self::of(self.namespaces().clone(), objects.iter().map(Arc::as_ref))
    }

    fn with(&self, object: &AegisAlertOpsRule) -> Self {
        self.with(object)
    }

    fn without(&self, key: &Key) -> Self {
        self.without(&ObjectName::new(&*key.namespace, &*key.name))
    }
}

impl Book for TemplateBook {
    type Object = AegisOpsTemplate;

    fn anew(&self, objects: &[Arc<AegisOpsTemplate>]) -> Self {
        Self::of(self.namespaces().clone(), objects.iter().map(Arc::as_ref))
    }

    fn with(&self, object: &AegisOpsTemplate) -> Self {
        self.with(object)
    }

    fn without(&self, key: &Key) -> Self {
        self.without(&ObjectName::new(&*key.namespace, &*key.name))
    }
}
