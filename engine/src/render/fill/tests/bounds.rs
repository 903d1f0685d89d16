//! No template makes filling panic, overflow the stack or take for ever.

use proptest::prelude::*;

use super::shell;
use crate::render::testing::{container, render, script};

#[test]
fn what_nests_deeply_is_given_up() {
    let openings = [
        "$(",
        "\"$(",
        "${u:-",
        "\"${u:-",
        "$((",
        "a=(",
        "(",
        "{ ",
        "`",
        "<(",
        "case a in a) ",
        "if ",
        "[[ ",
        "$[",
        "a[$((",
    ];
    for opening in openings {
        let text = format!("show {} {{{{.x}}}}", opening.repeat(20_001));
        let recurses = !matches!(opening, "{ " | "if " | "[[ ");
        assert_eq!(shell(&text, "a b").is_err(), recurses, "{opening}");
    }
    for opening in ["f'{", "`${", "[", "("] {
        let text = opening.repeat(20_000);
        for command in ["python3", "node"] {
            let template = script(&[command], &format!("{text} {{{{.x}}}}"));
            assert!(render(&template, &[("x", "a b")]).is_err(), "{command}: {opening}");
        }
    }
}

#[test]
fn what_repeats_much_takes_no_longer_than_its_length() {
    let lines = [
        "v=$((v+1))\n",
        "v=$v; eval \"$v\"\n",
        "show {{.x}} | cat\n",
        "cat <<E\n{{.x}}\nE\n",
        "f() { show \"$1\"; }; f {{.x}}\n",
        "case {{.x}} in a) ;; esac\n",
    ];
    for line in lines {
        let text = line.repeat(2_000);
        // The clock is no judge here: a cost that grows with the square would not end in the time of a test.
        let _ = shell(&text, "a b");
    }
}

proptest! {
    #[test]
    fn any_text_is_rendered_or_refused(
        text in "[a-z{}.:'\"\\[\\],&*!|>#%@`\n \t-]{0,60}|.{0,40}", value in ".{0,12}",
    ) {
        let manifest = format!("apiVersion: batch/v1\nkind: Job\nspec:\n  a: {text}\n  b: {{{{.x}}}}\n");
        let _ = render(&manifest, &[("x", &value)]);
    }

    #[test]
    fn any_script_is_rendered_or_refused(
        before in "[a-e$(){}\\[\\]'\"`\\\\<>|&;#=!*~ \n\t-]{0,40}", after in "[a-e$(){}'\"`\\\\<>|&; \n]{0,20}",
        value in ".{0,12}", shell in prop_oneof![Just("sh"), Just("bash"), Just("python3"), Just("perl"), Just("node")],
    ) {
        let text = format!("{before}{{{{.x}}}}{after}");
        let _ = render(&container(&[shell, "-c"], &[&text]), &[("x", &value)]);
        let _ = render(&script(&[shell], &text), &[("x", &value)]);
    }
}
