//! Applies the user's clauses to an empty clone of the source and reads what came of it: which column became which, how
//! values get there, what can wait until the rows are copied, and what cannot be done at all.

use crate::clauses::{Clauses, ForeignKey, KeyClause, KeyDeed, Late, Using};
use crate::definition::{self, Attribute, Line};
use crate::demands::{Orphans, Risk};
use crate::error;
use crate::key::{self, Candidate};
use crate::layout::{Column, KeyColumn, Layout, Sameness};
use crate::making::{self, Making};
use crate::names::{self, Names};
use crate::session::{Notice, Session};
use crate::sql;
use crate::version::Version;
use altergeist_contract::{Refusal, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How a refusal in the server's own words begins.
pub(crate) const NOT_ACCEPTED: &str = "the server will not have them";

/// What columns and the index of ours on the shadow are called, by which rows are found where nothing of its own serves.
const HELPER: &str = "altergeist_key";

/// What is to be done, and to which table.
pub(crate) struct Wish<'a> {
    pub(crate) names: &'a Names,
    pub(crate) version: Version,
    pub(crate) source: u32,
    pub(crate) key: Option<&'a Candidate>,
    pub(crate) clauses: &'a Clauses,
    /// The order rows are laid down in, if it is not the key's.
    pub(crate) order: &'a [KeyColumn],
    /// What makes the new table, if it is not made like the old one.
    pub(crate) making: Option<&'a Making>,
    /// The search path of the user's own session.
    pub(crate) search_path: &'a str,
}

/// An index that is built when the rows are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deferred {
    /// Its name.
    pub(crate) name: String,
    /// The statement that makes it.
    pub(crate) create: String,
    /// Where it is stored; empty for the database's own place.
    pub(crate) tablespace: String,
    /// The statement that makes a constraint of it, if it is one's.
    #[serde(default)]
    pub(crate) constraint: Option<String>,
    /// Statements that give it back its comment and settings.
    pub(crate) finish: Vec<String>,
}

/// What the clauses made of the clone.
pub(crate) struct Altered {
    /// The clone.
    pub(crate) clone: u32,
    /// The source's definition, which the clone had too.
    pub(crate) source_lines: Vec<Line>,
    /// The clone's definition after the clauses, but for names that columns get in the swap.
    pub(crate) lines: Vec<Line>,
    /// What the swap does when everything is in its place.
    pub(crate) arrival: Arrival,
    /// How rows move; None if they could not.
    pub(crate) layout: Option<Layout>,
    /// Columns that no source column fills, and those that may no longer be NULL.
    pub(crate) news: News,
    /// Why it cannot be done.
    pub(crate) refusals: Vec<Refusal>,
    /// Whether the server itself would only touch its catalogue.
    pub(crate) is_catalogue_only: bool,
    /// Whether a column went or became another type, which objects that depend on the table may not bear.
    pub(crate) touches_columns: bool,
    /// These columns, by their names in the source.
    pub(crate) touched: Vec<String>,
    /// Those of them, or computed anew, whose values may become others, so that foreign keys need not hold any more.
    pub(crate) revalued: Vec<String>,
    /// Columns that may not be NULL afterwards.
    pub(crate) demanded: Vec<String>,
}

/// What is done to the new table at the end of the swap, and after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// Columns get their new names: the server carries them into whatever speaks of them.
    pub(crate) renames: Vec<String>,
    /// The structure then; None if nothing is renamed.
    pub(crate) structure: Option<String>,
    /// Clauses about what only the swap puts in place, and foreign keys that hold for new rows.
    pub(crate) clauses: Vec<String>,
    /// The search path they were written for.
    pub(crate) search_path: String,
    /// Tables new foreign keys point to, qualified: they are locked first.
    pub(crate) parents: Vec<String>,
    /// Statements that prove the foreign keys for all rows, after the swap.
    pub(crate) validations: Vec<String>,
    /// Foreign keys of the old table that the new one has not.
    pub(crate) dropped_keys: Vec<String>,
    /// What CASCADE drops, by name.
    #[serde(default)]
    pub(crate) cascade: Vec<String>,
    /// What proves a carried foreign key, and what does so when the clauses have changed it, if it can be.
    pub(crate) other_proofs: Vec<(String, Option<String>)>,
    /// The names of the foreign keys, quoted.
    #[serde(skip)]
    pub(crate) key_names: Vec<String>,
    /// Which of these foreign keys the rows may not satisfy.
    #[serde(skip)]
    pub(crate) orphans: Vec<Orphans>,
}

impl Arrival {
    /// Whether the clauses drop an object, by themselves or by CASCADE.
    pub(crate) fn drops(&self, object: &str) -> bool {
        self.dropped_keys.iter().chain(&self.cascade).any(|dropped| dropped == object)
    }
}

