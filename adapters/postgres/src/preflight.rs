//! Finds out what would happen: tries the clauses on an empty clone in a transaction that is rolled back, looks for what
//! could not be carried, and asks the data what the shadow would refuse.

use crate::alteration::{self, Altered, NOT_ACCEPTED, Wish, refuse};
use crate::blockers;
use crate::carried::{self, Carried};
use crate::cascade::{self, Cascade};
use crate::clauses::{self, Clauses, KeyClause, KeyDeed};
use crate::definition;
use crate::demands;
use crate::duplicates;
use crate::engine::Postgres;
use crate::error;
use crate::journal::{self, Entry};
use crate::key::{self, Candidate};
use crate::keyless;
use crate::layout::KeyColumn;
use crate::leftovers;
use crate::log_server;
use crate::making::{self, Making};
use crate::materialized::{self, Materialized};
use crate::names::{self, MARKER, Names};
use crate::neighbours;
use crate::obstacles;
use crate::oids;
use crate::order;
use crate::others_flags::refuse_others_flags;
use crate::ours;
use crate::pasted;
use crate::pooler;
use crate::recipe::{self, Ingredients, Recipe};
use crate::rehearsal;
use crate::session::{Session, locked};
use crate::spelling;
use crate::sql;
use altergeist_contract::{
    Duplicates, Error, ForeignKeys, Leftover, Plan, Preflight, Refusal, Result, Step, Strategy, Verdict,
};

impl Preflight for Postgres {
    #[allow(clippy::misnamed_getters)] // The contract's word for the qualified name.
    fn table(&self) -> &str {
        &self.names.display
    }

    async fn plan(&self) -> Result<Plan> {
        if let Some(refusal) = pooler::require_sessions(&self.server, self.target.workers, self.open_sessions()).await?
        {
            return Ok(refused_at_once(self, refusal));
        }
        let lease = self.control.take().await?;
        let result = look(&lease, self).await;
        let view = lease.settle(result).await?;
        let lease = self.workers.take().await?;
        let result = check_data(&lease, self, &view).await;
        let data = lease.settle(result).await?;
        Ok(write_plan(self, view, data))
    }

    async fn alter_natively(&self, _: &str) -> Result<()> {
        let lease = self.control.take().await?;
        let result = alter_natively(&lease, self).await;
        lease.settle(result).await
    }

    async fn alter_online(&self) -> Result<()> {
        self.require_hold("alter the table")?;
        let lease = self.control.take().await?;
        let result = recipe::carry_out(&lease, self).await;
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
    /// How it can be done in steps.
    recipe: Option<Recipe>,
    /// Clauses that only the server itself can carry out.
    native_only: Vec<Refusal>,
    /// What keeps the server from changing a column.
    bound: Vec<Refusal>,
    duplicates: Vec<duplicates::Count>,
    questions: Vec<demands::Question>,
    rows: i64,
    bytes: i64,
    notes: Vec<String>,
    /// The same, if it is done by a copy.
    notes_on_copy: Vec<String>,
    /// What hangs on the table, by name, and the relations that are locked with it in the swap.
    hanging: Vec<String>,
    neighbours: Vec<String>,
    /// The materialized views that are replaced with the table.
    materialized: Vec<Materialized>,
    /// What CASCADE drops.
    cascade: Cascade,
}

impl Postgres {

    /// How many sessions this process has already.
    fn open_sessions(&self) -> usize {
        usize::from(self.run.is_taken()) + self.control.idle_sessions() + self.workers.idle_sessions()
    }

    /// Whether what is asked for is more than an ALTER.
    fn asks_for_a_copy(&self) -> bool {
        self.target.create.is_some() || self.target.order_by.is_some()
    }
}

/// The table that answers to the name.
pub(crate) async fn source(session: &Session, names: &Names) -> Result<u32> {
    let found = journal::table_id(session, &names.schema, &names.table).await?;
    found.ok_or_else(|| Error::refused(format!("look up {}", names.display), "there is no such table any more"))
}

/// The key rows are followed by, or why there is none, and the table's replica identity.
pub(crate) async fn key(session: &Session, table: u32) -> Result<(std::result::Result<Candidate, String>, String)> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    let identity: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok((key::choose(&candidates, &identity), identity))
}

