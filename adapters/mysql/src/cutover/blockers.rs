//! Who holds locks on the table: named, and ended where the user asks for that.

use crate::plan::refusal::refusal;
use crate::server::error::NO_SUCH_THREAD;
use crate::server::names::TableName;
use crate::server::session::{Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Refusal, Result};

/// A session, for people: what [`sql::session::metadata_locks`] tells.
pub(crate) fn described(row: &crate::server::session::Cells) -> String {
    format!(
        "connection {} ({}@{}, for {} s)",
        text(&row[0]),
        text(&row[1]),
        text(&row[2]),
        text(&row[3])
    )
}

impl MySql {
    /// Who may hold what we wait for, as far as the server tells; begins with a colon if it tells
    /// anything.
    pub(crate) async fn who_is_in_the_way(&self, table: &TableName) -> String {
        let Ok(mut session) = self.crew.reader().await else { return String::new() };
        let query = sql::session::metadata_locks(self.server.version, table);
        let mut rows = session.rows(&query).await.unwrap_or_default();
        if rows.is_empty() {
            rows = session.rows(sql::session::OPEN_TRANSACTIONS).await.unwrap_or_default();
        }
        match rows.is_empty() {
            true => String::new(),
            false => format!(
                "; in the way may be {}",
                rows.iter().map(described).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Ends the sessions that hold locks on these tables, except our own, as the user has asked
    /// for. Gives their names for people, and begins with a semicolon if there were any.
    pub(crate) async fn end_blockers(&self, tables: &[TableName], own: &[u64]) -> Result<String> {
        let attempted = || self.doing("end the sessions in the way of");
        let mut session = self.crew.reader().await?;
        let mut ended = Vec::new();
        for name in tables {
            let query = sql::session::metadata_locks(self.server.version, name);
            let rows =
                session.rows(&query).await.map_err(|failure| failure.of_catalogue(attempted()))?;
            for row in rows {
                let Some(id) = number(&row[0]).filter(|id| !own.contains(id)) else { continue };
                let who = described(&row);
                match session.execute(&sql::session::kill(id)).await {
                    Ok(_) => {
                        tracing::warn!(
                            "ended {who}, which stood in the way of the cut-over of {}",
                            self.title
                        );
                        ended.push(who);
                    }
                    Err(failure) if failure.code() == Some(NO_SUCH_THREAD) => {}
                    Err(failure) => return Err(failure.of_catalogue(format!("end {who}"))),
                }
            }
        }
        Ok(if ended.is_empty() { String::new() } else { format!("; ended {}", ended.join(", ")) })
    }

    /// Whether the server tells whom --kill-blockers would have to end.
    pub(crate) async fn refuse_killing(&self, session: &mut Session) -> Option<Refusal> {
        if !self.target.kill_blockers {
            return None;
        }
        let query = sql::session::metadata_locks(self.server.version, &self.source);
        let failure = session.rows(&query).await.err()?;
        let remedy = match self.server.version.flavour {
            Flavour::MySql => {
                "GRANT SELECT ON performance_schema.* to this user, or leave --kill-blockers out"
            }
            Flavour::MariaDb => "INSTALL SONAME 'metadata_lock_info', or leave --kill-blockers out",
        };
        let said = failure.of_catalogue("").reason;
        Some(refusal(
            "--kill-blockers",
            format!("who holds locks on the table cannot be seen: {said}"),
            remedy,
        ))
    }
}
