//! Rows of the altered table that the old one cannot hold: misfits. They are noted in a table of
//! ours, in the transaction that finds them.
//!
//! One transaction refreshes many keys, and with them the rows of the old table in their way. It
//! begins with a copy of the altered table's rows, all as they are at one moment: the application
//! goes on exchanging values between rows, and rows of two moments may both hold one. Then it puts
//! the old table's rows aside and deletes them, so that values that moved between rows find their
//! places free. Then it writes the copied rows. If the server refuses a
//! statement, the run halves its keys, down to the rows that do not fit. Their last versions that
//! did fit come back at the end. If a new row has taken the place of such a version, the version
//! stays, and the run writes the others again.

use crate::change::Change;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::lookup::table_exists;
use crate::schema::reverse::Reverse;
use crate::server::doing::Doing;
use crate::server::error::{Failure, is_harmless_warning};
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::compare::keys_of;
use crate::shadow::insert::parts;
use crate::shadow::way_back::{inserts, lossy, make_temporary, put_aside};
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::{Error, Key, Misfits, Result};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// With more keys than this no others are looked for.
const KEYS_MAX: usize = 20_000;

/// How often the rows are copied once more because others were in their way.
const COPIES_MAX: u32 = 5;

/// What a row does not fit, and whether another row is in the way.
type Reason = (String, bool);

/// Refreshes the rows that fit, and notes the others.
pub(crate) async fn refresh_each(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    keys: &[Key],
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let attempted = change.doing("refresh rows of the old table of");
    let Some(reverse) = &mapping.reverse else { return Err(not_turned(attempted)) };
    let _moves = shadow_state.cascades.lock_moves(&mapping).await;
    let mut lease = pool.worker().await?;
    let writing = shadow_state.shadow_writes.begin();
    let session = lease.session();
    make_temporary(session, &mapping, &attempted).await?;
    session.execute(sql::session::BEGIN).await.doing(&attempted)?;
    let rows = sql::reversal::of_rows(&mapping, reverse);
    let mut attempt = Attempt {
        session: &mut *session,
        mapping: &mapping,
        rows: &rows,
        reverse,
        attempted,
        written: 0,
    };
    let mut outcome = attempt.refresh(keys).await;
    let attempted = attempt.attempted;
    let ended = session.execute(sql::session::end(&outcome)).await;
    if let (Ok(_), Err(failure)) = (&outcome, ended) {
        outcome = Err(failure.of_rows(attempted));
    }
    lease.keep();
    writing.end(outcome).map(drop)
}

fn not_turned(attempted: String) -> Error {
    Error::fatal(attempted, "the tables are not swapped yet")
}

/// One transaction.
struct Attempt<'a> {
    session: &'a mut Session,
    mapping: &'a ColumnMapping,
    /// The mapping of the copied rows.
    rows: &'a ColumnMapping,
    reverse: &'a Reverse,
    attempted: String,
    /// Rows of the old table that were written.
    written: u64,
}

