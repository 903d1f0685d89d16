//! Create: a new object gets its identity, its defaults and its place.

use serde_json::Value;

use super::{Api, Owners, Target, WriteOptions, Written, admit::admit, unsaved};
use crate::kind::Endpoint;
use crate::metadata;
use crate::object::{self, metadata_mut};
use crate::status::{ApiError, FieldError};
use crate::store::{Action, Expect, Refused};

/// How often a generated name may turn out to be taken.
const NAME_ATTEMPTS: usize = 8;
/// Names are cut to leave room for the generated characters.
const GENERATED_PREFIX: usize = 58;

impl Api {
    /// Creates an object.
    pub(crate) fn create(
        &self,
        endpoint: &Endpoint,
        namespace: &str,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (object, warnings) = self.new_object(endpoint, namespace, body.clone(), options)?;
            let name = object::name(&object).to_owned();
            let target = Target { endpoint, namespace, name: &name };
            let mut object = object;
            if let Some(builtin) = endpoint.kind.builtin().filter(|builtin| builtin.review) {
                (builtin.create)(&mut object);
                let document = unsaved(endpoint.draft(&object));
                return Ok(Written { document, created: true, warnings });
            }
            let draft = endpoint.draft(&object);
            if options.dry_run {
                if self.store.get(&endpoint.kind.table, namespace, &name).is_some() {
                    return Err(self.refusal(Refused::Exists, target));
                }
                return Ok(Written { document: unsaved(draft), created: true, warnings });
            }
            match self.commit(target, Expect::Absent, Action::Put(draft)) {
                Ok(document) => return Ok(Written { document, created: true, warnings }),
                Err(Refused::Exists) if object::meta_text(&body, "name").is_empty() && attempt < NAME_ATTEMPTS => {}
                Err(refused) => return Err(self.refusal(refused, target)),
            }
        }
    }

    /// The object that a body asks for, complete and valid, in stored form.
    fn new_object(
        &self,
        endpoint: &Endpoint,
        namespace: &str,
        mut body: Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let warnings = admit(endpoint, &mut body, options.validation)?;
        self.identify(endpoint, namespace, &mut body, options)?;
        let builtin = endpoint.kind.builtin();
        if endpoint.has_status()
            && !builtin.is_some_and(|builtin| builtin.status_at_create)
            && let Value::Object(body) = &mut body
        {
            body.shift_remove("status");
        }
        if let Some(schema) = endpoint.schema() {
            schema.default(&mut body);
            if builtin.is_some() {
                schema.fill_status(&mut body);
            }
        }
        if let Some(builtin) = builtin {
            (builtin.default)(&mut body);
            (builtin.create)(&mut body);
        }
        let errors = self.flaws(endpoint, &body, None);
        let name = object::name(&body).to_owned();
        if !errors.is_empty() && !builtin.is_some_and(|builtin| builtin.review) {
            return Err(ApiError::invalid(&endpoint.kind.subject(&name), &errors));
        }
        if &*endpoint.kind.table == "pods" {
            self.check_service_account(endpoint, namespace, &body)?;
        }
        Ok((body, warnings))
    }

    fn identify(
        &self,
        endpoint: &Endpoint,
        namespace: &str,
        body: &mut Value,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let stated = object::meta_text(body, "namespace");
        if !stated.is_empty() && stated != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if !matches!(object::meta_text(body, "resourceVersion"), "" | "0") {
            return Err(ApiError::nameless("resourceVersion should not be set on objects to be created"));
        }
        let (uid, now) = (self.dice.uid(), object::time(self.clock.now()));
        let metadata = metadata_mut(body);
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
            "resourceVersion",
            "managedFields",
            "namespace",
        ] {
            metadata.shift_remove(key);
        }
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
        let prefix = text("generateName");
        let name = match text("name") {
            "" if prefix.is_empty() => String::new(),
            "" => {
                let cut: String = prefix.chars().take(GENERATED_PREFIX).collect();
                format!("{cut}{}", self.dice.suffix())
            }
            name => name.to_owned(),
        };
        let rest = std::mem::take(metadata);
        metadata.insert("name".into(), name.into());
        if !namespace.is_empty() {
            metadata.insert("namespace".into(), namespace.into());
        }
        metadata.insert("uid".into(), uid.into());
        if endpoint.kind.counts_generations() {
            metadata.insert("generation".into(), 1.into());
        }
        metadata.insert("creationTimestamp".into(), now.into());
        metadata.extend(rest.into_iter().filter(|(key, _)| key != "name"));
        if let Owners::Given(owners) = &options.owners {
            metadata.insert("managedFields".into(), owners.clone());
        }
        Ok(())
    }

    /// All that is wrong with an object that is about to be stored.
    pub(super) fn flaws(&self, endpoint: &Endpoint, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = metadata::flaws(object::metadata(object), endpoint.kind.name_rule());
        if let Some(schema) = endpoint.schema() {
            errors.extend(schema.validate(object, endpoint.kind.strictness()));
        }
        if let Some(builtin) = endpoint.kind.builtin() {
            // A list that is required and may not be empty would be named twice.
            for error in (builtin.validate)(object, old) {
                if !errors.iter().any(|known| known.field == error.field && known.reason == error.reason) {
                    errors.push(error);
                }
            }
        }
        errors
    }

    fn check_service_account(&self, endpoint: &Endpoint, namespace: &str, pod: &Value) -> Result<(), ApiError> {
        let account = object::text(pod, "/spec/serviceAccountName");
        let missing = self.store.get("serviceaccounts", namespace, account).is_none();
        let namespace_exists = self.store.get("namespaces", "", namespace).is_some();
        if missing && namespace_exists {
            return Err(ApiError::forbidden(
                &endpoint.kind.subject(object::name(pod)),
                &format!(
                    "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
                ),
            ));
        }
        Ok(())
    }

    /// Creates an object of the server's own.
    pub(crate) fn plant(&self, object: Value) -> Result<(), ApiError> {
        let api_version = object::text(&object, "/apiVersion").to_owned();
        let kind = object::text(&object, "/kind").to_owned();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let found = self
            .registry
            .index()
            .kinds()
            .iter()
            .find(|known| known.group == group && known.kind == kind)
            .and_then(|known| self.registry.endpoint(group, version, &known.plural));
        let Some(endpoint) = found else {
            return Err(ApiError::bad_request(format!("no kind {kind:?} is served in version {api_version:?}")));
        };
        let namespace = object::meta_text(&object, "namespace").to_owned();
        self.create(&endpoint, &namespace, object, &WriteOptions::default()).map(drop)
    }
}
