//! The bodies that receivers read. What alerts say stands in them only where nothing is read out of it: as literal text
//! in the vendors' own structures, never as markup, so that no label can ping a channel, hide a link or add a field.

mod dingtalk;
mod feishu;
mod own;
mod slack;

use std::sync::Arc;

use serde_json::{Value, json};

use super::notice::Notice;
use super::outcome::Tone;

pub use own::Own;

/// How many notices stand in one message at most. With the bounds of a notice's texts that stays within the 20 KB that
/// DingTalk and Feishu take.
pub const MOST_IN_ONE: usize = 10;

/// What a receiver reads.
#[derive(Clone, Debug)]
pub enum Format {
    /// Slack's incoming webhooks, and what reads the same.
    Slack,
    /// The custom robots of Feishu and Lark.
    Feishu,
    /// The custom robots of DingTalk.
    DingTalk,
    /// Every field of every notice, for programs.
    Json,
    /// A body of the administrator's.
    Own(Arc<Own>),
}

impl Format {
    /// The body that tells those notices, the oldest first. An error says what is wrong with an administrator's own.
    pub fn body(&self, cluster: &str, notices: &[Arc<Notice>]) -> Result<Value, String> {
        Ok(match self {
            Self::Slack => slack::body(cluster, notices),
            Self::Feishu => feishu::body(cluster, notices),
            Self::DingTalk => dingtalk::body(cluster, notices),
            Self::Json => json!({"version": "v1", "cluster": cluster, "notices": plain(notices)}),
            Self::Own(own) => own.body(cluster, notices)?,
        })
    }
}

/// The notices as they are written.
fn plain(notices: &[Arc<Notice>]) -> Vec<&Notice> {
    notices.iter().map(Arc::as_ref).collect()
}

/// Who speaks, and of how much. The robots of DingTalk and Feishu can ask for a word in each message: this has one.
fn title(cluster: &str, notices: &[Arc<Notice>]) -> String {
    let who = if cluster.is_empty() { "Aegis".to_owned() } else { format!("Aegis, {cluster}") };
    match notices {
        [one] => format!("{who}: {}", one.headline()),
        many => format!("{who}: {} alerts", many.len()),
    }
}

/// The worst tone among them.
fn tone(notices: &[Arc<Notice>]) -> Tone {
    let any = |tone| notices.iter().any(|notice| notice.outcome.tone() == tone);
    [Tone::Bad, Tone::Waiting].into_iter().find(|tone| any(*tone)).unwrap_or(Tone::Good)
}

/// Everything as plain text.
fn text(cluster: &str, notices: &[Arc<Notice>]) -> String {
    let mut text = title(cluster, notices);
    for notice in notices {
        text.push('\n');
        if notices.len() > 1 {
            text.push_str(&format!("\n{}\n", notice.headline()));
        }
        text.push_str(&notice.lines().join("\n"));
    }
    text
}

#[cfg(test)]
mod tests;
