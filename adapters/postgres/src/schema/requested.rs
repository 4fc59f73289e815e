//! The change that was asked for: its clauses, as far as they are read here, and what it asks for
//! beyond them.

use crate::key::candidates::Candidate;
use crate::key::order;
use crate::schema::altered::{Making, Wish};
use crate::schema::clauses::{self, Clauses};
use crate::schema::columns::KeyColumn;
use crate::schema::pasted;
use crate::schema::user_definition;
use crate::server::error::{self, refuse};
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
    if let Some(refusal) = pasted::index_statement(&engine.target.alter) {
        return Ok(Err(refusal));
    }
    let keys = session.query(sql::FOREIGN_KEYS, &[&source]).await;
    let keys = keys.map_err(|error| error::of("read the table's foreign keys", &error))?;
    let keys: Vec<String> = keys.iter().map(|row| row.get(0)).collect();
    Ok(clauses::read(&engine.target.alter, &engine.names, &keys).map_err(|why| {
        let object = format!("the clauses for {}", engine.names.display);
        refuse(
            object,
            format!("they cannot be read: {why}"),
            "write them more plainly, as one statement",
        )
    }))
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
