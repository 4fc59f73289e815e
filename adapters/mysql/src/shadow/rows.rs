//! The statements that make the shadow, fill it, keep it current, and compare it.

use crate::key::index::LOOKUP;
use crate::log::cascades::{rows_of, stale_children};
use crate::schema::columns::Shape;
use crate::schema::convert;
use crate::schema::foreign_key::ForeignKey;
use crate::schema::table::{Index, Part, Table, definition_of, is_same};
use crate::server::error::{Failure, TABLE_CHANGED, TRUNCATED, TRUNCATED_VALUE};
use crate::server::names::TableName;
use crate::server::pool::{Lease, Slot};
use crate::server::session::{Cells, Session, execute_within, number, text};
use crate::shadow::duplicates::{self, Defined};
use crate::sql;
use crate::sql::compare::Compared;
use crate::state::MySql;
use altergeist_contract::{
    Chunk, Comparison, Duplicates, Error, Key, Kind, Result, Shadow, UnloggedChanges, Watermark,
};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Keys in one statement.
const MOST_KEYS: usize = 1000;
/// Bytes of keys in one statement, well below the smallest packet servers are set to.
const MOST_KEY_BYTES: usize = 512 * 1024;
/// Rows deleted by one statement.
const MOST_DELETED: u64 = 10_000;
/// How often a row that somebody has locked is tried for, where it is not waited for.
const ATTEMPTS_AT_LOCKED_ROWS: u32 = 40;
/// A unique index that lacks a column of the partitioning.
const NOT_OVER_PARTITIONS: u16 = 1503;
/// Rows of which one statement looks for the parents.
const ROWS_LOOKED_AT: u64 = 10_000;
/// Rows that may differ before comparing gives up.
const MOST_DIFFERENCES: u64 = 5_000;

