//! Rules, judged when they are written.

use aegis_crds::AegisAlertOpsRule;
use aegis_engine::rules::CompiledRule;

use crate::definition::{Definition, Verdict};

impl Definition for AegisAlertOpsRule {
    fn flaws(&self) -> Vec<String> {
        match CompiledRule::compile(self) {
            Ok(_) => Vec::new(),
            Err(broken) => broken.flaws.iter().map(ToString::to_string).collect(),
        }
    }

    fn verdict(&self) -> Verdict<'_> {
        self.status.as_ref().map_or_else(Verdict::default, |status| Verdict {
            status: status.status.as_deref(),
            conditions: &status.conditions,
            observed_generation: status.observed_generation,
        })
    }
}
