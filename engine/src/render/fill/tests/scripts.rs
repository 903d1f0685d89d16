//! How values are written into shell scripts and command lines.

use super::shell;
use crate::render::testing::{container, render};

#[test]
fn a_value_is_quoted_for_where_it_stands_in_a_shell() {
    let cases = [
        ("show {{.x}}", "a b", "show 'a b'"),
        ("show {{.x}}", "", "show ''"),
        ("show {{.x}}", "it's", "show 'it'\\''s'"),
        ("show a{{.x}}b", "$y", "show a'$$y'b"),
        ("show '{{.x}}'", "it's", "show 'it'\\''s'"),
        ("show \"{{.x}}\"", "a\"`$\\", "show \"a\\\"\\`\\$$\\\\\""),
        ("show $'{{.x}}'", "it's\\", "show $'it\\'s\\\\'"),
        ("show {{.x}}>f", "2", "show '2'>f"),
        ("show {{.x}}", "esac", "show 'esac'"),
        ("cat <<E\n{{.x}}\nE\n", "$a `b` \\ \"c\"", "cat <<E\n\\$$a \\`b\\` \\\\ \"c\"\nE\n"),
        ("cat <<'E'\n{{.x}}\nE\n", "`b` \\ \"c\"", "cat <<'E'\n`b` \\ \"c\"\nE\n"),
        ("show # {{.x}}", "a b", "show # a b"),
        ("show \"$(date \"{{.x}}\")\"", "a $b", "show \"$(date \"a \\$b\")\""),
        ("case {{.x}} in {{.x}}) a;; esac", "a", "case 'a' in 'a') a;; esac"),
        ("[[ {{.x}} == {{.x}}* ]]", "a", "[[ 'a' == 'a'* ]]"),
        ("for i in {{.x}}; do show \"$i\"; done", "a b", "for i in 'a b'; do show \"$i\"; done"),
    ];
    for (text, value, expected) in cases {
        assert_eq!(shell(text, value).unwrap(), expected, "{text} with {value:?}");
    }
}

#[test]
fn a_value_never_decides_which_program_runs() {
    let cases = [
        "{{.x}}",
        "{{.x}} a",
        "\"{{.x}}\" a",
        "a=b {{.x}}",
        "true && {{.x}}",
        "if {{.x}}; then a; fi",
        "sudo {{.x}}",
        "exec {{.x}}",
        "sudo -u root {{.x}}",
        "nsenter -t 1 -m {{.x}}",
        "env A=b {{.x}}",
        "show $({{.x}})",
        "{{.x}}() { a; }",
        "function {{.x}} { a; }",
        "for {{.x}} in a; do b; done",
        "{{.x}}=a",
        ". {{.x}}",
        "sh {{.x}}",
        "kubectl apply -f {{.x}}",
        "kubectl exec p -- {{.x}}",
        "PATH={{.x}}:$PATH",
        "export LD_PRELOAD={{.x}}",
        "PS4={{.x}}; set -x",
        "v={{.x}}; $v a",
        "show $a{{.x}}",
        "show \"$a{{.x}}\"",
        "show ${{.x}}",
        "show ${{`{`}}{{.x}}}",
        "show \\{{.x}}",
        "show \"\\{{.x}}\"",
        "cat <<{{.x}}\na\n{{.x}}\n",
        "printf -v {{.x}} a",
    ];
    for text in cases {
        for value in ["reboot", "a b", "7"] {
            let flaw = shell(text, value).expect_err(text);
            assert!(flaw.to_string().contains("no value can stand here"), "{text} with {value}: {flaw}");
        }
    }
}

#[test]
fn a_dash_that_begins_a_word_is_refused() {
    for text in
        ["show {{.x}}", "show '{{.x}}'", "show \"{{.x}}\"", "show \"\"{{.x}}", "show $a\"{{.x}}\"", "v={{.x}}; show $v"]
    {
        let flaw = shell(text, "-lx").expect_err(text);
        assert!(flaw.to_string().contains("begins with '-'"), "{text}: {flaw}");
    }
    for text in ["show a{{.x}}", "show \"a {{.x}}\"", "show {{.y}}{{.x}}", "cat <<E\n{{.x}}\nE\n", "show # {{.x}}"] {
        assert!(shell(text, "-lx").is_ok(), "{text}");
    }
    let argument = |item: &str| render(&container(&["kubectl", "cordon", item], &[]), &[("x", "-lx"), ("y", "")]);
    assert!(argument("{{.x}}").is_err());
    assert!(argument("{{.y}}{{.x}}").is_err());
    assert!(argument("--selector={{.x}}").is_ok());
}

