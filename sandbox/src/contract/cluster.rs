//! A case's view of the cluster: its own namespace, its own custom resource, and words to say what it expects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::Status;
use serde_json::{Value, json};

/// How long a case waits for what a cluster does by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module's description.
#[derive(Clone)]
pub struct Cluster {
    pub(super) client: kube::Client,
    pub(super) namespace: String,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A word that no other run uses.
fn unique() -> String {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{nth}", since.as_millis(), std::process::id())
}

impl Cluster {
    /// A view with a fresh namespace.
    pub async fn new(client: kube::Client) -> anyhow::Result<Self> {
        let namespace = format!("contract-{}", unique());
        let cluster = Self { client, namespace };
        let object = serde_json::from_value(json!({"metadata": {"name": cluster.namespace}}))?;
        cluster.namespaces().create(&PostParams::default(), &object).await?;
        // Pods need the default ServiceAccount, which a real cluster creates a moment later.
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts/default", cluster.namespace);
        cluster.until("the default ServiceAccount exists", || async { Ok(cluster.get(&accounts).await.ok()) }).await?;
        Ok(cluster)
    }

    /// Deletes what a case may have left, as well as that goes.
    pub async fn clean_up(&self) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        if let Ok(found) = definitions.list_metadata(&Default::default()).await {
            for definition in found {
                let name = definition.metadata.name.unwrap_or_default();
                if name.ends_with(&self.group()) {
                    let _ = definitions.delete(&name, &DeleteParams::default()).await;
                }
            }
        }
        let _ = self.namespaces().delete(&self.namespace, &DeleteParams::background()).await;
    }

    pub(super) fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    pub(super) fn config_maps(&self) -> Api<ConfigMap> {
        self.all_of()
    }

    /// A namespaced built-in kind in the case's namespace.
    pub(super) fn all_of<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The API group of the case's custom resources.
    pub(super) fn group(&self) -> String {
        format!("{}.aegis.test", self.namespace)
    }

    /// Installs the definition of a kind Widget with a status subresource and a schema that tries most things.
    pub(super) async fn widgets(&self) -> anyhow::Result<Api<DynamicObject>> {
        self.install(self.widget_definition()).await?;
        Ok(Api::namespaced_with(self.client.clone(), &self.namespace, &self.widget_resource()))
    }

    pub(super) fn widget_resource(&self) -> ApiResource {
        let group = self.group();
        ApiResource {
            api_version: format!("{group}/v1"),
            group,
            version: "v1".into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
        }
    }

    pub(super) fn widget_definition(&self) -> Value {
        let group = self.group();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"], "categories": ["gadgets"]},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "additionalPrinterColumns": [
                        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
                        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": spec_schema(), "status": status_schema()},
                    }},
                }],
            },
        })
    }

    /// Installs a definition and waits until it is served.
    pub(super) async fn install(&self, definition: Value) -> anyhow::Result<()> {
        let name = text(&definition, "/metadata/name").to_owned();
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.post(path, &definition).await.with_context(|| format!("install {name}"))?;
        let group = text(&definition, "/spec/group").to_owned();
        let version = text(&definition, "/spec/versions/0/name").to_owned();
        let plural = text(&definition, "/spec/names/plural").to_owned();
        self.until("the definition is served", || async {
            let listed = self.get(&format!("/apis/{group}/{version}/{plural}")).await;
            Ok(listed.ok())
        })
        .await?;
        Ok(())
    }

    /// A widget of a name and spec.
    pub(super) fn widget(&self, name: &str, spec: Value) -> DynamicObject {
        DynamicObject::new(name, &self.widget_resource()).data(json!({"spec": spec}))
    }

    /// Sends a request as it is, for what the client library cannot say.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Value, kube::Error> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        self.send(Method::GET, path, &[("accept", "application/json")], Vec::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, &JSON, body.to_string().into_bytes()).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::PUT, path, &JSON, body.to_string().into_bytes()).await
    }

    pub(super) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Value, kube::Error> {
        let content_type = format!("application/{kind}");
        let headers = [("content-type", content_type.as_str()), ("accept", "application/json")];
        self.send(Method::PATCH, path, &headers, body.to_string().into_bytes()).await
    }

    pub(super) async fn delete(&self, path: &str, options: &Value) -> Result<Value, kube::Error> {
        self.send(Method::DELETE, path, &JSON, options.to_string().into_bytes()).await
    }

    /// The path of a core kind in the case's namespace.
    pub(super) fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// The path of the case's widgets.
    pub(super) fn widget_path(&self, rest: &str) -> String {
        format!("/apis/{}/v1/namespaces/{}/widgets{rest}", self.group(), self.namespace)
    }

    /// Waits until a question has an answer.
    pub(super) async fn until<T, F, A>(&self, what: &str, question: F) -> anyhow::Result<T>
    where
        F: Fn() -> A,
        A: Future<Output = anyhow::Result<Option<T>>>,
    {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = question().await? {
                return Ok(answer);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("waited in vain until {what}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is found at a path.
    pub(super) async fn until_gone(&self, path: &str) -> anyhow::Result<()> {
        self.until(&format!("{path} is gone"), || async {
            match self.get(path).await {
                Ok(_) => Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Some(())),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("accept", "application/json")];

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The refusal of a request that must be refused with a code and reason.
pub(super) fn refused<T>(outcome: Result<T, kube::Error>, code: u16, reason: &str) -> anyhow::Result<Status> {
    match outcome {
        Ok(_) => bail!("the request succeeded, expected {code} {reason}"),
        Err(kube::Error::Api(status)) => {
            ensure!(
                status.code == code && status.reason == reason,
                "answered {} {} ({}), expected {code} {reason}",
                status.code,
                status.reason,
                status.message
            );
            Ok(*status)
        }
        Err(error) => Err(error).context(format!("expected {code} {reason}")),
    }
}

/// Whether a refusal names a field among its causes.
pub(super) fn names_field(status: &Status, field: &str) -> anyhow::Result<()> {
    let fields: Vec<&str> =
        status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.as_str()).collect();
    ensure!(fields.contains(&field), "the causes name {fields:?}, expected {field}: {}", status.message);
    Ok(())
}

/// Whether a value is as expected.
pub(super) fn same<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(
    what: &str,
    found: A,
    expected: B,
) -> anyhow::Result<()> {
    ensure!(found == expected, "{what}: found {found:?}, expected {expected:?}");
    Ok(())
}

fn spec_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "color": {"type": "string", "enum": ["red", "green", "blue"]},
            "size": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
            "code": {"type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "inner": {
                "type": "object",
                "required": ["must"],
                "properties": {"must": {"type": "string"}, "mode": {"type": "string", "default": "auto"}},
            },
            "maybe": {"type": "string", "nullable": true},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
                },
            },
        },
    })
}

fn status_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "phase": {"type": "string"},
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type"],
                    "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                },
            },
        },
    })
}
