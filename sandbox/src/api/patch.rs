//! Patch: the kinds of patch, applied to the present state.

use serde_json::Value;

use super::{Api, Owners, Part, Target, WriteOptions, Written};
use crate::kind::Nature;
use crate::ownership;
use crate::patch::{merge, strategic};
use crate::status::ApiError;

/// A patch, as its content type says.
#[derive(Debug)]
pub(crate) enum Patch {
    /// application/json-patch+json
    Json(json_patch::Patch),
    /// application/merge-patch+json
    Merge(Value),
    /// application/strategic-merge-patch+json
    Strategic(Value),
    /// application/apply-patch+yaml
    Apply(Value),
}

impl Api {
    /// Patches an object. Server-side apply creates what is missing.
    pub(crate) fn patch(
        &self,
        target: Target<'_>,
        part: Part,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let subject = target.endpoint.kind.subject(target.name);
        match patch {
            Patch::Json(patch) => self.change(target, part, options, |current| {
                let mut new = current.clone();
                json_patch::patch(&mut new, patch).map_err(|error| ApiError::unprocessable(&subject, error))?;
                Ok(new)
            }),
            Patch::Merge(patch) => self.change(target, part, options, |current| {
                let mut new = current.clone();
                merge::apply(&mut new, patch);
                Ok(new)
            }),
            Patch::Strategic(patch) => {
                if matches!(target.endpoint.kind.nature, Nature::Custom) {
                    return Err(ApiError::unsupported_media_type(
                        "application/strategic-merge-patch+json",
                        &[
                            "application/json-patch+json",
                            "application/merge-patch+json",
                            "application/apply-patch+yaml",
                        ],
                    ));
                }
                let cursor = target.endpoint.schema().map(|schema| schema.cursor());
                self.change(target, part, options, |current| {
                    let mut new = current.clone();
                    strategic::apply(&mut new, patch, cursor)
                        .map_err(|error| ApiError::bad_request(error.to_string()))?;
                    Ok(new)
                })
            }
            Patch::Apply(applied) => self.apply(target, part, applied, options),
        }
    }

    fn apply(
        &self,
        target: Target<'_>,
        part: Part,
        applied: &Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        ownership::check(target, applied, options)?;
        let kind = &target.endpoint.kind;
        let missing = self.store.get(&kind.table, target.namespace, target.name).is_none();
        if missing {
            if part != Part::Main {
                return Err(ApiError::not_found(&kind.subject(target.name)));
            }
            let creating =
                WriteOptions { owners: Owners::Given(ownership::of_new(target, applied, options)), ..options.clone() };
            match self.create(target.endpoint, target.namespace, applied.clone(), &creating) {
                // Somebody created it in between; then it is a change.
                Err(error) if error.code() == 409 => {}
                written => return written,
            }
        }
        let applying = WriteOptions { owners: Owners::AsChanged, ..options.clone() };
        self.change(target, part, &applying, |current| ownership::apply(target, part, current, applied, options))
    }
}
