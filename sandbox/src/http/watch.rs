//! Watch: the changes of a table as a stream of lines.
//!
//! A watch holds no queue. It remembers the revision it has told, and reads on from the history when there is more,
//! so a slow reader costs nothing but, in the end, an expired revision.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http::header::ACCEPT;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{self, Answer, Broken, Form};
use super::read::{partial, whole};
use super::{Call, Context};
use crate::api::VersionMatch;
use crate::fault::{WatchBreak, WatchGuard};
use crate::kind::Endpoint;
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::{Change, ChangeKind, Document, Expired};
use crate::table::{self, IncludeObject};

/// How long a watch lasts when its reader does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// How many changes are taken from the history at a time.
const BATCH: usize = 256;
/// Lines are sent together up to about this size.
const PIECE: usize = 64 * 1024;
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl Call {
    pub(super) async fn watch(self) -> Result<Answer, ApiError> {
        let form = answer::negotiate(self.head.headers.get(ACCEPT))?;
        let selector = self.query.selector(&self.endpoint, &self.path.name)?;
        let revision = self.query.number("resourceVersion")?;
        let matching = self.query.version_match()?;
        let initial = match self.query.text("sendInitialEvents") {
            "" => None,
            _ => Some(self.query.flag("sendInitialEvents")),
        };
        let forbidden = match (initial, matching) {
            (None, Some(_)) => Some("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
            (Some(_), found) if found != Some(VersionMatch::NotOlderThan) => {
                Some("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            }
            _ => None,
        };
        if let Some(why) = forbidden {
            return Err(ApiError::bad_options("ListOptions", "resourceVersionMatch", why));
        }
        if let Some(revision) = revision {
            self.wait_for(revision).await?;
        }
        let timeout = self.query.timeout()?.unwrap_or(DEFAULT_TIMEOUT);
        let include = self.include_object()?;
        let bookmarks = self.query.flag("allowWatchBookmarks");
        let store = &self.context.api.store;
        let changed = store.subscribe(&self.endpoint.kind.table);
        let now = Instant::now();
        let mut watcher = Watcher {
            guard: self.context.faults.opened(&self.described),
            fault: self.watch_fault,
            cursor: revision.unwrap_or(0),
            changed,
            pending: VecDeque::new(),
            deadline: now + timeout,
            bookmarks: bookmarks.then_some(self.context.bookmarks),
            next_bookmark: now + self.context.bookmarks,
            sent: 0,
            over: false,
            namespace: self.path.namespace,
            endpoint: self.endpoint,
            selector,
            form,
            include,
            context: self.context,
        };
        if initial.unwrap_or(revision.is_none_or(|revision| revision == 0)) {
            watcher.tell_initial_state(initial == Some(true) && bookmarks);
        } else if revision.is_none() {
            watcher.cursor = watcher.context.api.store.revision();
        }
        let lines = stream::unfold(watcher, |mut watcher| async move {
            let piece = watcher.next().await?;
            Some((piece.map(http_body::Frame::data), watcher))
        });
        let body = StreamBody::new(lines).boxed_unsync();
        Ok(answer::of(200, HeaderValue::from_static("application/json"), body))
    }
}

struct Watcher {
    context: Arc<Context>,
    endpoint: Endpoint,
    namespace: String,
    selector: Selector,
    form: Form,
    include: IncludeObject,
    /// All changes up to this revision have been told or are pending.
    cursor: u64,
    changed: tokio::sync::watch::Receiver<u64>,
    pending: VecDeque<Bytes>,
    deadline: Instant,
    /// How often a bookmark is sent, if at all.
    bookmarks: Option<Duration>,
    next_bookmark: Instant,
    guard: WatchGuard,
    fault: Option<(usize, WatchBreak)>,
    sent: usize,
    over: bool,
}

impl Watcher {
    fn tell_initial_state(&mut self, with_end: bool) {
        let table = &self.endpoint.kind.table;
        // A list of the present state cannot be expired.
        let Ok(listing) = self.context.api.store.list(table, &self.namespace, None, None) else {
            return;
        };
        self.cursor = listing.revision;
        for document in &listing.documents {
            if self.selector.matches(document.facts()) {
                let line = self.line("ADDED", document);
                self.pending.push_back(line);
            }
        }
        if with_end {
            let line = self.bookmark(json!({INITIAL_EVENTS_END: "true"}));
            self.pending.push_back(line);
        }
    }

    /// The next piece of the stream; none when it ends.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            let broken = *self.guard.broken.borrow_and_update();
            let due = self.fault.filter(|(after, _)| self.sent >= *after).map(|(_, how)| how);
            match broken.or(due) {
                Some(WatchBreak::Cut) => {
                    // What was told before must be on its way when the connection is cut.
                    tokio::task::yield_now().await;
                    return Some(Err(Broken));
                }
                Some(WatchBreak::End) => return None,
                Some(WatchBreak::Freeze) => {
                    // Until it is broken in another way. Its sender lives as long as the guard.
                    if self.guard.broken.changed().await.is_err() {
                        return None;
                    }
                }
                Some(WatchBreak::Expire) if !self.over => {
                    self.pending.clear();
                    self.expire(Expired { asked: self.cursor, oldest: self.cursor + 1 });
                    return self.take();
                }
                Some(WatchBreak::Expire) | None => {}
            }
            if let Some(piece) = self.take() {
                return Some(piece);
            }
            if self.over {
                return None;
            }
            // Marked as seen before the history is read, so that no change falls between the two.
            self.changed.borrow_and_update();
            match self.context.api.store.changes(&self.endpoint.kind.table, self.cursor, BATCH) {
                Ok((changes, complete)) => {
                    self.cursor = complete;
                    for change in changes {
                        if let Some(line) = self.event(&change) {
                            self.pending.push_back(line);
                        }
                    }
                }
                Err(expired) => self.expire(expired),
            }
            if self.pending.is_empty() {
                self.wait().await;
            }
        }
    }

    /// What is pending, in pieces; one line at a time while a fault counts lines.
    fn take(&mut self) -> Option<Result<Bytes, Broken>> {
        let first = self.pending.pop_front()?;
        self.sent += 1;
        if self.fault.is_some() || self.pending.is_empty() {
            return Some(Ok(first));
        }
        let mut piece = first.to_vec();
        while piece.len() < PIECE {
            let Some(line) = self.pending.pop_front() else {
                break;
            };
            self.sent += 1;
            piece.extend_from_slice(&line);
        }
        Some(Ok(piece.into()))
    }

    async fn wait(&mut self) {
        let bookmark = match self.bookmarks {
            Some(_) => self.next_bookmark.min(self.deadline),
            None => self.deadline,
        };
        tokio::select! {
            changed = self.changed.changed() => self.over |= changed.is_err(),
            _ = self.guard.broken.changed() => {}
            () = tokio::time::sleep_until(bookmark) => {
                if let Some(every) = self.bookmarks {
                    self.next_bookmark = Instant::now() + every;
                    let line = self.bookmark(Value::Null);
                    self.pending.push_back(line);
                }
                self.over = Instant::now() >= self.deadline;
            }
        }
    }

    fn expire(&mut self, expired: Expired) {
        let status = ApiError::expired(expired.to_string()).to_status();
        let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
        self.pending.push_back(line.into());
        self.over = true;
    }

    /// A change as this watch sees it: what enters its selection is added, what leaves it is deleted.
    fn event(&self, change: &Change) -> Option<Bytes> {
        let selects = |document: &Document| {
            let facts = document.facts();
            (self.namespace.is_empty() || *facts.namespace == *self.namespace) && self.selector.matches(facts)
        };
        let before = change.before.as_ref().filter(|before| selects(before));
        let now = Some(&change.document).filter(|now| change.kind == ChangeKind::Put && selects(now));
        match (before, now) {
            (None, None) => None,
            (None, Some(now)) => Some(self.line("ADDED", now)),
            (Some(_), Some(now)) => Some(self.line("MODIFIED", now)),
            (Some(_), None) if change.kind == ChangeKind::Remove => Some(self.line("DELETED", &change.document)),
            (Some(before), None) => {
                let left = Arc::new(before.restamped(change.document.revision()));
                Some(self.line("DELETED", &left))
            }
        }
    }

    fn line(&self, kind: &str, document: &Arc<Document>) -> Bytes {
        let object = match self.form {
            Form::Whole => whole(&self.endpoint, document),
            Form::Metadata => partial(document),
            Form::Table => {
                let metadata = json!({"resourceVersion": document.revision().to_string()});
                let rows = std::slice::from_ref(document);
                let table = table::of(&self.endpoint, rows, metadata, self.include, Timestamp::now());
                serde_json::to_vec(&table).unwrap_or_default().into()
            }
        };
        [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", &object, b"}\n"].concat().into()
    }

    fn bookmark(&self, annotations: Value) -> Bytes {
        let (kind, api_version) = match self.form {
            Form::Whole => (self.endpoint.kind.kind.as_str(), self.endpoint.api_version.as_str()),
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            Form::Table => ("Table", "meta.k8s.io/v1"),
        };
        let version = json!({"resourceVersion": self.cursor.to_string()});
        let mut metadata = version.clone();
        if let (Value::Object(metadata), true) = (&mut metadata, annotations.is_object()) {
            metadata.insert("annotations".into(), annotations);
        }
        let object = match self.form {
            Form::Whole | Form::Metadata => json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}),
            Form::Table => json!({
                "kind": kind, "apiVersion": api_version, "metadata": version, "columnDefinitions": [],
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                }}],
            }),
        };
        format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into()
    }
}