/// What the shadow demands of rows that the source does not.
#[derive(Default)]
pub(crate) struct News {
    /// New columns that must have a value and get none.
    pub(crate) without_value: Vec<String>,
    /// Each column that may be NULL in the source and may not in the shadow, with its value.
    pub(crate) not_null: Vec<(String, String)>,
    /// Each new column with the value it will have in every row; None if it differs from row to row.
    pub(crate) added: Vec<(String, Option<String>)>,
    /// Generated columns of the shadow, with their expressions.
    pub(crate) generated: Vec<(String, String)>,
    /// Columns whose values may not fit their new type.
    pub(crate) risks: Vec<Risk>,
}

/// Builds the clone in a schema, alters it, and reads the outcome. Inside the session's transaction. Without clauses to
/// apply the clone is a plain copy.
pub(crate) async fn alter_clone(session: &Session, wish: &Wish<'_>, schema: &str) -> Result<Altered> {
    if let Some(making) = wish.making {
        return making::make(session, wish, making, schema).await;
    }
    let clone = definition::build(session, wish.names, wish.version, wish.source, schema).await?;
    let source_lines = definition::describe(session, wish.source).await?;
    let unlike = definition::differences(&source_lines, &definition::describe(session, clone).await?);
    let mut altered = alter_built(session, wish, clone, schema).await?;
    altered.source_lines = source_lines;
    altered.refusals.splice(0..0, unlike.into_iter().map(not_carried));
    Ok(altered)
}

/// Alters a clone that was built in a schema, and reads the outcome.
pub(crate) async fn alter_built(session: &Session, wish: &Wish<'_>, clone: u32, schema: &str) -> Result<Altered> {
    let before = definition::attributes(session, clone).await?;
    let Keys { arrival, orphans, refusals: key_refusals } = try_keys(session, wish, schema).await?;
    let (is_catalogue_only, outcome) = apply(session, wish, clone, schema).await?;
    let mut altered = Altered {
        clone,
        source_lines: Vec::new(),
        lines: Vec::new(),
        arrival,
        layout: None,
        news: News::default(),
        refusals: key_refusals,
        is_catalogue_only,
        touches_columns: false,
        touched: Vec::new(),
        revalued: Vec::new(),
        demanded: Vec::new(),
    };
    match outcome {
        Err(words) => altered.refusals.push(not_accepted(wish, words)),
        Ok(()) => {
            try_late(session, wish, schema, &mut altered).await?;
            read_outcome(session, wish, &before, schema, &mut altered).await?;
            altered.arrival.orphans.extend(orphans);
        }
    }
    Ok(altered)
}

/// Applies the clauses. Says whether the server rewrote or scanned anything, and its words if it would not have them.
async fn apply(session: &Session, wish: &Wish<'_>, clone: u32, schema: &str) -> Result<(bool, Result<(), String>)> {
    if wish.clauses.native.is_empty() {
        return Ok((false, Ok(())));
    }
    let attempted = || format!("try the clauses on a clone of {}", wish.names.display);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    let before = storage(session, clone).await.map_err(failed)?;
    let table = names::qualified(schema, &wish.names.table);
    session.run(&sql::use_search_path(wish.search_path)).await.map_err(failed)?;
    session.run("SAVEPOINT clauses; SET LOCAL client_min_messages = debug1").await.map_err(failed)?;
    session.take_notices();
    let mut outcome = Ok(0);
    for statement in &wish.clauses.statements {
        outcome = session.execute(&format!("ALTER TABLE {table} {statement}"), &[]).await;
        if outcome.is_err() {
            break;
        }
    }
    let notices = session.take_notices();
    if let Err(error) = outcome {
        let answer = error::of_clauses(attempted(), &error);
        if answer.kind != altergeist_contract::Kind::Refused {
            return Err(answer);
        }
        session.run(&format!("ROLLBACK TO SAVEPOINT clauses; {}", sql::use_own_language())).await.map_err(failed)?;
        return Ok((false, Err(answer.reason)));
    }
    session
        .run(&format!("SET LOCAL client_min_messages = warning; {}", sql::use_own_language()))
        .await
        .map_err(failed)?;
    for constraint in &wish.clauses.validated {
        // One that the clone has not is a foreign key, which the swap carries.
        let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}");
        session.run("SAVEPOINT validation").await.map_err(failed)?;
        let outcome = session.run(&validate).await;
        let end = if outcome.is_ok() { "RELEASE" } else { "ROLLBACK TO" };
        session.run(&format!("{end} SAVEPOINT validation")).await.map_err(failed)?;
    }
    let after = storage(session, clone).await.map_err(failed)?;
    Ok((after.is_subset(&before) && !notices.iter().any(is_heavy), Ok(())))
}

