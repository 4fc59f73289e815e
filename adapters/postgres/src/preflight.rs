//! Finds out what would happen: tries the clauses on an empty clone in a transaction that is rolled back, looks for what
//! could not be carried, and asks the data what the shadow would refuse.

use crate::alteration::{self, Altered, Wish, refuse};
use crate::clauses::{self, Clauses};
use crate::definition;
use crate::duplicates;
use crate::engine::Postgres;
use crate::error;
use crate::journal::{self, Entry};
use crate::key::{self, Candidate};
use crate::leftovers;
use crate::names::{self, MARKER};
use crate::obstacles;
use crate::session::Session;
use crate::sql;
use altergeist_contract::{Duplicates, Error, Leftover, Plan, Preflight, Refusal, Result, Step, Strategy, Verdict};

impl Preflight for Postgres {
    #[allow(clippy::misnamed_getters)] // The contract's word for the qualified name.
    fn table(&self) -> &str {
        &self.names.display
    }

    async fn plan(&self) -> Result<Plan> {
        let lease = self.control.take().await?;
        let result = look(&lease, self).await;
        let view = lease.settle(result).await?;
        let lease = self.workers.take().await?;
        let result = check_data(&lease, self, &view).await;
        let data = lease.settle(result).await?;
        Ok(write_plan(self, view, data))
    }

    async fn alter_natively(&self, statement: &str) -> Result<()> {
        let lease = self.control.take().await?;
        let result = alter_natively(&lease, self, statement).await;
        lease.settle(result).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let lease = self.control.take().await?;
        let result = leftovers::list(&lease, self).await;
        lease.settle(result).await
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        self.require_hold("clean up")?;
        self.stop_pulse();
        self.set_shadow(None);
        let lease = self.control.take().await?;
        let result = leftovers::clear(&lease, self, old_too).await;
        lease.settle(result).await
    }
}

/// What was seen of the table, before any row was asked.
struct View {
    altered: Option<Altered>,
    key: Option<Candidate>,
    obstacles: Vec<Refusal>,
    /// Refusals that hold however the change is done.
    refusals: Vec<Refusal>,
    is_native: bool,
    duplicates: Vec<duplicates::Count>,
    rows: i64,
    bytes: i64,
    notes: Vec<String>,
}

impl Postgres {
    /// What is to be done, to this source.
    pub(crate) fn wish<'a>(&'a self, source: u32, key: Option<&'a Candidate>, clauses: &'a Clauses) -> Wish<'a> {
        Wish {
            names: &self.names,
            version: self.version,
            source,
            key,
            alter: &self.target.alter,
            clauses,
            search_path: &self.search_path,
        }
    }
}

/// The table that answers to the name.
pub(crate) async fn source(session: &Session, engine: &Postgres) -> Result<u32> {
    let found = journal::table_id(session, &engine.names.schema, &engine.names.table).await?;
    found.ok_or_else(|| Error::refused(format!("look up {}", engine.names.display), "there is no such table any more"))
}

/// The key rows are followed by, or why there is none, and the table's replica identity.
pub(crate) async fn key(session: &Session, table: u32) -> Result<(std::result::Result<Candidate, String>, String)> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    let identity: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok((key::choose(&candidates, &identity), identity))
}

/// The clauses, as far as they are read here.
pub(crate) fn clauses(engine: &Postgres) -> std::result::Result<Clauses, Refusal> {
    clauses::read(&engine.target.alter).map_err(|why| {
        let object = format!("the clauses for {}", engine.names.display);
        refuse(object, format!("they cannot be read: {why}"), "write them more plainly, as one statement")
    })
}

/// Who made a schema whose name we need.
pub(crate) enum SchemaState {
    Missing,
    Ours,
    Foreign,
}

pub(crate) async fn schema_state(session: &Session, schema: &str) -> Result<SchemaState> {
    let rows = session.query(sql::SCHEMA_COMMENT, &[&schema]).await;
    let rows = rows.map_err(|error| error::of(format!("look at the schema {schema}"), &error))?;
    Ok(match rows.first().map(|row| row.get::<_, Option<String>>(0)) {
        None => SchemaState::Missing,
        Some(comment) if comment.as_deref() == Some(MARKER) => SchemaState::Ours,
        Some(_) => SchemaState::Foreign,
    })
}

