//! The statements that move foreign keys from the old table to the new one.

use crate::change::Change;
use crate::cutover::relation_sessions::AlterSessions;
use crate::facts::CarriedKey;
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::foreign_key_indexes::keep_indexes;
use crate::schema::table::Table;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::sql;
use std::collections::BTreeSet;

/// A statement that alters one of the tables that foreign keys bind together.
#[derive(Clone, Debug)]
pub(crate) struct Altered {
    pub table: TableName,
    pub statement: String,
}

/// The foreign keys of one swap, and the tables it is between.
#[derive(Clone, Debug)]
pub(crate) struct ForeignKeySwap {
    version: Version,
    source: TableName,
    shadow: TableName,
    old: TableName,
    /// How the names of early keys begin.
    early: String,
    pub carried: Vec<CarriedKey>,
}

impl ForeignKeySwap {
    /// Prepares the swap of one change, with the foreign keys that it carries.
    pub(crate) fn new(change: &Change, carried: Vec<CarriedKey>) -> ForeignKeySwap {
        ForeignKeySwap {
            version: change.server.version,
            source: change.source.clone(),
            shadow: change.names.shadow.clone(),
            old: change.names.old.clone(),
            early: change.early_prefix(),
            carried,
        }
    }

    /// Returns further tables for LOCK TABLES, each after a comma. MySQL also wants locks on the
    /// parents of new keys.
    pub(crate) fn additional_locks(&self) -> String {
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
        tables.iter().map(sql::cutover::and_lock).collect()
    }

    /// Returns the other tables that this one refers to.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &TableName> {
        let own = self.carried.iter().filter(|carried| carried.key.child == self.source);
        own.map(|carried| &carried.key.parent).filter(|parent| **parent != self.source)
    }

    /// Returns the other tables that refer to this one.
    pub(crate) fn children(&self) -> Vec<TableName> {
        let mut children: Vec<TableName> = Vec::new();
        for carried in self.carried.iter().filter(|carried| carried.key.child != self.source) {
            if !children.contains(&carried.key.child) {
                children.push(carried.key.child.clone());
            }
        }
        children
    }

    pub(crate) fn of<'a>(&'a self, child: &'a TableName) -> impl Iterator<Item = &'a CarriedKey> {
        self.carried.iter().filter(move |carried| carried.key.child == *child)
    }

    /// Returns the shadow for the source; other tables stay.
    fn before_swap(&self, name: &TableName) -> TableName {
        if *name == self.source { self.shadow.clone() } else { name.clone() }
    }

    pub(crate) fn alter(&self, table: &TableName, clauses: &[String]) -> String {
        sql::ddl::alter_in_place(&self.source, table, clauses)
    }

    /// Returns the statements that add the source's keys to the shadow, under temporary names.
    pub(crate) async fn missing_keys(
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
                sql::ddl::add(&meanwhile.definition(self.version))
            }));
            let statement = self.alter(&table, &clauses);
            statements.push(Altered { table, statement });
        }
        Ok(statements)
    }

    /// Drops the temporary keys between the shadow and other tables. Does nothing to a table after
    /// its swap.
    pub(crate) async fn remove_temporary(
        &self,
        session: &mut Session,
    ) -> std::result::Result<(), Failure> {
        for altered in self.temporary_keys(session).await? {
            session.execute(&altered.statement).await?;
        }
        Ok(())
    }

    /// Returns the statements that drop those keys.
    pub(crate) async fn temporary_keys(
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
                .map(|key| sql::ddl::drop_foreign_key(&key.name))
                .collect();
            if !drops.is_empty() {
                let statement = self.alter(&child, &drops);
                statements.push(Altered { table: child, statement });
            }
        }
        Ok(statements)
    }

    /// Restores all foreign keys after the swap. Then the old table has none, none refers to it,
    /// and all have their own names. It may be called again and continues where it stopped.
    pub(crate) async fn restore(
        &self,
        relation_sessions: &mut AlterSessions<'_>,
    ) -> std::result::Result<(), Failure> {
        self.restore_others(relation_sessions).await?;
        self.restore_source(relation_sessions).await
    }

    /// Restores the names of the new table's keys.
    pub(crate) async fn restore_source(
        &self,
        relation_sessions: &mut AlterSessions<'_>,
    ) -> std::result::Result<(), Failure> {
        self.restore_names(relation_sessions, &self.source).await
    }

    /// Drops the keys of the old table and the keys to it, and restores the children's keys.
    pub(crate) async fn restore_others(
        &self,
        relation_sessions: &mut AlterSessions<'_>,
    ) -> std::result::Result<(), Failure> {
        let left = foreign_keys(relation_sessions.control, &self.old).await?;
        let drops: Vec<String> = left
            .iter()
            .filter(|key| key.child == self.old)
            .map(|key| sql::ddl::drop_foreign_key(&key.name))
            .collect();
        if !drops.is_empty() {
            relation_sessions.alter(&self.old, &self.alter(&self.old, &drops)).await?;
        }
        for child in self.children() {
            let stray: Vec<String> = left
                .iter()
                .filter(|key| key.is_between(&child, &self.old))
                .filter(|key| self.of(&child).any(|carried| carried.key.name == key.name))
                .map(|key| sql::ddl::drop_foreign_key(&key.name))
                .collect();
            if !stray.is_empty() {
                relation_sessions.alter(&child, &self.alter(&child, &stray)).await?;
            }
            self.restore_names(relation_sessions, &child).await?;
        }
        Ok(())
    }

    /// Gives a table's keys their own names instead of the temporary ones, in one statement.
    pub(crate) async fn restore_names(
        &self,
        relation_sessions: &mut AlterSessions<'_>,
        child: &TableName,
    ) -> std::result::Result<(), Failure> {
        let now = foreign_keys(relation_sessions.control, child).await?;
        let stands = |name: &str| now.iter().any(|key| key.child == *child && key.name == name);
        let is_early = |key: &&ForeignKey| key.child == *child && key.name.starts_with(&self.early);
        let mut clauses: Vec<String> =
            now.iter().filter(is_early).map(|key| sql::ddl::drop_foreign_key(&key.name)).collect();
        for carried in self.of(child) {
            if stands(&carried.temporary) {
                clauses.push(sql::ddl::drop_foreign_key(&carried.temporary));
            }
            if !stands(&carried.key.name) {
                clauses.push(sql::ddl::add(&carried.key.definition(self.version)));
            }
        }
        if !clauses.is_empty() {
            relation_sessions.alter(child, &self.alter(child, &clauses)).await?;
        }
        Ok(())
    }
}
