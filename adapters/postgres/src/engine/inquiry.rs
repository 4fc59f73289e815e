//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::engine::Postgres;
use crate::server::doing::Doing;
use crate::sql;
use altergeist_contract::{Inquiry, Result};

impl Inquiry for Postgres {
    async fn ask(&self, question: &str) -> Result<Option<String>> {
        let names = &self.change.names;
        let attempted = "ask the operator's question";
        let question = question.replace("{old}", &names.source()).replace("{new}", &names.shadow());
        let settings = sql::inquiry_settings(&self.change.search_path);
        let session = self.sessions.server.open(&names.application, &settings).await?;
        let rows =
            session.query(&sql::first_value(&question), &[]).await.trying_clauses(attempted)?;
        match rows.first() {
            Some(row) => row.try_get(0).trying_clauses(attempted),
            None => Ok(None),
        }
    }
}
