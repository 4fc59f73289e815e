//! Foreign keys, from the table and to it, carried over the swap.
//!
//! A key that refuses (RESTRICT, NO ACTION) must not stand on a shadow that is behind: it would
//! refuse what the application may do. So the shadow has no foreign keys until it is equal to the
//! locked source. Then, still under the lock, every key is set up a second time under a temporary
//! name, between the shadow and whatever is at its other end: with `foreign_key_checks=0` that only
//! changes the catalogue. RENAME TABLE carries those keys along, so from the very moment of the
//! swap the new table is bound as the old one was. Only then the old table's keys go, and the names
//! are put right. Whoever dies in between, there are too many keys and never too few: a row may be
//! refused that need not be, and none gets in, or loses its parent, that must not. What was meant
//! is in the journal before the first of these statements, so the same command finds out how far it
//! came and goes on ([`Bonds::settle`], [`Bonds::withdraw`]).
//!
//! A key whose actions write (CASCADE, SET NULL) changes rows inside InnoDB without a word in the
//! log, on every MariaDB and on MySQL before 9.6; MySQL 9.6 logs such rows as any others. On MySQL
//! the parents' own changes tell which rows that were ([`crate::log::cascades`]), and so they do on
//! MariaDB if such a key refers to the table itself. Otherwise MariaDB has the means to let the
//! server do it: there such a key stands on the shadow from its creation, *early*, and the server
//! itself changes both tables' rows in the same transaction. Three things make that right:
//!
//! - A row is put into the shadow with `foreign_key_checks=1`: its parent is there, and stays
//!   locked until the row is. So a parent's change comes before, and the row is read again, or
//!   after, and finds the row.
//! - Our sessions do not wait for rows' locks, they try again: who does not wait has no part in a
//!   deadlock.
//! - An early key refuses nothing, for the shadow may be behind: where the source's key refuses one
//!   of the two actions, the early one follows it. When a parent's change has passed the source's
//!   own key, no row of the source refers to it, so any row of the shadow that does is stale, and
//!   its refresh is still to come.

use crate::cutover::hands::Hands;
use crate::facts::Carried;
use crate::schema::columns::Shape;
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::foreign_key_indexes::keep_indexes;
use crate::schema::table::{Table, is_same};
use crate::server::error::Failure;
use crate::server::names::{TableName, hash};
use crate::server::pool::Slot;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, ForeignKeys, Kind, Result};
use std::collections::BTreeSet;

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

pub(crate) const CORRECT_ROWS: &str =
    "give these rows a parent, or delete them, and give the same command again";

impl Bonds {
    /// Further tables for LOCK TABLES; begins with a comma if there are any. MySQL wants the
    /// parents of new keys to be locked too.
    pub(crate) fn further_locks(&self) -> String {
        let mut tables = self.children();
        for carried in self
            .carried
            .iter()
            .filter(|carried| carried.is_new && carried.key.parent != self.source)
        {
            if !tables.contains(&carried.key.parent) {
                tables.push(carried.key.parent.clone());
            }
        }
        tables.iter().map(|table| format!(", {} WRITE", sql::table(table))).collect()
    }

    /// Other tables that this one has keys to.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &TableName> {
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

    pub(crate) fn of<'a>(&'a self, child: &'a TableName) -> impl Iterator<Item = &'a Carried> {
        self.carried.iter().filter(move |carried| carried.key.child == *child)
    }

    /// The shadow, for the source; other tables stay.
    fn before_swap(&self, name: &TableName) -> TableName {
        if *name == self.source { self.shadow.clone() } else { name.clone() }
    }

    pub(crate) fn alter(&self, table: &TableName, clauses: &[String]) -> String {
        sql::ddl::alter(&self.source, table, &format!("{}, ALGORITHM=INPLACE", clauses.join(", ")))
    }