/// A replica identity for the time of a run.
pub(crate) struct Lent {
    /// Which key it makes the log tell of.
    pub(crate) key: Candidate,
    /// The table's own identity, as the catalogue spells it.
    pub(crate) own: String,
    /// The statement that lends it.
    pub(crate) statement: String,
}

/// What the table is to be lent, if its own identity says nothing of rows that change and one of its keys could be it. Not where
/// the clauses speak of it, or the shadow is made by hand: then the user decides.
pub(crate) async fn lent(session: &Session, engine: &Postgres, table: u32) -> Result<Option<Lent>> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    if engine.target.alter.to_lowercase().contains("replica") || engine.target.create.is_some() {
        return Ok(None);
    }
    let own: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok(key::lendable(&candidates, &own).map(|key| Lent {
        statement: sql::use_identity(&engine.names.source(), &key.name),
        key: key.clone(),
        own: own.clone(),
    }))
}

impl Postgres {
    /// What is to be done, to this source.
    pub(crate) fn wish<'a>(&'a self, source: u32, key: Option<&'a Candidate>, clauses: &'a Clauses) -> Wish<'a> {
        Wish {
            names: &self.names,
            version: self.version,
            source,
            key,
            clauses,
            order: &[],
            making: None,
            search_path: &self.search_path,
        }
    }
}

