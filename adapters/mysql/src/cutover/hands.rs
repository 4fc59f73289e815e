//! The sessions that lock the tables at the other ends of foreign keys (MariaDB), and alter tables
//! meanwhile.

use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Lease;
use crate::server::session::Session;

/// A table at the other end of a foreign key, and the session that locks it.
pub(crate) struct Neighbour {
    pub table: TableName,
    pub is_parent: bool,
    pub is_child: bool,
    pub lease: Lease,
}

/// All of them; see the module.
#[derive(Default)]
pub(crate) struct Neighbours(pub Vec<Neighbour>);

/// The sessions that alter tables while some of them are locked: each by whoever holds it.
pub(crate) struct Hands<'a> {
    /// For the catalogue, and for tables that nobody has locked.
    pub control: &'a mut Session,
    pub neighbours: Option<&'a mut Neighbours>,
}

impl<'a> Hands<'a> {
    /// One session for everything.
    pub(crate) fn one(control: &'a mut Session) -> Hands<'a> {
        Hands { control, neighbours: None }
    }

    /// Alters a table.
    pub(crate) async fn alter(
        &mut self,
        table: &TableName,
        statement: &str,
    ) -> std::result::Result<(), Failure> {
        let locked = self.neighbours.as_mut().and_then(|neighbours| neighbours.session_of(table));
        let session = match locked {
            Some(session) => session,
            None => &mut *self.control,
        };
        session.execute(statement).await.map(drop)
    }
}

/// A lock that was not had, and whom the wait for it has ended.
pub(crate) struct NotLocked {
    pub failure: Failure,
    pub ended: String,
}

impl Neighbours {
    /// The server's numbers of their sessions.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|neighbour| neighbour.lease.id())
    }

    /// The session that may alter a child.
    pub(crate) fn session_of(&mut self, table: &TableName) -> Option<&mut Session> {
        let neighbour =
            self.0.iter_mut().find(|neighbour| neighbour.is_child && neighbour.table == *table)?;
        Some(neighbour.lease.session())
    }

    /// Lets go of children that are no parents.
    pub(crate) async fn unlock_children(&mut self) {
        let (parents, children) =
            std::mem::take(&mut self.0).into_iter().partition(|neighbour| neighbour.is_parent);
        self.0 = parents;
        Neighbours(children).unlock().await;
    }

    /// Lets go of all. A session that does not answer is gone, and its lock with it.
    pub(crate) async fn unlock(&mut self) {
        for mut neighbour in self.0.drain(..) {
            if neighbour.lease.session().execute("UNLOCK TABLES").await.is_ok() {
                neighbour.lease.keep();
            }
        }
    }
}