/// What becomes of the foreign keys the table has.
#[derive(Default)]
struct Keys {
    arrival: Arrival,
    /// Those that are to be proven, by the columns' old names.
    orphans: Vec<Orphans>,
    refusals: Vec<Refusal>,
}

/// Reads what becomes of the foreign keys the table has. They stand on no clone, so each is made on it for the trial; the clauses
/// are tried before all others, when the columns still have their names.
async fn try_keys(session: &Session, wish: &Wish<'_>, schema: &str) -> Result<Keys> {
    let Keys { mut arrival, mut orphans, mut refusals } = Keys::default();
    for key in &wish.clauses.keys {
        let failed = |error: tokio_postgres::Error| error::of_clauses(format!("try the clause {}", key.clause), &error);
        let row = session.one(sql::FOREIGN_KEY, &[&wish.source, &key.name]).await.map_err(failed)?;
        let (object, proof, definition, is_validated): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        match &key.deed {
            KeyDeed::Drop => arrival.dropped_keys.push(object),
            KeyDeed::Validate if is_validated => {}
            KeyDeed::Validate => {
                arrival.validations.push(proof);
                orphans.push(Orphans::of_row(&row, 4));
            }
            KeyDeed::Rename(new) => {
                refusals.extend(try_key(session, wish, schema, key, &definition).await?);
                let renamed = format!("ALTER TABLE {} VALIDATE CONSTRAINT {new}", wish.names.source());
                arrival.other_proofs.push((proof, Some(renamed)));
                arrival.clauses.push(format!("ALTER TABLE {} {}", wish.names.source(), key.clause));
            }
            KeyDeed::Alter { is_enforced } => {
                refusals.extend(try_key(session, wish, schema, key, &definition).await?);
                if !is_enforced {
                    arrival.other_proofs.push((proof, None));
                }
                arrival.clauses.push(format!("ALTER TABLE {} {}", wish.names.source(), key.clause));
            }
        }
    }
    Ok(Keys { arrival, orphans, refusals })
}

async fn try_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &KeyClause,
    definition: &str,
) -> Result<Option<Refusal>> {
    let clone = names::qualified(schema, &wish.names.table);
    let name = names::quoted(&key.name);
    let script = format!("ALTER TABLE {clone} ADD CONSTRAINT {name} {definition}; ALTER TABLE {clone} {}", key.clause);
    session.run("SAVEPOINT key").await.map_err(|error| error::of("try a clause", &error))?;
    let outcome = session.run(&script).await;
    session.run("ROLLBACK TO SAVEPOINT key").await.map_err(|error| error::of("try a clause", &error))?;
    let Err(error) = outcome else { return Ok(None) };
    let attempted = format!("try the clause {}", key.clause);
    if error::is_passing(&error) {
        return Err(error::of_lock(attempted, &error));
    }
    Ok(Some(not_accepted(wish, error::of_clauses(attempted, &error).reason)))
}

/// Tries what the swap does at its end, and takes it back: locks of other tables are held for an instant only.
async fn try_late(session: &Session, wish: &Wish<'_>, schema: &str, altered: &mut Altered) -> Result<()> {
    altered.arrival.search_path = wish.search_path.to_owned();
    for late in &wish.clauses.late {
        altered.refusals.extend(try_clause(session, wish, schema, late).await?);
        altered.arrival.clauses.push(format!("ALTER TABLE {} {}", wish.names.source(), late.clause));
    }
    for key in &wish.clauses.foreign_keys {
        try_foreign_key(session, wish, schema, key, altered).await?;
    }
    Ok(())
}

async fn try_clause(session: &Session, wish: &Wish<'_>, schema: &str, late: &Late) -> Result<Option<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of_clauses(format!("try the clause {}", late.clause), &error);
    if let Some(name) = late.trigger.as_ref().or(late.rule.as_ref()) {
        let query = if late.trigger.is_some() { sql::HAS_TRIGGER } else { sql::HAS_RULE };
        let is_there: bool = session.one(query, &[&wish.source, name]).await.map_err(failed)?.get(0);
        let missing =
            || refuse(format!("clause {}", late.clause), "the table has none of this name", "correct the name");
        return Ok((!is_there).then(missing));
    }
    let mut trial = sql::use_search_path(wish.search_path);
    if let Some(owner) = &late.owner {
        trial.push_str(&format!("; GRANT USAGE, CREATE ON SCHEMA {} TO {owner}", names::quoted(schema)));
    }
    trial.push_str(&format!("; ALTER TABLE {} {}", names::qualified(schema, &wish.names.table), late.clause));
    session.run("SAVEPOINT late").await.map_err(failed)?;
    let outcome = session.run(&trial).await.map_err(failed);
    session.run("ROLLBACK TO SAVEPOINT late").await.map_err(failed)?;
    match outcome {
        Err(error) if error.kind == altergeist_contract::Kind::Refused => Ok(Some(not_accepted(wish, error.reason))),
        outcome => outcome.map(|()| None),
    }
}

