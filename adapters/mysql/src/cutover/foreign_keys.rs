//! Foreign keys, from the table and to it, carried over the swap.
//!
//! A key that refuses (RESTRICT, NO ACTION) must not stand on a shadow that is behind: it would refuse what the
//! application may do. So the shadow has no foreign keys until it is equal to the locked source. Then, still under the
//! lock, every key is set up a second time under a temporary name, between the shadow and whatever is at its other end:
//! with `foreign_key_checks=0` that only changes the catalogue. RENAME TABLE carries those keys along, so from the very
//! moment of the swap the new table is bound as the old one was. Only then the old table's keys go, and the names are
//! put right. Whoever dies in between, there are too many keys and never too few: a row may be refused that need not
//! be, and none gets in, or loses its parent, that must not. What was meant is in the journal before the first of these
//! statements, so the same command finds out how far it came and goes on ([`Bonds::settle`], [`Bonds::withdraw`]).
//!
//! A key whose actions write (CASCADE, SET NULL) changes rows inside InnoDB without a word in the log, on every MariaDB and on
//! MySQL before 9.6; MySQL 9.6 logs such rows as any others. On MySQL the parents' own changes tell which rows that
//! were ([`crate::log::cascades`]), and so they do on MariaDB if such a key refers to the table itself. Otherwise MariaDB has the
//! means to let the server do it: there such a key stands on the shadow from its creation, *early*, and the server itself
//! changes both tables' rows in the same transaction. Three things make that right:
//!
//! - A row is put into the shadow with `foreign_key_checks=1`: its parent is there, and stays locked until the row is. So a
//!   parent's change comes before, and the row is read again, or after, and finds the row.
//! - Our sessions do not wait for rows' locks, they try again: who does not wait has no part in a deadlock.
//! - An early key refuses nothing, for the shadow may be behind: where the source's key refuses one of the two actions, the
//!   early one follows it. When a parent's change has passed the source's own key, no row of the source refers to it, so any
//!   row of the shadow that does is stale, and its refresh is still to come.

use crate::cutover::hands::Hands;
use crate::facts::Carried;
use crate::log::cascades::Parent;
use crate::schema::columns::Shape;
use crate::schema::foreign_key::{ForeignKey, OwnKey, foreign_keys, writes};
use crate::schema::table::{Index, Table, is_same};
use crate::server::error::Failure;
use crate::server::names::{TableName, hash};
use crate::server::pool::Slot;
use crate::server::session::{Session, text};
use crate::server::version::{Flavour, Version};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, ForeignKeys, Kind, Refusal, Result};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// A statement that alters one of the tables that foreign keys bind together.
#[derive(Clone, Debug)]
pub(crate) struct Altered {
    pub table: TableName,
    pub statement: String,
}

/// The foreign keys of one swap, and the names it is between.
#[derive(Clone, Debug)]
pub(crate) struct Bonds {
    version: Version,
    source: TableName,
    shadow: TableName,
    old: TableName,
    /// What the names of early keys begin with.
    early: String,
    carried: Vec<Carried>,
}

/// How the shadow comes to know what the actions of foreign keys do to the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ToldBy {
    /// The log has it like any other change.
    Log,
    /// The same keys stand on the shadow from its beginning.
    EarlyKeys,
    /// What sets them off is followed, see [`crate::log::cascades`].
    Parents,
}

/// Why a key stands in the way whose actions are not in the log, and what to do.
fn unlogged(key: &ForeignKey, why: &str) -> (String, &'static str) {
    let actions = format!("it is ON DELETE {} ON UPDATE {}", key.on_delete, key.on_update);
    let reason = format!("{actions}, this server does not log what that does to the table's rows, and {why}");
    (reason, "drop it, or make it refuse (NO ACTION), for the time of the change")
}

const CORRECT_ROWS: &str = "give these rows a parent, or delete them, and give the same command again";

/// The indexes that the server may have made for a foreign key by itself. It replaces such an index, rebuilding it and
/// under another name, when a key is added; an index that was renamed, even to its own name, is ours to keep.
fn own_indexes<'t, 'k>(table: &'t Table, keys: impl Iterator<Item = &'k ForeignKey>) -> BTreeSet<&'t str> {
    let lists: Vec<&[String]> = keys.map(|key| &key.columns[..]).collect();
    let may_be_made = |index: &&crate::schema::table::Index| {
        !index.unique
            && lists.iter().any(|columns| {
                columns.len() == index.parts.len()
                    && index.parts.iter().zip(*columns).all(|(part, column)| is_same(&part.column, column))
            })
    };
    table.indexes.iter().filter(may_be_made).map(|index| &*index.name).collect()
}

