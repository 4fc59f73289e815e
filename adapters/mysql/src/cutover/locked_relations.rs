//! Locks on the tables at the other ends of foreign keys, for MariaDB's cut-over.
//!
//! A DELETE of a parent's row holds the parent, opens every table with a key to it, and waits for
//! those that are locked. So while only the source is locked, such a DELETE holds the shadow and
//! waits for the source, and our ALTER of the shadow waits for the DELETE. Therefore parents are
//! locked first, then the source, then children: as actions run. Who waits for a parent holds
//! nothing of what the cut-over alters.
//!
//! They stay locked until every key has its own name on the new table. Before that the new table
//! holds some keys twice, and of two keys that follow a parent's new value each refuses what the
//! other does (error 1452).
//!
//! Each table has a session of its own. The server ends the application's statement where one
//! session of ours waits for it while it waits for the same session (error 1213); of several
//! sessions it sees no such knot, so the wait just ends.

use crate::cutover::foreign_keys::Bonds;
use crate::cutover::hands::{Neighbour, Neighbours, NotLocked};
use crate::server::pool::{MOST_NEIGHBOURS, Slot};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, Result};
use std::time::{Duration, Instant};

impl MySql {
    /// Opens a session for each neighbour; locks nothing yet.
    pub(crate) async fn neighbours(
        &self,
        bonds: Option<&Bonds>,
        within: Duration,
    ) -> Result<Neighbours> {
        let children = bonds.map(Bonds::children).unwrap_or_default();
        let parents = self.parents_to_lock(bonds).await?;
        let only_children = children.iter().filter(|child| !parents.contains(child));
        let mut neighbours = Neighbours::default();
        for (number, table) in parents.iter().chain(only_children).enumerate() {
            if number >= MOST_NEIGHBOURS {
                let reason = format!(
                    "foreign keys bind it to more than {MOST_NEIGHBOURS} tables; drop some of them"
                );
                return Err(Error::refused(self.doing("lock"), reason));
            }
            let mut lease = self.crew.lease(Slot::Neighbour(number)).await?;
            for statement in [sql::session::lock_waits(within), sql::session::idle_limit(within)] {
                let done = lease.session().execute(&statement).await;
                done.map_err(|failure| failure.of_catalogue(self.doing("lock")))?;
            }
            let (is_parent, is_child) = (parents.contains(table), children.contains(table));
            neighbours.0.push(Neighbour { table: table.clone(), is_parent, is_child, lease });
        }
        Ok(neighbours)
    }

    /// Locks parents against writes: the first of all locks.
    pub(crate) async fn lock_parents(
        &self,
        neighbours: &mut Neighbours,
        until: Instant,
    ) -> Result<()> {
        self.lock_each(neighbours, true, until).await
    }

    /// Locks the other children: the last of all locks.
    pub(crate) async fn lock_children(
        &self,
        neighbours: &mut Neighbours,
        until: Instant,
    ) -> Result<()> {
        self.lock_each(neighbours, false, until).await
    }

    async fn lock_each(
        &self,
        neighbours: &mut Neighbours,
        parents: bool,
        until: Instant,
    ) -> Result<()> {
        let own: Vec<u64> = neighbours.ids().collect();
        let mut not_locked = None;
        for neighbour in neighbours.0.iter_mut().filter(|neighbour| neighbour.is_parent == parents)
        {
            let lock =
                sql::cutover::lock_neighbour(&self.source, &neighbour.table, neighbour.is_child);
            let bound = std::slice::from_ref(&neighbour.table);
            if let Err(failed) =
                self.wait_for_lock(neighbour.lease.session(), &lock, bound, &own, until).await?
            {
                not_locked = Some((neighbour.table.clone(), failed));
                break;
            }
        }
        let Some((table, NotLocked { failure, ended })) = not_locked else { return Ok(()) };
        neighbours.unlock().await;
        let mut error = failure.of_lock(self.doing("lock"));
        error.reason =
            format!("{}, which a foreign key binds to it: {}{ended}", table.plain(), error.reason);
        error.reason += &self.who_is_in_the_way(&table).await;
        Err(error)
    }
}
