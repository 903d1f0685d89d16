//! Create, update, patch and delete over HTTP.

use http::header::USER_AGENT;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::{Call, body};
use crate::api::{Page, Part, Patch, WriteOptions, Written};
use crate::status::ApiError;

impl Call {
    pub(super) fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let user_agent = self.head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.query.write(user_agent)
    }

    pub(super) async fn create(&self, body: Incoming) -> Result<Answer, ApiError> {
        if !self.path.name.is_empty() || (self.endpoint.kind.namespaced && self.path.namespace.is_empty()) {
            return Err(ApiError::method_not_allowed());
        }
        let options = self.write_options()?;
        let mut object = body::object(&self.head.headers, &body::read(body).await?, self.endpoint.sent_schema())?;
        self.foretell(&mut object);
        let written = self.context.api.create(&self.endpoint, &self.path.namespace, object, &options)?;
        self.written(&written)
    }

    /// Which part of the object the path lets a write change.
    fn part(&self) -> Result<Part, ApiError> {
        match self.path.subresource.as_str() {
            "" => Ok(Part::Main),
            "status" if self.endpoint.has_status() => Ok(Part::Status),
            "finalize" if &*self.endpoint.kind.table == "namespaces" => Ok(Part::Finalize),
            _ => Err(ApiError::no_such_resource()),
        }
    }

    pub(super) async fn update(&self, body: Incoming) -> Result<Answer, ApiError> {
        let part = self.part()?;
        let options = self.write_options()?;
        let object = body::object(&self.head.headers, &body::read(body).await?, self.endpoint.sent_schema())?;
        let written = self.context.api.update(self.target(), part, object, &options)?;
        self.written(&written)
    }

    pub(super) async fn patch(&self, body: Incoming) -> Result<Answer, ApiError> {
        let part = self.part()?;
        let mut options = self.write_options()?;
        let patch = body::patch(&self.head.headers, &body::read(body).await?)?;
        if matches!(patch, Patch::Apply(_)) {
            // An apply must name its manager; the user agent does not stand in for it.
            options.manager = self.query.text("fieldManager").to_owned();
        } else if self.query.flag("force") {
            return Err(ApiError::bad_options("PatchOptions", "force", "may not be specified for non-apply patch"));
        }
        let written = self.context.api.patch(self.target(), part, &patch, &options)?;
        self.written(&written)
    }

    fn written(&self, written: &Written) -> Result<Answer, ApiError> {
        let status = if written.created { 201 } else { 200 };
        Ok(answer::warn(self.object(status, &written.document)?, &written.warnings))
    }

    pub(super) async fn delete(&self, body: Incoming) -> Result<Answer, ApiError> {
        if !self.path.subresource.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let options = body::delete_options(&self.query, &self.head.headers, &body::read(body).await?)?;
        let deleted = self.context.api.delete(self.target(), &options)?;
        let kind = &self.endpoint.kind;
        let shows_object = kind.builtin().is_some_and(|builtin| builtin.returns_deleted);
        if !deleted.gone || shows_object {
            return self.object(200, &deleted.document);
        }
        let mut details = json!({"name": self.path.name, "kind": kind.plural, "uid": &*deleted.document.facts().uid});
        if let (false, Value::Object(details)) = (kind.group.is_empty(), &mut details) {
            details.insert("group".into(), kind.group.as_str().into());
        }
        Ok(answer::json(
            200,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        ))
    }

    pub(super) async fn delete_collection(&self, body: Incoming) -> Result<Answer, ApiError> {
        if self.endpoint.kind.namespaced && self.path.namespace.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let options = body::delete_options(&self.query, &self.head.headers, &body::read(body).await?)?;
        let query = self.query.list(&self.endpoint)?;
        let documents = self.context.api.delete_collection(&self.endpoint, &self.path.namespace, &query, &options)?;
        Ok(self.whole_list(Page {
            revision: self.context.api.store.revision(),
            documents,
            next: None,
            remaining: None,
        }))
    }
}
