//! Tables: the columns and rows that `kubectl get` prints.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::builtin::Builtin;
use crate::kind::{Column, Endpoint};
use crate::object;
use crate::store::Document;

/// How much of each object goes with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// The table of some objects.
pub(crate) fn of(
    endpoint: &Endpoint,
    documents: &[Arc<Document>],
    metadata: Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let columns = endpoint.version().map(|version| version.columns.as_slice()).unwrap_or_default();
    let rows: Vec<Value> = documents.iter().map(|document| row(endpoint, columns, document, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(endpoint.kind.builtin(), columns),
        "rows": rows,
    })
}

fn definitions(builtin: Option<&Builtin>, columns: &[Column]) -> Value {
    match builtin {
        Some(builtin) => builtin
            .columns
            .iter()
            .map(|(name, kind, format, priority)| {
                json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
            })
            .collect(),
        None => std::iter::once(json!({
            "name": "Name", "type": "string", "format": "name", "description": "Name must be unique within a namespace.", "priority": 0,
        }))
        .chain(columns.iter().map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        }))
        .collect(),
    }
}

fn row(endpoint: &Endpoint, columns: &[Column], document: &Document, include: IncludeObject, now: Timestamp) -> Value {
    let mut stored = document.value();
    let cells: Vec<Value> = match endpoint.kind.builtin() {
        Some(builtin) => (builtin.row)(&stored, now),
        None => std::iter::once(object::name(&stored).into())
            .chain(columns.iter().map(|column| cell(column, &stored, now)))
            .collect(),
    };
    let mut row = json!({"cells": cells});
    let shown = match include {
        IncludeObject::None => return row,
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": stored.get("metadata").cloned().unwrap_or_default(),
        }),
        IncludeObject::Object => {
            endpoint.show(&mut stored);
            stored
        }
    };
    if let Value::Object(row) = &mut row {
        row.insert("object".into(), shown);
    }
    row
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = column.path.find(object);
    let Some(first) = found.first() else {
        return Value::Null;
    };
    match (column.kind.as_str(), first) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(_)) | ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*first).clone(),
        ("integer", Value::String(text)) => text.parse::<i64>().map_or(Value::Null, Value::from),
        ("date", Value::String(text)) => age(text, now),
        ("date", _) => Value::Null,
        ("string", _) => {
            let texts: Vec<String> = found.iter().map(|value| printed(value)).collect();
            // kubectl prints what a JSONPath finds more than once with commas.
            texts.join(",").into()
        }
        _ => Value::Null,
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The time since a moment, in the two coarsest units that matter: 5s, 3m20s, 47h, 9d.
pub(crate) fn age(moment: &str, now: Timestamp) -> Value {
    if moment.is_empty() {
        return "<unknown>".into();
    }
    let Ok(moment) = moment.parse::<Timestamp>() else {
        return "<invalid>".into();
    };
    let seconds = now.as_second() - moment.as_second();
    if seconds < -1 {
        return "<invalid>".into();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |large: i64, unit: char, small: i64, rest: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{rest}") }
    };
    let text = if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        pair(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        pair(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        pair(days, 'd', hours % 24, 'h')
    } else if days < 730 {
        format!("{days}d")
    } else if days < 2920 {
        pair(days / 365, 'y', days % 365, 'd')
    } else {
        format!("{}y", days / 365)
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_printed_as_kubectl_prints_them() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        for (seconds, want) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (4 * 3600 + 60, "4h1m"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (9 * 86400, "9d"),
            (800 * 86400, "2y70d"),
        ] {
            let moment = Timestamp::from_second(now.as_second() - seconds).unwrap();
            assert_eq!(age(&moment.to_string(), now), want, "{seconds}");
        }
        assert_eq!(age("", now), "<unknown>");
        assert_eq!(age("noon", now), "<invalid>");
    }
}