impl Attempt<'_> {
    async fn refresh(&mut self, keys: &[Key]) -> Result<u64> {
        let keys = &self.copy_with_those_in_the_way(keys).await?[..];
        put_aside(self.session, self.mapping, self.reverse, keys, &self.attempted).await?;
        for part in parts(keys) {
            let forget = sql::reversal::forget_misfits(self.mapping, self.reverse, part)?;
            self.session.execute(&forget).await.doing(&self.attempted)?;
        }
        // Misfits whose last versions stay where they are.
        let mut staying: HashMap<Key, Reason> = HashMap::new();
        loop {
            let tried: Vec<Key> =
                keys.iter().filter(|key| !staying.contains_key(*key)).cloned().collect();
            self.delete(&tried).await?;
            let failed = self.write_those_that_fit(&tried).await?;
            if self.write_back(failed.iter().map(|(key, _)| key)).await? {
                let mut misfits = self.that_still_do_not_fit(staying).await?;
                misfits.extend(failed);
                self.note(&misfits).await?;
                return Ok(self.written);
            }
            staying.extend(failed);
            self.delete(keys).await?;
            if !self.write_back(staying.keys()).await? {
                let reason = "rows that it held together do not fit any more";
                return Err(Error::fatal(&self.attempted, reason));
            }
        }
    }

    /// Copies the rows of these keys, and those of the old table's rows in their way in a unique
    /// index, and so on. Most of such rows are to change too. Rows that have exchanged their values
    /// can only be written together. Returns all these keys.
    async fn copy_with_those_in_the_way(&mut self, keys: &[Key]) -> Result<Vec<Key>> {
        let mut all = keys.to_vec();
        let mut known: HashSet<Key> = keys.iter().cloned().collect();
        for _ in 0..COPIES_MAX {
            let clear = sql::reversal::clear_rows(self.mapping, self.reverse);
            self.session.execute(&clear).await.doing(&self.attempted)?;
            self.copy(&all).await?;
            let (mut seen, begun_with) = (0, all.len());
            while seen < all.len() && all.len() < KEYS_MAX {
                let found = self.in_the_way(&all[seen..]).await?;
                seen = all.len();
                all.extend(found.into_iter().filter(|key| known.insert(key.clone())));
                self.copy(&all[seen..]).await?;
            }
            if all.len() == begun_with {
                break;
            }
        }
        Ok(all)
    }

    /// Copies the rows of these keys. A part of them is as it is at one moment.
    async fn copy(&mut self, keys: &[Key]) -> Result<()> {
        for part in parts(keys) {
            let fill = sql::reversal::fill_rows(self.mapping, self.reverse, part)?;
            self.session.execute(&fill).await.doing(&self.attempted)?;
        }
        Ok(())
    }

    /// Returns the keys of the old table's rows in the way of the copied rows of these keys.
    async fn in_the_way(&mut self, keys: &[Key]) -> Result<Vec<Key>> {
        let mut all = Vec::new();
        for (part, unique) in parts(keys)
            .into_iter()
            .flat_map(|part| self.reverse.unique.iter().map(move |it| (part, it)))
        {
            let query = sql::reversal::in_the_way(self.rows, unique, part)?;
            let Some(query) = query else { continue };
            let rows = self.session.rows(&query).await.doing(&self.attempted)?;
            all.extend(keys_of(self.mapping, &[rows], &self.attempted)?);
        }
        Ok(all)
    }

    /// Tries rows whose last versions stayed: others that were in their way may not fit themselves.
    async fn that_still_do_not_fit(
        &mut self,
        staying: HashMap<Key, Reason>,
    ) -> Result<HashMap<Key, Reason>> {
        let mut left = HashMap::new();
        for key in staying.into_keys() {
            let alone = std::slice::from_ref(&key);
            self.delete(alone).await?;
            let Some(reason) = self.write(alone).await? else { continue };
            if !self.write_back(alone.iter()).await? {
                return Err(Error::fatal(&self.attempted, "a row does not fit where it was"));
            }
            left.insert(key, reason);
        }
        Ok(left)
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<()> {
        for part in parts(keys) {
            let delete = sql::rows::delete_keys(self.mapping, part)?;
            let deleted = self.session.execute(&delete).await;
            self.written += deleted.doing(&self.attempted)?.rows;
        }
        Ok(())
    }

    /// Writes the rows that fit, and returns the others.
    async fn write_those_that_fit(&mut self, keys: &[Key]) -> Result<Vec<(Key, Reason)>> {
        let mut failed = Vec::new();
        let mut left = parts(keys);
        left.reverse();
        while let Some(part) = left.pop() {
            match (self.write(part).await?, part) {
                (None, _) => {}
                (Some(reason), [alone]) => failed.push((alone.clone(), reason)),
                (Some(_), part) => {
                    let (first, rest) = part.split_at(part.len() / 2);
                    left.extend([rest, first]);
                }
            }
        }
        Ok(failed)
    }

    /// Writes all these rows or none. Returns why one of them does not fit.
    async fn write(&mut self, keys: &[Key]) -> Result<Option<Reason>> {
        let mut written = 0;
        let mut reason = None;
        for statement in inserts(self.rows, self.reverse, keys, true)? {
            match self.session.execute(&statement).await {
                Ok(done) => {
                    written += done.rows;
                    if done.warnings > 0 {
                        reason = self.lost_value().await?;
                    }
                }
                Err(failure) => match failure.misfit() {
                    Some(misfit) => reason = Some(misfit),
                    None => return Err(failure.of_rows(&self.attempted)),
                },
            }
            if reason.is_some() {
                break;
            }
        }
        self.written += written;
        if reason.is_none() {
            let (rows, reverse) = (self.rows, self.reverse);
            let lossy = lossy(self.session, rows, reverse, keys, &self.attempted).await?;
            reason = lossy.map(|object| (object, false));
        }
        if reason.is_some() && written > 0 {
            self.delete(keys).await?;
        }
        Ok(reason)
    }

    /// Returns what the server's warnings say that a row has lost.
    async fn lost_value(&mut self) -> Result<Option<Reason>> {
        let warnings = self.session.rows(sql::session::WARNINGS).await.doing(&self.attempted)?;
        let mut warnings = warnings.iter().map(|row| {
            let code = number(&row[1]).unwrap_or_default() as u16;
            (code, Failure::Server { code, message: text(&row[2]) })
        });
        let lost = warnings.find(|(code, _)| !is_harmless_warning(*code));
        Ok(lost.map(|(_, warning)| warning.misfit().unwrap_or(("a column".to_owned(), false))))
    }

    /// Writes rows as they were. Returns false if another row is in the way.
    async fn write_back(&mut self, keys: impl Iterator<Item = &Key>) -> Result<bool> {
        let keys: Vec<Key> = keys.cloned().collect();
        for part in parts(&keys) {
            let write = sql::reversal::write_back(self.mapping, self.reverse, part)?;
            match self.session.execute(&write).await {
                Ok(done) => self.written += done.rows,
                Err(failure) if failure.misfit().is_some_and(|(_, is_blocked)| is_blocked) => {
                    return Ok(false);
                }
                Err(failure) => return Err(failure.of_rows(&self.attempted)),
            }
        }
        Ok(true)
    }

    async fn note(&mut self, misfits: &HashMap<Key, Reason>) -> Result<()> {
        let keys: Vec<Key> = misfits.keys().cloned().collect();
        for part in parts(&keys) {
            let noted = |key: &Key| {
                let (object, is_blocked) = misfits[key].clone();
                (key.clone(), object, is_blocked)
            };
            let noted: Vec<(Key, String, bool)> = part.iter().map(noted).collect();
            let note = sql::reversal::note_misfits(self.mapping, self.reverse, &noted)?;
            self.session.execute(&note).await.doing(&self.attempted)?;
        }
        Ok(())
    }
}