async fn try_foreign_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &ForeignKey,
    altered: &mut Altered,
) -> Result<()> {
    let attempted = || format!("try the foreign key to {}", key.parent);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    session.run("SAVEPOINT late").await.map_err(failed)?;
    let outcome = add_foreign_key(session, wish, schema, key, altered.clone).await;
    session.run("ROLLBACK TO SAVEPOINT late").await.map_err(failed)?;
    let added = match outcome {
        Err(error) if error::is_passing(&error) => return Err(error::of_lock(attempted(), &error)),
        Err(error) => {
            altered.refusals.push(not_accepted(wish, error::of_clauses(attempted(), &error).reason));
            return Ok(());
        }
        Ok(added) => added,
    };
    let name = names::quoted(&added.name);
    let table = wish.names.source();
    altered.arrival.key_names.push(name.clone());
    altered.arrival.clauses.push(format!("ALTER TABLE {table} {}", key.add(&name, &key.parent)));
    if key.is_validated {
        altered.arrival.validations.push(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"));
    }
    if !added.is_to_itself {
        altered.arrival.parents.push(added.parent.clone());
    }
    if key.is_validated {
        altered.arrival.orphans.push(added);
    }
    Ok(())
}

/// Adds a foreign key to the clone; one that points to the table itself points to the clone then.
async fn add_foreign_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &ForeignKey,
    clone: u32,
) -> std::result::Result<Orphans, tokio_postgres::Error> {
    session.run(&sql::use_search_path(wish.search_path)).await?;
    let is_to_itself: bool = session.one(sql::IS_TABLE, &[&key.parent, &wish.source]).await?.get(0);
    let own = names::qualified(schema, &wish.names.table);
    let parent = if is_to_itself { &own } else { &key.parent };
    session.run(&format!("ALTER TABLE {own} {}", key.add(&key.name, parent))).await?;
    session.run(&sql::use_own_language()).await?;
    Ok(Orphans::of_row(&session.one(sql::NEWEST_FOREIGN_KEY, &[&clone]).await?, 0))
}

/// Gives renamed columns their old names back: what speaks of them is carried by these, and in the swap the server itself
/// carries the new ones into it. A new column that has taken an old name gives way until then.
async fn hold_names_back(
    session: &Session,
    wish: &Wish<'_>,
    before: &[Attribute],
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    let failed = |error: tokio_postgres::Error| error::of_clauses("hold back the new names of columns", &error);
    let after = definition::attributes(session, altered.clone).await?;
    let old_name = |new: &Attribute| before.iter().find(|old| old.number == new.number).map(|old| old.name.clone());
    let kept: BTreeSet<String> = after.iter().filter_map(old_name).collect();
    let held = |new: &Attribute| match old_name(new) {
        Some(old) => old,
        None if kept.contains(&new.name) => format!("altergeist_new_{}", new.number),
        None => new.name.clone(),
    };
    let renamed: Vec<(i16, String, String)> =
        after.iter().map(|new| (new.number, held(new), new.name.clone())).collect();
    let renamed: Vec<_> = renamed.into_iter().filter(|(_, held, new)| held != new).collect();
    if renamed.is_empty() {
        return Ok(());
    }
    let orphans = &mut altered.arrival.orphans;
    for column in orphans.iter_mut().flat_map(Orphans::own_columns) {
        if let Some((_, held, _)) = renamed.iter().find(|(.., new)| new == column) {
            column.clone_from(held);
        }
    }
    let between = |number: i16| format!("altergeist_between_{number}");
    let rename = |table: &str, from: &str, to: &str| {
        format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", names::quoted(from), names::quoted(to))
    };
    let clone = names::qualified(schema, &wish.names.table);
    let away = renamed.iter().map(|(number, _, new)| rename(&clone, new, &between(*number)));
    let back = renamed.iter().map(|(number, held, _)| rename(&clone, &between(*number), held));
    session.run(&away.chain(back).collect::<Vec<_>>().join(";\n")).await.map_err(failed)?;
    let table = wish.names.source();
    let away = renamed.iter().map(|(number, held, _)| rename(&table, held, &between(*number)));
    let there = renamed.iter().map(|(number, _, new)| rename(&table, &between(*number), new));
    altered.arrival.renames = away.chain(there).collect();
    altered.arrival.structure = Some(definition::structure(&altered.lines));
    altered.lines = definition::describe(session, altered.clone).await?;
    Ok(())
}

