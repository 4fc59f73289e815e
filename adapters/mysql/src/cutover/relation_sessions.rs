//! Sessions that lock the tables at the other ends of foreign keys (MariaDB), and alter them.

use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Lease;
use crate::server::session::Session;
use crate::sql;

/// A table at the other end of a foreign key, and the session that locks it.
pub(crate) struct LockedRelation {
    pub table: TableName,
    pub is_parent: bool,
    pub is_child: bool,
    pub lease: Lease,
}

/// All tables at the other ends; see [`crate::cutover::locked_relations`].
#[derive(Default)]
pub(crate) struct LockedRelations(pub Vec<LockedRelation>);

/// The sessions that alter tables while some tables are locked. The session that holds a table's
/// lock alters it.
pub(crate) struct AlterSessions<'a> {
    /// For the catalogue, and for tables that no session of ours has locked.
    pub control: &'a mut Session,
    pub relations: Option<&'a mut LockedRelations>,
}

impl<'a> AlterSessions<'a> {
    /// Uses one session for everything.
    pub(crate) fn one(control: &'a mut Session) -> AlterSessions<'a> {
        AlterSessions { control, relations: None }
    }

    /// Alters a table.
    pub(crate) async fn alter(
        &mut self,
        table: &TableName,
        statement: &str,
    ) -> std::result::Result<(), Failure> {
        let locked = self.relations.as_mut().and_then(|relations| relations.session_of(table));
        let session = match locked {
            Some(session) => session,
            None => &mut *self.control,
        };
        session.execute(statement).await.map(drop)
    }
}

/// A lock that was not acquired, and the sessions that the run ended while it waited.
pub(crate) struct NotLocked {
    pub failure: Failure,
    pub ended: String,
}

impl LockedRelations {
    /// Returns the server's numbers of their connections.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|relation| relation.lease.id())
    }

    /// Returns the session that may alter a child.
    pub(crate) fn session_of(&mut self, table: &TableName) -> Option<&mut Session> {
        let relation =
            self.0.iter_mut().find(|relation| relation.is_child && relation.table == *table)?;
        Some(relation.lease.session())
    }

    /// Unlocks children that are no parents.
    pub(crate) async fn unlock_children(&mut self) {
        let (parents, children) =
            std::mem::take(&mut self.0).into_iter().partition(|relation| relation.is_parent);
        self.0 = parents;
        LockedRelations(children).unlock().await;
    }

    /// Unlocks all tables. If a session does not answer, it is gone, and its lock with it.
    pub(crate) async fn unlock(&mut self) {
        for mut relation in self.0.drain(..) {
            if relation.lease.session().execute(sql::cutover::UNLOCK).await.is_ok() {
                relation.lease.keep();
            }
        }
    }
}
