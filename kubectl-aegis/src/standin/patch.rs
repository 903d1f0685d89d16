//! patch: strategic by default, as kubectl's.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch as Body, PatchParams};
use serde_json::Value;

use super::{Error, target};
use crate::output;

#[derive(Args)]
pub(super) struct Patch {
    /// TYPE NAME or TYPE/NAME
    #[arg(required = true, num_args = 1..)]
    words: Vec<String>,
    /// The change, as JSON or YAML
    #[arg(short, long, required_unless_present = "patch_file", conflicts_with = "patch_file")]
    patch: Option<String>,
    /// A file with the change
    #[arg(long)]
    patch_file: Option<PathBuf>,
    /// How the change is read
    #[arg(long = "type", value_enum, default_value_t = Style::Strategic)]
    style: Style,
    /// Change this part of the object, such as status
    #[arg(long)]
    subresource: Option<String>,
}

/// How a change is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Lists are merged by their keys; not for custom resources
    Strategic,
    /// A field that is null is removed, a list is replaced
    Merge,
    /// A list of operations
    Json,
}

/// Patches the objects named.
pub(super) async fn patch(client: &Client, namespace: &str, patch: &Patch) -> Result<(), Error> {
    let (type_, names) = target::parse(&patch.words)?;
    if names.is_empty() {
        return Err(Error::Usage("name what to patch: TYPE NAME or TYPE/NAME".to_owned()));
    }
    let body = body(patch.style, &text(patch)?)?;
    let api: Api<DynamicObject> = type_.api(client, Some(namespace));
    let params = PatchParams::default();
    for name in names {
        // Only the version before tells whether the server changed anything.
        let before = api.get(&name).await?.metadata.resource_version;
        let after = match &patch.subresource {
            Some(part) => api.patch_subresource(part, &name, &params, &body).await?,
            None => api.patch(&name, &params, &body).await?,
        };
        let same = if after.metadata.resource_version == before { " (no change)" } else { "" };
        output::line(&format!("{}/{name} patched{same}", type_.label));
    }
    Ok(())
}

fn text(patch: &Patch) -> Result<String, Error> {
    match (&patch.patch, &patch.patch_file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Error::Usage(format!("could not read --patch-file {}: {error}", file.display()))),
        (None, None) => Err(Error::Usage("must specify -p to patch".to_owned())),
    }
}

/// JSON is YAML: one reader takes both.
fn body(style: Style, text: &str) -> Result<Body<Value>, Error> {
    let unreadable = |error: String| Error::Usage(format!("unable to parse {text:?}: {error}"));
    let value: Value = serde_saphyr::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    match style {
        Style::Json => {
            let operations = serde_json::from_value(value).map_err(|error| {
                unreadable(format!(
                    "expected a list like [{{\"op\": \"replace\", \"path\": ..., \"value\": ...}}]: {error}"
                ))
            })?;
            Ok(Body::Json(operations))
        }
        _ if !value.is_object() => Err(unreadable("expected an object like {\"spec\": {...}}".to_owned())),
        Style::Merge => Ok(Body::Merge(value)),
        Style::Strategic => Ok(Body::Strategic(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_its_style_says() {
        let cases = [
            (Style::Strategic, r#"{"spec": {"unschedulable": true}}"#, "ok"),
            (Style::Merge, "spec:\n  unschedulable: null\n", "ok"),
            (Style::Json, r#"[{"op": "remove", "path": "/spec/unschedulable"}]"#, "ok"),
            (Style::Merge, "[]", "expected an object"),
            (Style::Strategic, "text", "expected an object"),
            (Style::Json, r#"{"spec": {}}"#, "expected a list"),
            (Style::Json, r#"[{"op": "erase", "path": "/spec"}]"#, "erase"),
            (Style::Merge, "{", "unable to parse"),
        ];
        for (style, text, want) in cases {
            let told = body(style, text).map_or_else(|error| error.to_string(), |_| "ok".to_owned());
            assert!(told.contains(want), "{style:?} {text}: {told}");
        }
    }
}