#[test]
fn a_here_document_ends_where_the_template_ends_it() {
    let text = "cat <<E\n{{.x}}\nE\n";
    assert!(shell(text, "a\nE\nb").unwrap_err().to_string().contains("ends the here-document"));
    assert!(shell(text, "E").is_err());
    assert!(shell(text, "a\n E\nb").is_ok());
    assert!(shell("cat <<EOF\nE{{.x}}\nEOF\n", "OF").is_err());
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "a\n\tE").is_err());
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "\ta").unwrap_err().to_string().contains("tab"));
    assert!(shell("cat <<-E\n\t{{.x}}\n\tE\n", "a\tb").is_ok());
    assert!(shell("cat <<'E'\n{{.x}}\nE\n", "E").is_err());
    // bash takes such a line inside $( ) for the end, and its rest for commands.
    let inside = "show \"$(cat <<EOF\n{{.x}}\nEOF\n)\"";
    for value in ["a\nEOF;touch canary;)", "EOF)", "EOF}", "a\nEOF\\"] {
        assert!(shell(inside, value).unwrap_err().to_string().contains("can end the here-document"), "{value}");
    }
    assert!(shell(inside, "a\nEOF while reading").is_ok());
    assert!(shell(inside, "an EOF)").is_ok());
    assert!(shell("show # {{.x}}", "a\nreboot").unwrap_err().to_string().contains("newline"));
}

#[test]
fn a_program_without_shell_gets_the_value_as_it_is() {
    let object = render(&container(&["kubectl", "annotate", "node"], &["note={{.x}}"]), &[("x", "a 'b' \"c\" `d`; e")]);
    let args = object.unwrap();
    assert_eq!(args.pointer("/spec/templates/0/container/args/0").unwrap(), "note=a 'b' \"c\" `d`; e");
}

#[test]
fn shells_that_differ_about_a_script_all_see_no_code() {
    let sh = |text: &str, value: &str| render(&container(&["sh", "-c"], &[text]), &[("x", value)]);
    // dash ends the command at &, and has no [[.
    assert!(sh("echo a &> f {{.x}}", "reboot").is_err());
    assert!(sh("[[ a == b || {{.x}} == c ]]", "reboot").is_err());
    assert!(sh("[[ {{.x}} == c ]]", "node1").is_ok());
    assert!(sh("[[ {{.x}} == c ]]", "a b").is_err());
    assert!(sh("show $'{{.x}}'", "it's").is_err());
    for text in ["show $\\\n{{.x}}", "show \"$a\\\n{{.x}}\"", "cat <\\\n<E\n{{.x}}\nE\n"] {
        assert!(sh(text, "a b").is_err(), "{text}");
    }
    assert!(sh("show $\\\n{{.x}}", "HOME").is_err());
}

#[test]
fn a_value_never_names_a_variable() {
    for text in ["LD_{{.x}}=a show", "export LD_{{.x}}=a", "env A=b LD_{{.x}}=a show", "local a{{.x}}=b", "a[{{.x}}]=b"]
    {
        assert!(shell(text, "PRELOAD").is_err(), "{text}");
    }
    assert!(shell("kubectl label node n {{.x}}=a", "key").is_ok());
}

#[test]
fn what_scripts_commonly_do_is_rendered() {
    let cases = [
        "retry() { for i in 1 2 3; do \"$@\" && return; sleep 1; done; }; retry kubectl cordon {{.x}}",
        "set -euo pipefail\nkubectl drain {{.x}} --ignore-daemonsets --timeout=60s\n",
        "echo \"[WARN] draining: {{.x}}\" | tee -a /tmp/log",
        "NODE={{.x}}\nif kubectl get node \"$NODE\" | grep -q Ready; then echo \"$NODE is ready\"; fi",
        "kubectl get pods -A --field-selector spec.nodeName={{.x}} -o name | while read -r p; do kubectl delete \"$p\"; done",
        "i=0; while [ $i -lt 5 ]; do i=$((i+1)); kubectl uncordon {{.x}} && break; done",
        "nsenter -t 1 -m -u -i -n -- systemctl restart {{.x}}",
        "ssh -o BatchMode=yes root@{{.x}} 'sync; echo 3 > /proc/sys/vm/drop_caches'",
        "kubectl get node {{.x}} -o jsonpath='{.status.nodeInfo.kernelVersion}' | awk -F. '{print $1}'",
        "kubectl patch node {{.x}} -p '{\"spec\":{\"unschedulable\":true}}'",
    ];
    for text in cases {
        assert_eq!(shell(text, "node-1").as_deref(), Ok(text.replace("{{.x}}", "node-1").as_str()), "{text}");
    }
}
