//! Updates rows in place, range by range of the key, each range in one transaction with the record
//! of it.

use crate::change::Change;
use crate::key::candidates::{self, Candidate};
use crate::key::values;
use crate::schema::catalogue;
use crate::schema::columns::Layout;
use crate::schema::set_columns::name_of;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::own_objects::{self, JournalLock};
use crate::server::session::Session;
use crate::sql;
use crate::sql::backfill::Rows;
use crate::sql::quote::{literal, quoted};
use altergeist_contract::{
    Chunk, Error, Record, Result, RowOrder, RowUpdate, Trial, UpdatePace, Updated, Watermark,
    journal_json,
};
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// Rows at the beginning of the table among which a trial looks for matching ones.
const TRIAL_ROWS: i64 = 20_000;
/// How long a trial waits for a lock, and how long it may take.
const TRIAL_WAIT: Duration = Duration::from_millis(200);
const TRIAL_TIME: Duration = Duration::from_secs(5);

/// The table and the key whose order the ranges follow.
pub(crate) struct RowKey {
    pub(crate) layout: Layout,
    pub(crate) rows_estimated: u64,
    pub(crate) order: RowOrder,
}

impl RowKey {
    /// Reads the catalogue.
    pub(crate) async fn find(session: &Session, change: &Change) -> Result<RowKey> {
        let names = &change.names;
        let refused =
            |why: &str| Error::refused(format!("update rows of {} in place", names.display), why);
        let oid = catalogue::source(session, names).await?;
        let row = session.one(sql::backfill::TABLE_TO_UPDATE, &[&oid]).await;
        let row = row.doing(format!("look at {}", names.display))?;
        let (is_partitioned, has_children, has_rule): (bool, bool, bool) =
            (row.get(0), row.get(1), row.get(2));
        if has_children && !is_partitioned {
            return Err(refused(
                "other tables inherit from it. Name one of those that inherit, or remove the \
                 inheritance",
            ));
        }
        if has_rule {
            return Err(refused("a rule of the table rewrites its updates. Drop the rule first"));
        }
        let candidates = catalogue::candidates(session, oid).await?;
        let key = candidates::serving(&candidates).ok_or_else(|| {
            refused(
                "it has no primary key and no other unique index over columns that are NOT NULL. \
                 Add one",
            )
        })?;
        let columns = key.columns.iter().map(|it| format!("{} {}", it.source, it.type_name));
        let columns: Vec<String> = columns.collect();
        Ok(RowKey {
            order: RowOrder {
                table: oid.to_string(),
                key: format!("{} ({})", key.name, columns.join(", ")),
            },
            rows_estimated: u64::try_from(row.get::<_, i64>(3)).unwrap_or_default(),
            layout: layout(names, key, is_partitioned),
        })
    }
}

fn layout(names: &Names, key: &Candidate, is_partitioned: bool) -> Layout {
    Layout {
        source: names.source(),
        shadow: String::new(),
        shadow_schema: String::new(),
        alias: quoted(&names.table),
        key_index: key.name.clone(),
        keys: key.columns.clone(),
        order: Vec::new(),
        is_partitioned,
        columns: Vec::new(),
        helper_index: None,
        back: None,
    }
}

/// Tries the update on no row and on a few, in a transaction that is rolled back.
pub(crate) async fn try_update(
    session: &Session,
    names: &Names,
    key: &RowKey,
    update: &RowUpdate,
) -> Result<Trial> {
    refuse_key_columns(names, key, update)?;
    let attempted = || format!("try the backfill of {}", names.display);
    session.run(&sql::backfill::begin_update(TRIAL_WAIT, TRIAL_TIME)).await.doing(attempted)?;
    let tried = try_within(session, names, key, update).await;
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    let (rows, still_matching) = tried?;
    Ok(Trial { rows_estimated: key.rows_estimated, rows, still_matching })
}

async fn try_within(
    session: &Session,
    names: &Names,
    key: &RowKey,
    update: &RowUpdate,
) -> Result<(u64, u64)> {
    let attempted = || format!("read --set and --where of the backfill of {}", names.display);
    let rows = Rows { layout: &key.layout, update };
    for statement in rows.bare() {
        session.prepared(&statement).await.trying_clauses(attempted)?;
    }
    let none = session.prepared(&rows.update_none()).await.trying_clauses(attempted)?;
    if !none.params().is_empty() {
        return Err(Error::refused(attempted(), "it has a parameter ($1); write its value"));
    }
    session.client.execute(&none, &[]).await.trying_clauses(attempted)?;
    let through = range_end(session, names, key, &Watermark::Start, TRIAL_ROWS).await?;
    let bounds = values::values(&through);
    let statement = rows.update_some(&Watermark::Start, &through);
    let tried = session.one(&statement, &values::parameters(&bounds)).await;
    match tried {
        Ok(row) => Ok((count(&row, 0), count(&row, 1))),
        // The rows are locked: nothing is known then.
        Err(error) if error::is_passing(&error) => Ok((0, 0)),
        Err(error) => {
            let error = failed(names, update, &error);
            Err(Error::refused(error.attempted, error.reason))
        }
    }
}

