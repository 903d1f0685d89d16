//! Text that is read a second time takes safe words or numbers alone.

use super::{refused, shell, spec_of};

#[test]
fn text_that_is_read_a_second_time_takes_safe_words_only() {
    let cases = [
        "eval show {{.x}}",
        "eval \"show '{{.x}}'\"",
        "sh -c 'show {{.x}}'",
        "sudo bash -c \"show {{.x}}\"",
        "nsenter -t 1 -m -- sh -c 'show {{.x}}'",
        "chroot /host /bin/sh -c 'show {{.x}}'",
        "timeout 5 nohup sh -ec 'show {{.x}}'",
        "ssh root@host 'show {{.x}}'",
        "ssh root@{{.x}} uptime",
        "su - root -c 'show {{.x}}'",
        "echo {{.x}} | xargs show",
        "echo {{.x}} | sh",
        "{ echo {{.x}}; } | bash -s",
        "show | xargs -n1 show {{.x}}",
        "awk '/{{.x}}/' f",
        "awk -v x={{.x}} '{print x}' f",
        "sed -i s/a/{{.x}}/ f",
        "jq '.a == \"{{.x}}\"' f",
        "python3 -c 'print(\"{{.x}}\")'",
        "perl -e 'print \"{{.x}}\"'",
        "find / -name f -exec show {{.x}} \\;",
        "env -S 'show {{.x}}'",
        "trap 'show {{.x}}' EXIT",
        "alias a={{.x}}",
        "printf \"{{.x}}\\n\"",
        "kubectl patch node n -p '{\"metadata\":{\"labels\":{\"a\":\"{{.x}}\"}}}'",
        "kubectl apply -f - <<E\nname: {{.x}}\nE\n",
        "cat <<E | kubectl apply -f -\nname: {{.x}}\nE\n",
        "cat > /tmp/a.sh <<E\nshow {{.x}}\nE\n",
        "cat > /tmp/a <<E\nshow {{.x}}\nE\nsh /tmp/a",
        "echo show {{.x}} > /tmp/a; . /tmp/a",
        "echo show {{.x}} | tee /tmp/a; chmod +x /tmp/a; /tmp/a",
        "curl -d '{\"text\": \"{{.x}}\"}' http://x",
        "kubectl exec p -- sh -c 'show {{.x}}'",
        "show `date {{.x}}`",
        "show ${a:-{{.x}}}",
        "show \"${a%{{.x}}}\"",
        "$RUN show {{.x}}",
        "read {{.x}}",
        "unset {{.x}}",
        "export {{.x}}",
        "test -v {{.x}}",
        "v={{.x}}; eval \"show $v\"",
        "v={{.x}}; w=$v; sh -c \"show $w\"",
        "run() { eval \"$1\"; }; run {{.x}}",
        "echo {{.x}} | while read -r l; do eval $l; done",
        "v={{.x}}; ssh host \"show ${v}\"",
        "v={{.x}}; show ${!v}",
        "a=([k]={{.x}})",
        "echo -e {{.x}}",
        "echo \"{{workflow.parameters.a}}\" {{.x}}",
        "show $\"{{.x}}\"",
        "show \"unclosed {{.x}}",
        "make V={{.x}}",
    ];
    for text in cases {
        let flaw = shell(text, "a b").expect_err(text);
        assert!(flaw.to_string().contains("only a safe word"), "{text}: {flaw}");
        assert!(flaw.to_string().contains("env"), "{text}: {flaw}");
        let filled = shell(text, "node-1.x").unwrap();
        assert_eq!(filled, text.replace("{{.x}}", "node-1.x"), "{text}");
    }
}

#[test]
fn arithmetic_takes_digits_only() {
    let cases = [
        "show $(( {{.x}} + 1 ))",
        "show \"$((a+{{.x}}))\"",
        "(( {{.x}} > 1 ))",
        "let a={{.x}}",
        "declare -i a; a={{.x}}",
        "[[ $a -gt {{.x}} ]]",
        "show ${a:{{.x}}}",
        "show ${a[{{.x}}]}",
        "a[{{.x}}]=b",
        "v={{.x}}; [[ $v -eq 1 ]]",
        "v={{.x}}; show $((v + 1))",
        "v={{.x}}; (( v++ ))",
        "show 2>&{{.x}}",
    ];
    for text in cases {
        for bad in ["a", "a[$(touch canary)]", "1+1", "010", ""] {
            let flaw = shell(text, bad).expect_err(text);
            assert!(flaw.to_string().contains("only a decimal number"), "{text}: {flaw}");
        }
        let filled = shell(text, "7").unwrap();
        assert_eq!(filled.replace('\'', ""), text.replace("{{.x}}", "7"), "{text}");
    }
}

#[test]
fn second_readers_outside_of_shells_take_safe_words_too() {
    let cases = [
        "podSpecPatch: '{\"hostname\": \"{{.x}}\"}'",
        "templates: [{resource: {action: create, manifest: 'name: {{.x}}'}}]",
        "templates: [{steps: [[{name: a, template: b, when: '{{.x}} == a'}]]}]",
        "templates: [{retryStrategy: {expression: \"asInt(a) > 1 && b != '{{.x}}'\"}}]",
        "templates: [{http: {url: 'http://a', body: 'text={{.x}}'}}]",
        "templates: [{steps: [[{name: a, template: b, withParam: '[\"{{.x}}\"]'}]]}]",
        "templates: [{dag: {tasks: [{name: a, template: b, depends: 'c && {{.x}}'}]}}]",
        "templates: [{resource: {action: get, successCondition: 'a == {{.x}}'}}]",
        "templates: [{inputs: {artifacts: [{name: a, path: /a, raw: {data: 'echo {{.x}}'}}]}}]",
        "arguments: {parameters: [{name: a, value: \"{{`{{=a == '`}}{{.x}}{{`'}}`}}\"}]}",
        "arguments: {parameters: [{name: a, value: '{{`{{inputs.parameters.`}}{{.x}}{{`}}`}}'}]}",
        "templates: [{script: {image: i, command: [python3], source: \"print('{{.x}}')\"}}]",
        "templates: [{container: {image: i, args: ['{{.x}}']}}]",
        "templates: [{script: {image: i, command: [zsh], source: 'echo {{.x}}'}}]",
    ];
    for spec in cases {
        let message = refused(spec, "a b");
        assert!(message.contains("only a safe word"), "{spec}: {message}");
        assert!(spec_of(spec, "a-1").is_ok(), "{spec}: {:?}", spec_of(spec, "a-1"));
    }
    for (spec, value) in [
        ("podSpecPatch: 'a: {{.x}}'", "hostNetwork:"),
        ("podSpecPatch: '{{.x}}: true'", "hostNetwork"),
        ("podSpecPatch: '{\"{{.x}}\":true}'", "hostNetwork"),
        ("templates: [{retryStrategy: {expression: 'a == {{.x}}'}}]", "lastRetry.exitCode"),
        ("templates: [{script: {image: i, command: [python3], source: 'print({{.x}})'}}]", "exit"),
        ("templates: [{resource: {action: '{{.x}}'}}]", "delete"),
        ("templates: [{container: {image: i, command: [a], env: [{name: BASH_ENV, value: '{{.x}}'}]}}]", "a"),
        ("templates: [{container: {image: i, command: [a], env: [{name: '{{.x}}', value: a}]}}]", "LD_PRELOAD"),
        ("templates: [{container: {image: i, command: 'sh -c {{.x}}'}}]", "a"),
    ] {
        assert!(spec_of(spec, value).is_err(), "{spec} with {value}");
    }
}
