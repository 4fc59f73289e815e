//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::engine::Postgres;
use crate::server::ask::ask;
use crate::sql;
use altergeist_contract::{Inquiry, Result};

impl Inquiry for Postgres {
    async fn ask(&self, question: &str) -> Result<Option<String>> {
        let settings = sql::inquiry_settings(&self.change.search_path);
        let application = &self.change.names.application;
        let session = self.sessions.server.open(application, &settings).await?;
        ask(&session, &self.change, question).await
    }
}
