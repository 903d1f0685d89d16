//! Slack: rich text, whose pieces are shown as they are, and a line for notifications, where <, > and & are escaped.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Notice, title};

pub(super) fn body(cluster: &str, notices: &[Arc<Notice>]) -> Value {
    let sections: Vec<Value> = notices.iter().map(|notice| section(notice)).collect();
    json!({
        "text": escaped(&title(cluster, notices)),
        "blocks": [{"type": "rich_text", "elements": sections}],
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn section(notice: &Notice) -> Value {
    let rest = notice.lines().iter().map(|line| format!("\n{line}")).collect::<String>();
    json!({
        "type": "rich_text_section",
        "elements": [
            {"type": "text", "text": notice.headline(), "style": {"bold": true}},
            {"type": "text", "text": format!("{rest}\n")},
        ],
    })
}

/// Links, mentions and channels all begin with a '<'.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
