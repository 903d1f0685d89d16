//! Feishu and Lark: a card of plain text, which is shown as it is; mentions and links exist only in their Markdown.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Notice, title, tone};
use crate::notify::outcome::Tone;

pub(super) fn body(cluster: &str, notices: &[Arc<Notice>]) -> Value {
    let mut elements = Vec::new();
    for notice in notices {
        if !elements.is_empty() {
            elements.push(json!({"tag": "hr"}));
        }
        let mut lines = notice.lines();
        if notices.len() > 1 {
            lines.insert(0, notice.headline());
        }
        elements.push(json!({"tag": "div", "text": plain(&lines.join("\n"))}));
    }
    let colour = match tone(notices) {
        Tone::Good => "green",
        Tone::Waiting => "orange",
        Tone::Bad => "red",
    };
    json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {"title": plain(&title(cluster, notices)), "template": colour},
            "elements": elements,
        },
    })
}

fn plain(text: &str) -> Value {
    json!({"tag": "plain_text", "content": text})
}
