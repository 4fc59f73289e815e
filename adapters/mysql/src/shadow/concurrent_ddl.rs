//! Follows what others change of the source during the run. The log has each statement. If it
//! leaves rows and columns alone, the run goes on. Right before the lock, the shadow gets what the
//! source got meanwhile. Under the lock the source must still be as it was then. The swap carries
//! triggers anyway.

use crate::change::Change;
use crate::journal::{read_entry, save_facts};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::definition_diff::{Changed, is_made_alike, out_of_reach};
use crate::schema::identity::identify_table;
use crate::schema::index_definition::Definition;
use crate::schema::lookup::read_table;
use crate::schema::table::{Table, definition_of, is_same};
use crate::server::doing::Doing;
use crate::server::error::{Failure, NO_INPLACE, START_AGAIN};
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Result};
use std::sync::Arc;

/// Checks the source when the log shows that others changed it.
pub(crate) struct ConcurrentDdl {
    pool: Arc<SessionPool>,
    source: TableName,
    /// The source's definition when the shadow was made; empty if the journal does not have it.
    text: String,
}

impl ConcurrentDdl {
    pub(crate) fn new(pool: Arc<SessionPool>, source: TableName, text: String) -> ConcurrentDdl {
        ConcurrentDdl { pool, source, text }
    }

    /// Proves that the shadow can get what others gave the source.
    ///
    /// # Errors
    ///
    /// `Fatal`, with the names of what it cannot get.
    pub(crate) async fn check_can_follow(&self) -> Result<()> {
        let attempted = || format!("look at {} again", self.source.plain());
        let mut session = self.pool.reader().await?;
        let now = definition_of(&mut session, &self.source).await;
        let now = now.doing_in_catalogue(attempted)?;
        match self.text.is_empty() {
            true => Err(cannot(&self.source, &["something".to_owned()])),
            false => within_reach(&self.source, &self.text, &now),
        }
    }
}

fn cannot(source: &TableName, objects: &[String]) -> Error {
    let reason = format!(
        "another session changed {} of the table, and the shadow cannot follow that; {START_AGAIN}",
        objects.join(", ")
    );
    Error::fatal(format!("follow {}", source.plain()), reason)
}

/// Gives the shadow what others gave the source since the last check. Returns the source's
/// definition.
///
/// # Errors
///
/// `Fatal`, with the names of what the shadow cannot get.
pub(crate) async fn follow_others(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<String> {
    let attempted = || change.doing("give the shadow what others gave to");
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    if facts.source_text.is_empty() {
        return Ok(String::new());
    }
    let now = definition_of(&mut reader, &change.source).await.doing_in_catalogue(attempted)?;
    within_reach(&change.source, &facts.source_text, &now)?;
    let is_as_noted = |made: &Option<crate::facts::TableIdentity>,
                       now: &crate::facts::TableIdentity| {
        made.as_ref() == Some(now)
    };
    let source = identify_table(change, &mut reader, &change.source).await?;
    let have =
        definition_of(&mut reader, &change.names.shadow).await.doing_in_catalogue(attempted)?;
    let changed = Changed::between(&facts.source_text, &now, &have);
    if !is_as_noted(&facts.source, &source) {
        // The storage engine may have rebuilt it as another table.
        facts.source = Some(source);
        save_facts(change, pool, &facts).await?;
    }
    if !changed.is_nothing() {
        check_columns(change, &mut reader, mapping, &changed).await?;
        give_shadow(change, pool, &changed).await?;
        let have =
            definition_of(&mut reader, &change.names.shadow).await.doing_in_catalogue(attempted)?;
        let left = Changed::between(&facts.source_text, &now, &have);
        if !left.is_nothing() {
            return Err(cannot(&change.source, &left.named()));
        }
        tracing::info!(
            "{}: others changed {}; the shadow has followed",
            change.title,
            changed.named().join(", ")
        );
    }
    let shadow = identify_table(change, &mut reader, &change.names.shadow).await?;
    if !is_made_alike(&facts.source_text, &now) || !is_as_noted(&facts.shadow, &shadow) {
        facts.source_text.clone_from(&now);
        facts.shadow = Some(shadow);
        save_facts(change, pool, &facts).await?;
    }
    Ok(now)
}

/// Checks that new indexes are over columns that the shadow has under the same names.
async fn check_columns(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    changed: &Changed,
) -> Result<()> {
    let source = read_table(change, session, &change.source).await?;
    let shadow = read_table(change, session, &change.names.shadow).await?;
    let stays = |name: &str| {
        let pair = mapping.columns.iter().find(|pair| is_same(&pair.source.name, name));
        let is_generated =
            |table: &Table| table.column(name).is_some_and(|column| column.generated);
        match pair {
            Some(pair) => is_same(&pair.shadow.name, name),
            None => is_generated(&source) && is_generated(&shadow),
        }
    };
    let is_over_others = |index: &&Definition| {
        let (_, parts) = index.text.split_once(" (").unwrap_or_default();
        source
            .columns
            .iter()
            .any(|column| parts.contains(&sql::quote(&column.name)) && !stays(&column.name))
    };
    let lost: Vec<String> = changed
        .add
        .iter()
        .filter(is_over_others)
        .map(|index| format!("index {}", index.name))
        .collect();
    if lost.is_empty() { Ok(()) } else { Err(cannot(&change.source, &lost)) }
}

async fn give_shadow(change: &Change, pool: &Arc<SessionPool>, changed: &Changed) -> Result<()> {
    let mut lease = pool.lease(Slot::Control).await?;
    let session = lease.session();
    let given = match session.execute(&sql::session::check_foreign_keys(true)).await {
        Ok(_) => run_each(change, session, changed).await,
        Err(failure) => Err(failure),
    };
    match given {
        Ok(()) => {}
        Err(failure) if failure.ends_session() => {
            return Err(failure.of_catalogue(change.doing("follow")));
        }
        Err(failure) if failure.is_lock_wait() => {
            return Err(failure.of_lock(change.doing("follow")));
        }
        Err(failure) => {
            let mut error = cannot(&change.source, &changed.named());
            error.reason += &format!(" ({})", failure.of_rows("").reason);
            return Err(error);
        }
    }
    let restored = session.execute(&sql::session::check_foreign_keys(false)).await;
    restored.doing_in_catalogue(change.doing("follow"))?;
    lease.keep();
    Ok(())
}

async fn run_each(
    change: &Change,
    session: &mut Session,
    changed: &Changed,
) -> std::result::Result<(), Failure> {
    let shadow = &change.names.shadow;
    if !changed.drop.is_empty() {
        let names: Vec<&str> = changed.drop.iter().map(|name| &**name).collect();
        session.execute(&sql::ddl::drop_indexes(&change.source, shadow, &names)).await?;
    }
    // The server makes one index of full texts at a time.
    for index in &changed.add {
        let in_place =
            sql::ddl::add_indexes(&change.source, shadow, std::slice::from_ref(&index.text));
        match session.execute(&in_place).await {
            Err(failure) if failure.code() == Some(NO_INPLACE) => {
                session
                    .execute(&sql::ddl::add_index_by_copy(&change.source, shadow, &index.text))
                    .await?;
            }
            outcome => drop(outcome?),
        }
    }
    if !changed.options.is_empty() {
        let options: Vec<String> =
            changed.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        session.execute(&sql::ddl::alter(&change.source, shadow, &options.join(", "))).await?;
    }
    Ok(())
}

fn within_reach(source: &TableName, before: &str, now: &str) -> Result<()> {
    let lost = out_of_reach(before, now);
    if lost.is_empty() { Ok(()) } else { Err(cannot(source, &lost)) }
}