impl Shadow for MySql {
    async fn create(&self) -> Result<()> {
        *self.shape.lock().expect("not poisoned") = None;
        self.make_journal().await?;
        let mut reader = self.crew.reader().await?;
        let mut facts = self.entry(&mut reader).await?.facts;
        let exists = self.exists(&mut reader, &self.names.shadow).await?;
        if exists && !facts.has_shadow {
            return Err(Error::refused(
                self.doing("make the shadow of"),
                format!("{} exists and is not ours", self.names.shadow.plain()),
            ));
        }
        facts.has_shadow = true;
        facts.source = Some(self.made(&mut reader, &self.source).await?);
        facts.source_text = definition_of(&mut reader, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look at")))?;
        facts.shadow = None;
        facts.has_lookup = false;
        facts.late_index = None;
        facts.deferred = None;
        facts.done = None;
        self.save_facts(&facts).await?;

        facts.added_keys = self.make_shadow().await?;
        self.save_facts(&facts).await?;
        facts.has_lookup = self.shape().await?.key.needs_lookup();
        if facts.has_lookup {
            let shape = self.shape().await?;
            facts.late_index = self.make_room(&shape).await?;
            self.save_facts(&facts).await?;
            self.add_kept(&shape).await?;
            self.add_lookup().await?;
        }
        self.found_keys().await?;
        facts.deferred = self
            .defer_indexes(
                &self
                    .indexes_of_use(&mut reader, &self.names.shadow, &*self.shape().await?)
                    .await?,
            )
            .await?;
        facts.shadow = Some(self.made(&mut reader, &self.names.shadow).await?);
        self.save_facts(&facts).await?;
        self.shape().await?;
        Ok(())
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let shape = self.shape().await?;
        let attempted = || self.doing("find the end of a chunk of");
        let found = self
            .read(&sql::rows::range_end(&shape, after, rows)?)
            .await
            .map_err(|failure| failure.of_rows(attempted()))?;
        let through = match found.first() {
            Some(row) => Watermark::At(
                shape
                    .key
                    .of_query(row)
                    .ok_or_else(|| Error::fatal(attempted(), "its key cannot be read"))?,
            ),
            None => Watermark::End,
        };
        Ok(Chunk { after: after.clone(), through })
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        let shape = self.shape().await?;
        let attempted = || self.doing("copy a chunk of");
        let statement = sql::rows::copy(&shape, chunk)?;
        let _moves = self.cascades.moves.read().await;
        let mut lease = self.crew.worker().await?;
        let writing = self.tally.begin();
        let outcome = self
            .patiently(async || insert(lease.session(), &shape, &statement, &attempted()).await)
            .await;
        lease.keep();
        writing.end(outcome)
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        let shape = self.shape().await?;
        let _moves = self.cascades.moving(&shape).await;
        let mut lease = self.crew.worker().await?;
        let attempted = self.doing("refresh rows of");
        let refreshed =
            async || in_transaction(&mut lease, &shape, keys, through, &attempted).await;
        let writing = self.tally.begin();
        let outcome = self.patiently(refreshed).await;
        lease.keep();
        writing.end(outcome).map(drop)
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        let shape = self.shape().await?;
        let statement = sql::rows::delete_beyond(&shape, through, MOST_DELETED)?;
        let mut lease = self.crew.worker().await?;
        loop {
            let attempted = || self.doing("clear the shadow of");
            let cleared = async || {
                lease
                    .session()
                    .execute(&statement)
                    .await
                    .map_err(|failure| failure.of_rows(attempted()))
            };
            let writing = self.tally.begin();
            match writing.end(self.patiently(cleared).await.map(|done| done.rows)) {
                Ok(MOST_DELETED) => {}
                outcome => {
                    lease.keep();
                    return outcome.map(drop);
                }
            }
        }
    }

    async fn clear(&self) -> Result<()> {
        let lease = self.crew.lease(Slot::Control).await?;
        let statement = sql::ddl::truncate(&self.source, &self.names.shadow);
        lease
            .execute(&statement)
            .await
            .map_err(|failure| failure.of_rows(self.doing("clear the shadow of")))?;
        // The storage engine makes another table of it.
        let mut reader = self.crew.reader().await?;
        let mut facts = self.entry(&mut reader).await?.facts;
        facts.shadow = Some(self.made(&mut reader, &self.names.shadow).await?);
        self.save_facts(&facts).await
    }

    async fn complete(&self, gently: bool) -> Result<()> {
        self.clear_stale().await?;
        self.build_indexes(gently).await?;
        self.check_added_keys().await
    }

    /// Not while rows are looked for that the log does not tell of: they are refreshed before
    /// anything is compared.
    fn compares_beside_builds(&self) -> bool {
        self.log_tells_all()
    }

    async fn analyze(&self, _gently: bool) -> Result<()> {
        let shape = self.shape().await?;
        let mut lease = self.crew.worker().await?;
        let mut outcome = lease
            .session()
            .rows(&sql::ddl::analyze(&self.source, &self.names.shadow))
            .await
            .map(|_| ());
        if outcome.is_ok() {
            outcome = self.carry_statistics(lease.session(), &shape).await;
        }
        lease.keep();
        outcome.map_err(|failure| failure.of_rows(self.doing("analyze the shadow of")))
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        let shape = self.shape().await?;
        self.tally.start(&self.beats).await?;
        let attempted = self.doing("compare a chunk of");
        let statements = [
            sql::compare::count_rows(&shape, chunk)?,
            sql::compare::count_in_shadow(&shape, chunk)?,
            sql::compare::missing_or_different(
                &shape,
                &Compared::Range(chunk),
                MOST_DIFFERENCES + 1,
            )?,
            sql::compare::surplus(&shape, &Compared::Range(chunk), MOST_DIFFERENCES + 1)?,
        ];
        // Where the shadow lacks no row of the source and holds as many, it holds no other: nothing
        // is left to ask.
        let is_answered = |answers: &[Vec<Cells>]| match answers {
            [in_source, in_shadow, missing] => missing.is_empty() && in_source == in_shadow,
            _ => false,
        };
        let mut lease = self.crew.worker().await?;
        let mut outcome = in_snapshot(lease.session(), &statements, is_answered).await;
        // A build has ended between the snapshot and the first look at the shadow; there is none
        // after it.
        if matches!(outcome, Err(Failure::Server { code: TABLE_CHANGED, .. })) {
            outcome = in_snapshot(lease.session(), &statements, is_answered).await;
        }
        lease.keep();
        let answers = outcome.map_err(|failure| failure.of_rows(&attempted))?;
        let count = |answer: &Vec<Cells>| answer.first().and_then(|row| number(&row[0]));
        let (rows, held) = (count(&answers[0]).unwrap_or_default(), count(&answers[1]));
        let differing = differing(&shape, &answers[2..], &attempted)?;
        if differing.is_empty() && held.is_some_and(|held| held != rows) {
            return Err(Error::fatal(
                attempted,
                "the shadow holds a row of the source more than once",
            ));
        }
        Ok(Comparison { rows, differing })
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let shape = self.shape().await?;
        let attempted = self.doing("compare rows of");
        let mut statements = Vec::new();
        for part in parts(keys) {
            statements.push(sql::compare::missing_or_different(
                &shape,
                &Compared::Keys(part),
                MOST_DIFFERENCES + 1,
            )?);
            statements.push(sql::compare::surplus(
                &shape,
                &Compared::Keys(part),
                MOST_DIFFERENCES + 1,
            )?);
        }
        let mut lease = self.crew.worker().await?;
        let outcome = in_snapshot(lease.session(), &statements, |_| false).await;
        lease.keep();
        differing(&shape, &outcome.map_err(|failure| failure.of_rows(&attempted))?, &attempted)
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        let shape = self.shape().await?;
        let mut reader = self.crew.reader().await?;
        self.find_duplicates(&mut reader, &shape, &self.names.shadow).await
    }
}

impl UnloggedChanges for MySql {
    fn log_tells_all(&self) -> bool {
        self.shape
            .lock()
            .expect("nobody panics with it")
            .as_ref()
            .is_some_and(|shape| shape.log_tells_all)
    }

