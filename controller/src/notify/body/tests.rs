//! Bodies as the vendors' public formats have them, whole; and what a hostile alert can do in them: nothing.

use super::*;
use crate::notify::notice::tests::{ended, first};
use crate::notify::outcome::Outcome;

/// Everything that any of the vendors reads something out of.
const HOSTILE: &str = "<!channel> <@U1> <https://evil|ok> [x](https://evil) <at user_id=\"all\">all</at> @all @13800000000 \
                       **b** {{ cluster }} \"}],\"text\":\"&lt;\\ \n# h";

fn notices(text: &str) -> Vec<Arc<Notice>> {
    vec![Arc::new(first(&ended(text, Some("WorkflowFailed")))), Arc::new(first(&ended(text, None)))]
}

fn own(body: Value) -> Format {
    Format::Own(Arc::new(Own::new(body, first(&ended("", None))).unwrap()))
}

const REST: [&str; 4] = [
    "Workflow default-nodedown-abc-1, attempt 1, ended after 2m5s",
    "WorkflowFailed: exit code 1",
    "rule monitoring/cordon",
    "kubectl aegis trace alert/default-nodedown-abc -n monitoring",
];

#[test]
fn slack_gets_rich_text_and_a_line_for_notifications() {
    let one = &notices("")[..1];
    let want = json!({
        "text": "Aegis, prod: Repair failed: NodeDown on Node dev1 (critical)",
        "blocks": [{"type": "rich_text", "elements": [{
            "type": "rich_text_section",
            "elements": [
                {"type": "text", "text": "Repair failed: NodeDown on Node dev1 (critical)", "style": {"bold": true}},
                {"type": "text", "text": format!("\n{}\n", REST.join("\n"))},
            ],
        }]}],
        "unfurl_links": false,
        "unfurl_media": false,
    });
    assert_eq!(Format::Slack.body("prod", one).unwrap(), want);
}

#[test]
fn feishu_gets_a_card_whose_colour_says_how_bad_it_is() {
    let one = &notices("")[..1];
    let want = json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {
                "title": {"tag": "plain_text", "content": "Aegis: Repair failed: NodeDown on Node dev1 (critical)"},
                "template": "red",
            },
            "elements": [{"tag": "div", "text": {"tag": "plain_text", "content": REST.join("\n")}}],
        },
    });
    assert_eq!(Format::Feishu.body("", one).unwrap(), want);
    let colour = |notices: &[Arc<Notice>]| {
        Format::Feishu.body("", notices).unwrap().pointer("/card/header/template").unwrap().clone()
    };
    assert_eq!(colour(&notices("")[1..]), "green", "all is well");
    assert_eq!(colour(&notices("")), "red", "the worst of them counts");
}

#[test]
fn dingtalk_gets_plain_text_that_pings_nobody() {
    let one = &notices("")[..1];
    let want = json!({
        "msgtype": "text",
        "text": {
            "content": format!("Aegis: Repair failed: NodeDown on Node dev1 (critical)\n{}", REST.join("\n")),
        },
        "at": {"atMobiles": [], "atUserIds": [], "isAtAll": false},
    });
    assert_eq!(Format::DingTalk.body("", one).unwrap(), want);
}

#[test]
fn a_program_gets_every_field_of_every_notice() {
    let body = Format::Json.body("prod", &notices("")[..1]).unwrap();
    let id = body.pointer("/notices/0/id").cloned().unwrap();
    let want = json!({
        "version": "v1",
        "cluster": "prod",
        "notices": [{
            "id": id,
            "outcome": "Failed",
            "time": "2026-01-02T03:06:11Z",
            "alert": {
                "namespace": "monitoring", "name": "default-nodedown-abc", "type": "NodeDown",
                "severity": "critical", "status": "Firing", "source": "default",
            },
            "object": {"kind": "Node", "namespace": "", "name": "dev1", "node": ""},
            "rule": "monitoring/cordon",
            "action": {"kind": "Workflow", "name": "default-nodedown-abc-1", "attempt": 1, "took": "2m5s"},
            "reason": "WorkflowFailed",
            "message": "exit code 1",
        }],
    });
    assert_eq!(body, want);
    let guide = include_str!("../../../../docs/guides/notifications.md");
    let shown = guide.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shape(&serde_json::from_str(shown).unwrap()), shape(&body), "the guide shows the same");
}

