//! Foreign keys that must act on the shadow from its beginning, because the log does not tell what
//! they do.

use crate::log::cascades::Parent;
use crate::schema::columns::Shape;
use crate::schema::foreign_key::{ForeignKey, OwnKey, foreign_keys};
use crate::schema::foreign_key_indexes::{index_over, keep_indexes};
use crate::schema::table::Table;
use crate::server::names::{TableName, hash};
use crate::server::pool::Slot;
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, Result};
use std::sync::atomic::Ordering;

impl MySql {
    pub(crate) fn early_prefix(&self) -> String {
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

    /// Gives the empty, altered shadow the keys that must stand on it from the beginning; the
    /// module says why.
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
            let key =
                ForeignKey { name: format!("{}{number}", self.early_prefix()), ..key.following() };
            format!("ADD {}", key.definition(self.server.version))
        }));
        let alter = sql::ddl::alter(
            &self.source,
            &self.names.shadow,
            &format!("{}, ALGORITHM=INPLACE", clauses.join(", ")),
        );
        let control = self.crew.lease(Slot::Control).await?;
        control.execute(&alter).await.map_err(|failure| failure.of_clauses(attempted()))?;
        self.crew.checks_parents.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the shadow has early keys.
    pub(crate) async fn has_early_keys(&self, session: &mut Session) -> Result<bool> {
        let keys = foreign_keys(session, &self.names.shadow).await.map_err(|failure| {
            failure.of_catalogue(self.doing("look for foreign keys of the shadow of"))
        })?;
        Ok(keys.iter().any(|key| key.name.starts_with(&self.early_prefix())))
    }

    /// How the shadow comes to know what the actions of the table's own keys do; the keys are those
    /// from it and to it.
    pub(crate) async fn told_by(&self, session: &mut Session, keys: &[ForeignKey]) -> ToldBy {
        let has_to_itself =
            || keys.iter().any(|key| key.is_between(&self.source, &self.source) && key.writes());
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
            // An early key's action would be another that the log does not tell, and the rows below
            // such a row would stay.
            Flavour::MariaDb if !has_to_itself() => ToldBy::EarlyKeys,
            Flavour::MySql | Flavour::MariaDb => ToldBy::Parents,
        }
    }

    /// The keys of the table to itself whose actions are not in the log.
    pub(crate) async fn own_keys(
        &self,
        session: &mut Session,
        shape: &Shape,
    ) -> Result<Vec<OwnKey>> {
        let keys = self.source_keys(session).await?;
        if self.told_by(session, &keys).await != ToldBy::Parents {
            return Ok(Vec::new());
        }
        let acting =
            keys.iter().filter(|key| key.is_between(&self.source, &self.source) && key.writes());
        let own = |key: &ForeignKey| {
            OwnKey::of(key, &shape.key).ok_or_else(|| {
                Error::refused(
                    self.doing("follow"),
                    format!("{} cannot be followed", key.describe()),
                )
            })
        };
        acting.map(own).collect()
    }

    pub(crate) async fn parent_of(
        &self,
        session: &mut Session,
        key: &ForeignKey,
    ) -> Result<Option<Table>> {
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
        for key in keys
            .into_iter()
            .filter(|key| key.child == self.source && key.parent != self.source && key.writes())
        {
            let table = self.parent_of(&mut session, &key).await?;
            let parent = table.and_then(|table| Parent::of(&key, &table));
            parents.push(parent.ok_or_else(|| {
                Error::refused(
                    self.doing("follow"),
                    format!("rows of {} cannot be followed", key.parent.plain()),
                )
            })?);
        }
        Ok(parents)
    }

    /// The indexes of a shadow that must never be missing: its rows are found by them, or an early
    /// key needs them. A key whose index is missing refuses every change of its parent's rows.
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
        for columns in
            of_parents.chain(of_early).chain(shape.own_keys.iter().map(|own| &own.columns[..]))
        {
            let columns: Vec<String> =
                columns.iter().map(|column| shape.name_after(column)).collect();
            names.extend(index_over(&table, &columns).map(|index| index.name.clone()));
        }
        Ok(names)
    }
}

/// How the shadow comes to know what the actions of foreign keys do to the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ToldBy {
    /// The log has it like any other change.
    Log,
    /// The same keys stand on the shadow from its beginning.
    EarlyKeys,
    /// What sets them off is followed, see [`crate::log::cascades`].
    Parents,
}