    async fn causes(&self, key: &Key) -> Result<Vec<Key>> {
        let shape = self.shape().await?;
        self.cascades.causes(&shape, key).await
    }
}

impl MySql {
    /// When all is copied: refreshes rows that refer to a row that was taken away, unknown to the
    /// log, before it was copied.
    async fn clear_stale(&self) -> Result<()> {
        let shape = self.shape().await?;
        if shape.own_keys.is_empty() {
            return Ok(());
        }
        let mut through = Watermark::Start;
        while through != Watermark::End {
            let chunk = self.next_chunk(&through, ROWS_LOOKED_AT).await?;
            let mut lease = self.crew.worker().await?;
            let stale = stale_children(lease.session(), &shape, &Compared::Range(&chunk)).await;
            lease.keep();
            let attempted = || self.doing("look for rows whose parents are gone in the shadow of");
            for part in parts(&stale.map_err(|failure| failure.of_rows(attempted()))?) {
                self.refresh(part, &Watermark::End).await?;
            }
            through = chunk.through;
        }
        Ok(())
    }

    /// Where the workers do not wait for rows' locks, a row that is locked is tried for again,
    /// within bounds.
    async fn patiently<T>(&self, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        for attempt in 1..=ATTEMPTS_AT_LOCKED_ROWS {
            match work().await {
                Err(error)
                    if error.kind == Kind::Transient
                        && self.crew.checks_parents.load(Ordering::SeqCst) =>
                {
                    tokio::time::sleep(Duration::from_millis(2) * attempt).await;
                }
                outcome => return outcome,
            }
        }
        work().await
    }

