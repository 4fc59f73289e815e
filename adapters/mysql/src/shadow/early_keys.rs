//! Foreign keys that must act on the shadow from its creation, because the log does not show what
//! they do.

use crate::change::Change;
use crate::log::cascades::Parent;
use crate::schema::carried_keys::{key_after_change, source_keys};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::{ForeignKey, OwnKey, foreign_keys};
use crate::schema::foreign_key_indexes::{index_over, keep_indexes};
use crate::schema::lookup::read_table;
use crate::schema::table::Table;
use crate::server::doing::Doing;
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Returns the keys of the source that the shadow must have from its creation.
pub(crate) async fn early_keys(change: &Change, session: &mut Session) -> Result<Vec<ForeignKey>> {
    let keys = source_keys(change, session).await?;
    if cascade_source(change, session, &keys).await != CascadeSource::EarlyKeys {
        return Ok(Vec::new());
    }
    // Keys that the clauses drop belong to them too: they act until the swap.
    Ok(keys.into_iter().filter(|key| key.child == change.source && key.writes()).collect())
}

/// Gives the empty, altered shadow the keys that it must have from its creation; the module says
/// why.
pub(crate) async fn add_early_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<()> {
    let attempted = || change.doing("give foreign keys to the shadow of");
    let mut session = pool.reader().await?;
    let early = early_keys(change, &mut session).await?;
    let early: Vec<ForeignKey> =
        early.iter().map(|key| key_after_change(change, key, mapping)).collect();
    if early.is_empty() {
        return Ok(());
    }
    let shadow = read_table(change, &mut session, &change.names.shadow).await?;
    let mut clauses = keep_indexes(&shadow, early.iter());
    clauses.extend(early.into_iter().zip(1..).map(|(key, number)| {
        let key =
            ForeignKey { name: format!("{}{number}", change.early_prefix()), ..key.following() };
        sql::ddl::add(&key.definition(change.server.version))
    }));
    let alter = sql::ddl::alter_in_place(&change.source, &change.names.shadow, &clauses);
    let control = pool.lease(Slot::Control).await?;
    control.execute(&alter).await.trying_clauses(attempted)?;
    pool.checks_parents.store(true, Ordering::SeqCst);
    Ok(())
}

/// Returns whether the shadow has early keys.
pub(crate) async fn has_early_keys(change: &Change, session: &mut Session) -> Result<bool> {
    let keys = foreign_keys(session, &change.names.shadow)
        .await
        .doing_in_catalogue(change.doing("look for foreign keys of the shadow of"))?;
    Ok(keys.iter().any(|key| key.name.starts_with(&change.early_prefix())))
}

/// Returns how the run learns what the actions of the table's foreign keys do. `keys` are those
/// from it and to it.
pub(crate) async fn cascade_source(
    change: &Change,
    session: &mut Session,
    keys: &[ForeignKey],
) -> CascadeSource {
    let has_to_itself =
        || keys.iter().any(|key| key.is_between(&change.source, &change.source) && key.writes());
    match change.server.version.flavour {
        Flavour::MySql
            if change.server.version.is_mysql_since((9, 6, 0))
                && session
                    .text(sql::catalogue::NATIVE_FOREIGN_KEYS)
                    .await
                    .is_ok_and(|value| matches!(&*value, "0" | "OFF")) =>
        {
            CascadeSource::Log
        }
        // An early key's action would be another unlogged one, and the rows below such a row would
        // stay.
        Flavour::MariaDb if !has_to_itself() => CascadeSource::EarlyKeys,
        Flavour::MySql | Flavour::MariaDb => CascadeSource::Parents,
    }
}

/// Returns the keys of the table to itself whose actions are not in the log.
pub(crate) async fn own_keys(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<OwnKey>> {
    let keys = source_keys(change, session).await?;
    if cascade_source(change, session, &keys).await != CascadeSource::Parents {
        return Ok(Vec::new());
    }
    let acting =
        keys.iter().filter(|key| key.is_between(&change.source, &change.source) && key.writes());
    let own = |key: &ForeignKey| {
        OwnKey::of(key, &mapping.key).ok_or_else(|| {
            Error::refused(change.doing("follow"), format!("{} cannot be followed", key.describe()))
        })
    };
    acting.map(own).collect()
}

pub(crate) async fn parent_of(
    change: &Change,
    session: &mut Session,
    key: &ForeignKey,
) -> Result<Option<Table>> {
    Table::read(session, change.server.version, &key.parent)
        .await
        .doing_in_catalogue(format!("look at {}", key.parent.plain()))
}

/// Returns the parents whose changes show what is not in the log.
pub(crate) async fn parents_to_follow(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Vec<Parent>> {
    let mut session = pool.reader().await?;
    let mut parents = Vec::new();
    let keys = source_keys(change, &mut session).await?;
    if cascade_source(change, &mut session, &keys).await != CascadeSource::Parents {
        return Ok(parents);
    }
    for key in keys
        .into_iter()
        .filter(|key| key.child == change.source && key.parent != change.source && key.writes())
    {
        let table = parent_of(change, &mut session, &key).await?;
        let parent = table.and_then(|table| Parent::of(&key, &table));
        parents.push(parent.ok_or_else(|| {
            Error::refused(
                change.doing("follow"),
                format!("rows of {} cannot be followed", key.parent.plain()),
            )
        })?);
    }
    Ok(parents)
}

/// Returns the indexes that the shadow must always have. The run finds rows by them, or an early
/// key needs them: if its index is missing, the key refuses every change of its parent's rows.
pub(crate) async fn needed_indexes(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    altered: &TableName,
    mapping: &ColumnMapping,
) -> Result<Vec<String>> {
    let mut names = vec![mapping.key.shadow_index.clone()];
    let table = read_table(change, session, altered).await?;
    let parents = parents_to_follow(change, pool).await?;
    let of_parents = parents.iter().map(Parent::child_columns);
    let early = early_keys(change, session).await?;
    let of_early = early.iter().map(|key| &key.columns[..]);
    for columns in
        of_parents.chain(of_early).chain(mapping.own_keys.iter().map(|own| &own.columns[..]))
    {
        let columns: Vec<String> =
            columns.iter().map(|column| mapping.name_after(column)).collect();
        names.extend(index_over(&table, &columns).map(|index| index.name.clone()));
    }
    Ok(names)
}

/// How the run learns what the actions of foreign keys do to the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CascadeSource {
    /// The log has their changes like any others.
    Log,
    /// The shadow has the same keys from its creation.
    EarlyKeys,
    /// The run follows the changes that cause the actions; see [`crate::log::cascades`].
    Parents,
}