/// Clauses that make such indexes ours to keep.
fn keep_indexes<'a>(table: &Table, keys: impl Iterator<Item = &'a ForeignKey>) -> Vec<String> {
    let renamed = |index: &&str| format!("RENAME INDEX {} TO {}", sql::quote(index), sql::quote(index));
    own_indexes(table, keys).iter().map(renamed).collect()
}

/// Whether the table has an index that begins with these columns, whole.
fn has_index(table: &Table, columns: &[String]) -> bool {
    index_over(table, columns).is_some()
}

/// The first index of the table that begins with these columns, whole.
fn index_over<'t>(table: &'t Table, columns: &[String]) -> Option<&'t Index> {
    table.indexes.iter().find(|index| {
        index.parts.len() >= columns.len()
            && index
                .parts
                .iter()
                .zip(columns)
                .all(|(part, column)| part.prefix.is_none() && is_same(&part.column, column))
    })
}

impl Bonds {
    /// Further tables for LOCK TABLES; begins with a comma if there are any. MySQL wants the parents of new keys to be locked too.
    pub(crate) fn further_locks(&self) -> String {
        let mut tables = self.children();
        for carried in self.carried.iter().filter(|carried| carried.is_new && carried.key.parent != self.source) {
            if !tables.contains(&carried.key.parent) {
                tables.push(carried.key.parent.clone());
            }
        }
        tables.iter().map(|table| format!(", {} WRITE", sql::table(table))).collect()
    }

    /// Other tables that this one has keys to.
    fn parents(&self) -> impl Iterator<Item = &TableName> {
        let own = self.carried.iter().filter(|carried| carried.key.child == self.source);
        own.map(|carried| &carried.key.parent).filter(|parent| **parent != self.source)
    }

    /// Other tables with keys to this one.
    pub(crate) fn children(&self) -> Vec<TableName> {
        let mut children: Vec<TableName> = Vec::new();
        for carried in self.carried.iter().filter(|carried| carried.key.child != self.source) {
            if !children.contains(&carried.key.child) {
                children.push(carried.key.child.clone());
            }
        }
        children
    }

    fn of<'a>(&'a self, child: &'a TableName) -> impl Iterator<Item = &'a Carried> {
        self.carried.iter().filter(move |carried| carried.key.child == *child)
    }

    /// The shadow, for the source; other tables stay.
    fn before_swap(&self, name: &TableName) -> TableName {
        if *name == self.source { self.shadow.clone() } else { name.clone() }
    }

    fn alter(&self, table: &TableName, clauses: &[String]) -> String {
        sql::ddl::alter(&self.source, table, &format!("{}, ALGORITHM=INPLACE", clauses.join(", ")))
    }

    /// The statements that bind the shadow as the source is bound, under temporary names.
    pub(crate) async fn standing(&self, session: &mut Session) -> std::result::Result<Vec<Altered>, Failure> {
        let mut statements = Vec::new();
        let mut tables = self.children();
        if self.of(&self.source).next().is_some() {
            tables.insert(0, self.source.clone());
        }
        for child in &tables {
            let table = self.before_swap(child);
            let Some(found) = Table::read(session, self.version, &table).await? else { continue };
            let mut clauses = keep_indexes(&found, self.of(child).map(|carried| &carried.key));
            clauses.extend(self.of(child).map(|carried| {
                let meanwhile = ForeignKey {
                    name: carried.temporary.clone(),
                    parent: self.before_swap(&carried.key.parent),
                    ..carried.key.clone()
                };
                format!("ADD {}", meanwhile.definition(self.version))
            }));
            let statement = self.alter(&table, &clauses);
            statements.push(Altered { table, statement });
        }
        Ok(statements)
    }

    /// Takes the temporary keys away that are still between the shadow and others. Does nothing to a table that is
    /// swapped.
    pub(crate) async fn withdraw(&self, session: &mut Session) -> std::result::Result<(), Failure> {
        for altered in self.withdrawn(session).await? {
            session.execute(&altered.statement).await?;
        }
        Ok(())
    }

    /// The statements that do so.
    pub(crate) async fn withdrawn(&self, session: &mut Session) -> std::result::Result<Vec<Altered>, Failure> {
        let mut statements = Vec::new();
        let names: BTreeSet<&str> = self.carried.iter().map(|carried| &*carried.temporary).collect();
        let standing: Vec<ForeignKey> =
            foreign_keys(session, &self.shadow).await?.into_iter().filter(|key| names.contains(&*key.name)).collect();
        let mut tables = self.children();
        tables.push(self.shadow.clone());
        for child in tables {
            let drops: Vec<String> =
                standing.iter().filter(|key| key.child == child).map(|key| drop(&key.name)).collect();
            if !drops.is_empty() {
                let statement = self.alter(&child, &drops);
                statements.push(Altered { table: child, statement });
            }
        }
        Ok(statements)
    }

