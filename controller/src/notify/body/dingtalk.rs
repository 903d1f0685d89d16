//! DingTalk: plain text. Its Markdown has no escape that holds everywhere, and a person is pinged only who is named in
//! `at` as well.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Notice, text};

pub(super) fn body(cluster: &str, notices: &[Arc<Notice>]) -> Value {
    // With a space that nobody sees even a text with a number that `at` named would ping nobody.
    let content = text(cluster, notices).replace('@', "@\u{200b}");
    json!({
        "msgtype": "text",
        "text": {"content": content},
        "at": {"atMobiles": [], "atUserIds": [], "isAtAll": false},
    })
}
