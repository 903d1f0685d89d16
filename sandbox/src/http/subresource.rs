//! Creates on subresources: eviction and binding of pods, tokens of service accounts.

use std::sync::LazyLock;

use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::Binding;
use k8s_openapi::api::policy::v1::Eviction;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::{Call, body};
use crate::api::{DeleteOptions, Part};
use crate::builtin::compiled;
use crate::object::{self, map_mut};
use crate::schema::Schema;
use crate::selector::Selector;
use crate::status::ApiError;

static EVICTION: LazyLock<Schema> = LazyLock::new(compiled::<Eviction>);
static BINDING: LazyLock<Schema> = LazyLock::new(compiled::<Binding>);
static TOKEN_REQUEST: LazyLock<Schema> = LazyLock::new(compiled::<TokenRequest>);

impl Call {
    pub(super) async fn create_subresource(&self, body: Incoming) -> Result<Answer, ApiError> {
        let bytes = body::read(body).await?;
        let given = |schema: &Schema| body::object(&self.head.headers, &bytes, Some(schema));
        match (&*self.endpoint.kind.table, self.path.subresource.as_str()) {
            ("pods", "eviction") => self.evict(&given(&EVICTION)?),
            ("pods", "binding") => self.bind(&given(&BINDING)?),
            ("serviceaccounts", "token") => self.token(given(&TOKEN_REQUEST)?),
            _ => Err(ApiError::no_such_resource()),
        }
    }

    fn evict(&self, eviction: &Value) -> Result<Answer, ApiError> {
        let api = &self.context.api;
        let pod = api.get(self.target())?;
        let phase = pod.facts().field("status.phase").unwrap_or_default().to_owned();
        let options = eviction.get("deleteOptions").cloned().unwrap_or_default();
        let delete = DeleteOptions {
            grace: options.get("gracePeriodSeconds").and_then(Value::as_i64),
            dry_run: self.query.dry_run()? || object::items(&options, "/dryRun").any(|one| one == "All"),
            ..DeleteOptions::default()
        };
        if !matches!(phase.as_str(), "Pending" | "Succeeded" | "Failed") {
            self.check_budgets()?;
        }
        api.delete(self.target(), &delete)?;
        Ok(answer::json(
            201,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        ))
    }

    /// An eviction needs the leave of every PodDisruptionBudget that selects the pod.
    fn check_budgets(&self) -> Result<(), ApiError> {
        let api = &self.context.api;
        let pod = api.get(self.target())?;
        let Some(budgets) = api.registry.endpoint("policy", "v1", "poddisruptionbudgets") else {
            return Ok(());
        };
        let page = api.list(&budgets, &self.path.namespace, &crate::api::ListQuery::default())?;
        for budget in page.documents {
            let value = budget.value();
            let selector = Selector::of(value.pointer("/spec/selector"));
            let allowed = value.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0);
            if selector.is_some_and(|selector| selector.matches(pod.facts())) && allowed <= 0 {
                return Err(ApiError::too_many_requests(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    10,
                )
                .because(
                    "DisruptionBudget",
                    format!("The disruption budget {} does not allow evictions", budget.facts().name),
                ));
            }
        }
        Ok(())
    }

    fn bind(&self, binding: &Value) -> Result<Answer, ApiError> {
        let node = object::text(binding, "/target/name").to_owned();
        if node.is_empty() {
            return Err(ApiError::bad_request("target.name: Required value: expected the name of a node"));
        }
        let subject = self.endpoint.kind.subject(&self.path.name);
        let api = &self.context.api;
        api.change(self.target(), Part::Binding, &self.write_options()?, |pod| {
            let held = object::text(pod, "/spec/nodeName");
            if !held.is_empty() {
                return Err(ApiError::conflict(
                    &subject,
                    &format!("pod {} is already assigned to node {held:?}", self.path.name),
                ));
            }
            let mut pod = pod.clone();
            map_mut(&mut pod, "spec").insert("nodeName".into(), node.as_str().into());
            let scheduled = json!({
                "type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": object::time(Timestamp::now()),
            });
            let conditions = map_mut(&mut pod, "status").entry("conditions").or_insert_with(|| json!([]));
            if let Value::Array(conditions) = conditions {
                conditions.retain(|condition| object::text(condition, "/type") != "PodScheduled");
                conditions.push(scheduled);
            }
            Ok(pod)
        })?;
        Ok(answer::json(
            201,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        ))
    }

    fn token(&self, mut request: Value) -> Result<Answer, ApiError> {
        let account = self.context.api.get(self.target())?;
        let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
        let expires = Timestamp::now() + SignedDuration::from_secs(seconds.clamp(0, 1 << 32));
        let token = format!("sandbox.{}.{}", account.facts().uid, self.context.api.dice.uid());
        let status = json!({"token": token, "expirationTimestamp": object::time(expires)});
        if let Value::Object(request) = &mut request {
            request.insert("kind".into(), "TokenRequest".into());
            request.insert("apiVersion".into(), "authentication.k8s.io/v1".into());
            request.insert("status".into(), status);
        }
        Ok(answer::json(201, &request))
    }
}