#[test]
fn an_own_body_is_filled_text_by_text() {
    let format = own(json!({
        "content": "{{ title }}\n{% for notice in notices %}{{ notice.object.name }} {% endfor %}",
        "fields": [{"who": "{{ cluster }}", "level": 3, "silent": false}],
    }));
    let want = json!({
        "content": "Aegis, prod: 2 alerts\ndev1 dev1 ",
        "fields": [{"who": "prod", "level": 3, "silent": false}],
    });
    assert_eq!(format.body("prod", &notices("")).unwrap(), want);
}

#[test]
fn an_own_body_that_cannot_be_filled_is_refused_with_its_place_and_without_its_text() {
    let cases = [
        (json!({"a": {"b": ["{{ nobody }} s3cret"]}}), "body.a.b[0]: undefined value in line 1"),
        (json!({"a": "{% if %} s3cret"}), "body.a: syntax error in line 1"),
        (json!({"a": "{% for i in range(99999) %}s3cret{% endfor %}"}), "body.a: "),
        (json!("s3cret"), "expected a mapping"),
    ];
    for (body, want) in cases {
        let error = Own::new(body.clone(), first(&ended("", None))).unwrap_err();
        assert!(error.contains(want) && !error.contains("s3cret"), "{body}: {error}");
    }
}

/// Every text of a value, with where it stands.
fn texts<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, path, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| texts(value, &format!("{path}/{name}"), found)),
        _ => {}
    }
}

/// The value with every text left out: what a receiver takes for structure.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::Null,
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_hostile_alert_changes_no_structure_and_stands_only_where_text_is_literal() {
    let own = own(json!({"content": "{{ text }}"}));
    let cases = [
        (Format::Slack, vec!["/text", "/blocks/elements/elements/text"]),
        (Format::Feishu, vec!["/card/header/title/content", "/card/elements/text/content"]),
        (Format::DingTalk, vec!["/text/content"]),
        (own, vec!["/content"]),
    ];
    for (format, literal) in cases {
        let (kind, plain) = (format!("{format:?}"), format.body("", &notices("")).unwrap());
        let hostile = format.body("", &notices(HOSTILE)).unwrap();
        assert_eq!(shape(&hostile), shape(&plain), "{kind}");
        let (mut before, mut after) = (Vec::new(), Vec::new());
        texts(&plain, "", &mut before);
        texts(&hostile, "", &mut after);
        for ((path, was), (_, is)) in before.into_iter().zip(after) {
            assert!(was == is || literal.contains(&path.as_str()), "{kind}: {path} changed to {is}");
        }
    }
}

#[test]
fn what_slack_and_dingtalk_read_out_of_text_is_taken_apart() {
    let one = &notices(HOSTILE)[..1];
    let slack = Format::Slack.body("<!here>", one).unwrap();
    let line = slack["text"].as_str().unwrap();
    assert!(!line.contains(['<', '>']), "{line}");
    assert!(line.starts_with("Aegis, &lt;!here&gt;: Repair failed: NodeDown&lt;!channel&gt;"), "{line}");
    let dingtalk = Format::DingTalk.body("", one).unwrap();
    let content = dingtalk["text"]["content"].as_str().unwrap();
    assert!(content.contains('@') && content.split('@').skip(1).all(|rest| rest.starts_with('\u{200b}')), "{content}");
}

#[test]
fn the_longest_message_is_one_that_every_vendor_takes() {
    for filler in ["<", "节", "\\", "&"] {
        let mut longest = first(&ended(&filler.repeat(9999), Some(&filler.repeat(9999))));
        longest.rule = "r".repeat(131);
        longest.outcome = Outcome::NotRepaired;
        let longest = Arc::new(longest);
        let many: Vec<_> = (0..MOST_IN_ONE).map(|_| longest.clone()).collect();
        for (format, most) in [(Format::Slack, 40_000), (Format::Feishu, 20_000), (Format::DingTalk, 20_000)] {
            let size = format.body("prod", &many).unwrap().to_string().len();
            assert!(size <= most, "{format:?} of {filler}: {size}");
        }
    }
}