    /// After the swap: the old table has no foreign keys and none point to it, and all have their own names. May be
    /// called again, and goes on from wherever it came to.
    pub(crate) async fn settle(&self, hands: &mut Hands<'_>) -> std::result::Result<(), Failure> {
        self.settle_others(hands).await?;
        self.settle_source(hands).await
    }

    /// The new table's part of that.
    pub(crate) async fn settle_source(&self, hands: &mut Hands<'_>) -> std::result::Result<(), Failure> {
        self.name(hands, &self.source).await
    }

    /// The old table's and the children's part of that.
    pub(crate) async fn settle_others(&self, hands: &mut Hands<'_>) -> std::result::Result<(), Failure> {
        let left = foreign_keys(hands.control, &self.old).await?;
        let drops: Vec<String> = left.iter().filter(|key| key.child == self.old).map(|key| drop(&key.name)).collect();
        if !drops.is_empty() {
            hands.alter(&self.old, &self.alter(&self.old, &drops)).await?;
        }
        for child in self.children() {
            let stray: Vec<String> = left
                .iter()
                .filter(|key| key.is_between(&child, &self.old))
                .filter(|key| self.of(&child).any(|carried| carried.key.name == key.name))
                .map(|key| drop(&key.name))
                .collect();
            if !stray.is_empty() {
                hands.alter(&child, &self.alter(&child, &stray)).await?;
            }
            self.name(hands, &child).await?;
        }
        Ok(())
    }

    /// Gives a table's keys their own names in place of the temporary ones, in one statement.
    async fn name(&self, hands: &mut Hands<'_>, child: &TableName) -> std::result::Result<(), Failure> {
        let now = foreign_keys(hands.control, child).await?;
        let stands = |name: &str| now.iter().any(|key| key.child == *child && key.name == name);
        let is_early = |key: &&ForeignKey| key.child == *child && key.name.starts_with(&self.early);
        let mut clauses: Vec<String> = now.iter().filter(is_early).map(|key| drop(&key.name)).collect();
        for carried in self.of(child) {
            if stands(&carried.temporary) {
                clauses.push(drop(&carried.temporary));
            }
            if !stands(&carried.key.name) {
                clauses.push(format!("ADD {}", carried.key.definition(self.version)));
            }
        }
        if !clauses.is_empty() {
            hands.alter(child, &self.alter(child, &clauses)).await?;
        }
        Ok(())
    }
}

/// A key that the clauses add, as one of the source that is; None where its columns are new or will be others: then only the new
/// table can tell whether its rows keep to it.
fn before_change(key: &ForeignKey, shape: &Shape) -> Option<ForeignKey> {
    let before = |column: &String| {
        let pair = shape.columns.iter().find(|pair| is_same(&pair.shadow.name, column))?;
        pair.source.is_alike(&pair.shadow).then(|| pair.source.name.clone())
    };
    Some(ForeignKey { columns: key.columns.iter().map(before).collect::<Option<_>>()?, ..key.clone() })
}

fn drop(name: &str) -> String {
    format!("DROP FOREIGN KEY {}", sql::quote(name))
}

fn refusal(object: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { object: object.into(), reason: reason.into(), remedy: remedy.into() }
}

