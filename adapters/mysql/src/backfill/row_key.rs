//! The key whose order a backfill follows, and how its table is known again.

use crate::change::Change;
use crate::facts::TableIdentity;
use crate::key::index::{self, KeyIndex};
use crate::schema::identity::identify_table;
use crate::schema::table::Table;
use crate::server::about::Zone;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::{number, text};
use crate::sql;
use altergeist_contract::{Error, Result, RowOrder, journal_json};
use std::sync::Arc;

/// The storage engine whose rows a transaction can roll back.
const INNODB: &str = "InnoDB";

/// The key whose order the ranges follow.
pub(crate) struct RowKey {
    pub(crate) key: KeyIndex,
    pub(crate) rows_estimated: u64,
    pub(crate) order: RowOrder,
}

impl RowKey {
    /// Reads the catalogue.
    pub(crate) async fn find(change: &Change, pool: &Arc<SessionPool>) -> Result<RowKey> {
        let attempted = || format!("update rows of {} in place", change.title);
        let looking = || change.doing("look at");
        let mut session = pool.reader().await?;
        let facts = session.row(&sql::catalogue::table_facts(&change.source)).await;
        let facts = facts.doing_in_catalogue(looking)?.unwrap_or_default();
        if facts.get(1).map(text).is_none_or(|engine| engine != INNODB) {
            let reason =
                "it is not an InnoDB table, so an update of its rows cannot be rolled back";
            return Err(Error::refused(attempted(), reason));
        }
        let read = Table::read(&mut session, change.server.version, &change.source).await;
        let table = read.doing_in_catalogue(looking)?;
        let table = table.ok_or_else(|| Error::refused(attempted(), "there is no such table"))?;
        let key = choose(&table, change.server.zone())
            .map_err(|reason| Error::refused(attempted(), reason))?;
        let types = key.columns.iter().filter_map(|column| table.column(&column.name));
        let types: Vec<&str> = types.map(|column| &*column.column_type).collect();
        let identity = identify_table(change, &mut session, &change.source).await?;
        Ok(RowKey {
            order: RowOrder {
                table: journal_json::write(&identity),
                key: format!("{} {}", key.describe(), types.join(", ")),
            },
            rows_estimated: facts.get(2).and_then(number).unwrap_or_default(),
            key,
        })
    }
}

/// The best key that gives every row one place, which no update moves.
fn choose(table: &Table, zone: Zone) -> std::result::Result<KeyIndex, String> {
    let candidates = index::candidates(table).map_err(|reasons| match reasons.is_empty() {
        true => "it has no unique index. Add a primary key".to_owned(),
        false => format!("no unique index gives its rows an order: {}", reasons.join("; ")),
    })?;
    let mut reasons = Vec::new();
    for (index, columns) in candidates {
        let key = KeyIndex { index: index.name, shadow_index: String::new(), columns };
        let moves = |name: &str| {
            table.column(name).is_some_and(|column| {
                column.generated || column.extra.to_lowercase().contains("on update")
            })
        };
        if key.has_prefix() {
            reasons.push(format!("{}: it holds only the beginning of a value", key.index));
        } else if key.columns.iter().any(|column| moves(&column.name)) {
            reasons.push(format!("{}: the server computes a column of it", key.index));
        } else if key.has_moments() && zone != Zone::Fixed {
            reasons.push(format!("{}: in the server's time zone hours come twice", key.index));
        } else {
            return Ok(key);
        }
    }
    Err(format!("no unique index gives its rows an order: {}", reasons.join("; ")))
}

/// Whether a table may be the same one, altered meanwhile. A table that was dropped and created
/// again has the definition that it had, and another number.
pub(crate) fn is_same_table(then: &str, now: &str) -> bool {
    let read = |text: &str| journal_json::read::<TableIdentity>(text, || "know a table");
    let (Ok(then), Ok(now)) = (read(then), read(now)) else { return false };
    then.is_same(&now) || then.fingerprint != now.fingerprint
}