    /// Gives the foreign keys that the clauses add.
    async fn make_shadow(&self) -> Result<Vec<ForeignKey>> {
        let attempted = || self.doing("make the shadow of");
        let mut lease = self.crew.lease(Slot::Control).await?;
        let session = lease.session();
        session
            .execute(&sql::ddl::drop_table(&self.source, &self.names.shadow))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let copy = &self.names.shadow;
        let names = self
            .make_copy(session, copy)
            .await
            .map_err(|failure| failure.of_clauses(attempted()))?;
        if !self.change.effective.is_empty() {
            self.alter_copy(session, copy, &names, "")
                .await
                .map_err(|failure| failure.of_clauses(attempted()))?;
        }
        let added = self
            .take_added_keys(session)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        lease.keep();
        Ok(added)
    }

    /// Gives the empty shadow an index that finds rows by the key's columns. It is as unique as the
    /// key, unless partitions forbid that, and then no two keys may be one to it.
    pub(crate) async fn add_lookup(&self) -> Result<()> {
        let attempted = || self.doing("give an index over the key to the shadow of");
        let shape = self.shape().await?;
        let is_mapped = shape.key.is_mapped();
        let mut lease = self.crew.lease(Slot::Control).await?;
        let mut outcome = lease
            .session()
            .execute(&sql::ddl::add_lookup(&shape, &shape.shadow, "UNIQUE KEY"))
            .await;
        if outcome.as_ref().is_err_and(|failure| failure.code() == Some(NOT_OVER_PARTITIONS))
            && !is_mapped
        {
            outcome =
                lease.session().execute(&sql::ddl::add_lookup(&shape, &shape.shadow, "KEY")).await;
        }
        lease.keep();
        outcome.map(|_| ()).map_err(|failure| failure.of_clauses(attempted()))
    }

    /// Drops that index from the table that bears the name now. Until then the table has one index
    /// more than it should.
    pub(crate) async fn drop_lookup(&self) -> Result<()> {
        let attempted = || self.doing("drop our index over the former key of");
        let mut reader = self.crew.reader().await?;
        let mut facts = self.entry(&mut reader).await?.facts;
        if !facts.has_lookup {
            return Ok(());
        }
        if self
            .look(&mut reader, &self.source)
            .await?
            .indexes
            .iter()
            .any(|index| index.name == LOOKUP)
        {
            // It is not the table that was made any more.
            facts.shadow = None;
            self.save_facts(&facts).await?;
            let mut lease = self.crew.lease(Slot::Control).await?;
            let outcome = match &facts.late_index {
                None => {
                    let drop = sql::ddl::drop_indexes(&self.source, &self.source, &[LOOKUP]);
                    execute_within(
                        lease.session(),
                        &self.crew.access,
                        &drop,
                        self.crew.lock_timeout,
                    )
                    .await
                }
                // It takes its time, but locks are waited for no longer than the session's own
                // limit says.
                Some(late) => {
                    let exchange =
                        sql::ddl::exchange_index(&self.source, &self.source, LOOKUP, late);
                    lease.session().execute(&exchange).await
                }
            };
            outcome.map_err(|failure| failure.of_lock(attempted()))?;
            lease.keep();
        }
        self.drop_kept().await?;
        facts.has_lookup = false;
        facts.late_index = None;
        self.save_facts(&facts).await
    }

    /// The source's duplicates over the unique indexes of an altered table.
    pub(crate) async fn find_duplicates(
        &self,
        session: &mut Session,
        shape: &Shape,
        altered: &TableName,
    ) -> Result<Vec<Duplicates>> {
        let attempted = || self.doing("look for unique indexes of");
        let [source, altered] = [&self.source, altered];
        let source_definition = definition_of(session, source)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let definition = definition_of(session, altered)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let source = self.look(session, source).await?;
        let altered = self.look(session, altered).await?;
        let flavour = self.server.version.flavour;
        let mut found = Vec::new();
        for index in altered.indexes.iter().filter(|index| index.unique && index.name != LOOKUP) {
            let attempted = || self.doing(&format!("look for duplicates over {} in", index.name));
            let has_pair = |part: &Part| {
                shape.columns.iter().any(|pair| is_same(&pair.shadow.name, &part.column))
            };
            let values = if index.parts.iter().all(has_pair) {
                let Some(expressions) = newly_unique(shape, &source, index) else { continue };
                let statement = sql::catalogue::duplicates(&self.source, &expressions);
                session.text(&statement).await.map_err(|failure| failure.of_rows(attempted()))?
            } else {
                let before = Defined { table: &source, definition: &source_definition };
                let after = Defined { table: &altered, definition: &definition };
                let Some(statement) =
                    duplicates::duplicates(shape, flavour, &before, &after, index)
                else {
                    continue;
                };
                match session.text(&statement).await {
                    // What the server cannot compute beforehand is found when rows are copied.
                    Err(failure) if !failure.ends_session() => continue,
                    counted => counted.map_err(|failure| failure.of_rows(attempted()))?,
                }
            };
            let values = values
                .parse()
                .map_err(|_| Error::fatal(attempted(), "the server does not count them"))?;
            if values > 0 {
                found.push(Duplicates { index: index.name.clone(), values });
            }
        }
        Ok(found)
    }