impl MySql {
    /// The foreign keys from the table and to it.
    pub(crate) async fn source_keys(&self, session: &mut Session) -> Result<Vec<ForeignKey>> {
        foreign_keys(session, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look for foreign keys of")))
    }

    /// The foreign keys that will be carried, with the columns' names after the change, and those that the clauses add.
    fn carried(&self, keys: &[ForeignKey], added: &[ForeignKey], shape: &Shape) -> Vec<Carried> {
        let hash = hash(&self.title);
        let is_left = |key: &ForeignKey| self.target.foreign_keys != ForeignKeys::Carry || self.drops(key);
        keys.iter()
            .filter(|key| key.child != self.source || !is_left(key))
            .map(|key| (self.renamed(key, shape), false))
            .chain(self.named(added, keys).into_iter().map(|key| (key, true)))
            .zip(1..)
            .map(|((key, is_new), number)| Carried { temporary: format!("_ag_{hash:016x}_{number}"), key, is_new })
            .collect()
    }

    /// Keys that the clauses gave to a copy of the source, as keys of the source: those that they do not name get the number after
    /// its highest, as from the server.
    fn named(&self, added: &[ForeignKey], keys: &[ForeignKey]) -> Vec<ForeignKey> {
        let generated = |table: &str, name: &str| name.strip_prefix(&format!("{table}_ibfk_"))?.parse::<u64>().ok();
        let own = keys.iter().filter(|key| key.child == self.source);
        let highest = own.filter_map(|key| generated(&self.source.name, &key.name)).max().unwrap_or(0);
        let name = |key: &ForeignKey| match generated(&key.child.name, &key.name) {
            Some(number) => format!("{}_ibfk_{}", self.source.name, highest + number),
            None => key.name.clone(),
        };
        added.iter().map(|key| ForeignKey { child: self.source.clone(), name: name(key), ..key.clone() }).collect()
    }

    /// Whether the clauses drop a key.
    fn drops(&self, key: &ForeignKey) -> bool {
        key.child == self.source && self.dropped_keys.contains(&key.name)
    }

    /// A key with the columns' names after the change.
    fn renamed(&self, key: &ForeignKey, shape: &Shape) -> ForeignKey {
        let after = |table: &TableName, columns: &[String]| match *table == self.source {
            true => columns.iter().map(|column| shape.name_after(column)).collect(),
            false => columns.to_vec(),
        };
        ForeignKey {
            columns: after(&key.child, &key.columns),
            parent_columns: after(&key.parent, &key.parent_columns),
            ..key.clone()
        }
    }

    fn bonds_of(&self, carried: Vec<Carried>) -> Bonds {
        Bonds {
            version: self.server.version,
            source: self.source.clone(),
            shadow: self.names.shadow.clone(),
            old: self.names.old.clone(),
            early: self.early_prefix(),
            carried,
        }
    }

    /// What the swap has to carry, as the catalogue has it now, noted in the journal; None if there is nothing.
    pub(crate) async fn note_bonds(&self, shape: &Shape) -> Result<Option<Bonds>> {
        let mut session = self.crew.reader().await?;
        let keys = self.source_keys(&mut session).await?;
        let mut facts = self.entry(&mut session).await?.facts;
        let noted = Some(self.carried(&keys, &facts.added_keys, shape))
            .filter(|_| !keys.is_empty() || !facts.added_keys.is_empty());
        if facts.foreign_keys != noted {
            facts.foreign_keys = noted.clone();
            self.save_facts(&facts).await?;
        }
        Ok(noted.map(|carried| self.bonds_of(carried)))
    }

    /// What the journal says a swap had to carry.
    async fn noted_bonds(&self) -> Result<Option<Bonds>> {
        let mut session = self.crew.reader().await?;
        let facts = self.entry(&mut session).await?.facts;
        Ok(facts.foreign_keys.map(|carried| self.bonds_of(carried)))
    }

    /// Takes away what an attempt that did not end has left between the shadow and others.
    pub(crate) async fn withdraw_bonds(&self) -> Result<()> {
        let Some(bonds) = self.noted_bonds().await? else { return Ok(()) };
        let mut control = self.crew.lease(Slot::Control).await?;
        let outcome = bonds.withdraw(control.session()).await;
        control.keep();
        outcome
            .map_err(|failure| failure.of_catalogue(self.doing("take temporary foreign keys away from the shadow of")))
    }

    /// After the swap: puts every foreign key in its place, and forgets that there were any to carry.
    pub(crate) async fn settle_bonds(&self) -> Result<()> {
        let Some(bonds) = self.noted_bonds().await? else { return Ok(()) };
        let attempted = || self.doing("put foreign keys in their places after the swap of");
        let mut control = self.crew.lease(Slot::Control).await?;
        let outcome = bonds.settle(&mut Hands::one(control.session())).await;
        control.keep();
        outcome.map_err(|failure| failure.of_catalogue(attempted()))?;
        let mut session = self.crew.reader().await?;
        let left =
            foreign_keys(&mut session, &self.names.old).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        if let Some(key) = left.first() {
            let reason =
                format!("{} was made during the cut-over; drop it, and make it anew for the new table", key.describe());
            return Err(Error::new(Kind::Fatal, attempted(), reason));
        }
        for carried in bonds.carried.iter().filter(|carried| carried.is_new) {
            self.check_rows(&mut session, &carried.key).await?;
        }
        let mut facts = self.entry(&mut session).await?.facts;
        facts.foreign_keys = None;
        self.save_facts(&facts).await
    }

    /// Takes the foreign keys away again that the clauses have given to the empty shadow; gives them.
    pub(crate) async fn take_added_keys(&self, session: &mut Session) -> std::result::Result<Vec<ForeignKey>, Failure> {
        let added = foreign_keys(session, &self.names.shadow).await?;
        let drops: Vec<String> = added.iter().map(|key| drop(&key.name)).collect();
        if !drops.is_empty() {
            session.execute(&sql::ddl::alter(&self.source, &self.names.shadow, &drops.join(", "))).await?;
        }
        Ok(added)
    }

    /// When all is copied: whether the rows keep to the keys that the clauses add.
    pub(crate) async fn check_added_keys(&self) -> Result<()> {
        let shape = self.shape().await?;
        let mut session = self.crew.reader().await?;
        let added = self.entry(&mut session).await?.facts.added_keys;
        let keys = self.source_keys(&mut session).await?;
        for key in self.named(&added, &keys) {
            if let Some(before) = before_change(&key, &shape) {
                self.check_rows(&mut session, &before).await?;
            }
        }
        Ok(())
    }

    /// An error if a row of the table does not keep to the key.
    async fn check_rows(&self, session: &mut Session, key: &ForeignKey) -> Result<()> {
        let attempted = || self.doing(&format!("look for rows that {} does not allow in", key.describe()));
        match session.row(&self.orphans_of(key)).await.map_err(|failure| failure.of_rows(attempted()))? {
            None => Ok(()),
            Some(_) => Err(Error::new(Kind::Fatal, attempted(), format!("there are some: {CORRECT_ROWS}"))),
        }
    }

    fn orphans_of(&self, key: &ForeignKey) -> String {
        sql::catalogue::has_orphans(&self.source, &key.child, &key.columns, &key.parent, &key.parent_columns)
    }

    /// What stands in the way of a key that the clauses have given to the clone.
    pub(crate) async fn refuse_added_keys(&self, session: &mut Session, shape: &Shape) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look for foreign keys of the altered clone of");
        let added =
            foreign_keys(session, &self.names.clone).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        let keys = self.source_keys(session).await?;
        let mut refusals = Vec::new();
        for key in self.named(&added, &keys) {
            let mut refuse = |reason: &str, remedy: &str| refusals.push(refusal(key.describe(), reason, remedy));
            if self.target.foreign_keys == ForeignKeys::Refuse {
                refuse("foreign keys are to be refused", "leave out --foreign-keys refuse");
                continue;
            }
            let parent = self.parent_of(session, &key).await?;
            if key.parent != self.source && !parent.is_some_and(|parent| has_index(&parent, &key.parent_columns)) {
                refuse("the columns it refers to are not there, or have no index", "give them one, or leave it out");
                continue;
            }
            let Some(before) = before_change(&key, shape) else { continue };
            let found = session.row(&self.orphans_of(&before)).await.map_err(|failure| failure.of_rows(attempted()))?;
            if found.is_some() {
                refuse("rows of the table refer to a parent that is not there", CORRECT_ROWS);
            }
        }
        Ok(refusals)
    }