/// The clauses, as far as they are read here.
pub(crate) async fn clauses(
    session: &Session,
    engine: &Postgres,
    source: u32,
) -> Result<std::result::Result<Clauses, Refusal>> {
    if let Some(refusal) = pasted::index_statement(&engine.target.alter) {
        return Ok(Err(refusal));
    }
    let keys = session.query(sql::FOREIGN_KEYS, &[&source]).await;
    let keys = keys.map_err(|error| error::of("read the table's foreign keys", &error))?;
    let keys: Vec<String> = keys.iter().map(|row| row.get(0)).collect();
    Ok(clauses::read(&engine.target.alter, &engine.names, &keys).map_err(|why| {
        let object = format!("the clauses for {}", engine.names.display);
        refuse(object, format!("they cannot be read: {why}"), "write them more plainly, as one statement")
    }))
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
    let source = source(session, &engine.names).await?;
    let failed = |error: tokio_postgres::Error| error::of(format!("look at {}", engine.names.display), &error);
    let size = session.one(sql::SIZE, &[&source]).await.map_err(failed)?;
    let clauses = clauses(session, engine, source).await?;
    let cascade = match &clauses {
        Ok(clauses) => cascade::find(session, source, &clauses.cascades).await?,
        Err(_) => Cascade::default(),
    };
    let views = cascade.without(materialized::list(session, source).await?);
    let mut view = View {
        altered: None,
        key: None,
        obstacles: obstacles::find(session, &engine.names, source, &views, engine.target.foreign_keys).await?,
        refusals: Vec::new(),
        is_native: false,
        recipe: None,
        native_only: Vec::new(),
        bound: Vec::new(),
        duplicates: Vec::new(),
        questions: Vec::new(),
        rows: size.get(0),
        bytes: size.get(1),
        notes: notes(session, source).await?,
        notes_on_copy: Vec::new(),
        hanging: carried::read(session, &engine.names, source, &views)
            .await?
            .into_iter()
            .map(|carried| carried.object)
            .chain(views.iter().map(|view| format!("materialized view {}", view.display())))
            .collect(),
        neighbours: neighbours::list(session, &engine.names.display, source, &views, &cascade.relations())
            .await?
            .into_iter()
            .map(|neighbour| neighbour.name)
            .collect(),
        materialized: views,
        cascade,
    };
    view.native_only.extend(view.cascade.refusals());
    view.notes.extend(view.cascade.note());
    view.refusals.extend(ours::refusals(session).await?);
    view.refusals.extend(refuse_others_flags(&engine.target));
    match key(session, source).await?.0 {
        Ok(key) => view.key = Some(key),
        Err(why) => match lent(session, engine, source).await? {
            Some(lent) => {
                view.notes_on_copy.push(format!(
                    "its replica identity does not tell which rows change; for the time of the run it gets another one, which \
                     locks it for an instant (ACCESS EXCLUSIVE): {}; the swap, or cleanup, gives back its own",
                    lent.statement
                ));
                view.key = Some(lent.key);
            }
            None => view.obstacles.push(keyless::refusal(session, &engine.names, source, &why).await?),
        },
    }
    view.notes_on_copy.extend(blockers::temporary(session, source).await?.iter().map(|blocker| {
        format!(
            "in the way of the swap: {}; only that session can drop it. Have it do that, or end it (--kill-blockers)",
            blocker.who
        )
    }));
    let replaced: Vec<u32> = view.materialized.iter().map(|view| view.oid).chain([source]).collect();
    let kept = oids::find(session, &replaced, &replaced).await?;
    view.obstacles.extend(kept.refusals());
    view.notes_on_copy.extend(kept.notes());
    let clauses = match clauses {
        Ok(clauses) => clauses,
        Err(refusal) => {
            view.refusals.push(refusal);
            return Ok(view);
        }
    };
    let alone = |(clause, why): &(String, &'static str)| Refusal {
        object: format!("clause {clause}"),
        reason: (*why).to_owned(),
        remedy: format!(
            "leave it out of this change, and give ALTER TABLE {} {clause} yourself",
            engine.names.source()
        ),
    };
    view.refusals.extend(clauses.refused.iter().map(alone));
    view.native_only.extend(clauses.native_only.iter().map(alone));
    let changes_key = |key: &&KeyClause| matches!(key.deed, KeyDeed::Rename(_) | KeyDeed::Alter { .. });
    if engine.target.foreign_keys == ForeignKeys::Discard {
        let left_out = "the foreign key is to be left out (--foreign-keys discard)";
        let changed: Vec<_> =
            clauses.keys.iter().filter(changes_key).map(|key| (key.clause.clone(), left_out)).collect();
        view.native_only.extend(changed.iter().map(alone));
    }
    if let Some(recipe) = recipe::unfinished(session, engine).await? {
        if recipe.alter != engine.target.alter {
            view.refusals.push(refuse(
                format!("table {}", engine.names.display),
                format!("another change of it is under way in steps: {}", recipe.alter),
                "finish it by giving that command again, or take it back with `altergeist cleanup`",
            ));
        }
        view.recipe = Some(recipe);
        return Ok(view);
    }
    view.refusals.extend(obstacles::of_role(session, engine, source).await?);
    if view.refusals.is_empty() && !obstacles::prevents_clone(&view.obstacles) {
        try_clauses(session, engine, source, &clauses, &mut view).await?;
    }
    if !view.is_native && view.recipe.is_none() {
        view.obstacles.extend(log_server::refusals(session, engine).await?);
        view.obstacles.extend(obstacles::of_server(session, engine, source).await?);
        view.notes_on_copy.extend(log_server::notes(session, engine).await?);
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
    session.run("SAVEPOINT clone").await.map_err(failed)?;
    let (order, making) = match copy_wishes(session, engine, source).await? {
        Ok(wishes) => wishes,
        Err(refusal) => {
            view.refusals.push(refusal);
            return session.run("ROLLBACK").await.map_err(failed);
        }
    };
    let wish = engine.wish(source, view.key.as_ref(), clauses);
    let wish = Wish { order: &order, making: making.as_ref(), ..wish };
    let mut altered = alteration::alter_clone(session, &wish, &schema).await?;
    if making.is_some() && !altered.refusals.is_empty() {
        view.altered = Some(altered);
        return session.run("ROLLBACK").await.map_err(failed);
    }
    altered.arrival.cascade = view.cascade.objects();
    view.obstacles.retain(|obstacle| !altered.arrival.drops(&obstacle.object));
    view.hanging.retain(|object| !altered.arrival.drops(object));
    view.obstacles.extend(keys_and_partitions(session, engine, source, &altered).await?);
    let wanted = demands::constraints(session, altered.clone).await?;
    view.is_native = altered.is_catalogue_only
        && altered.arrival.validations.is_empty()
        && clauses.validated.is_empty()
        && !engine.asks_for_a_copy();
    let is_unlogged: bool = session.one(sql::IS_UNLOGGED, &[&altered.clone]).await.map_err(failed)?.get(0);
    if is_unlogged && !view.is_native {
        view.obstacles.extend(obstacles::of_unlogged(session, &engine.names, source).await?);
        view.notes_on_copy.push(
            "the shadow is not logged either: a crash of the server during the run empties it, and the copy begins anew"
                .to_owned(),
        );
    }
    if altered.touches_columns {
        view.bound = bound_columns(session, source, &altered, &view.cascade).await?;
    }
    if altered.refusals.is_empty() && engine.target.foreign_keys != ForeignKeys::Discard {
        view.bound.extend(lost_keys(session, engine, source, &schema, &altered).await?);
    }
    if engine.target.create.is_some() {
        view.obstacles.extend(misread_views(session, source, &schema).await?);
    }
    if !view.is_native
        && let Some(layout) = &altered.layout
    {
        view.duplicates = duplicates::queries(session, source, altered.clone, layout, &altered.news).await?;
        let known = demands::constraints(session, source).await?;
        view.questions = demands::questions(&known, &wanted, &altered.arrival.orphans, layout, &altered.news);
        let walked = view.key.iter().flat_map(|key| &key.columns).chain(&order).map(|column| &*column.source);
        view.obstacles.extend(obstacles::of_collations(session, engine, source, &walked.collect::<Vec<_>>()).await?);
    }
    let is_copied = !view.is_native || engine.target.strategy == Strategy::Copy;
    if is_copied && altered.refusals.is_empty() && view.bound.is_empty() && view.obstacles.is_empty() {
        let stage = format!("{schema}_stage");
        match rehearsal::rehearse(session, engine, clauses, source, &view.materialized, &stage).await? {
            // What is tried here matters to a copy only: the same may be done in steps.
            Err(refusals) => view.obstacles.extend(refusals),
            Ok(adapted) => {
                let views = &view.materialized;
                let twins = materialized::make_twins(session, &engine.names, source, &schema, views, &adapted).await?;
                view.obstacles.extend(twins);
            }
        }
    }
    if view.is_native {
        altered
            .refusals
            .retain(|refusal| refusal.object.starts_with("clause ") || refusal.reason.starts_with(NOT_ACCEPTED));
    } else if engine.target.strategy != Strategy::Copy && !engine.asks_for_a_copy() && altered.refusals.is_empty() {
        session.run("ROLLBACK TO SAVEPOINT clone").await.map_err(failed)?;
        view.recipe = in_steps(session, engine, clauses, &altered, &wanted, (source, &schema)).await?;
    }
    view.altered = Some(altered);
    session.run("ROLLBACK").await.map_err(failed)
}

/// What is asked for beyond the clauses: an order of the rows, a table of the user's own making; or why it cannot be had.
pub(crate) async fn copy_wishes(
    session: &Session,
    engine: &Postgres,
    source: u32,
) -> Result<std::result::Result<(Vec<KeyColumn>, Option<Making>), Refusal>> {
    let making = match making::read(&engine.target).transpose() {
        Ok(making) => making,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(order::find(session, engine, source).await?.map(|order| (order, making)))
}

/// Foreign keys cannot be carried to a partitioned table in an instant.
async fn keys_and_partitions(
    session: &Session,
    engine: &Postgres,
    source: u32,
    altered: &Altered,
) -> Result<Vec<Refusal>> {
    let is_partitioned = altered.layout.as_ref().is_some_and(|layout| layout.is_partitioned);
    if !is_partitioned || engine.target.foreign_keys == ForeignKeys::Discard {
        return Ok(Vec::new());
    }
    let hanging = carried::read(session, &engine.names, source, &[]).await?;
    let refusal = |key: Carried| {
        refuse(
            key.object,
            "the new table is partitioned, where every row would be checked at once when it is made again",
            "have it left out (--foreign-keys discard), and make it again afterwards",
        )
    };
    let is_carried = |carried: &Carried| carried.is_key && !altered.arrival.drops(&carried.object);
    Ok(hanging.into_iter().filter(is_carried).map(refusal).collect())
}

/// Foreign keys that the altered table could not have, or others to it: types that do not go together, a key that is gone.
async fn lost_keys(
    session: &Session,
    engine: &Postgres,
    source: u32,
    schema: &str,
    altered: &Altered,
) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("try the foreign keys on the clone", &error);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&source, &schema, &engine.names.table];
    let mut refusals = Vec::new();
    // Without a key the caller has already refused, and for a partitioned table it refuses every foreign key.
    let Some(layout) = altered.layout.as_ref().filter(|layout| !layout.is_partitioned) else { return Ok(refusals) };
    // An index of ours, by which rows are found until the swap, must not pass for the key that is referred to.
    let mut bare: Vec<String> = alteration::drop_helpers(layout).into_iter().collect();
    let is_made = engine.target.create.is_some();
    // Foreign keys speak of columns by their old names.
    let columns = definition::attributes(session, altered.clone).await?.into_iter().map(|column| column.name);
    let columns: Vec<String> = columns.filter(|name| !alteration::is_helper(name)).collect();
    let kept = layout.columns.iter().filter(|column| !alteration::is_helper(&column.name));
    let kept: Vec<(String, String)> = kept.map(|column| (column.source.clone(), column.name.clone())).collect();
    bare.extend(carried::renames(&layout.shadow, &kept, &columns).0);
    let bare: String = bare.iter().map(|statement| format!("{statement}; ")).collect();
    for row in session.query(sql::KEYS_THAT_STAY, &parameters).await.map_err(failed)? {
        let (object, is_own, columns, trial): (String, bool, Vec<String>, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        // The server itself drops a foreign key with its column.
        let stays = |column: &String| layout.columns.iter().any(|known| known.source == *column);
        if altered.arrival.drops(&object) || (is_own && !columns.iter().all(stays)) {
            continue;
        }
        session.run("SAVEPOINT key").await.map_err(failed)?;
        let outcome = session.run(&format!("{bare}{trial}")).await;
        session.run("ROLLBACK TO SAVEPOINT key").await.map_err(failed)?;
        if let Err(error) = outcome {
            let words = error::of_clauses("try it", &error).reason;
            let remedy = match () {
                () if is_own && !is_made => "drop it in the same change",
                () => "drop it first, and make it again for what there is then",
            };
            refusals.push(refuse(object, format!("the altered table could not have it: {words}"), remedy));
            continue;
        }
        let compared: Vec<String> = row.get(4);
        // The swap makes it again without looking at the rows, which may not match any more.
        let is_revalued = |column: &&String| !altered.is_catalogue_only && altered.revalued.contains(column);
        if let Some(column) = compared.iter().find(is_revalued) {
            let reason = format!("column {column} of the table may get other values, and rows need not match then");
            let drop = if is_own && !is_made { "drop it in the same change" } else { "drop it first" };
            let leave = if is_made { "" } else { "; or leave USING out, if all it does is what the new type does" };
            refusals.push(refuse(object, reason, &format!("{drop} and make it again afterwards{leave}")));
        }
    }
    Ok(refusals)
}

/// Views of the table that would come out of the swap as other ones: what the server says of a view, even respelled, is not always
/// what it reads as that view.
async fn misread_views(session: &Session, source: u32, schema: &str) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("try the table's views", &error);
    let trial = format!("{}.ag_view", names::quoted(schema));
    let mut refusals = Vec::new();
    for row in session.query(sql::VIEWS_ON, &[&source]).await.map_err(failed)? {
        let (object, query): (String, String) = (row.get(0), row.get(1));
        session.run("SAVEPOINT view").await.map_err(failed)?;
        let reason = match session.run(&format!("CREATE VIEW {trial} AS {}", spelling::reread(&query))).await {
            Ok(()) => {
                let made: String = session.one(sql::QUERY_OF, &[&trial]).await.map_err(failed)?.get(0);
                (made != query).then(|| "the server reads what it says of its query as another query".to_owned())
            }
            Err(error) if error::is_passing(&error) => return Err(failed(error)),
            Err(error) => Some(format!("it could not be made again: {}", error::of_clauses("try it", &error).reason)),
        };
        session.run("ROLLBACK TO SAVEPOINT view").await.map_err(failed)?;
        refusals.extend(reason.map(|why| refuse(object, why, "drop it first, and make it again afterwards")));
    }
    Ok(refusals)
}