async fn look(session: &Session, engine: &Postgres) -> Result<View> {
    let source = source(session, engine).await?;
    let failed = |error: tokio_postgres::Error| error::of(format!("look at {}", engine.names.display), &error);
    let size = session.one(sql::SIZE, &[&source]).await.map_err(failed)?;
    let mut view = View {
        altered: None,
        key: None,
        obstacles: obstacles::find(session, &engine.names, source).await?,
        refusals: Vec::new(),
        is_native: false,
        duplicates: Vec::new(),
        rows: size.get(0),
        bytes: size.get(1),
        notes: notes(session, source).await?,
    };
    match key(session, source).await?.0 {
        Ok(key) => view.key = Some(key),
        Err(why) => view.obstacles.push(obstacles::no_key(engine, &why)),
    }
    let clauses = match clauses(engine) {
        Ok(clauses) => clauses,
        Err(refusal) => {
            view.refusals.push(refusal);
            return Ok(view);
        }
    };
    view.refusals.extend(clauses.refused.iter().map(|(clause, why)| {
        refuse(format!("clause {clause}"), *why, "leave it out of this change, and do it in a statement of its own")
    }));
    view.refusals.extend(obstacles::of_role(session, engine, source).await?);
    if view.refusals.is_empty() && !obstacles::prevents_clone(&view.obstacles) {
        try_clauses(session, engine, source, &clauses, &mut view).await?;
    }
    if !view.is_native {
        view.obstacles.extend(obstacles::of_server(session, engine, source).await?);
        view.obstacles.extend(taken_names(session, engine).await?);
    }
    Ok(view)
}

