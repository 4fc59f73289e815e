//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::engine::Postgres;
use crate::server::error;
use crate::sql;
use altergeist_contract::{Inquiry, Result};

impl Inquiry for Postgres {
    async fn ask(&self, question: &str) -> Result<Option<String>> {
        let names = &self.change.names;
        let failed =
            |error: tokio_postgres::Error| error::of_clauses("ask the operator's question", &error);
        let question = question.replace("{old}", &names.source()).replace("{new}", &names.shadow());
        let settings = sql::inquiry_settings(&self.change.search_path);
        let session = self.sessions.server.open(&names.application, &settings).await?;
        let rows = session.query(&sql::first_value(&question), &[]).await.map_err(failed)?;
        match rows.first() {
            Some(row) => row.try_get(0).map_err(failed),
            None => Ok(None),
        }
    }
}
