//! The named replicas whose lag counts, each with an open session.

use crate::server::session::Session;
use altergeist_contract::NamedReplica;

/// The named replicas whose lag counts now.
#[derive(Default)]
pub(crate) struct Replicas(pub(crate) tokio::sync::Mutex<Vec<Replica>>);

pub(crate) struct Replica {
    pub(crate) named: NamedReplica,
    /// The session, and whether it is set up for the operator's own questions.
    pub(crate) session: Option<(bool, Session)>,
}
