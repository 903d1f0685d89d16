//! Rows of fields as lines, as kubectl draws them: columns three spaces apart, no rules, no borders.

use jiff::Timestamp;
use serde_json::Value;

use super::field::{Field, Place, Tone};

const GAP: usize = 3;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What stands in it, on one line.
    pub text: String,
    /// How it strikes the eye.
    pub tone: Tone,
}

impl Cell {
    /// A cell that does not strike the eye.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// Which columns a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Those of wide tables too.
    pub wide: bool,
    /// That of tables over several namespaces too.
    pub namespaces: bool,
}

/// The fields that such a table shows, in their order.
pub fn columns(fields: &'static [Field], look: Look) -> Vec<&'static Field> {
    let shown = |field: &&Field| match field.place {
        Place::Always => true,
        Place::Wide => look.wide,
        Place::Namespaces => look.namespaces,
        Place::Nowhere => false,
    };
    fields.iter().filter(shown).collect()
}

/// The titles of columns.
pub fn titles(columns: &[&Field]) -> Vec<Cell> {
    columns.iter().map(|field| Cell::plain(field.title)).collect()
}

/// The row of an object. What it does not say is `<none>`, as with kubectl.
pub fn row(columns: &[&Field], object: &Value, now: Timestamp) -> Vec<Cell> {
    let cell = |field: &&Field| {
        let datum = (field.read)(object);
        let text = datum.shown(now);
        if text.is_empty() {
            return Cell { text: "<none>".to_owned(), tone: Tone::Faint };
        }
        Cell { text, tone: (field.tone)(&datum) }
    };
    columns.iter().map(cell).collect()
}

/// How wide each column is: as wide as its widest cell.
pub fn widths(rows: &[Vec<Cell>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |nth: usize| rows.iter().filter_map(|row| row.get(nth)).map(|cell| cell.text.chars().count()).max();
    (0..columns).map(|nth| width(nth).unwrap_or_default()).collect()
}

/// One line; cells that are wider than their column push on what follows. `paint` gives a text its tone.
pub fn line(row: &[Cell], widths: &[usize], paint: impl Fn(&str, Tone) -> String) -> String {
    let mut out = String::new();
    for (nth, cell) in row.iter().enumerate() {
        out.push_str(&paint(&cell.text, cell.tone));
        if nth + 1 < row.len() {
            let width = widths.get(nth).copied().unwrap_or_default();
            let pad = width.saturating_sub(cell.text.chars().count()) + GAP;
            out.extend(std::iter::repeat_n(' ', pad));
        }
    }
    out
}

/// All lines, unpainted.
pub fn text(rows: &[Vec<Cell>]) -> String {
    let widths = widths(rows);
    rows.iter().map(|row| format!("{}\n", line(row, &widths, |text, _| text.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::field::Datum;
    use super::*;

    const FIELDS: &[Field] = &[
        Field::text("namespace", "NAMESPACE", |object| Datum::at(object, "/ns")).at(Place::Namespaces),
        Field::text("name", "NAME", |object| Datum::at(object, "/name")),
        Field::text("status", "STATUS", |object| Datum::at(object, "/status")),
        Field::text("message", "MESSAGE", |object| Datum::at(object, "/message")).at(Place::Wide),
        Field::text("secret", "SECRET", |object| Datum::at(object, "/secret")).at(Place::Nowhere),
    ];

    fn drawn(look: Look) -> String {
        let columns = columns(FIELDS, look);
        let objects = [
            json!({"ns": "a", "name": "one", "status": "Firing", "message": "two words"}),
            json!({"ns": "b", "name": "three", "status": ""}),
        ];
        let now = Timestamp::UNIX_EPOCH;
        let rows = objects.iter().map(|object| row(&columns, object, now));
        text(&std::iter::once(titles(&columns)).chain(rows).collect::<Vec<_>>())
    }

    #[test]
    fn a_table_has_the_columns_of_its_look() {
        assert_eq!(drawn(Look::default()), "NAME    STATUS\none     Firing\nthree   <none>\n");
        assert_eq!(
            drawn(Look { wide: true, namespaces: true }),
            "NAMESPACE   NAME    STATUS   MESSAGE\n\
             a           one     Firing   two words\n\
             b           three   <none>   <none>\n"
        );
    }

    #[test]
    fn a_row_that_came_later_and_is_wider_is_cut_nowhere() {
        let row = [Cell::plain("longer than before"), Cell::plain("x")];
        assert_eq!(line(&row, &[4, 1], |text, _| text.to_owned()), "longer than before   x");
    }
}
