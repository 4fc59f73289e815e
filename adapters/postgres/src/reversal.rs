//! Turns the engine around after the swap, so that the old table follows the altered one. Names and
//! facts are exchanged, and everything else stays as it is.

use crate::change::Change;
use crate::engine::Postgres;
use crate::facts::Facts;
use crate::journal;
use crate::schema::alter_request::AlterRequest;
use crate::schema::catalogue;
use crate::server::names::Names;
use crate::server::session::{Session, locked};
use crate::shadow::known::KnownShadow;
use crate::shadow::returned_rows;
use crate::state::HeartbeatSwitch;
use altergeist_contract::{Error, ForeignKeys, Key, Misfits, Result, Reversal, Target};
use std::sync::Mutex;

impl Reversal for Postgres {
    async fn turn_around(self) -> Result<Postgres> {
        if self.change.names.is_turned {
            return Ok(self);
        }
        let names = self.change.names.turned();
        let lease = self.sessions.control.take().await?;
        let result = require_both(&lease, &names).await;
        lease.settle(result).await?;
        self.heartbeat.stop();
        self.sessions.workers.refresh();
        *locked(&self.log.stream_was_good) = None;
        *locked(&self.log.following_since) = None;
        let (control, workers) = (self.sessions.control.clone(), self.sessions.workers.clone());
        Ok(Postgres {
            shadow: KnownShadow::new(names.clone(), control, workers),
            heartbeat: HeartbeatSwitch {
                server: self.sessions.server.clone(),
                names: names.clone(),
                incarnation: self.change.incarnation.clone(),
                running: Mutex::new(None),
            },
            change: turned(self.change, names),
            ..self
        })
    }

    async fn refresh_each(&self, keys: &[Key]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let shadow = self.shadow.with_lookup().await?;
        let back = returned_rows::back_of(&shadow)?;
        let lease = self.sessions.workers.take().await?;
        let table = &self.change.names.display;
        let result = returned_rows::refresh_each(&lease, table, &shadow, back, keys).await;
        lease.settle(result).await
    }

    async fn misfits(&self) -> Result<Vec<Misfits>> {
        let shadow = self.shadow.facts().await?;
        let back = returned_rows::back_of(&shadow)?;
        let lease = self.sessions.control.take().await?;
        let result = returned_rows::misfits(&lease, &self.change.names.display, back).await;
        lease.settle(result).await
    }

    async fn blocked_misfits(&self, most: usize) -> Result<Vec<Key>> {
        let shadow = self.shadow.facts().await?;
        let back = returned_rows::back_of(&shadow)?;
        let lease = self.sessions.control.take().await?;
        let table = &self.change.names.display;
        let result = returned_rows::blocked(&lease, table, (&shadow.layout, back), most).await;
        lease.settle(result).await
    }
}

/// The change without its clauses: nothing is altered on the way back, and every dependent comes
/// along.
fn turned(change: Change, names: Names) -> Change {
    let target = Target {
        alter: String::new(),
        renames: Vec::new(),
        sets: Vec::new(),
        foreign_keys: ForeignKeys::Carry,
        create: None,
        order_by: None,
        reversible: false,
        reverse_sets: Vec::new(),
        ..change.target
    };
    Change { target, alter: AlterRequest::read(""), names, ..change }
}

/// Fails unless both tables are those that the swap left, or the swap back has happened.
async fn require_both(session: &Session, names: &Names) -> Result<()> {
    let attempted = || format!("keep the old {} current", names.display);
    let Some(facts) = journal::entry(session, names).await?.facts else {
        let reason = "the journal does not know how: the table was not swapped with --reversible, \
                      or the time for a way back is over";
        return Err(Error::refused(attempted(), reason));
    };
    if facts.done.is_some() {
        return Ok(());
    }
    let Facts { source, shadow, .. } = facts;
    let found = catalogue::table_id(session, &names.schema, &names.table).await?;
    if found != Some(source) {
        let reason = format!("{} is not the table that the swap put there", names.source());
        return Err(Error::refused(attempted(), reason));
    }
    let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
    if found.is_none() || found != shadow.map(|shadow| shadow.oid) {
        let reason = format!("the old table {} is gone, or is another one", names.shadow());
        return Err(Error::refused(attempted(), reason));
    }
    Ok(())
}