    fn early_prefix(&self) -> String {
        format!("_ag_{:016x}_early_", hash(&self.title))
    }

    /// The keys of the source that must stand on the shadow from its beginning.
    pub(crate) async fn early_keys(&self, session: &mut Session) -> Result<Vec<ForeignKey>> {
        let keys = self.source_keys(session).await?;
        if self.told_by(session, &keys).await != ToldBy::EarlyKeys {
            return Ok(Vec::new());
        }
        // Those that the clauses drop too: until the swap they act.
        Ok(keys.into_iter().filter(|key| key.child == self.source && key.writes()).collect())
    }

    /// The parents that the cut-over locks: of the keys that are there, and of those that come. A key that is dropped or left
    /// out refuses deletes of its parent too, until the old table has lost it.
    pub(crate) async fn parents_to_lock(&self, bonds: Option<&Bonds>) -> Result<Vec<TableName>> {
        let mut session = self.crew.reader().await?;
        let keys = self.source_keys(&mut session).await?;
        let own = keys.iter().filter(|key| key.child == self.source && key.parent != self.source);
        let mut parents: Vec<TableName> = Vec::new();
        for parent in bonds.iter().flat_map(|bonds| bonds.parents()).chain(own.map(|key| &key.parent)) {
            if !parents.contains(parent) {
                parents.push(parent.clone());
            }
        }
        Ok(parents)
    }

