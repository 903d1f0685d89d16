//! What is worth a warning about a template that can be used: what would hurt once it acts.
//!
//! The manifest is rendered with made-up values ([`sample`]), the object is cut into the pods that it makes ([`pods`]), and
//! what their scripts call is read as a shell would cut it ([`commands`]). A finding is advice: the controller does not ask
//! for it. What is wrong with a template in itself is told by [`crate::plan::CompiledTemplate::compile`], and here too.

mod commands;
mod judge;
mod pods;
mod sample;

use std::fmt;

use aegis_crds::AegisOpsTemplate;
use serde::Serialize;

use crate::plan::CompiledTemplate;

/// One thing that would hurt, where it is, and what to write instead. It prints as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What kind of finding it is.
    pub code: Code,
    /// The field: of the rendered object, such as `spec.templates[0].container.image`, or of the template itself, such
    /// as `spec.manifest`, where nothing could be rendered.
    pub path: String,
    /// What was found there, and what it would lead to.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// The kinds of findings. Each serialises and prints as the word that its `as_str` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The template cannot be used at all.
    Broken,
    /// A pod that reaches the machine under it may run on any node.
    PrivilegedUnpinned,
    /// A step restarts, drains or taints the node that it runs on, and is lost with it.
    ActsOnItself,
    /// A pod that has to run on an ailing or cordoned node does not tolerate that node's taints.
    UntoleratedTaint,
    /// Nothing removes the action once it has ended.
    MissingTtl,
    /// An image without a tag, or with the tag latest.
    UnpinnedImage,
    /// A value stands where an ordinary text will be refused.
    RefusedValue,
}

impl Code {
    /// Every code, in the order of their gravity.
    pub const ALL: [Self; 7] = [
        Self::Broken,
        Self::PrivilegedUnpinned,
        Self::ActsOnItself,
        Self::UntoleratedTaint,
        Self::MissingTtl,
        Self::UnpinnedImage,
        Self::RefusedValue,
    ];

    /// The word for it, such as "privileged-unpinned".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::PrivilegedUnpinned => "privileged-unpinned",
            Self::ActsOnItself => "acts-on-itself",
            Self::UntoleratedTaint => "untolerated-taint",
            Self::MissingTtl => "missing-ttl",
            Self::UnpinnedImage => "unpinned-image",
            Self::RefusedValue => "refused-value",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, path, problem, remedy } = self;
        write!(f, "{code}: {path}: {problem}; {remedy}")
    }
}

/// Everything that is worth a warning about one template, the gravest first, each once; nothing is printed or read.
///
/// A branch that no made-up value takes is not looked at. What a script calls is found where the script says it in so
/// many words; a program's name in a variable is not.
pub fn template(template: &AegisOpsTemplate) -> Vec<Finding> {
    let mut findings = match CompiledTemplate::compile(template) {
        Err(broken) => broken.flaws.iter().map(|flaw| broken_by(flaw)).collect(),
        Ok(compiled) => match sample::rendered(&compiled.manifest) {
            Err(flaw) => vec![broken_by(&format!("spec.manifest: {flaw}"))],
            Ok((values, object)) => {
                let mut findings = judge::object(&object);
                findings.extend(sample::refused(&compiled.manifest, &values));
                findings
            }
        },
    };
    findings.sort();
    findings.dedup();
    findings
}

/// A flaw is one sentence that begins with the field.
fn broken_by(flaw: &str) -> Finding {
    let (path, problem) = flaw.split_once(": ").unwrap_or(("spec.manifest", flaw));
    Finding {
        code: Code::Broken,
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy: "mend this first: nothing else was looked at".to_owned(),
    }
}

#[cfg(test)]
mod tests;
