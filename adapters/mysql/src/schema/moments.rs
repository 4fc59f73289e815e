//! Conversions that depend on the day on which they happen.

use crate::schema::computed;
use crate::schema::pair::Pair;
use altergeist_contract::{Code, Finding};

/// Refuses a conversion for which the server takes the current date: the copy, the refresh and the
/// comparison may happen on other days.
pub(crate) fn completed_by_today(pair: &Pair) -> Option<Finding> {
    let into = &pair.shadow;
    let is_dated = matches!(&*into.data_type, "date" | "datetime" | "timestamp" | "year");
    let object = match pair.formula {
        Some(_) => computed::object(&into.name),
        None => format!("column {}", pair.title()),
    };
    (pair.source.data_type == "time" && is_dated).then(|| {
        Finding::error(
            Code::VolatileExpression,
            object,
            format!(
                "a TIME has no date, and the server takes the current date when it becomes {}",
                into.column_type
            ),
            format!(
                "say which date: --set \"{0} = TIMESTAMP('2000-01-01', {1})\"",
                into.name,
                pair.before().map_or("the_time", |column| &column.name)
            ),
        )
    })
}