/// The files of a table and its indexes, and how often the table was read: equal before and after if nothing was
/// rewritten, built or scanned. Indexes that are gone do not count.
async fn storage(
    session: &Session,
    table: u32,
) -> std::result::Result<BTreeSet<(u32, Option<u32>, i64)>, tokio_postgres::Error> {
    let rows = session.query(sql::STORAGE, &[&table]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Whether the server said that it rewrites, scans or builds; the routine's name is the same in every language.
fn is_heavy(notice: &Notice) -> bool {
    matches!(notice.routine.as_str(), "ATRewriteTable" | "index_build" | "validateForeignKeyConstraint")
        || notice.message.starts_with("rewriting table")
        || notice.message.starts_with("verifying table")
}

async fn read_outcome(
    session: &Session,
    wish: &Wish<'_>,
    before: &[Attribute],
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    altered.lines = definition::describe(session, altered.clone).await?;
    hold_names_back(session, wish, before, schema, altered).await?;
    altered.refusals.extend(still_plain(session, wish, schema, altered.clone).await?);
    let after = definition::attributes(session, altered.clone).await?;
    altered.news = news(wish, before, &after);
    let is_same = |old: &Attribute| {
        let new = after.iter().find(|new| new.number == old.number);
        new.is_some_and(|new| new.stored_shape() == old.stored_shape())
    };
    altered.touched = before.iter().filter(|old| !is_same(old)).map(|old| old.name.clone()).collect();
    altered.touches_columns = !altered.touched.is_empty();
    altered.revalued = revalued(session, wish, before, &after).await?;
    altered.demanded = after.iter().filter(|new| new.not_null).map(|new| new.name.clone()).collect();
    match wish.key.map(|key| layout(wish, key, before, &after, schema)).transpose() {
        Err(refusal) => altered.refusals.push(refusal),
        // Without a key the caller has already refused.
        Ok(None) => {}
        Ok(Some(layout)) => {
            altered.layout = Some(find_by_key(session, layout, altered.clone).await?);
        }
    }
    altered.refusals.extend(name_clashes(session, wish, altered.clone).await?);
    Ok(())
}

/// Names that two objects would have after the swap.
pub(crate) async fn name_clashes(session: &Session, wish: &Wish<'_>, clone: u32) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("look for names taken twice", &error);
    let has_own_sequences = wish.making.is_some();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&wish.source, &clone, &wish.names.old_schema, &has_own_sequences];
    let mut clashes = session.query(sql::NAME_CLASHES, &parameters).await.map_err(failed)?;
    if wish.making.is_some() {
        clashes.extend(session.query(sql::PARTITION_CLASHES, &[&wish.source, &clone]).await.map_err(failed)?);
    }
    Ok(clashes.iter().map(|row| name_taken(row.get(0))).collect())
}

async fn still_plain(session: &Session, wish: &Wish<'_>, schema: &str, clone: u32) -> Result<Option<Refusal>> {
    let row = session.one(sql::STILL_PLAIN, &[&clone, &schema, &wish.names.table, &wish.source]).await;
    let row = row.map_err(|error| error::of("read the altered clone", &error))?;
    let why = match (row.get(0), row.get(1), row.get(2)) {
        (false, ..) => "they give the table another name or schema, by which the swap could not find it",
        (_, false, _) => "they make it something other than a plain, logged table",
        (.., false) => "a partition must have the columns of the table it belongs to",
        _ => return Ok(None),
    };
    Ok(Some(Refusal {
        object: format!("the clauses for {}", wish.names.display),
        reason: why.to_owned(),
        remedy: "leave that part out, and do it in a statement of its own".to_owned(),
    }))
}

/// Which column of the shadow is which of the source, and how its values get there.
pub(crate) fn layout(
    wish: &Wish<'_>,
    key: &Candidate,
    before: &[Attribute],
    after: &[Attribute],
    schema: &str,
) -> Result<Layout, Refusal> {
    let alias = names::quoted(&wish.names.table);
    let mut columns = Vec::new();
    for (old, new) in survivors(before, after).filter(|(_, new)| !new.generated) {
        let using = using_of(wish, old);
        let value = using.map(|using| format!("({}\n)", using.expression));
        columns.push(Column {
            name: new.name.clone(),
            source: old.name.clone(),
            type_name: new.type_name.clone(),
            changed: value.is_some() || old.stored_shape() != new.stored_shape(),
            sameness: key::sameness(new.stored_type()),
            value: value.unwrap_or_else(|| format!("{alias}.{}", names::quoted(&old.name))),
        });
    }
    let is_stray = |using: &&Using| !survivors(before, after).any(|(old, _)| old.name == using.column);
    if let Some(stray) = wish.clauses.using.iter().find(is_stray) {
        return Err(refuse(
            format!("USING for column {}", stray.column),
            "no such column could be found in the table",
            "write the column's name as the table has it",
        ));
    }
    let mut keys = Vec::new();
    for (number, column) in key.columns.iter().enumerate() {
        let followed = followed(wish, column, before, after);
        if followed.is_none() {
            columns.push(held(column, number, &alias));
        }
        keys.push(followed.unwrap_or_else(|| KeyColumn { shadow: helper_column(number), ..column.clone() }));
    }
    let mut order = Vec::new();
    for column in wish.order {
        let changed = || {
            refuse(
                format!("order by column {}", column.source),
                "the altered table does not have it as it is, so its rows could not be found by it",
                "make it two changes, or leave the order out",
            )
        };
        order.push(followed(wish, column, before, after).ok_or_else(changed)?);
    }
    Ok(Layout {
        source: wish.names.source(),
        shadow: names::qualified(schema, &wish.names.table),
        shadow_schema: names::quoted(schema),
        alias,
        key_index: key.name.clone(),
        keys,
        order,
        is_partitioned: false,
        columns,
        helper_index: None,
    })
}

/// Pairs of one column before and after the clauses.
fn survivors<'a>(
    before: &'a [Attribute],
    after: &'a [Attribute],
) -> impl Iterator<Item = (&'a Attribute, &'a Attribute)> {
    after.iter().filter_map(|new| Some((before.iter().find(|old| old.number == new.number)?, new)))
}

