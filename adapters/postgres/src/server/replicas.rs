//! The replicas that are asked how far they are behind, each with a session that is kept.

use crate::server::session::Session;

/// The replicas asked about, each with a session that is kept.
pub(crate) struct Replicas(pub(crate) Vec<Replica>);

pub(crate) struct Replica {
    pub(crate) url: String,
    pub(crate) session: tokio::sync::Mutex<Option<Session>>,
}

impl Replicas {
    pub(crate) fn new(urls: &[String]) -> Replicas {
        let replica =
            |url: &String| Replica { url: url.clone(), session: tokio::sync::Mutex::new(None) };
        Replicas(urls.iter().map(replica).collect())
    }
}