/// Whether all that is not for the catalogue alone can be done step by step.
async fn in_steps(
    session: &Session,
    engine: &Postgres,
    clauses: &Clauses,
    altered: &Altered,
    wanted: &[demands::Constraint],
    (source, schema): (u32, &str),
) -> Result<Option<Recipe>> {
    if clauses.keys.iter().any(|key| key.deed != KeyDeed::Validate) {
        return Ok(None);
    }
    let has_foreign_keys = !altered.arrival.validations.is_empty();
    if !clauses.has_steps && !has_foreign_keys && clauses.validated.is_empty() {
        return Ok(None);
    }
    let light = Clauses {
        native: clauses.light.clone(),
        statements: clauses.light.clone(),
        light: clauses.light.clone(),
        ..Clauses::default()
    };
    let wish = engine.wish(source, None, &light);
    let base = alteration::alter_clone(session, &wish, schema).await?;
    if !(clauses.light.is_empty() || base.is_catalogue_only) || !base.refusals.is_empty() {
        return Ok(None);
    }
    let given = demands::constraints(session, base.clone).await?;
    // What is dropped must not be missing for longer than an instant.
    let drops = clauses.light.iter().any(|clauses| clauses.to_lowercase().contains("drop constraint"));
    if drops {
        return Ok(None);
    }
    let before = definition::attributes(session, base.clone).await?;
    let may_be_null = |name: &str| before.iter().any(|column| column.name == name && !column.not_null);
    let not_null = altered.demanded.iter().filter(|name| may_be_null(name)).cloned().collect();
    let foreign_keys = clauses.foreign_keys.iter().zip(&altered.arrival.key_names);
    Ok(recipe::write(
        engine,
        &Ingredients {
            light: &clauses.light,
            foreign_keys: foreign_keys.map(|(key, name)| (name.clone(), key.add(name, &key.parent))).collect(),
            validations: altered.arrival.validations.clone(),
            validated: &clauses.validated,
            wanted,
            given: &given,
            not_null,
            clone: names::qualified(schema, &engine.names.table),
        },
    ))
}

