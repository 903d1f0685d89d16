//! Get and list over HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Call;
use super::answer::{self, Answer, Form, Joined};
use crate::api::Page;
use crate::kind::Endpoint;
use crate::status::ApiError;
use crate::store::Document;
use crate::table::{self, IncludeObject};

/// How long a list or watch from a revision of the future waits for it to come.
const FUTURE: Duration = Duration::from_secs(3);

impl Call {
    pub(super) fn get(&self) -> Result<Answer, ApiError> {
        match self.path.subresource.as_str() {
            "" => {}
            "status" if self.endpoint.has_status() => {}
            _ => return Err(ApiError::no_such_resource()),
        }
        let document = self.context.api.get(self.target())?;
        self.object(200, &document)
    }

    pub(super) async fn list(&self) -> Result<Answer, ApiError> {
        let form = answer::negotiate(self.head.headers.get(ACCEPT))?;
        let query = self.query.list(&self.endpoint)?;
        if let Some(revision) = query.revision {
            self.wait_for(revision).await?;
        }
        let page = self.context.api.list(&self.endpoint, &self.path.namespace, &query)?;
        Ok(match form {
            Form::Whole => self.whole_list(page),
            Form::Metadata => self.metadata_list(page),
            Form::Table => {
                let metadata = page_metadata(&page);
                let table =
                    table::of(&self.endpoint, &page.documents, metadata, self.include_object()?, Timestamp::now());
                answer::json(200, &table)
            }
        })
    }

    /// Waits a little for a revision that has not come yet.
    pub(super) async fn wait_for(&self, revision: u64) -> Result<(), ApiError> {
        let mut latest = self.context.api.store.latest();
        match tokio::time::timeout(FUTURE, latest.wait_for(|latest| *latest >= revision)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::too_large_version(revision, self.context.api.store.revision())),
        }
    }

    /// One object in the form that was asked for.
    pub(super) fn object(&self, status: u16, document: &Arc<Document>) -> Result<Answer, ApiError> {
        let form = answer::negotiate(self.head.headers.get(ACCEPT))?;
        Ok(match form {
            Form::Whole => answer::bytes(status, whole(&self.endpoint, document)),
            Form::Metadata => answer::bytes(status, partial(document)),
            Form::Table => {
                let metadata = json!({"resourceVersion": document.revision().to_string()});
                let table = table::of(
                    &self.endpoint,
                    std::slice::from_ref(document),
                    metadata,
                    self.include_object()?,
                    Timestamp::now(),
                );
                answer::json(status, &table)
            }
        })
    }

    pub(super) fn include_object(&self) -> Result<IncludeObject, ApiError> {
        match self.query.text("includeObject") {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            other => {
                Err(ApiError::bad_request(format!("includeObject: found {other:?}, expected None, Metadata or Object")))
            }
        }
    }

    pub(super) fn whole_list(&self, page: Page) -> Answer {
        let head = list_head(&self.endpoint.kind.list_kind, &self.endpoint.api_version, &page);
        let items = page.documents.iter().map(|document| whole(&self.endpoint, document)).collect();
        list(head, items)
    }

    fn metadata_list(&self, page: Page) -> Answer {
        let head = list_head("PartialObjectMetadataList", "meta.k8s.io/v1", &page);
        let items = page.documents.iter().map(|document| partial(document)).collect();
        list(head, items)
    }
}

/// The text of an object in the version of an endpoint.
pub(super) fn whole(endpoint: &Endpoint, document: &Document) -> Bytes {
    if endpoint.is_stored_form() {
        document.bytes().clone()
    } else if endpoint.differs_in_api_version_only() {
        document.with_api_version(&endpoint.api_version)
    } else {
        let mut value = document.value();
        endpoint.show(&mut value);
        serde_json::to_vec(&value).unwrap_or_default().into()
    }
}

/// The text of an object's metadata as an object.
pub(super) fn partial(document: &Document) -> Bytes {
    [
        br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#.as_slice(),
        &document.metadata(),
        b"}",
    ]
    .concat()
    .into()
}

fn page_metadata(page: &Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Value::Object(metadata) = &mut metadata {
        if let Some(next) = &page.next {
            metadata.insert("continue".into(), next.text().into());
        }
        if let Some(remaining) = page.remaining {
            metadata.insert("remainingItemCount".into(), remaining.into());
        }
    }
    metadata
}

fn list_head(kind: &str, api_version: &str, page: &Page) -> Bytes {
    let head = json!({"kind": kind, "apiVersion": api_version, "metadata": page_metadata(page)});
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"items\":[");
    text.into()
}

fn list(head: Bytes, items: Vec<Bytes>) -> Answer {
    const COMMA: Bytes = Bytes::from_static(b",");
    const END: Bytes = Bytes::from_static(b"]}");
    let commas = items.len().saturating_sub(1);
    let length = head.len() + items.iter().map(Bytes::len).sum::<usize>() + commas + END.len();
    let parts = std::iter::once(head)
        .chain(items.into_iter().enumerate().flat_map(|(index, item)| {
            let comma = (index > 0).then_some(COMMA);
            comma.into_iter().chain(std::iter::once(item))
        }))
        .chain(std::iter::once(END));
    answer::of(
        200,
        http::HeaderValue::from_static("application/json"),
        Joined::new(parts, length as u64).boxed_unsync(),
    )
}
