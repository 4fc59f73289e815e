//! The columns of ours that hold a former key: given to the shadow, and dropped after the swap.

use crate::key::kept::is_kept;
use crate::schema::columns::Shape;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Slot;
use crate::server::session::{Session, execute_within};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Refusal, Result};

impl MySql {
    /// Gives the empty shadow the columns of ours that its shape needs.
    pub(crate) async fn add_kept(&self, shape: &Shape) -> Result<()> {
        if shape.kept.is_empty() {
            return Ok(());
        }
        let mut lease = self.crew.lease(Slot::Control).await?;
        let outcome = lease.session().execute(&sql::ddl::add_kept(shape, &shape.shadow)).await;
        lease.keep();
        let attempted = || self.doing("give the former key's columns to the shadow of");
        outcome.map(|_| ()).trying_clauses(attempted)
    }

    /// Drops these columns from the table that bears the name now, if it has any.
    pub(crate) async fn drop_kept(&self) -> Result<()> {
        let table = self.look(&mut self.crew.reader().await?, &self.source).await?;
        let names = table.columns.iter().map(|column| &*column.name).filter(|name| is_kept(name));
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut lease = self.crew.lease(Slot::Control).await?;
        let drop = sql::ddl::drop_kept(&self.source, &self.source, &names);
        let outcome =
            execute_within(lease.session(), &self.crew.access, &drop, self.crew.lock_timeout).await;
        let attempted = || self.doing("drop our columns with the former key from");
        outcome.locking(attempted)?;
        lease.keep();
        Ok(())
    }

    /// Tries on the altered clone whether the server adds and drops these columns at once.
    pub(crate) async fn refuse_kept(
        &self,
        session: &mut Session,
        shape: &Shape,
    ) -> Result<Option<Refusal>> {
        if shape.kept.is_empty() {
            return Ok(None);
        }
        match self.try_kept(session, shape, &self.names.clone).await {
            Ok(()) => Ok(None),
            Err(failure) => {
                let error = failure.of_clauses(self.doing("try our columns on an empty clone of"));
                let columns: Vec<&str> = shape.kept.iter().map(|pair| &*pair.source.name).collect();
                let reason = format!(
                    "the clauses drop or convert the key's columns ({}), and this table cannot \
                     have a column added and dropped at once: {}",
                    columns.join(", "),
                    error.reason
                );
                let remedy = format!(
                    "add another unique key over NOT NULL columns that stay first, or do it in \
                     two changes: first ALTER TABLE {} ADD UNIQUE KEY …, then this one",
                    sql::table(&self.source)
                );
                Ok(Some(Refusal {
                    object: format!("key {}", shape.key.describe()),
                    reason,
                    remedy,
                }))
            }
        }
    }

    pub(crate) async fn try_kept(
        &self,
        session: &mut Session,
        shape: &Shape,
        clone: &TableName,
    ) -> std::result::Result<(), Failure> {
        session.execute(&sql::ddl::add_kept(shape, clone)).await?;
        let names: Vec<&str> = shape.kept.iter().map(|pair| &*pair.shadow.name).collect();
        session.execute(&sql::ddl::drop_kept(&self.source, clone, &names)).await.map(|_| ())
    }
}

/// Says in `plan` that the shadow has these columns.
pub(crate) fn note(shape: &Shape) -> Option<String> {
    let names: Vec<&str> = shape.kept.iter().map(|pair| &*pair.source.name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the key's columns {} go or change, and the rows are followed by them: the new table \
             keeps them in invisible columns of ours until right after the swap",
            names.join(", ")
        )
    })
}