/// Everything here is rolled back.
async fn try_clauses(
    session: &Session,
    engine: &Postgres,
    source: u32,
    clauses: &Clauses,
    view: &mut View,
) -> Result<()> {
    let attempted = || format!("try the clauses on a clone of {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    let schema = format!("ag_plan_{}", engine.marks.incarnation);
    session.run("BEGIN").await.map_err(failed)?;
    definition::make_schema(session, &schema, source).await?;
    let wish = engine.wish(source, view.key.as_ref(), clauses);
    let mut altered = alteration::alter_clone(session, &wish, &schema).await?;
    view.is_native = altered.is_catalogue_only && (!altered.touches_columns || view.obstacles.is_empty());
    if let Some(layout) = altered.layout.as_ref().filter(|_| !view.is_native) {
        let clone = altered.clone;
        view.duplicates = duplicates::queries(session, source, clone, layout, &altered.news).await?;
    }
    if view.is_native {
        altered.refusals.clear();
    }
    view.altered = Some(altered);
    session.run("ROLLBACK").await.map_err(failed)
}

async fn notes(session: &Session, source: u32) -> Result<Vec<String>> {
    let failed = |error: tokio_postgres::Error| error::of("look around on the server", &error);
    let mut notes = Vec::new();
    for row in session.query(sql::EVENT_TRIGGERS, &[]).await.map_err(failed)? {
        notes.push(format!("event trigger {} sees every statement of this change", row.get::<_, &str>(0)));
    }
    for row in session.query(sql::INVALID_INDEXES, &[&source]).await.map_err(failed)? {
        notes.push(format!("index {} is not valid and will not be carried", row.get::<_, &str>(0)));
    }
    Ok(notes)
}

/// Names we need that somebody else has, or that an earlier change still has.
async fn taken_names(session: &Session, engine: &Postgres) -> Result<Vec<Refusal>> {
    let names = &engine.names;
    let mut refusals = Vec::new();
    for schema in [&names.shadow_schema, &names.old_schema, &names::JOURNAL_SCHEMA.to_owned()] {
        if matches!(schema_state(session, schema).await?, SchemaState::Foreign) {
            refusals.push(refuse(
                format!("schema {schema}"),
                "it has a name this tool needs, and was made by somebody else",
                "rename it",
            ));
        }
    }
    let Entry { facts, .. } = journal::entry(session, engine).await?;
    let shadow = facts.as_ref().and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let found = journal::table_id(session, &names.shadow_schema, &names.table).await?;
    if found.is_some() && found != shadow {
        refusals.push(refuse(
            format!("table {}", names.shadow()),
            "it has the shadow's name, and the journal does not know it",
            "drop it if nobody needs it",
        ));
    }
    if journal::table_id(session, &names.old_schema, &names.table).await?.is_some() {
        refusals.push(refuse(
            format!("table {}", names.old()),
            "the old table of an earlier change is still there",
            "drop it by cleaning up, if the way back is not needed any more",
        ));
    }
    Ok(refusals)
}

/// What the data itself has against the change.
async fn check_data(session: &Session, engine: &Postgres, view: &View) -> Result<Vec<Refusal>> {
    let Some(altered) = view.altered.as_ref().filter(|altered| !view.is_native && altered.layout.is_some()) else {
        return Ok(Vec::new());
    };
    let failed =
        |error: tokio_postgres::Error| error::of(format!("look at the rows of {}", engine.names.display), &error);
    let source = engine.names.source();
    let mut refusals = Vec::new();
    if !altered.news.without_value.is_empty() && session.one(&sql::any_row(&source), &[]).await.map_err(failed)?.get(0)
    {
        refusals.extend(altered.news.without_value.iter().map(|column| {
            refuse(
                format!("column {column}"),
                "it may not be NULL, has no default, and the table has rows",
                "give it a default, or let it be NULL",
            )
        }));
    }
    for (column, value) in &altered.news.not_null {
        let statement = sql::any_null(&source, &names::quoted(&engine.names.table), value);
        if session.one(&statement, &[]).await.map_err(failed)?.get(0) {
            refusals.push(refuse(
                format!("column {column}"),
                "it may not be NULL any more, and rows hold NULL in it",
                "fill it first",
            ));
        }
    }
    let duplicates = duplicates::count(session, &view.duplicates).await?;
    refusals.extend(duplicates.iter().map(duplicate_values));
    Ok(refusals)
}

fn duplicate_values(found: &Duplicates) -> Refusal {
    let reason = format!("{} values are held by more than one row each", found.values);
    refuse(format!("unique index {}", found.index), reason, "make them unique first")
}

fn write_plan(engine: &Postgres, view: View, data: Vec<Refusal>) -> Plan {
    let statement = format!("ALTER TABLE {} {}", engine.names.source(), engine.target.alter);
    let strategy = engine.target.strategy;
    let is_native = view.is_native && strategy != Strategy::Copy;
    let mut refusals = view.refusals;
    if strategy == Strategy::Native && !view.is_native {
        refusals.push(refuse(
            format!("the clauses for {}", engine.names.display),
            "the server would rewrite or scan the table under its lock",
            "let it be done by a copy",
        ));
    }
    if !is_native {
        refusals.extend(view.obstacles);
        refusals.extend(view.altered.as_ref().into_iter().flat_map(|altered| altered.refusals.clone()));
        refusals.extend(data);
    }
    let layout = view.altered.as_ref().and_then(|altered| altered.layout.as_ref()).filter(|_| !is_native);
    let mut notes = view.notes;
    if !is_native {
        notes.extend(notes_on_copy(view.altered.as_ref()));
    }
    Plan {
        table: engine.names.display.clone(),
        alter: engine.target.alter.clone(),
        key: layout.map(crate::layout::Layout::key_description).unwrap_or_default(),
        rows_estimated: view.rows.unsigned_abs(),
        bytes_estimated: if is_native { 0 } else { view.bytes.unsigned_abs() },
        steps: if is_native { native_steps(engine, &statement) } else { copy_steps(engine) },
        verdict: if is_native { Verdict::Native(statement) } else { Verdict::Copy },
        refusals,
        notes,
    }
}

fn notes_on_copy(altered: Option<&Altered>) -> Vec<String> {
    let mut notes = vec![
        "prepared statements that read every column (SELECT *) may fail once after the swap, as after any ALTER TABLE"
            .to_owned(),
    ];
    let Some(altered) = altered else { return notes };
    for (column, value) in &altered.news.added {
        if value.is_none() {
            notes.push(format!(
                "column {column} gets a value of its own in every row, and a new one whenever the row is refreshed"
            ));
        }
    }
    let uses_expression =
        altered.layout.iter().flat_map(|layout| &layout.columns).any(|column| column.value.ends_with(')'));
    if uses_expression {
        notes.push("the expressions behind USING must give the same whenever they are computed, or the comparison will stop the change".to_owned());
    }
    notes
}

fn native_steps(engine: &Postgres, statement: &str) -> Vec<Step> {
    vec![step(
        statement,
        &format!("ACCESS EXCLUSIVE for an instant, after a wait of at most {:?}", engine.target.lock_timeout),
    )]
}

fn copy_steps(engine: &Postgres) -> Vec<Step> {
    let names = &engine.names;
    let wait = format!("after a wait of at most {:?}", engine.target.lock_timeout);
    vec![
        step(
            &format!("CREATE PUBLICATION {} FOR TABLE {} (key columns)", names.publication, names.display),
            &format!("SHARE UPDATE EXCLUSIVE for an instant, {wait}: reads and writes go on"),
        ),
        step(&format!("create the replication slot {}", names.slot), "none"),
        step(
            &format!(
                "CREATE TABLE {} like the table; ALTER TABLE {} {}",
                names.shadow(),
                names.shadow(),
                engine.target.alter
            ),
            "none",
        ),
        step(
            &format!("INSERT INTO {} SELECT … FROM {}, chunk by chunk", names.shadow(), names.display),
            "ACCESS SHARE for each statement: what any SELECT takes",
        ),
        step("refresh rows that change meanwhile, as the log names them", "ACCESS SHARE for each statement"),
        step("CREATE INDEX on the shadow, for the indexes left out while copying; VACUUM (ANALYZE)", "none"),
        step("compare both tables", "ACCESS SHARE for each statement"),
        step(
            &format!(
                "ALTER TABLE {} SET SCHEMA {}; ALTER TABLE {} SET SCHEMA {}",
                names.display,
                names.old_schema,
                names.shadow(),
                names.schema
            ),
            &format!(
                "ACCESS EXCLUSIVE while the last changes are brought over, {wait}; tried again if it does not come"
            ),
        ),
    ]
}

fn step(statement: &str, lock: &str) -> Step {
    Step { statement: statement.to_owned(), lock: lock.to_owned() }
}

async fn alter_natively(session: &Session, engine: &Postgres, statement: &str) -> Result<()> {
    let attempted = || format!("alter {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of_native(attempted(), &error);
    session.run("BEGIN").await.map_err(failed)?;
    session.run(&sql::use_search_path(&engine.search_path)).await.map_err(failed)?;
    session.execute(statement, &[]).await.map_err(failed)?;
    session.run("COMMIT").await.map_err(failed)
}