/// Columns that are dropped or become another type, and what the server will not let go of them for.
async fn bound_columns(session: &Session, source: u32, altered: &Altered, cascade: &Cascade) -> Result<Vec<Refusal>> {
    let rows = session.query(sql::COLUMN_DEPENDENTS, &[&source, &altered.touched, &cascade.oids()]).await;
    let rows = rows.map_err(|error| error::of("look for what depends on columns", &error))?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, object): (String, String) = (row.get(0), row.get(1));
        refuse(
            object,
            format!("it uses column {column}, which the server will not drop or give another type as long as it does"),
            "drop it before the change and make it again after it",
        )
    };
    Ok(rows.iter().map(refusal).collect())
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
    for schema in [&names.shadow_schema, &names.old_schema] {
        refusals.extend(ours::stranger_schema(session, schema).await?);
    }
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
            "`altergeist cleanup` drops it if it was left by a change of this tool; else drop it if nobody needs it",
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
    let Some(altered) = view.altered.as_ref().filter(|_| !view.is_native) else { return Ok(Vec::new()) };
    let Some(layout) = &altered.layout else { return Ok(Vec::new()) };
    let misfits = demands::misfits(session, layout, &altered.news.risks).await?;
    if !misfits.is_empty() {
        return Ok(misfits);
    }
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
    refusals.extend(demands::refusals(session, &engine.names.display, &view.questions).await?);
    let duplicates = duplicates::count(session, &view.duplicates).await?;
    refusals.extend(duplicates.iter().map(duplicate_values));
    Ok(refusals)
}