    pub(crate) async fn read(&self, statement: &str) -> std::result::Result<Vec<Cells>, Failure> {
        let mut lease =
            self.crew.worker().await.map_err(|error| Failure::Lost(error.to_string()))?;
        let rows = lease.session().rows(statement).await;
        lease.keep();
        rows
    }
}

/// Runs an INSERT … SELECT. What the server only warns of in strict modes, such as a number that
/// loses its last digits, is a lost value all the same, unless that is allowed.
async fn insert(
    session: &mut Session,
    shape: &Shape,
    statement: &str,
    attempted: &str,
) -> Result<u64> {
    let done = session.execute(statement).await.map_err(|failure| failure.of_rows(attempted))?;
    if done.warnings == 0 {
        return Ok(done.rows);
    }
    let warnings =
        session.rows("SHOW WARNINGS").await.map_err(|failure| failure.of_rows(attempted))?;
    for row in &warnings {
        let code = number(&row[1]).unwrap_or_default() as u16;
        let is_rounded =
            shape.rounds && text(&row[0]) == "Note" && matches!(code, TRUNCATED | TRUNCATED_VALUE);
        if !is_harmless(code) && !is_rounded {
            let said = Failure::Server { code, message: text(&row[2]) }.of_rows(attempted);
            return Err(Error::fatal(attempted, format!("the server warns: {}", said.reason)));
        }
    }
    Ok(done.rows)
}

/// Deprecations, and the note that statements could be unsafe in a log that is not ours.
fn is_harmless(code: u16) -> bool {
    matches!(code, 1287 | 1592 | 1681 | 3719 | 3778 | 4166)
}

async fn in_transaction(
    lease: &mut Lease,
    shape: &Shape,
    keys: &[Key],
    through: &Watermark,
    attempted: &str,
) -> Result<u64> {
    let session = lease.session();
    session.execute("START TRANSACTION").await.map_err(|failure| failure.of_rows(attempted))?;
    let outcome = refresh_within(session, shape, keys, through, attempted).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match session.execute(end).await {
        Err(failure) if outcome.is_ok() => Err(failure.of_rows(attempted)),
        _ => outcome,
    }
}

/// Deletes the keys' rows from the shadow, then inserts what the source holds of them: all deletes
/// first, so that values that moved between rows find their places free. The caller's transaction.
///
/// Stale children of these rows are refreshed with them. They are looked for before, so that what
/// they hold is out of the way, and after, because rows of the source may have gone meanwhile.
/// Gives how many rows were written.
pub(crate) async fn refresh_within(
    session: &mut Session,
    shape: &Shape,
    keys: &[Key],
    through: &Watermark,
    attempted: &str,
) -> Result<u64> {
    let mut written = 0;
    let mut keys =
        rows_of(session, shape, keys).await.map_err(|failure| failure.of_rows(attempted))?;
    let mut fresh = stale_of(session, shape, &keys, attempted).await?;
    let mut known: HashSet<Key> =
        if fresh.is_empty() { HashSet::new() } else { keys.iter().cloned().collect() };
    while !fresh.is_empty() {
        fresh.retain(|key| known.insert(key.clone()));
        keys.to_mut().extend_from_slice(&fresh);
        fresh = stale_of(session, shape, &fresh, attempted).await?;
    }
    while !keys.is_empty() {
        for part in parts(&keys) {
            let deleted = session.execute(&sql::rows::delete_keys(shape, part)?).await;
            written += deleted.map_err(|failure| failure.of_rows(attempted))?.rows;
        }
        if *through != Watermark::Start {
            for part in parts(&keys) {
                written += insert(
                    session,
                    shape,
                    &sql::rows::insert_keys(shape, part, through)?,
                    attempted,
                )
                .await?;
            }
        }
        keys = stale_of(session, shape, &keys, attempted).await?.into();
    }
    Ok(written)
}

async fn stale_of(
    session: &mut Session,
    shape: &Shape,
    keys: &[Key],
    attempted: &str,
) -> Result<Vec<Key>> {
    let mut stale = Vec::new();
    for part in parts(keys).into_iter().filter(|_| !shape.own_keys.is_empty()) {
        let found = stale_children(session, shape, &Compared::Keys(part)).await;
        stale.extend(found.map_err(|failure| failure.of_rows(attempted))?);
    }
    Ok(stale)
}

/// Keys, in parts that fit into a statement.
fn parts(keys: &[Key]) -> Vec<&[Key]> {
    let mut parts = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(MOST_KEYS).take_while(|key| {
            bytes += key.size();
            bytes <= MOST_KEY_BYTES
        });
        let (part, tail) = rest.split_at(fits.count().max(1));
        parts.push(part);
        rest = tail;
    }
    parts
}

