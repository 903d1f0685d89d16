//! Templates, judged when they are written.

use aegis_crds::AegisOpsTemplate;
use aegis_engine::plan::CompiledTemplate;

use crate::definition::{Definition, Verdict};

impl Definition for AegisOpsTemplate {
    fn flaws(&self) -> Vec<String> {
        match CompiledTemplate::compile(self) {
            Ok(_) => Vec::new(),
            Err(broken) => broken.flaws,
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
