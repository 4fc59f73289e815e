//! The replicas whose lag counts, each with an open session.

use crate::server::session::Session;

/// The replicas whose lag counts.
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
