//! The change that was asked for: its clauses, as far as they are read here, and what it asks for
//! beyond them.

use crate::key::candidates::Candidate;
use crate::key::order;
use crate::schema::altered::{Making, Wish};
use crate::schema::clauses::Clauses;
use crate::schema::columns::KeyColumn;
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::state::Postgres;
use altergeist_contract::{Refusal, Result};

impl Postgres {
    /// How many sessions this process has already.
    pub(crate) fn open_sessions(&self) -> usize {
        usize::from(self.run.is_taken())
            + self.control.idle_sessions()
            + self.workers.idle_sessions()
    }

    /// Whether what is asked for is more than an ALTER.
    pub(crate) fn asks_for_a_copy(&self) -> bool {
        self.target.create.is_some() || self.target.order_by.is_some()
    }
}

impl Postgres {
    /// What is to be done, to this source.
    pub(crate) fn wish<'a>(
        &'a self,
        source: u32,
        key: Option<&'a Candidate>,
        clauses: &'a Clauses,
    ) -> Wish<'a> {
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
    let keys = session.query(sql::FOREIGN_KEYS, &[&source]).await;
    let keys = keys.doing("read the table's foreign keys")?;
    let keys: Vec<String> = keys.iter().map(|row| row.get(0)).collect();
    Ok(engine.change.clauses(&engine.names, &keys))
}

/// What is asked for beyond the clauses: an order of the rows, a table of the user's own making; or
/// why it cannot be had.
pub(crate) async fn copy_wishes(
    session: &Session,
    engine: &Postgres,
    source: u32,
) -> Result<std::result::Result<(Vec<KeyColumn>, Option<Making>), Refusal>> {
    let making = match user_definition::read(&engine.target).transpose() {
        Ok(making) => making,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(order::find(session, engine, source).await?.map(|order| (order, making)))
}
