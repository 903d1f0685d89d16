//! Templates.

use serde_json::Value;

use super::{age, failures, faint, flaw, name, namespace, recorded};
use crate::view::field::{Datum, Field, Place};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("status", "STATUS", |template| Datum::at(template, "/status/status")).toned(recorded),
    Field::text("makes", "MAKES", makes),
    Field::number("succeeded", "SUCCEEDED", |template| Datum::at(template, "/status/executeStatus/succeeded")),
    Field::number("failed", "FAILED", |template| Datum::at(template, "/status/executeStatus/failed")).toned(failures),
    age(),
    Field::text("timeout", "TIMEOUT", |template| Datum::at(template, "/spec/timeout")).at(Place::Wide),
    Field::text("actson", "ACTSON", |template| Datum::at(template, "/spec/actsOn")).at(Place::Wide),
    Field::text("recovery", "RECOVERY", |template| Datum::at(template, "/spec/recovery")).at(Place::Wide),
    Field::text("message", "MESSAGE", flaw).at(Place::Wide).toned(faint),
];

/// The kind that its manifest names at the top.
fn makes(template: &Value) -> Datum {
    let manifest = template.pointer("/spec/manifest").and_then(Value::as_str).unwrap_or_default();
    let kind = manifest.lines().find_map(|line| line.strip_prefix("kind:"));
    Datum::of_text(kind.unwrap_or_default())
}