/// A changed key would move a row to another place in the order of the ranges.
fn refuse_key_columns(names: &Names, key: &RowKey, update: &RowUpdate) -> Result<()> {
    for (column, _) in &update.assignments {
        let name = name_of(column).ok_or_else(|| {
            Error::refused(
                format!("backfill {}", names.display),
                format!("--set {column} = … does not begin with the name of one column"),
            )
        })?;
        if key.layout.keys.iter().any(|key| key.source == name) {
            return Err(Error::refused(
                format!("backfill {}", names.display),
                format!(
                    "column {name} belongs to the key {}, whose order the backfill follows. A \
                     backfill cannot change it",
                    key.layout.key_description()
                ),
            ));
        }
    }
    Ok(())
}

fn count(row: &tokio_postgres::Row, at: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(at)).unwrap_or_default()
}

/// Finds the end of the next range.
pub(crate) async fn range_end(
    session: &Session,
    names: &Names,
    key: &RowKey,
    after: &Watermark,
    rows: i64,
) -> Result<Watermark> {
    let attempted = || format!("find the end of a range of {}", names.display);
    let last = rows.max(1) - 1;
    let bounds = values::values(after);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
    parameters.extend(values::parameters(&bounds));
    let none = RowUpdate::default();
    let statement = Rows { layout: &key.layout, update: &none }.range_end(after);
    let found = session.query(&statement, &parameters).await.doing(attempted)?;
    Ok(found
        .first()
        .map_or(Watermark::End, |row| Watermark::At(values::of_row(row, 0, key.layout.keys.len()))))
}

/// Counts the rows of a range that match.
pub(crate) async fn count_matching(
    session: &Session,
    names: &Names,
    key: &RowKey,
    update: &RowUpdate,
    range: &Chunk,
) -> Result<u64> {
    let bounds = values::both_values(range);
    let statement = Rows { layout: &key.layout, update }.count(&range.after, &range.through);
    let counted = session.one(&statement, &values::parameters(&bounds)).await;
    Ok(count(&counted.doing(|| format!("count rows of {}", names.display))?, 0))
}

/// Updates the rows of a range and saves the record, in one transaction.
pub(crate) async fn update_range(
    session: &Session,
    names: &Names,
    key: &RowKey,
    (update, range): (&RowUpdate, &Chunk),
    pace: UpdatePace,
    record: &dyn Fn(&Updated) -> Record,
) -> Result<Updated> {
    let failed = |error: tokio_postgres::Error| failed(names, update, &error);
    let rows = Rows { layout: &key.layout, update };
    let bounds = values::both_values(range);
    let parameters = values::parameters(&bounds);
    let begin = sql::backfill::begin_update(pace.lock_timeout, pace.within);
    session.run(&begin).await.map_err(failed)?;
    let (changed, still) = if pace.asks_matching {
        let statement = rows.update_and_ask(&range.after, &range.through);
        let row = session.one(&statement, &parameters).await.map_err(failed)?;
        (count(&row, 0), count(&row, 1))
    } else {
        let statement = rows.update(&range.after, &range.through);
        (session.execute(&statement, &parameters).await.map_err(failed)?, 0)
    };
    let updated =
        Updated { rows: changed, through: range.through.clone(), still_matches: still > 0 };
    save(session, names, &record(&updated)).await?;
    session.run(sql::COMMIT).await.map_err(failed)?;
    Ok(updated)
}

/// Writes the record within the session's transaction.
async fn save(session: &Session, names: &Names, record: &Record) -> Result<()> {
    let columns = [
        &*names.display,
        &record.run,
        &record.alter,
        record.stage.name(),
        &record.holder,
        &journal_json::write(record),
    ];
    let statement = sql::save(&columns.map(literal));
    let saved = own_objects::use_journal(session, JournalLock::Write, &statement).await;
    let attempted = || format!("save the record of {}", names.display);
    saved.map(drop).map_err(|error| own_objects::journal_error(attempted(), &error))
}

fn failed(names: &Names, update: &RowUpdate, error: &tokio_postgres::Error) -> Error {
    let columns: Vec<&str> = update.assignments.iter().map(|(column, _)| &**column).collect();
    error::of_update(format!("update rows of {}", names.display), error, &columns.join(", "))
}
