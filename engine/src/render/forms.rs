//! The forms of the texts that a template evaluated to of late.
//!
//! The text is the same for all alerts whose values take the same branches, and reading it is most of the work of a
//! rendering.

use std::sync::{Arc, Mutex, PoisonError};

use super::fill::Form;
use super::{Evaluated, Flaw, Place};

/// The most forms that are kept of one template.
const MOST: usize = 4;
/// The most bytes of text whose forms are kept. A form takes about twelve times as much memory as its text.
const LONGEST: usize = 64 * 1024;

/// Keeps the newest forms, of texts that were read without a flaw.
#[derive(Debug, Default)]
pub(super) struct Forms(Mutex<Vec<Arc<Kept>>>);

/// A form and all that it follows from.
#[derive(Debug)]
struct Kept {
    text: String,
    /// Which of the text are words follows from this.
    tag: String,
    /// Which of the words stand for tags that may be Argo's: the same text may have come from other tags.
    placed: Vec<(usize, String, Place)>,
    form: Form,
}

impl Kept {
    fn of(evaluated: &Evaluated) -> Result<Self, Flaw> {
        let placed = evaluated.words.placed().map(|(word, tag, place)| (word, tag.to_owned(), place));
        Ok(Self {
            text: evaluated.text.clone(),
            tag: evaluated.words.tag().to_owned(),
            placed: placed.collect(),
            form: Form::of(evaluated)?,
        })
    }

    fn is_of(&self, evaluated: &Evaluated) -> bool {
        let placed = self.placed.iter().map(|(word, tag, place)| (*word, tag.as_str(), *place));
        self.text == evaluated.text && self.tag == evaluated.words.tag() && placed.eq(evaluated.words.placed())
    }
}

impl Forms {
    /// Fills the form of an evaluated text: one that is kept, or a new one that is kept from now on.
    ///
    /// # Errors
    /// Those of [`super::fill`].
    pub(super) fn fill(&self, evaluated: &Evaluated) -> Result<serde_json::Value, Flaw> {
        // A list is never seen half-changed: nothing that changes it can panic.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().iter().find(|kept| kept.is_of(evaluated)).cloned();
        let kept = match known {
            Some(kept) => kept,
            None => {
                let new = Arc::new(Kept::of(evaluated)?);
                keep(&mut lock(), new.clone());
                new
            }
        };
        kept.form.fill(&evaluated.words)
    }
}

fn keep(all: &mut Vec<Arc<Kept>>, new: Arc<Kept>) {
    if new.text.len() > LONGEST {
        return;
    }
    all.push(new);
    let bytes = |all: &[Arc<Kept>]| all.iter().map(|kept| kept.text.len()).sum::<usize>();
    while all.len() > MOST || bytes(all) > LONGEST {
        all.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::{Parameters, Template, fill};

    /// One text that values cannot change, one that they can, one that is the same whether it comes from a value or from
    /// a tag of Argo's, and one that prints values where they decide structure.
    const TEMPLATES: [&str; 4] = [
        "apiVersion: batch/v1\nkind: Job\nspec:\n  activeDeadlineSeconds: {{.x}}\n  a: ['{{.y}}', \"{{.x}}-{{.y}}\"]\n",
        "apiVersion: batch/v1\nkind: Job\nspec:\n  {{if eq .x \"1\"}}a: {{.y}}{{else}}a: {{.x}}{{end}}\n  b: {{.y}}\n",
        "apiVersion: batch/v1\nkind: Job\nspec:\n  metrics: ['{{if eq .x \"1\"}}{{.y}}{{else}}{{status}}{{end}}']\n",
        "apiVersion: batch/v1\nkind: Job\nspec:\n  {{if eq .x \"1\"}}{{.y}}: a{{else}}a: {{.y}}{{end}}\n",
    ];

    #[test]
    fn no_more_are_kept_than_the_newest() {
        let round = "x".repeat(100);
        let template = format!("apiVersion: batch/v1\nkind: Job\nspec:\n  a: {{{{range int .n}}}}{round}{{{{end}}}}\n");
        let template = Template::parse(&template).unwrap();
        let forms = Forms::default();
        let kept_after = |number: usize| {
            let parameters: Parameters = [("n", number.to_string())].into_iter().collect();
            let object = forms.fill(&template.evaluate(&parameters).unwrap()).unwrap();
            assert_eq!(object["spec"]["a"], round.repeat(number));
            forms.0.lock().unwrap().len()
        };
        let kept: Vec<usize> = [1, 2, 1, 3, 4, 5, 1].into_iter().map(kept_after).collect();
        assert_eq!(kept, [1, 2, 2, 3, 4, 4, 4]);
        assert_eq!(kept_after(LONGEST / 100), 4, "too long a text is not kept");
        assert_eq!(kept_after(LONGEST / 100 - 1), 1, "a long one leaves no room for others");
    }

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