    /// The statements that bind the shadow as the source is bound, under temporary names.
    pub(crate) async fn standing(
        &self,
        session: &mut Session,
    ) -> std::result::Result<Vec<Altered>, Failure> {
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

    /// Takes the temporary keys away that are still between the shadow and others. Does nothing to
    /// a table that is swapped.
    pub(crate) async fn withdraw(&self, session: &mut Session) -> std::result::Result<(), Failure> {
        for altered in self.withdrawn(session).await? {
            session.execute(&altered.statement).await?;
        }
        Ok(())
    }

    /// The statements that do so.
    pub(crate) async fn withdrawn(
        &self,
        session: &mut Session,
    ) -> std::result::Result<Vec<Altered>, Failure> {
        let mut statements = Vec::new();
        let names: BTreeSet<&str> =
            self.carried.iter().map(|carried| &*carried.temporary).collect();
        let standing: Vec<ForeignKey> = foreign_keys(session, &self.shadow)
            .await?
            .into_iter()
            .filter(|key| names.contains(&*key.name))
            .collect();
        let mut tables = self.children();
        tables.push(self.shadow.clone());
        for child in tables {
            let drops: Vec<String> = standing
                .iter()
                .filter(|key| key.child == child)
                .map(|key| drop(&key.name))
                .collect();
            if !drops.is_empty() {
                let statement = self.alter(&child, &drops);
                statements.push(Altered { table: child, statement });
            }
        }
        Ok(statements)
    }

    /// After the swap: the old table has no foreign keys and none point to it, and all have their
    /// own names. May be called again, and goes on from wherever it came to.
    pub(crate) async fn settle(&self, hands: &mut Hands<'_>) -> std::result::Result<(), Failure> {
        self.settle_others(hands).await?;
        self.settle_source(hands).await
    }

    /// The new table's part of that.
    pub(crate) async fn settle_source(
        &self,
        hands: &mut Hands<'_>,
    ) -> std::result::Result<(), Failure> {
        self.name(hands, &self.source).await
    }

    /// The old table's and the children's part of that.
    pub(crate) async fn settle_others(
        &self,
        hands: &mut Hands<'_>,
    ) -> std::result::Result<(), Failure> {
        let left = foreign_keys(hands.control, &self.old).await?;
        let drops: Vec<String> =
            left.iter().filter(|key| key.child == self.old).map(|key| drop(&key.name)).collect();
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
    pub(crate) async fn name(
        &self,
        hands: &mut Hands<'_>,
        child: &TableName,
    ) -> std::result::Result<(), Failure> {
        let now = foreign_keys(hands.control, child).await?;
        let stands = |name: &str| now.iter().any(|key| key.child == *child && key.name == name);
        let is_early = |key: &&ForeignKey| key.child == *child && key.name.starts_with(&self.early);
        let mut clauses: Vec<String> =
            now.iter().filter(is_early).map(|key| drop(&key.name)).collect();
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

/// A key that the clauses add, as one of the source that is; None where its columns are new or will
/// be others: then only the new table can tell whether its rows keep to it.
pub(crate) fn before_change(key: &ForeignKey, shape: &Shape) -> Option<ForeignKey> {
    let before = |column: &String| {
        let pair = shape.columns.iter().find(|pair| is_same(&pair.shadow.name, column))?;
        pair.source.is_alike(&pair.shadow).then(|| pair.source.name.clone())
    };
    Some(ForeignKey {
        columns: key.columns.iter().map(before).collect::<Option<_>>()?,
        ..key.clone()
    })
}

fn drop(name: &str) -> String {
    format!("DROP FOREIGN KEY {}", sql::quote(name))
}

impl MySql {
    /// The foreign keys from the table and to it.
    pub(crate) async fn source_keys(&self, session: &mut Session) -> Result<Vec<ForeignKey>> {
        foreign_keys(session, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look for foreign keys of")))
    }

    /// The foreign keys that will be carried, with the columns' names after the change, and those
    /// that the clauses add.
    pub(crate) fn carried(
        &self,
        keys: &[ForeignKey],
        added: &[ForeignKey],
        shape: &Shape,
    ) -> Vec<Carried> {
        let hash = hash(&self.title);
        let is_left =
            |key: &ForeignKey| self.target.foreign_keys != ForeignKeys::Carry || self.drops(key);
        keys.iter()
            .filter(|key| key.child != self.source || !is_left(key))
            .map(|key| (self.renamed(key, shape), false))
            .chain(self.named(added, keys).into_iter().map(|key| (key, true)))
            .zip(1..)
            .map(|((key, is_new), number)| Carried {
                temporary: format!("_ag_{hash:016x}_{number}"),
                key,
                is_new,
            })
            .collect()
    }

    /// Keys that the clauses gave to a copy of the source, as keys of the source: those that they
    /// do not name get the number after its highest, as from the server.
    pub(crate) fn named(&self, added: &[ForeignKey], keys: &[ForeignKey]) -> Vec<ForeignKey> {
        let generated = |table: &str, name: &str| {
            name.strip_prefix(&format!("{table}_ibfk_"))?.parse::<u64>().ok()
        };
        let own = keys.iter().filter(|key| key.child == self.source);
        let highest =
            own.filter_map(|key| generated(&self.source.name, &key.name)).max().unwrap_or(0);
        let name = |key: &ForeignKey| match generated(&key.child.name, &key.name) {
            Some(number) => format!("{}_ibfk_{}", self.source.name, highest + number),
            None => key.name.clone(),
        };
        added
            .iter()
            .map(|key| ForeignKey { child: self.source.clone(), name: name(key), ..key.clone() })
            .collect()
    }

    /// Whether the clauses drop a key.
    pub(crate) fn drops(&self, key: &ForeignKey) -> bool {
        key.child == self.source && self.change.dropped_keys.contains(&key.name)
    }

    /// A key with the columns' names after the change.
    pub(crate) fn renamed(&self, key: &ForeignKey, shape: &Shape) -> ForeignKey {
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

    /// What the swap has to carry, as the catalogue has it now, noted in the journal; None if there
    /// is nothing.
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
        outcome.map_err(|failure| {
            failure.of_catalogue(self.doing("take temporary foreign keys away from the shadow of"))
        })
    }

    /// After the swap: puts every foreign key in its place, and forgets that there were any to
    /// carry.
    pub(crate) async fn settle_bonds(&self) -> Result<()> {
        let Some(bonds) = self.noted_bonds().await? else { return Ok(()) };
        let attempted = || self.doing("put foreign keys in their places after the swap of");
        let mut control = self.crew.lease(Slot::Control).await?;
        let outcome = bonds.settle(&mut Hands::one(control.session())).await;
        control.keep();
        outcome.map_err(|failure| failure.of_catalogue(attempted()))?;
        let mut session = self.crew.reader().await?;
        let left = foreign_keys(&mut session, &self.names.old)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        if let Some(key) = left.first() {
            let reason = format!(
                "{} was created during the cut-over; drop it, and create it again for the new \
                 table",
                key.describe()
            );
            return Err(Error::new(Kind::Fatal, attempted(), reason));
        }
        for carried in bonds.carried.iter().filter(|carried| carried.is_new) {
            self.check_rows(&mut session, &carried.key).await?;
        }
        let mut facts = self.entry(&mut session).await?.facts;
        facts.foreign_keys = None;
        self.save_facts(&facts).await
    }

    /// Takes the foreign keys away again that the clauses have given to the empty shadow; gives
    /// them.
    pub(crate) async fn take_added_keys(
        &self,
        session: &mut Session,
    ) -> std::result::Result<Vec<ForeignKey>, Failure> {
        let added = foreign_keys(session, &self.names.shadow).await?;
        let drops: Vec<String> = added.iter().map(|key| drop(&key.name)).collect();
        if !drops.is_empty() {
            session
                .execute(&sql::ddl::alter(&self.source, &self.names.shadow, &drops.join(", ")))
                .await?;
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
        let attempted =
            || self.doing(&format!("look for rows that {} does not allow in", key.describe()));
        match session
            .row(&self.orphans_of(key))
            .await
            .map_err(|failure| failure.of_rows(attempted()))?
        {
            None => Ok(()),
            Some(_) => {
                Err(Error::new(Kind::Fatal, attempted(), format!("there are some: {CORRECT_ROWS}")))
            }
        }
    }

    pub(crate) fn orphans_of(&self, key: &ForeignKey) -> String {
        sql::catalogue::has_orphans(
            &self.source,
            &key.child,
            &key.columns,
            &key.parent,
            &key.parent_columns,
        )
    }

    /// The parents that the cut-over locks: of the keys that are there, and of those that come. A
    /// key that is dropped or left out refuses deletes of its parent too, until the old table has
    /// lost it.
    pub(crate) async fn parents_to_lock(&self, bonds: Option<&Bonds>) -> Result<Vec<TableName>> {
        let mut session = self.crew.reader().await?;
        let keys = self.source_keys(&mut session).await?;
        let own = keys.iter().filter(|key| key.child == self.source && key.parent != self.source);
        let mut parents: Vec<TableName> = Vec::new();
        for parent in
            bonds.iter().flat_map(|bonds| bonds.parents()).chain(own.map(|key| &key.parent))
        {
            if !parents.contains(parent) {
                parents.push(parent.clone());
            }
        }
        Ok(parents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::foreign_key_indexes::has_index;
    use crate::schema::foreign_key_indexes::own_indexes;
    use crate::schema::table::Index;
    use crate::schema::table::Part;
    use crate::server::version::Flavour;

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
        let parts = columns
            .iter()
            .map(|column| Part { column: (*column).into(), ..Part::default() })
            .collect();
        Index { name: name.into(), unique, parts, ..Index::default() }
    }

    #[test]
    fn each_server_is_silent_of_another_action() {
        let begin = "CONSTRAINT `of``p` FOREIGN KEY (`a`, `b`) REFERENCES `r`.`p` (`x`, `y`)";
        assert_eq!(
            key().definition(version(Flavour::MySql)),
            format!("{begin} ON UPDATE RESTRICT")
        );
        assert_eq!(
            key().definition(version(Flavour::MariaDb)),
            format!("{begin} ON DELETE NO ACTION")
        );
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