/// The plan of a change that cannot even be looked at.
fn refused_at_once(engine: &Postgres, refusal: Refusal) -> Plan {
    Plan {
        table: engine.names.display.clone(),
        alter: engine.target.alter.clone(),
        key: String::new(),
        rows_estimated: 0,
        bytes_estimated: 0,
        steps: Vec::new(),
        verdict: Verdict::Copy,
        refusals: vec![refusal],
        notes: Vec::new(),
    }
}

fn duplicate_values(found: &Duplicates) -> Refusal {
    let reason = format!("{} values are held by more than one row each", found.values);
    refuse(format!("unique index {}", found.index), reason, "make them unique first")
}

fn write_plan(engine: &Postgres, view: View, data: Vec<Refusal>) -> Plan {
    let strategy = engine.target.strategy;
    let verdict = match () {
        () if view.is_native && strategy != Strategy::Copy => Verdict::Native(statements(engine).join("; ")),
        () if view.recipe.is_some() => Verdict::Online,
        () => Verdict::Copy,
    };
    let (is_native, is_copy) = (matches!(verdict, Verdict::Native(_)), verdict == Verdict::Copy);
    let mut refusals = view.refusals;
    if strategy == Strategy::Native && is_copy {
        refusals.push(refuse(
            format!("the clauses for {}", engine.names.display),
            "the server would rewrite or scan the table under its lock",
            "let it be done by a copy",
        ));
    }
    if is_copy {
        refusals.extend(view.obstacles);
        refusals.extend(view.native_only);
    }
    refusals.extend(view.bound);
    refusals.extend(view.altered.as_ref().into_iter().flat_map(|altered| altered.refusals.clone()));
    refusals.extend(data);
    let layout = view.altered.as_ref().and_then(|altered| altered.layout.as_ref()).filter(|_| is_copy);
    let mut notes = view.notes;
    if is_copy {
        notes.extend(notes_on_copy(view.altered.as_ref()));
        notes.extend(view.notes_on_copy);
        notes.extend(repack(engine));
        notes.extend(view.materialized.iter().filter_map(Materialized::note));
    }
    let steps = match &view.recipe {
        Some(recipe) if !is_copy && !is_native => recipe.steps(engine.target.lock_timeout),
        _ if is_native => native_steps(engine),
        _ => copy_steps(engine, view.altered.as_ref(), &view.hanging, &view.neighbours),
    };
    *locked(&engine.recipe) = view.recipe;
    Plan {
        table: engine.names.display.clone(),
        alter: engine.target.alter.clone(),
        key: layout.map(crate::layout::Layout::key_description).unwrap_or_default(),
        rows_estimated: view.rows.unsigned_abs(),
        bytes_estimated: if is_copy { view.bytes.unsigned_abs() } else { 0 },
        steps,
        verdict,
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

/// A newer server can do a plain rebuild by itself.
fn repack(engine: &Postgres) -> Option<String> {
    let is_plain = engine.target.alter.trim().is_empty() && engine.target.create.is_none();
    let source = engine.names.source();
    (is_plain && engine.version.has_repack()).then(|| {
        format!("this server can rebuild the table by itself while it is written to: REPACK (CONCURRENTLY) {source}")
    })
}

/// The clauses as statements on the table.
fn statements(engine: &Postgres) -> Vec<String> {
    let table = engine.names.source();
    // What is given to the server is what was given to us, whatever foreign keys there are.
    let given =
        clauses::read(&engine.target.alter, &engine.names, &[]).map(|clauses| clauses.native).unwrap_or_default();
    given.iter().map(|clauses| format!("ALTER TABLE {table} {clauses}")).collect()
}

fn native_steps(engine: &Postgres) -> Vec<Step> {
    let lock =
        format!("ACCESS EXCLUSIVE at most, for an instant, after a wait of at most {:?}", engine.target.lock_timeout);
    statements(engine).iter().map(|statement| step(statement, &lock)).collect()
}

fn copy_steps(engine: &Postgres, altered: Option<&Altered>, hanging: &[String], neighbours: &[String]) -> Vec<Step> {
    let names = &engine.names;
    let wait = format!("after a wait of at most {:?}", engine.target.lock_timeout);
    let arrival = altered.map(|altered| altered.arrival.clone()).unwrap_or_default();
    let mut steps = vec![
        step(
            &format!("CREATE PUBLICATION {} FOR TABLE {} (key columns)", names.publication, names.display),
            &format!("SHARE UPDATE EXCLUSIVE for an instant, {wait}: reads and writes go on"),
        ),
        step(&format!("create the replication slot {}", names.slot), "none"),
        step(&how_made(engine), "none"),
        step(
            &format!("INSERT INTO {} SELECT … FROM {}, chunk by chunk", names.shadow(), names.display),
            "ACCESS SHARE for each statement: what any SELECT takes",
        ),
        step("refresh rows that change meanwhile, as the log names them", "ACCESS SHARE for each statement"),
        step("CREATE INDEX on the shadow, for the indexes left out while copying", "none"),
        step("VACUUM (ANALYZE) of the shadow", "none"),
        step("compare both tables", "ACCESS SHARE for each statement"),
    ];
    let also = |names: &[String]| match names {
        [] => String::new(),
        names => format!(", and on {}", names.join(", ")),
    };
    steps.push(step(
        &format!(
            "ALTER TABLE {} SET SCHEMA {}; ALTER TABLE {} SET SCHEMA {}",
            names.display,
            names.old_schema,
            names.shadow(),
            names.schema
        ),
        &format!(
            "ACCESS EXCLUSIVE{} while the last changes are brought over, {wait}; tried again if it does not come",
            also(neighbours)
        ),
    ));
    if !hanging.is_empty() {
        let made = format!("in the same transaction, made on the new table as they were: {}", hanging.join(", "));
        steps.push(step(&made, "the same"));
    }
    let in_the_swap = arrival.renames.iter().chain(&arrival.clauses);
    steps.extend(in_the_swap.map(|statement| step(statement, "within the same transaction")));
    let scan = "SHARE UPDATE EXCLUSIVE while the rows are read: reads and writes go on";
    steps.extend(arrival.validations.iter().map(|statement| step(statement, scan)));
    if hanging.iter().any(|object| object.starts_with("foreign key ")) {
        steps.push(step(
            "VALIDATE CONSTRAINT for the foreign keys that were valid",
            "SHARE UPDATE EXCLUSIVE and ROW SHARE: reads and writes go on",
        ));
    }
    steps
}

/// How the shadow comes about.
fn how_made(engine: &Postgres) -> String {
    let shadow = engine.names.shadow();
    match &engine.target.create {
        Some(_) => format!("the statements of the file, which make {shadow}"),
        None => format!("CREATE TABLE {shadow} like the table; ALTER TABLE {shadow} {}", engine.target.alter),
    }
}

fn step(statement: &str, lock: &str) -> Step {
    Step { statement: statement.to_owned(), lock: lock.to_owned() }
}

/// The change and the note that it is done are one transaction: who comes after a crash finds both or neither.
async fn alter_natively(session: &Session, engine: &Postgres) -> Result<()> {
    let attempted = || format!("alter {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of_native(attempted(), &error);
    session.run("BEGIN").await.map_err(failed)?;
    session.run(&sql::use_search_path(&engine.search_path)).await.map_err(failed)?;
    let cascade = cascade::of_change(session, engine, source(session, &engine.names).await?).await?;
    for statement in cascade.views_first().into_iter().chain(statements(engine)) {
        session.execute(&statement, &[]).await.map_err(failed)?;
    }
    session.run(&sql::use_own_language()).await.map_err(failed)?;
    journal::note_done(session, engine).await?;
    session.run("COMMIT").await.map_err(failed)
}
