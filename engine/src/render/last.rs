//! The tree of the text that a template last evaluated to.
//!
//! The text is the same for all alerts whose values take the same branches, and reading it as YAML is half the work of
//! a rendering.

use std::sync::{Arc, Mutex, PoisonError};

use super::yaml::{self, Node};
use super::{Evaluated, Flaw};

/// The longest text whose tree is kept. A tree takes about ten times as much memory as its text.
const LONGEST: usize = 64 * 1024;

/// Keeps one tree, of a text that was read without a flaw.
#[derive(Debug, Default)]
pub(super) struct LastTree(Mutex<Option<Arc<Tree>>>);

#[derive(Debug)]
struct Tree {
    text: String,
    /// Which of the text are words follows from this.
    tag: String,
    root: Arc<Node>,
}

impl LastTree {
    /// The tree of an evaluated text: the one that is kept if that is it.
    pub(super) fn of(&self, evaluated: &Evaluated) -> Result<Arc<Node>, Flaw> {
        let tag = evaluated.words.tag();
        // The tree is never seen half-written: it is replaced as a whole.
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|kept| kept.tag == tag && kept.text == evaluated.text) {
            return Ok(kept.root.clone());
        }
        let root = Arc::new(yaml::parse(evaluated)?);
        if evaluated.text.len() <= LONGEST {
            let tree = Tree { text: evaluated.text.clone(), tag: tag.to_owned(), root: root.clone() };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(tree));
        }
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::render::{Parameters, Template, fill};

    /// One text that values cannot change, one that they can, and one that prints them where they decide structure.
    const TEMPLATES: [&str; 3] = [
        "apiVersion: batch/v1\nkind: Job\nspec:\n  activeDeadlineSeconds: {{.x}}\n  a: ['{{.y}}', \"{{.x}}-{{.y}}\"]\n",
        "apiVersion: batch/v1\nkind: Job\nspec:\n  {{if eq .x \"1\"}}a: {{.y}}{{else}}a: {{.x}}{{end}}\n  b: {{.y}}\n",
        "apiVersion: batch/v1\nkind: Job\nspec:\n  {{if eq .x \"1\"}}{{.y}}: a{{else}}a: {{.y}}{{end}}\n",
    ];

    proptest! {
        #[test]
        fn what_was_rendered_before_does_not_matter(
            values in proptest::collection::vec(("1|2|[ -~]{0,6}", "\\PC{0,12}"), 1..6),
        ) {
            for template in TEMPLATES {
                let used = Template::parse(template).unwrap();
                for (x, y) in &values {
                    let parameters: Parameters = [("x", x), ("y", y)].into_iter().collect();
                    let anew = fill(&used.evaluate(&parameters).unwrap());
                    prop_assert_eq!(used.render(&parameters), anew);
                }
            }
        }
    }
}