/// The columns, by their names in the source, whose values may become others.
pub(crate) async fn revalued(
    session: &Session,
    wish: &Wish<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Result<Vec<String>> {
    let mut revalued = Vec::new();
    for (old, new) in survivors(before, after) {
        if !keeps_values(session, wish, old, new).await? {
            revalued.push(old.name.clone());
        }
    }
    Ok(revalued)
}

/// Whether every value stays equal to what it was, to those a foreign key compares it with.
async fn keeps_values(session: &Session, wish: &Wish<'_>, old: &Attribute, new: &Attribute) -> Result<bool> {
    if new.generated {
        return Ok(old.default == new.default);
    }
    let (from, to) = (old.stored_type(), new.stored_type());
    let Some(using) = using_of(wish, old) else {
        return Ok(old.stored_shape() == new.stored_shape() || key::keeps_values(from, to));
    };
    if !key::keeps_values(from, to) {
        return Ok(false);
    }
    let column = format!("{}.{}", names::quoted(&wish.names.table), names::quoted(&old.name));
    let computed = reading(session, wish, &using.expression).await?;
    if computed == reading(session, wish, &column).await? {
        return Ok(true);
    }
    // Unlike the server's own, a cast that is written out cuts off what is too long.
    let cast = format!("CAST({column} AS {})", new.type_name);
    Ok(!key::may_cut(from, to) && computed == reading(session, wish, &cast).await?)
}

/// What the server reads an expression over the source's columns as, in its own words.
async fn reading(session: &Session, wish: &Wish<'_>, expression: &str) -> Result<Vec<String>> {
    let failed = |error: tokio_postgres::Error| error::of_clauses("read what is behind USING", &error);
    let (source, alias) = (wish.names.source(), names::quoted(&wish.names.table));
    session.run(&sql::use_search_path(wish.search_path)).await.map_err(failed)?;
    let plan = session.query(&sql::explain_value(&source, &alias, expression), &[]).await.map_err(failed)?;
    session.run(&sql::use_own_language()).await.map_err(failed)?;
    let lines = plan.iter().map(|row| row.get::<_, String>(0));
    Ok(lines.filter(|line| line.trim_start().starts_with("Output:")).collect())
}

fn using_of<'a>(wish: &Wish<'a>, column: &Attribute) -> Option<&'a Using> {
    wish.clauses.using.iter().find(|using| using.column == column.name)
}

/// The name of a column of ours that holds what the clauses take away from the key.
fn helper_column(number: usize) -> String {
    format!("{HELPER}_{}", number + 1)
}

/// Whether a column of the shadow is one of ours.
pub(crate) fn is_helper(name: &str) -> bool {
    name.starts_with(HELPER)
}

/// A column of ours, until the swap, for a column of the key that the altered table does not have as it was.
fn held(key: &KeyColumn, number: usize, alias: &str) -> Column {
    Column {
        name: helper_column(number),
        source: key.source.clone(),
        type_name: key.type_name.clone(),
        value: format!("{alias}.{}", names::quoted(&key.source)),
        changed: false,
        sameness: Sameness::Image,
    }
}

