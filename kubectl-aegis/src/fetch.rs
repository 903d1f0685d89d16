//! Objects as the API server gives them: read whole and kept as they are, page by page, without asking first what the
//! cluster knows.

use futures::{Stream, StreamExt};
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use kubectl_aegis::view::kinds::Resource;
use serde_json::{Map, Value};

use crate::failure::{Failure, is_unknown_kind};

/// How many objects one request asks for; kubectl's own number.
pub(crate) const PAGE: u32 = 500;

/// Which objects of a resource are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The namespace; none for all.
    pub(crate) namespace: Option<String>,
    /// A label selector; empty for all.
    pub(crate) labels: String,
    /// A field selector; empty for all.
    pub(crate) fields: String,
    /// How many objects one request asks for; 0 for all at once.
    pub(crate) page: u32,
}

/// Objects, and the version of the collection at which they were so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    pub(crate) version: String,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Added(Value),
    Modified(Value),
    Deleted(Value),
    /// So far nothing is missed.
    Version(String),
    /// The versions are too old to go on from: list anew.
    Expired,
}

impl Wanted {
    /// Everything in that namespace, or in all.
    pub(crate) fn all_in(namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned), page: PAGE, ..Self::default() }
    }

    /// Those with these labels.
    pub(crate) fn labelled(self, labels: impl Into<String>) -> Self {
        Self { labels: labels.into(), ..self }
    }

    /// Those with these fields.
    pub(crate) fn with_fields(self, fields: impl Into<String>) -> Self {
        Self { fields: fields.into(), ..self }
    }

    fn url(&self, resource: &Resource, more: &[(&str, &str)]) -> String {
        let path = resource.path(self.namespace.as_deref());
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("labelSelector", self.labels.as_str()), ("fieldSelector", &self.fields)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(more);
        let query = query.finish();
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }

    fn place(&self, resource: &Resource) -> String {
        match &self.namespace {
            Some(namespace) if resource.namespaced => format!(" in {namespace}"),
            _ => String::new(),
        }
    }
}

/// All objects that are meant, each with its kind; as many requests as there are pages.
pub(crate) async fn list(client: &Client, resource: &Resource, wanted: &Wanted) -> Result<Listed, Failure> {
    let failed = |error| {
        let doing = format!("could not list {}{}", resource.plural, wanted.place(resource));
        failure(resource, doing, error)
    };
    let mut listed = Listed::default();
    let (limit, mut token) = (wanted.page.to_string(), String::new());
    loop {
        let mut more = Vec::new();
        if wanted.page > 0 {
            more.push(("limit", limit.as_str()));
        }
        if !token.is_empty() {
            more.push(("continue", token.as_str()));
        }
        let mut page: Value = client.request(request(&wanted.url(resource, &more), failed)?).await.map_err(failed)?;
        let text = |name: &str| page.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let next = text("/metadata/continue");
        listed.version = text("/metadata/resourceVersion");
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            listed.items.extend(items.into_iter().map(|item| whole(item, resource)));
        }
        if next.is_empty() {
            return Ok(listed);
        }
        token = next;
    }
}

/// [`list`], but a kind that the cluster does not know has no objects.
pub(crate) async fn list_if_known(client: &Client, resource: &Resource, wanted: &Wanted) -> Result<Listed, Failure> {
    match list(client, resource, wanted).await {
        Err(failure) if failure.status().is_some_and(is_unknown_kind) => Ok(Listed::default()),
        other => other,
    }
}

/// The object of that name; `None` if there is none.
pub(crate) async fn get(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>, Failure> {
    let failed = |error| failure(resource, format!("could not read {} {name}", resource.singular), error);
    let name = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
    let url = format!("{}/{name}", resource.path(namespace));
    match client.request(request(&url, failed)?).await {
        Ok(object) => Ok(Some(whole(object, resource))),
        Err(kube::Error::Api(status)) if status.code == 404 && !is_unknown_kind(&status) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// What happens to the objects that are meant from that version on.
pub(crate) async fn watch(
    client: &Client,
    resource: &Resource,
    wanted: &Wanted,
    version: &str,
) -> Result<impl Stream<Item = kube::Result<News>> + use<>, kube::Error> {
    let more = [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version)];
    let request = Request::get(wanted.url(resource, &more)).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let resource = *resource;
    let events = client.request_events::<Value>(request).await?;
    Ok(events.map(move |event: kube::Result<WatchEvent<Value>>| {
        Ok(match event? {
            WatchEvent::Added(object) => News::Added(whole(object, &resource)),
            WatchEvent::Modified(object) => News::Modified(whole(object, &resource)),
            WatchEvent::Deleted(object) => News::Deleted(whole(object, &resource)),
            WatchEvent::Bookmark(bookmark) => News::Version(bookmark.metadata.resource_version),
            WatchEvent::Error(_) => News::Expired,
        })
    }))
}

fn request(url: &str, failed: impl Fn(kube::Error) -> Failure) -> Result<Request<Vec<u8>>, Failure> {
    Request::get(url).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))
}

fn failure(resource: &Resource, doing: String, error: kube::Error) -> Failure {
    if resource.group == aegis_crds::names::GROUP {
        Failure::of_aegis_call(doing, error)
    } else {
        Failure::of_call(doing, error)
    }
}

/// The object with its kind, which lists leave out, and without what nobody reads.
fn whole(object: Value, resource: &Resource) -> Value {
    let Value::Object(fields) = object else { return object };
    let mut whole = Map::new();
    whole.insert("apiVersion".to_owned(), resource.api_version().into());
    whole.insert("kind".to_owned(), resource.kind.into());
    whole.extend(fields);
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Value::Object(whole)
}
