//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::server::session::text;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Inquiry, Result};

impl Inquiry for MySql {
    async fn ask(&self, question: &str) -> Result<Option<String>> {
        let attempted = "ask the operator's question";
        let question = question
            .replace("{old}", &sql::table(&self.source))
            .replace("{new}", &sql::table(&self.names.shadow));
        let mut session = self.crew.reader().await?;
        let prepare = [sql::session::READ_ONLY, &sql::session::use_schema(&self.source.schema)];
        for statement in prepare {
            session.execute(statement).await.map_err(|failure| failure.of_catalogue(attempted))?;
        }
        let row = session.row(&question).await.map_err(|failure| failure.of_clauses(attempted))?;
        Ok(row.and_then(|row| row.first().cloned()).filter(Option::is_some).map(|cell| text(&cell)))
    }
}