/// A key's column, followed through the clauses; None if its values would not be found again.
fn followed(wish: &Wish<'_>, key: &KeyColumn, before: &[Attribute], after: &[Attribute]) -> Option<KeyColumn> {
    let (old, new) = survivors(before, after).find(|(old, _)| old.name == key.source)?;
    let is_kept = using_of(wish, old).is_none()
        && !new.generated
        && old.collation == new.collation
        && key::keeps_order(old.stored_type(), new.stored_type());
    is_kept.then(|| KeyColumn { shadow: new.name.clone(), ..key.clone() })
}

/// The shadow's rows are looked up by the source's key all the time. Where the altered table has no columns or no index for
/// that, it gets ours until the swap.
pub(crate) async fn find_by_key(session: &Session, mut layout: Layout, clone: u32) -> Result<Layout> {
    let failed = |error: tokio_postgres::Error| error::of_clauses("give the shadow a key to find rows by", &error);
    for key in layout.keys.iter().filter(|key| is_helper(&key.shadow)) {
        let collation = if key.collation.is_empty() { String::new() } else { format!(" COLLATE {}", key.collation) };
        let (shadow, name) = (&layout.shadow, names::quoted(&key.shadow));
        let add = format!("ALTER TABLE {shadow} ADD COLUMN {name} {}{collation} NOT NULL", key.type_name);
        session.run(&add).await.map_err(failed)?;
    }
    if lookup_index(&indexes(session, clone).await?, &layout).is_some() {
        return Ok(layout);
    }
    let columns: Vec<String> = layout.keys.iter().map(|key| names::quoted(&key.shadow)).collect();
    // A partitioned table has no unique index over columns that do not say the partition.
    let unique = if layout.is_partitioned { "" } else { "UNIQUE " };
    let create = format!("CREATE {unique}INDEX {HELPER} ON {} ({})", layout.shadow, columns.join(", "));
    session.run(&create).await.map_err(failed)?;
    layout.helper_index = Some(HELPER.to_owned());
    Ok(layout)
}

/// The statement that takes our own columns and index away from the shadow again; None if it has none.
pub(crate) fn drop_helpers(layout: &Layout) -> Option<String> {
    let helpers = layout.keys.iter().filter(|key| is_helper(&key.shadow));
    let columns: Vec<String> = helpers.map(|key| format!("DROP COLUMN {}", names::quoted(&key.shadow))).collect();
    if !columns.is_empty() {
        return Some(format!("ALTER TABLE {} {}", layout.shadow, columns.join(", ")));
    }
    layout.helper_index.as_ref().map(|index| format!("DROP INDEX {}.{}", layout.shadow_schema, names::quoted(index)))
}

/// An index of the clone: its leading columns if it can find rows, whether it may wait, and the statement that drops it if it
/// may be left out.
struct CloneIndex {
    leading: Option<Vec<String>>,
    is_unique: bool,
    can_wait: bool,
    drop: Option<String>,
    deferred: Deferred,
}

impl CloneIndex {
    /// Whether it keeps out a second row of the same key at once, and nothing else.
    fn is_of_key(&self, layout: &Layout) -> bool {
        self.is_unique && self.leading.as_ref().is_some_and(|columns| columns.len() == layout.keys.len())
    }
}

async fn indexes(session: &Session, clone: u32) -> Result<Vec<CloneIndex>> {
    let rows = session.query(sql::DEFERRABLE_INDEXES, &[&clone]).await;
    let rows = rows.map_err(|error| error::of("read the shadow's indexes", &error))?;
    let index = |row: &tokio_postgres::Row| CloneIndex {
        leading: row.get(1),
        is_unique: row.get(6),
        can_wait: row.get(2),
        drop: row.get(7),
        deferred: Deferred {
            name: row.get(0),
            create: row.get(3),
            tablespace: row.get(4),
            constraint: row.get(8),
            finish: row.get(5),
        },
    };
    Ok(rows.iter().map(index).collect())
}

/// The index rows of the shadow are found by; one that must stand anyway comes first. Where one key has several spellings,
/// two of them may be refreshed at once, so the index must keep out the second row; and where rows move along the walk, a chunk
/// must not be able to copy a row that the shadow still holds as it was elsewhere.
fn lookup_index<'a>(indexes: &'a [CloneIndex], layout: &Layout) -> Option<&'a CloneIndex> {
    let key: BTreeSet<&str> = layout.keys.iter().map(|key| key.shadow.as_str()).collect();
    let spelled_once = layout.keys.iter().all(|key| key.spelled_once);
    let serves = |index: &&CloneIndex| {
        let columns = index.leading.as_deref().unwrap_or_default();
        let begins = columns.get(..key.len()).unwrap_or_default();
        begins.iter().map(String::as_str).collect::<BTreeSet<_>>() == key
            && ((spelled_once && layout.order.is_empty()) || (index.is_unique && columns.len() == key.len()))
    };
    let mut serving: Vec<&CloneIndex> = indexes.iter().filter(serves).collect();
    serving.sort_by_key(|index| index.can_wait);
    serving.first().copied()
}

