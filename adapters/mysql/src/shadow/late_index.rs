//! A table has at most 64 indexes. If the altered table has all of them, our own index over the
//! former key needs the place of one: the last secondary index is built right after the swap, when
//! ours goes.

use crate::key::index::LOOKUP;
use crate::schema::columns::Shape;
use crate::schema::table::{Table, definition_of};
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Slot;
use crate::server::session::Session;
use crate::shadow::indexes::{Definition, secondary};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Refusal, Result};

/// Indexes that a table can have.
const INDEXES_MAX: usize = 64;

impl MySql {
    /// Finds the index that has to wait, or why none can; `altered` is the clone's or the shadow's
    /// name.
    pub(crate) async fn late_index(
        &self,
        session: &mut Session,
        altered: &TableName,
        shape: &Shape,
    ) -> Result<std::result::Result<Option<Definition>, Refusal>> {
        let table = self.look(session, altered).await?;
        if !shape.key.needs_lookup() || has_room(&table) {
            return Ok(Ok(None));
        }
        let found = self.find_last(session, altered, shape).await;
        let found = found.map_err(|failure| {
            failure.of_catalogue(self.doing("look for an index that can wait of"))
        })?;
        Ok(found.map(Some).ok_or_else(|| Refusal {
            object: format!("index {}", shape.key.index),
            reason: format!(
                "the altered table has {} indexes, and one more is needed that finds rows by the \
                 former key",
                table.indexes.len()
            ),
            remedy: format!(
                "keep an index over {}, or drop another index first: ALTER TABLE {} DROP KEY …",
                shape.key.describe(),
                sql::table(&self.source)
            ),
        }))
    }

    /// The same with our columns, which our index may be over, for the time of the trial.
    async fn find_last(
        &self,
        session: &mut Session,
        altered: &TableName,
        shape: &Shape,
    ) -> std::result::Result<Option<Definition>, Failure> {
        if shape.kept.is_empty() {
            return self.last_that_can_wait(session, altered, shape).await;
        }
        session.execute(&sql::ddl::add_kept(shape, altered)).await?;
        let found = self.last_that_can_wait(session, altered, shape).await?;
        let names: Vec<&str> = shape.kept.iter().map(|pair| &*pair.shadow.name).collect();
        session.execute(&sql::ddl::drop_kept(&self.source, altered, &names)).await?;
        Ok(found)
    }

    async fn last_that_can_wait(
        &self,
        session: &mut Session,
        altered: &TableName,
        shape: &Shape,
    ) -> std::result::Result<Option<Definition>, Failure> {
        let Some(last) = secondary(&definition_of(session, altered).await?).pop() else {
            return Ok(None);
        };
        let names = (&self.source, altered);
        session.execute(&sql::ddl::drop_indexes(names.0, names.1, &[&last.name])).await?;
        session.execute(&sql::ddl::add_lookup(shape, altered, "KEY")).await?;
        match session.execute(&sql::ddl::exchange_index(names.0, names.1, LOOKUP, &last.text)).await
        {
            Ok(_) => Ok(Some(last)),
            Err(failure) if failure.ends_session() => Err(failure),
            Err(_) => {
                session.execute(&sql::ddl::drop_indexes(names.0, names.1, &[LOOKUP])).await?;
                session.execute(&sql::ddl::add_index_anyhow(names.0, names.1, &last.text)).await?;
                Ok(None)
            }
        }
    }

    /// Takes that index from the empty shadow, and returns its definition for the end of the run.
    pub(crate) async fn make_room(&self, shape: &Shape) -> Result<Option<String>> {
        let mut lease = self.crew.lease(Slot::Control).await?;
        let attempted = || self.doing("make room for an index in the shadow of");
        let late = self.late_index(lease.session(), &shape.shadow, shape).await?;
        let late = late
            .map_err(|refusal| altergeist_contract::Error::refused(attempted(), refusal.reason))?;
        if let Some(late) = &late {
            let drop = sql::ddl::drop_indexes(&self.source, &shape.shadow, &[&late.name]);
            lease
                .session()
                .execute(&drop)
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        lease.keep();
        Ok(late.map(|late| late.text))
    }
}

/// Says in `plan` which index comes last.
pub(crate) fn note(late: &Definition) -> String {
    format!(
        "the altered table has {INDEXES_MAX} indexes, as many as the server allows: {} is built \
         right after the swap, without a lock, and until then queries do without it",
        late.name
    )
}

fn has_room(table: &Table) -> bool {
    table.indexes.iter().filter(|index| index.name != LOOKUP).count() < INDEXES_MAX
}