/// Counts the misfits by what they do not fit.
pub(crate) async fn count_misfits(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Vec<Misfits>> {
    let attempted = || change.doing("count the rows that do not fit the old table of");
    let mut session = pool.reader().await?;
    if !table_exists(&mut session, &change.names.misfits).await? {
        return Ok(Vec::new());
    }
    let query = sql::reversal::count_misfits(&change.source, &change.names.misfits);
    let rows = session.rows(&query).await.doing_in_catalogue(attempted)?;
    let misfits = |row: &crate::server::session::Cells| Misfits {
        object: text(&row[0]),
        rows: number(&row[1]).unwrap_or_default(),
    };
    Ok(rows.iter().map(misfits).collect())
}

/// Returns keys of misfits that another row is in the way of.
pub(crate) async fn blocked_misfits(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    most: usize,
) -> Result<Vec<Key>> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let attempted = change.doing("look for rows that may fit the old table of");
    let Some(reverse) = &mapping.reverse else { return Err(not_turned(attempted)) };
    let query = sql::reversal::blocked_misfits(&mapping, reverse, most);
    let rows = pool.reader().await?.rows(&query).await.doing(&attempted)?;
    let unread = || Error::fatal(&attempted, "a key cannot be read");
    rows.iter().map(|row| mapping.key.of_query(row).ok_or_else(unread)).collect()
}