    /// Gives the empty, altered shadow the keys that must stand on it from the beginning; the module says why.
    pub(crate) async fn found_keys(&self) -> Result<()> {
        let attempted = || self.doing("give foreign keys to the shadow of");
        let shape = self.shape().await?;
        let mut session = self.crew.reader().await?;
        let early = self.early_keys(&mut session).await?;
        let early: Vec<ForeignKey> = early.iter().map(|key| self.renamed(key, &shape)).collect();
        if early.is_empty() {
            return Ok(());
        }
        let shadow = self.look(&mut session, &self.names.shadow).await?;
        let mut clauses = keep_indexes(&shadow, early.iter());
        clauses.extend(early.into_iter().zip(1..).map(|(key, number)| {
            let key = ForeignKey { name: format!("{}{number}", self.early_prefix()), ..key.following() };
            format!("ADD {}", key.definition(self.server.version))
        }));
        let alter =
            sql::ddl::alter(&self.source, &self.names.shadow, &format!("{}, ALGORITHM=INPLACE", clauses.join(", ")));
        let control = self.crew.lease(Slot::Control).await?;
        control.execute(&alter).await.map_err(|failure| failure.of_clauses(attempted()))?;
        self.crew.checks_parents.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the shadow has early keys.
    pub(crate) async fn has_early_keys(&self, session: &mut Session) -> Result<bool> {
        let keys = foreign_keys(session, &self.names.shadow)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look for foreign keys of the shadow of")))?;
        Ok(keys.iter().any(|key| key.name.starts_with(&self.early_prefix())))
    }

    /// How the shadow comes to know what the actions of the table's own keys do; the keys are those from it and to it.
    async fn told_by(&self, session: &mut Session, keys: &[ForeignKey]) -> ToldBy {
        let has_to_itself = || keys.iter().any(|key| key.is_between(&self.source, &self.source) && key.writes());
        match self.server.version.flavour {
            Flavour::MySql
                if self.server.version.is_mysql_since((9, 6, 0))
                    && session
                        .text(sql::catalogue::NATIVE_FOREIGN_KEYS)
                        .await
                        .is_ok_and(|value| matches!(&*value, "0" | "OFF")) =>
            {
                ToldBy::Log
            }
            // An early key's action would be another that the log does not tell, and the rows below such a row would stay.
            Flavour::MariaDb if !has_to_itself() => ToldBy::EarlyKeys,
            Flavour::MySql | Flavour::MariaDb => ToldBy::Parents,
        }
    }

    /// The keys of the table to itself whose actions are not in the log.
    pub(crate) async fn own_keys(&self, session: &mut Session, shape: &Shape) -> Result<Vec<OwnKey>> {
        let keys = self.source_keys(session).await?;
        if self.told_by(session, &keys).await != ToldBy::Parents {
            return Ok(Vec::new());
        }
        let acting = keys.iter().filter(|key| key.is_between(&self.source, &self.source) && key.writes());
        let own = |key: &ForeignKey| {
            OwnKey::of(key, &shape.key)
                .ok_or_else(|| Error::refused(self.doing("follow"), format!("{} cannot be followed", key.describe())))
        };
        acting.map(own).collect()
    }

    /// The foreign keys that the swap could not carry, or must not, by name.
    pub(crate) async fn refuse_foreign_keys(
        &self,
        session: &mut Session,
        shape: &Shape,
        altered: &Table,
    ) -> Result<Vec<Refusal>> {
        let keys = self.source_keys(session).await?;
        let told_by = self.told_by(session, &keys).await;
        let mut refusals = Vec::new();
        for key in &keys {
            let found = match told_by {
                _ if key.child != self.source || !key.writes() => None,
                ToldBy::Log => None,
                ToldBy::EarlyKeys if self.target.foreign_keys == ForeignKeys::Carry => None,
                ToldBy::EarlyKeys => Some(unlogged(key, "without it the new table could not be kept current")),
                ToldBy::Parents => self.in_the_way_unlogged(session, key, shape).await?,
            };
            let is_early = told_by == ToldBy::EarlyKeys && key.child == self.source && key.writes();
            let found = found.or_else(|| self.in_the_way(key, shape, altered, is_early));
            refusals.extend(found.map(|(reason, remedy)| refusal(key.describe(), reason, remedy)));
        }
        refusals.extend(self.refuse_hidden_keys(session, &keys).await);
        if told_by == ToldBy::EarlyKeys {
            for key in keys.iter().filter(|key| key.child == self.source && key.writes()) {
                let found = session
                    .row(&self.orphans_of(key))
                    .await
                    .map_err(|failure| failure.of_rows(self.doing("look for rows without a parent in")))?;
                if found.is_some() {
                    let reason = "rows of the table refer to a parent that is not there";
                    refusals.push(refusal(key.describe(), reason, "give these rows a parent, or delete them"));
                }
            }
        }
        Ok(refusals)
    }

    /// Why a key of the table cannot be followed whose actions the log does not tell.
    async fn in_the_way_unlogged(
        &self,
        session: &mut Session,
        key: &ForeignKey,
        shape: &Shape,
    ) -> Result<Option<(String, &'static str)>> {
        let because = |why: &str| Ok(Some(unlogged(key, why)));
        let is_alike = |column: &String| {
            let pair = shape.columns.iter().find(|pair| is_same(&pair.source.name, column));
            pair.is_some_and(|pair| pair.source.is_alike(&pair.shadow))
        };
        if !key.columns.iter().all(is_alike) {
            return because("one of its columns would not be the same afterwards");
        }
        if key.parent == self.source {
            return match OwnKey::of(key, &shape.key) {
                Some(_) => Ok(None),
                None => because(&format!(
                    "it does not refer to the columns of {}, by which rows are followed",
                    shape.key.index
                )),
            };
        }
        let parent = &key.parent.plain();
        let Some(table) = self.parent_of(session, key).await? else {
            return because(&format!("{parent} may not be seen"));
        };
        if Parent::of(key, &table).is_none() {
            return because(&format!("values of {parent} cannot be told from the log"));
        }
        let above = foreign_keys(session, &key.parent)
            .await
            .map_err(|failure| failure.of_catalogue(format!("look for foreign keys of {parent}")))?;
        if let Some(above) = above.iter().find(|above| above.changes_parents_of(key)) {
            return because(&format!("{} changes rows of {parent} in the same way", above.describe()));
        }
        let image = session
            .text(sql::log::ROW_IMAGE)
            .await
            .map_err(|failure| failure.of_catalogue("look at binlog_row_image"))?;
        let is_primary = table.indexes.iter().any(|index| {
            let refers_to = |column: &String| index.parts.iter().any(|part| is_same(&part.column, column));
            index.name == "PRIMARY" && key.parent_columns.iter().all(refers_to)
        });
        if image == "MINIMAL" && !is_primary {
            return because(&format!(
                "binlog_row_image is MINIMAL, so the log does not hold what rows of {parent} it was"
            ));
        }
        Ok(None)
    }

    async fn parent_of(&self, session: &mut Session, key: &ForeignKey) -> Result<Option<Table>> {
        Table::read(session, self.server.version, &key.parent)
            .await
            .map_err(|failure| failure.of_catalogue(format!("look at {}", key.parent.plain())))
    }

    /// The parents of the table whose changes tell what is not in the log.
    pub(crate) async fn parents_to_follow(&self) -> Result<Vec<Parent>> {
        let mut session = self.crew.reader().await?;
        let mut parents = Vec::new();
        let keys = self.source_keys(&mut session).await?;
        if self.told_by(&mut session, &keys).await != ToldBy::Parents {
            return Ok(parents);
        }
        for key in keys.into_iter().filter(|key| key.child == self.source && key.parent != self.source && key.writes())
        {
            let table = self.parent_of(&mut session, &key).await?;
            let parent = table.and_then(|table| Parent::of(&key, &table));
            parents.push(parent.ok_or_else(|| {
                Error::refused(self.doing("follow"), format!("rows of {} cannot be followed", key.parent.plain()))
            })?);
        }
        Ok(parents)
    }

    /// The indexes of a shadow that must never be missing: its rows are found by them, or an early key needs them. A key
    /// whose index is missing refuses every change of its parent's rows.
    pub(crate) async fn indexes_of_use(
        &self,
        session: &mut Session,
        altered: &TableName,
        shape: &Shape,
    ) -> Result<Vec<String>> {
        let mut names = vec![shape.key.shadow_index.clone()];
        let table = self.look(session, altered).await?;
        let parents = self.parents_to_follow().await?;
        let of_parents = parents.iter().map(Parent::child_columns);
        let early = self.early_keys(session).await?;
        let of_early = early.iter().map(|key| &key.columns[..]);
        for columns in of_parents.chain(of_early).chain(shape.own_keys.iter().map(|own| &own.columns[..])) {
            let columns: Vec<String> = columns.iter().map(|column| shape.name_after(column)).collect();
            names.extend(index_over(&table, &columns).map(|index| index.name.clone()));
        }
        Ok(names)
    }

    fn in_the_way(
        &self,
        key: &ForeignKey,
        shape: &Shape,
        altered: &Table,
        is_early: bool,
    ) -> Option<(String, &'static str)> {
        const AFTERWARDS: &str = "drop it before the change and add it again after it";
        let is_own = key.child == self.source;
        if self.drops(key) && !is_early {
            return None;
        }
        match self.target.foreign_keys {
            ForeignKeys::Refuse => {
                return Some(("foreign keys are to be refused".into(), "leave out --foreign-keys refuse"));
            }
            ForeignKeys::Discard if is_own => return None,
            ForeignKeys::Discard => {
                return Some((
                    "only the table's own foreign keys can be left out".into(),
                    "drop it first, or leave out --foreign-keys discard",
                ));
            }
            ForeignKeys::Carry => {}
        }
        let mut ends: Vec<&[String]> = Vec::new();
        if is_own {
            ends.push(&key.columns);
        }
        if key.parent == self.source {
            ends.push(&key.parent_columns);
        }
        for columns in ends {
            for column in columns {
                let pair = shape.columns.iter().find(|pair| is_same(&pair.source.name, column));
                if !pair.is_some_and(|pair| pair.source.is_alike(&pair.shadow)) {
                    return Some((format!("column {column} would not be the same afterwards"), AFTERWARDS));
                }
            }
            let after: Vec<String> = columns.iter().map(|column| shape.name_after(column)).collect();
            if !has_index(altered, &after) {
                return Some((format!("no index would begin with {}", after.join(", ")), AFTERWARDS));
            }
        }
        None
    }

    /// Keys of tables that this user may not see would go on pointing to the old table.
    async fn refuse_hidden_keys(&self, session: &mut Session, seen: &[ForeignKey]) -> Option<Refusal> {
        let count = session.text(&sql::catalogue::count_keys_to(self.server.version, &self.source)).await.ok()?;
        let seen = seen.iter().filter(|key| key.parent == self.source).count();
        (count.parse::<usize>().ok()? > seen).then(|| {
            refusal(
                format!("foreign keys to {}", self.title),
                format!("{count} point to it, and this user sees {seen} of them"),
                "grant it SELECT and ALTER on the tables they belong to",
            )
        })
    }

    /// What people should know of foreign keys before the change, of which the clone has those that it adds.
    pub(crate) async fn foreign_key_notes(&self, session: &mut Session, shape: &Shape) -> Result<Vec<String>> {
        let keys = self.source_keys(session).await?;
        let added = foreign_keys(session, &self.names.clone)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look for foreign keys of the altered clone of")))?;
        if keys.is_empty() && added.is_empty() {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        let old = &self.names.old;
        let own: Vec<String> = keys
            .iter()
            .filter(|key| key.child == self.source)
            .map(|key| format!("ADD {}", key.definition(self.server.version)))
            .collect();
        if !own.is_empty() {
            notes.push(format!(
                "the old table {} has no foreign keys any more; before it is taken back into use: ALTER TABLE {} {}",
                old.plain(),
                sql::table(old),
                own.join(", ")
            ));
        }
        for carried in self.carried(&keys, &added, shape) {
            let (key, meanwhile) = (carried.key.describe(), &carried.temporary);
            notes.push(match carried.is_new {
                true => format!("{key} binds from the cut-over on; rows are looked at before it and behind it"),
                false => format!("{key} is carried in the cut-over; it stands as {meanwhile} for a moment"),
            });
        }
        if keys.iter().any(|key| key.child != self.source) {
            notes.push("the tables with foreign keys to it are locked too while it is swapped".into());
        }
        if self.server.version.flavour == Flavour::MariaDb && keys.iter().any(|key| key.parent != self.source) {
            notes.push("the tables its foreign keys refer to are locked against writes while it is swapped".into());
        }
        if !added.is_empty() {
            notes.push("the tables that added foreign keys refer to are locked too while it is swapped".into());
        }
        if self.target.foreign_keys == ForeignKeys::Discard {
            notes.push("the table's own foreign keys are left out of the new table, as asked".into());
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table::Part;

    fn key() -> ForeignKey {
        ForeignKey {
            child: TableName::new("s", "t"),
            name: "of`p".into(),
            columns: vec!["a".into(), "b".into()],
            parent: TableName::new("r", "p"),
            parent_columns: vec!["x".into(), "y".into()],
            on_delete: "NO ACTION".into(),
            on_update: "RESTRICT".into(),
        }
    }

    fn version(flavour: Flavour) -> Version {
        Version { flavour, number: (10, 6, 1) }
    }

    fn index(name: &str, unique: bool, columns: &[&str]) -> Index {
        let parts = columns.iter().map(|column| Part { column: (*column).into(), ..Part::default() }).collect();
        Index { name: name.into(), unique, parts, ..Index::default() }
    }

    #[test]
    fn each_server_is_silent_of_another_action() {
        let begin = "CONSTRAINT `of``p` FOREIGN KEY (`a`, `b`) REFERENCES `r`.`p` (`x`, `y`)";
        assert_eq!(key().definition(version(Flavour::MySql)), format!("{begin} ON UPDATE RESTRICT"));
        assert_eq!(key().definition(version(Flavour::MariaDb)), format!("{begin} ON DELETE NO ACTION"));
    }

    #[test]
    fn only_indexes_the_server_could_have_made_are_kept_from_it() {
        let indexes = vec![
            index("PRIMARY", true, &["a", "b"]),
            index("made", false, &["A", "b"]),
            index("longer", false, &["a", "b", "c"]),
            index("turned", false, &["b", "a"]),
        ];
        let table = Table { columns: Vec::new(), indexes };
        assert_eq!(own_indexes(&table, [key()].iter()).into_iter().collect::<Vec<_>>(), ["made"]);
        assert!(has_index(&table, &["a".into()]) && !has_index(&table, &["c".into()]));
    }

    #[test]
    fn a_key_writes_if_one_of_its_actions_does() {
        assert!(!key().writes());
        assert!(ForeignKey { on_update: "CASCADE".into(), ..key() }.writes());
        assert!(ForeignKey { on_delete: "SET NULL".into(), ..key() }.writes());
    }
}
