//! The replicas whose lag counts. The user names them. Otherwise they are those that read the
//! server's log when the run begins and that let us in. `plan` and the run report replicas that
//! they see and cannot ask.
//!
//! The server lists the readers of its log: their numbers and ports, and their hosts if the replica
//! is set to report its host. Else the list of sessions has the hosts. A server that answers at
//! such an address with the same number is the replica.

use crate::change::Change;
use crate::log::source::LogServer;
use crate::server::about::Replica;
use crate::server::connect::Access;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, NamedReplica, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The server's replicas, as far as we see them.
#[derive(Default)]
pub(crate) struct Seen {
    pub reached: Vec<Access>,
    /// Those that we cannot ask, and why; for people.
    pub unreached: Vec<String>,
}

/// A reader of the log, as the server lists it.
struct Reader {
    server_id: u64,
    /// Empty if it does not say.
    host: String,
    port: u16,
}

/// The replicas that count from now on. The one that the log is read from is among them: the
/// log cannot arrive sooner than there.
pub(crate) async fn watched(
    change: &Change,
    pool: &Arc<SessionPool>,
    log: &LogServer,
    named: &[NamedReplica],
) -> Result<Vec<Replica>> {
    let read = |url: &String| Access::read(url, &change.target.passwords);
    let mut watched = Vec::new();
    for replica in named {
        let (host, port) = replica.host_and_port();
        let like_the_server = || pool.access.at(host, port.unwrap_or(3306));
        watched.push(replica.url.as_ref().map_or_else(|| Ok(like_the_server()), read)?);
    }
    for url in change.target.stream_from.iter().filter(|_| log.is_replica) {
        watched.push(read(url)?);
    }
    if named.is_empty() {
        let seen = see_replicas(change, pool).await?;
        for unreached in seen.unreached {
            tracing::warn!("{unreached}: its lag does not count");
        }
        let is_new = |found: &Access| watched.iter().all(|known| known.address != found.address);
        let found: Vec<Access> = seen.reached.into_iter().filter(is_new).collect();
        watched.extend(found);
    }
    let named = named.len() + usize::from(log.is_replica);
    let replica = |(nth, access)| Replica { access, session: None, is_certain: nth < named };
    Ok(watched.into_iter().enumerate().map(replica).collect())
}

/// Forgets those that only seemed to be replicas. A server lists a reader that has left until it
/// next sends it something. A replica that the user named, or that once had a heartbeat, is
/// never forgotten.
pub(crate) async fn forget_those_that_left(
    change: &Change,
    pool: &Arc<SessionPool>,
    replicas: &mut Vec<Replica>,
) -> Result<()> {
    if replicas.iter().all(|replica| replica.is_certain) {
        return Ok(());
    }
    let seen = see_replicas(change, pool).await?;
    replicas.retain(|replica| {
        let stays = replica.is_certain
            || seen.reached.iter().any(|access| access.address == replica.access.address);
        if !stays {
            tracing::warn!(
                "{} has stopped reading the log: its lag does not count",
                replica.access.address
            );
        }
        stays
    });
    Ok(())
}

/// What `plan` says of them.
pub(crate) async fn replica_notes(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Vec<Finding>> {
    let seen = see_replicas(change, pool).await?;
    let is_named = |address: &str| {
        let urls = change.target.replicas.iter().chain(&change.target.stream_from);
        urls.filter_map(|url| Access::read(url, &change.target.passwords).ok())
            .any(|access| access.address == address)
    };
    let counts = change.target.replicas.is_empty();
    let unnamed = seen.reached.iter().filter(|access| !is_named(&access.address));
    let reached = unnamed.map(|access| match counts {
        true => {
            let note = format!("replica {} was found: its lag counts", access.address);
            Finding::note(Code::ReplicaLag, note)
        }
        false => Finding::warning(
            Code::ReplicaLag,
            format!("replica {}", access.address),
            "it was found and is not named: its lag does not count",
            "name it with --replica URL",
        ),
    });
    let unreached = seen.unreached.iter().map(|what| {
        let reason = format!("{what}: its lag does not count");
        Finding::warning(Code::ReplicaLag, "", reason, "name it with --replica URL")
    });
    Ok(reached.chain(unreached).collect())
}

async fn see_replicas(change: &Change, pool: &Arc<SessionPool>) -> Result<Seen> {
    let mut session = pool.reader().await?;
    let version = change.server.version;
    let mut seen = Seen::default();
    let rows = match session.rows(sql::log::log_readers(version)).await {
        Ok(rows) => rows,
        Err(failure) if failure.ends_session() => {
            return Err(failure.of_catalogue(change.doing("find replicas of")));
        }
        Err(_) => {
            let right = match version.flavour {
                Flavour::MySql => "REPLICATION SLAVE",
                Flavour::MariaDb => "REPLICATION MASTER ADMIN",
            };
            seen.unreached.push(format!(
                "this user may not see whether there are replicas ({right} is missing)"
            ));
            return Ok(seen);
        }
    };
    // Host and port stand beside the name and password that replicas may tell, and before one
    // column or two.
    let behind = if version.flavour == Flavour::MySql { 3 } else { 2 };
    let readers = rows.iter().filter_map(|row| {
        Some(Reader {
            server_id: number(row.first()?)?,
            host: row.get(1).map(text).unwrap_or_default(),
            port: number(row.get(row.len().checked_sub(behind)?)?)?.try_into().ok()?,
        })
    });
    // Tools that read the log tell no port.
    let readers: Vec<Reader> = readers.filter(|reader| reader.port > 0).collect();
    if readers.is_empty() {
        return Ok(seen);
    }
    let hosts = session.rows(sql::log::HOSTS_OF_LOG_READERS).await.unwrap_or_default();
    let hosts: BTreeSet<String> = hosts.iter().map(|row| text(&row[0])).collect();
    for reader in readers {
        match connect_replica(pool, &reader, &hosts).await {
            Some(access) => seen.reached.push(access),
            None => seen.unreached.push(format!(
                "replica {}:{} (server_id {}) was found and does not let us in",
                if reader.host.is_empty() { "?" } else { &reader.host },
                reader.port,
                reader.server_id
            )),
        }
    }
    Ok(seen)
}

async fn connect_replica(
    pool: &Arc<SessionPool>,
    reader: &Reader,
    hosts: &BTreeSet<String>,
) -> Option<Access> {
    let told = (!reader.host.is_empty()).then_some(&reader.host);
    for host in told.into_iter().chain(hosts) {
        let access = pool.access.at(host, reader.port);
        let asked = async {
            let mut session = Session::bare(&access).await.ok()?;
            session.text(sql::log::SERVER_ID).await.ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        if answer.is_some_and(|id| id == reader.server_id.to_string()) {
            return Some(access);
        }
    }
    None
}
