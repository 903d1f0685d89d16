//! Which tags are handed on to Argo, and what is no tag at all.

use super::{evaluate, prints, refuses, shown};
use crate::render::{Piece, Place};

#[test]
fn what_is_argos_passes_untouched() {
    let untouched = [
        "{{workflow.name}}",
        "{{ workflow.parameters.x }}",
        "{{inputs.parameters['a b']}}",
        "{{item}}",
        "{{ item }}",
        "{{item.os}}",
        "{{retries}}",
        "{{lastRetry.exitCode}}",
        "{{cronworkflow.name}}",
        "{{=workflow.name + '-x'}}",
        "{{= 1 if x }}",
        "{{workflow.creationTimestamp.%Y-%m-%d}}",
    ];
    for tag in untouched {
        let text = format!("a {tag} b");
        assert_eq!(shown(&evaluate(&text).unwrap()), text);
    }
    prints(&[("a  {{- item -}}  b", "a{{item}}b", "marks that trim are ours, Argo does not know them")]);
}

#[test]
fn a_value_may_stand_inside_an_expression_of_argos() {
    prints(&[(
        "{{=inputs.parameters.n == '{{.node}}' ? 1 : 2}}",
        "{{=inputs.parameters.n == '<n1>' ? 1 : 2}}",
        "filled later, if it is safe",
    )]);
}

#[test]
fn names_that_are_argos_in_one_place_wait_for_the_place() {
    prints(&[
        ("{{status}}", "<{{status}} in Metrics>", "inside metrics"),
        ("{{ request.body }}", "<{{ request.body }} in Http>", "in http templates"),
        ("{{ status | upper }}", "<FIRING>", "an expression is ours"),
        ("{{.status}}", "<Firing>", "a leading dot is ours"),
    ]);
    let evaluated = evaluate("{{status}} {{duration}} {{response.body}}").unwrap();
    let placed: Vec<_> = evaluated
        .words
        .split(&evaluated.text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Placed(_, tag) => Some((tag.place, tag.elsewhere.clone())),
            _ => None,
        })
        .collect();
    let [(Place::Metrics, Ok(status)), (Place::Metrics, Err(duration)), (Place::Http, Err(response))] =
        placed.as_slice()
    else {
        panic!("{placed:?}");
    };
    assert_eq!(status.value, "Firing", "elsewhere it is the parameter");
    assert_eq!(duration.parameter.as_deref(), Some("duration"), "elsewhere it is a missing parameter");
    assert_eq!(response.column, Some(25));
    assert!(response.to_string().contains("http template"), "{response}");
}

#[test]
fn text_that_only_looks_like_a_tag_stays() {
    let texts = [
        "printf '{%s}' x",
        "echo ${#list[@]} ${#x}",
        "awk '{# a }'",
        "a { b } {c} %}",
        "}} #}",
        "{%d}",
        "date +%{x}",
        "{% 100 %}",
        "{#no space#}",
        "{\"a\": {}}",
    ];
    for text in texts {
        assert_eq!(shown(&evaluate(text).unwrap()), text);
    }
}

#[test]
fn any_other_bare_name_is_a_missing_parameter() {
    refuses(&[
        ("{{hostname}}", "line 1, column 1: parameter hostname: is missing", ""),
        ("{{workflow}}", "line 1, column 1: parameter workflow: is missing", ""),
        ("{{.workflow.name}}", "line 1, column 13: the parameter workflow is text and has no field", ""),
        ("{{foo.bar}}", "line 1, column 6: a value is text or a list and has no field \"bar\"", "{{`{{...}}`}}"),
        ("{{.State.Running}}", "line 1, column 10: the parameter State is text and has no field", "hand on"),
    ]);
}
