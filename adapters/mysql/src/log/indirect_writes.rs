//! Checks statements that others wrote into the log as text. Such a statement may have changed the
//! source through a trigger, a view or a foreign key's action of another table. The server knows
//! these.

use crate::server::doing::Doing;
use crate::server::error::{Failure, START_AGAIN, STATEMENTS_REMEDY};
use crate::server::grants::sees_triggers;
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Error, Result};
use std::sync::Arc;

/// Asks the server about tables that statements wrote.
pub(crate) struct IndirectWrites {
    pool: Arc<SessionPool>,
    source: TableName,
}

impl IndirectWrites {
    pub(crate) fn new(pool: Arc<SessionPool>, source: TableName) -> IndirectWrites {
        IndirectWrites { pool, source }
    }

    /// Proves that no write to these tables reaches the source.
    ///
    /// # Errors
    ///
    /// `Fatal`, with the table and the reason, if one does or if the server does not show it.
    pub(crate) async fn check_cannot_reach(&self, tables: &[TableName]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let attempted = || format!("follow the log for {}", self.source.plain());
        let mut session = self.pool.reader().await?;
        for table in tables {
            let found = self.how_it_reaches(&mut session, table).await;
            if let Some(how) = found.doing_in_catalogue(attempted)? {
                let reason = format!(
                    "a session wrote {} by a statement in the log, not by rows, and {how}; \
                     {STATEMENTS_REMEDY}; {START_AGAIN}",
                    table.plain()
                );
                return Err(Error::fatal(attempted(), reason));
            }
        }
        Ok(())
    }

    async fn how_it_reaches(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> std::result::Result<Option<String>, Failure> {
        if table.is_same(&self.source) {
            return Ok(Some("that is the table itself".to_owned()));
        }
        let kind = session.row(&sql::catalogue::find_table(table)).await?.map(|row| text(&row[2]));
        match kind.as_deref() {
            Some("BASE TABLE") => {}
            Some(_) => return Ok(Some("it is no plain table".to_owned())),
            None => {
                return Ok(Some(
                    "it is not there any more, or this user may not see it".to_owned(),
                ));
            }
        }
        let mut reached = vec![table.clone()];
        let pairs = session.rows(sql::catalogue::ACTING_KEYS).await?;
        loop {
            let before = reached.len();
            for row in &pairs {
                let [child_schema, child, schema, parent] =
                    [0, 1, 2, 3].map(|place| text(&row[place]));
                let (child, parent) =
                    (TableName::new(&child_schema, &child), TableName::new(&schema, &parent));
                let has = |table: &TableName| reached.iter().any(|known| known.is_same(table));
                if has(&parent) && !has(&child) {
                    reached.push(child);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        if reached.iter().any(|table| table.is_same(&self.source)) {
            return Ok(Some(format!(
                "a foreign key's action leads from there to {}",
                self.source.plain()
            )));
        }
        for table in &reached {
            if !sees_triggers(session, table).await?
                || session.text(&sql::triggers::count_triggers(table)).await? != "0"
            {
                return Ok(Some(format!(
                    "it is unknown what the triggers of {} wrote",
                    table.plain()
                )));
            }
        }
        Ok(None)
    }
}