/// The answers of one snapshot to these statements, one by one until nothing is left to ask.
async fn in_snapshot(
    session: &mut Session,
    statements: &[String],
    is_answered: impl Fn(&[Vec<Cells>]) -> bool,
) -> std::result::Result<Vec<Vec<Cells>>, Failure> {
    for open in sql::compare::OPEN_SNAPSHOT {
        session.execute(open).await?;
    }
    let mut answers = Vec::new();
    let mut outcome = Ok(());
    for statement in statements {
        if is_answered(&answers) {
            break;
        }
        match session.rows(statement).await {
            Ok(rows) => answers.push(rows),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    let closed = session.execute("COMMIT").await;
    outcome?;
    closed?;
    Ok(answers)
}

fn differing(shape: &Shape, answers: &[Vec<Cells>], attempted: &str) -> Result<Vec<Key>> {
    if answers.iter().map(Vec::len).sum::<usize>() as u64 > MOST_DIFFERENCES {
        return Err(Error::fatal(attempted, format!("more than {MOST_DIFFERENCES} rows differ")));
    }
    let mut keys = Vec::new();
    for row in answers.iter().flatten() {
        let key = shape
            .key
            .of_query(row)
            .ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// What must differ between all rows for a unique index of the shadow, said in the source's
/// columns; None if the source's own indexes see to it, or if it cannot be said.
fn newly_unique(shape: &Shape, source: &Table, index: &Index) -> Option<Vec<String>> {
    let pair = |column: &str| shape.columns.iter().find(|pair| is_same(&pair.shadow.name, column));
    let pairs: Vec<_> = index.parts.iter().map(|part| pair(&part.column)).collect::<Option<_>>()?;
    let is_kept = source.indexes.iter().filter(|old| old.unique).any(|old| {
        old.parts.iter().all(|old| {
            index.parts.iter().zip(&pairs).any(|(part, pair)| {
                is_same(&pair.source.name, &old.column)
                    && pair.source.is_alike(&pair.shadow)
                    && (part.prefix.is_none() || part.prefix == old.prefix)
            })
        })
    });
    if is_kept {
        return None;
    }
    index
        .parts
        .iter()
        .zip(pairs)
        .map(|(part, pair)| {
            let value = convert::grouped(pair, "s.")?;
            Some(match part.prefix {
                Some(length) => format!("LEFT({value}, {length})"),
                None => value,
            })
        })
        .collect()
}
