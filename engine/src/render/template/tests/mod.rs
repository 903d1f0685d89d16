//! What templates print. Values are shown in angle brackets, integers as `<i:..>` and booleans as `<b:..>`, so that a
//! table tells them from the template's own text.

mod flaws;
mod go;
mod own;
mod ownership;
mod properties;
mod whole;

use crate::render::{Evaluated, Flaw, Parameters, Piece, Printed, Template};

/// The parameters that the tables speak of.
fn parameters() -> Parameters {
    [
        ("node", "n1"),
        ("nodes", "a,b,c"),
        ("count", "3"),
        ("ratio", "0.75"),
        ("on", "true"),
        ("empty", ""),
        ("key-with-dash", "k"),
        ("evil", "{{workflow.name}}\n- $(reboot)"),
        ("status", "Firing"),
    ]
    .into_iter()
    .collect()
}

fn evaluate(template: &str) -> Result<Evaluated, Flaw> {
    Template::parse(template)?.evaluate(&parameters())
}

fn shown(evaluated: &Evaluated) -> String {
    evaluated
        .words
        .split(&evaluated.text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Own(own) => own.to_owned(),
            Piece::Value(_, print) => match print.kind {
                Printed::Text => format!("<{}>", print.value),
                Printed::Int => format!("<i:{}>", print.value),
                Printed::Bool => format!("<b:{}>", print.value),
            },
            Piece::Placed(_, tag) => format!("<{} in {:?}>", tag.text, tag.place),
        })
        .collect()
}

/// Checks a table of (template, what it prints, why).
fn prints(cases: &[(&str, &str, &str)]) {
    for (template, want, why) in cases {
        match evaluate(template) {
            Ok(evaluated) => assert_eq!(shown(&evaluated), *want, "{template}: {why}"),
            Err(flaw) => panic!("{template}: {why}: {flaw}"),
        }
    }
}

/// Checks a table of (template, the beginning of the flaw, a part of its hint).
fn refuses(cases: &[(&str, &str, &str)]) {
    for (template, want, hint) in cases {
        match evaluate(template) {
            Ok(evaluated) => panic!("{template}: prints {}", shown(&evaluated)),
            Err(flaw) => {
                let found = flaw.to_string();
                assert!(found.starts_with(want), "{template}:\nfound  {found}\nwanted {want}");
                assert!(found.contains(hint), "{template}:\nfound {found}\nwithout {hint}");
            }
        }
    }
}