/// The indexes the shadow is filled without.
#[derive(Default)]
pub(crate) struct LeftOut {
    /// Those that are built when the rows are there.
    pub(crate) deferred: Vec<Deferred>,
    /// The one its rows are found by, if they need not be found before the first of them changes; and how it is dropped.
    pub(crate) lookup: Option<(Deferred, String)>,
}

/// The indexes the shadow can be filled without. A chunk brings each key once, so where the key's values stay as they are
/// the index it is found by keeps nothing out while nothing is refreshed; other unique indexes may have to.
pub(crate) async fn left_out(session: &Session, layout: &Layout, clone: u32) -> Result<LeftOut> {
    // The index of a partitioned table is made of those of its partitions, and stays.
    if layout.is_partitioned {
        return Ok(LeftOut::default());
    }
    let indexes = indexes(session, clone).await?;
    let needed = lookup_index(&indexes, layout);
    let is_needed = |index: &CloneIndex| needed.is_some_and(|needed| needed.deferred.name == index.deferred.name);
    let (mut deferred, mut is_alone) = (Vec::new(), layout.order.is_empty() && layout.keeps_key());
    for index in indexes.iter().filter(|index| !is_needed(index)) {
        if index.can_wait {
            deferred.push(index.deferred.clone());
        } else {
            is_alone = false;
        }
    }
    let lookup = needed.filter(|index| is_alone && (index.can_wait || index.is_of_key(layout)));
    let lookup = lookup.and_then(|index| Some((index.deferred.clone(), index.drop.clone()?)));
    Ok(LeftOut { deferred, lookup })
}

/// What the shadow demands beyond the source.
pub(crate) fn news(wish: &Wish<'_>, before: &[Attribute], after: &[Attribute]) -> News {
    let alias = names::quoted(&wish.names.table);
    let mut news = News::default();
    for new in after.iter().filter(|new| !before.iter().any(|old| old.number == new.number)) {
        news.add(new);
    }
    for (old, new) in survivors(before, after) {
        let value = using_of(wish, old).map(|using| using.expression.clone());
        let is_computed = value.is_some();
        let value = value.unwrap_or_else(|| format!("{alias}.{}", names::quoted(&old.name)));
        // A value that stays as it is fits, and the table need not be read to know it.
        if !new.generated && (is_computed || old.type_name != new.type_name) {
            let is_safe = !is_computed && key::keeps_order(old.stored_type(), new.stored_type());
            news.risks.extend(Risk::of(new, &value, is_safe));
        }
        if new.generated {
            news.generated.extend(new.default.clone().map(|expression| (new.name.clone(), expression)));
        } else if new.not_null && !old.not_null {
            news.not_null.push((new.name.clone(), value));
        }
    }
    news
}

/// The columns no column of the source fills, found again from what was written down of the shadow.
pub(crate) fn added_columns(layout: &Layout, after: &[Attribute]) -> News {
    let mut news = News::default();
    for new in after.iter().filter(|new| !layout.columns.iter().any(|filled| filled.name == new.name)) {
        news.add(new);
    }
    news
}

impl News {
    /// Takes note of a column that no column of the source fills.
    fn add(&mut self, new: &Attribute) {
        if new.generated {
            self.generated.extend(new.default.clone().map(|expression| (new.name.clone(), expression)));
            return;
        }
        if new.not_null && new.default.is_none() && !new.identity {
            self.without_value.push(new.name.clone());
        }
        let is_same_for_all = !new.identity && !new.is_volatile;
        let value = new.default.clone().unwrap_or_else(|| "NULL".to_owned());
        let value = format!("CAST(({value}) AS {})", new.type_name);
        self.added.push((new.name.clone(), is_same_for_all.then_some(value)));
    }
}

pub(crate) fn refuse(object: String, reason: impl Into<String>, remedy: &str) -> Refusal {
    Refusal { object, reason: reason.into(), remedy: remedy.to_owned() }
}

fn not_carried(object: String) -> Refusal {
    refuse(
        object,
        "it could not be carried to a copy of the table exactly as it is",
        "change it, or take it away, before this change",
    )
}

fn not_accepted(wish: &Wish<'_>, words: String) -> Refusal {
    refuse(format!("the clauses for {}", wish.names.display), format!("{NOT_ACCEPTED}: {words}"), "correct the clauses")
}

fn name_taken(object: String) -> Refusal {
    refuse(
        object,
        "after the swap two objects would have this name",
        "rename one of them, or choose another name in the clauses",
    )
}
