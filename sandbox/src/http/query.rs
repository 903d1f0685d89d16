//! The options that stand in a query.

use std::time::Duration;

use crate::api::{ContinueToken, FieldValidation, ListQuery, VersionMatch, WriteOptions};
use crate::kind::Endpoint;
use crate::selector::Selector;
use crate::status::ApiError;

/// The parameters of a query, as they stand there.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter, empty if it is not there.
    pub(super) fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
    }

    /// Whether a parameter is there and not false.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0" | "f" | "False"))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(format!("invalid value of {key}: found {text:?}, expected a whole number"))
            }),
        }
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        Ok(self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    pub(super) fn version_match(&self) -> Result<Option<VersionMatch>, ApiError> {
        match self.text("resourceVersionMatch") {
            "" => Ok(None),
            "NotOlderThan" => Ok(Some(VersionMatch::NotOlderThan)),
            "Exact" => Ok(Some(VersionMatch::Exact)),
            other => Err(ApiError::bad_request(format!(
                "resourceVersionMatch: found {other:?}, expected NotOlderThan or Exact"
            ))),
        }
    }

    pub(super) fn selector(&self, endpoint: &Endpoint, name: &str) -> Result<Selector, ApiError> {
        let mut fields = self.text("fieldSelector").to_owned();
        if !name.is_empty() {
            // A watch of one object.
            let comma = if fields.is_empty() { "" } else { "," };
            fields = format!("{fields}{comma}metadata.name={name}");
        }
        Selector::parse(self.text("labelSelector"), &fields, &endpoint.selectable())
            .map_err(|error| ApiError::bad_request(error.to_string()))
    }

    pub(super) fn list(&self, endpoint: &Endpoint) -> Result<ListQuery, ApiError> {
        let after = match self.text("continue") {
            "" => None,
            token => Some(ContinueToken::parse(token)?),
        };
        let revision = self.number("resourceVersion")?;
        let matching = self.version_match()?;
        match (matching, revision, &after) {
            (Some(_), None, _) => {
                return Err(ApiError::bad_request(
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            (Some(VersionMatch::Exact), Some(0), _) => {
                return Err(ApiError::bad_request(
                    "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
            (_, Some(revision), Some(_)) if revision > 0 => {
                return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
            }
            _ => {}
        }
        Ok(ListQuery {
            selector: self.selector(endpoint, "")?,
            limit: usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(0),
            after,
            revision,
            matching,
        })
    }

    pub(super) fn write(&self, user_agent: &str) -> Result<WriteOptions, ApiError> {
        let validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                return Err(ApiError::bad_request(format!(
                    "fieldValidation: found {other:?}, expected Ignore, Warn or Strict"
                )));
            }
        };
        let manager = match self.text("fieldManager") {
            "" => crate::request::component(user_agent),
            manager => manager.to_owned(),
        };
        Ok(WriteOptions {
            dry_run: self.dry_run()?,
            validation,
            manager,
            force: self.flag("force"),
            ..WriteOptions::default()
        })
    }

    pub(super) fn dry_run(&self) -> Result<bool, ApiError> {
        match self.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                Err(ApiError::bad_request(format!("dryRun: Unsupported value: {other:?}: supported values: \"All\"")))
            }
        }
    }
}
