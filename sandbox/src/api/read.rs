//! Get and list: what is stored, or was stored at a revision, page by page.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Api, Target};
use crate::kind::Endpoint;
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::{Document, key};

/// How exactly a resourceVersion is to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    NotOlderThan,
    Exact,
}

/// What a list asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    pub(crate) selector: Selector,
    /// At most this many items; all when 0.
    pub(crate) limit: usize,
    pub(crate) after: Option<ContinueToken>,
    pub(crate) revision: Option<u64>,
    pub(crate) matching: Option<VersionMatch>,
}

/// Where the next page begins and of which revision it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContinueToken {
    /// 0 when consistency was given up.
    #[serde(rename = "rv")]
    pub(crate) revision: u64,
    /// The last key of the page before.
    pub(crate) start: String,
}

impl ContinueToken {
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(|| {
            ApiError::bad_request(format!(
                "continue key is not valid: found {text:?}, expected the value of metadata.continue of the page before"
            ))
        })
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) revision: u64,
    pub(crate) documents: Vec<Arc<Document>>,
    pub(crate) next: Option<ContinueToken>,
    /// How many come after this page, where that is known without looking.
    pub(crate) remaining: Option<usize>,
}

impl Api {
    /// The object.
    pub(crate) fn get(&self, target: Target<'_>) -> Result<Arc<Document>, ApiError> {
        self.stored(target)
    }

    /// A page of the objects in a namespace, or in all when it is empty.
    pub(crate) fn list(&self, endpoint: &Endpoint, namespace: &str, query: &ListQuery) -> Result<Page, ApiError> {
        let at = match (&query.after, query.matching, query.revision) {
            (Some(token), _, _) => Some(token.revision).filter(|revision| *revision > 0),
            (None, Some(VersionMatch::Exact), revision) => revision,
            _ => None,
        };
        let after = query.after.as_ref().map(|token| token.start.as_str());
        let listing = self
            .store
            .list(&endpoint.kind.table, namespace, after, at)
            .map_err(|expired| match &query.after {
                Some(token) => {
                    let inconsistent = ContinueToken { revision: 0, start: token.start.clone() };
                    ApiError::expired(
                        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                    )
                    .with_continue(inconsistent.text())
                }
                None => ApiError::expired(expired.to_string()),
            })?;
        let total = listing.documents.len();
        let mut documents = listing.documents;
        if !query.selector.is_everything() {
            documents.retain(|document| query.selector.matches(document.facts()));
        }
        let more = query.limit > 0 && documents.len() > query.limit;
        if more {
            documents.truncate(query.limit);
        }
        let next = documents.last().filter(|_| more).map(|last| ContinueToken {
            revision: listing.revision,
            start: key(&last.facts().namespace, &last.facts().name),
        });
        Ok(Page {
            revision: listing.revision,
            remaining: next.is_some().then(|| total - documents.len()).filter(|_| query.selector.is_everything()),
            documents,
            next,
        })
    }
}
