//! Finds the server among the hosts of the URL, and a pooler before it that gives each transaction
//! another session. There a setting would stay with the next application. So we set nothing that
//! outlives a transaction before we know.
//!
//! A server sends each client its own process number. A pooler does not know it at that moment and
//! makes one up. Only then we compare two connections: a pooler that lends sessions for a
//! transaction lends the second connection the session of the first.

use crate::log::wire::Replication;
use crate::server::connect::{Server, Wanted};
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Kind, Passwords, Result};
use std::time::Duration;

/// How often two connections are compared. Others may take the session in between.
const ROUNDS: usize = 8;

/// Longest wait of the second connection for a session. If the pool has only one and the first
/// connection keeps it, none comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sessions a run has at once beside its workers: for the run lock, definitions, marks,
/// heartbeats, the log, what is visible in it, the swap, and one that ends what is in its way.
const BESIDE_WORKERS: usize = 8;

impl Server {
    /// Reads a URL and finds its server. Then sessions may be opened.
    pub(crate) async fn reach(url: &str, passwords: &Passwords) -> Result<Server> {
        let mut server = Server::parse(url, passwords)?;
        let addresses = server.addresses.clone();
        let mut why = None;
        // A server that is no standby is only preferred where one is.
        let passes = if server.wanted == Wanted::PreferStandby {
            vec![Wanted::Standby, Wanted::Any]
        } else {
            vec![server.wanted]
        };
        for wanted in passes {
            for address in &addresses {
                server.address = address.clone();
                match is_wanted(&server, wanted).await {
                    Ok(Some(is_pooled)) => return Ok(Server { is_pooled, ..server }),
                    Ok(None) => {
                        let reason = format!(
                            "it is not {}, as target_session_attrs demands",
                            wanted.words()
                        );
                        let unwanted =
                            Error::fatal(format!("connect to {}", server.name()), reason);
                        why.get_or_insert(unwanted);
                    }
                    Err(error) if error.kind == Kind::Disconnected => why = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(why.unwrap_or_else(|| Error::fatal("connect", "no host is named")))
    }
}

/// Whether the server is of the wanted kind, and if so, whether a pooler answers for it. Refuses a
/// pooler that lends its sessions.
async fn is_wanted(server: &Server, wanted: Wanted) -> Result<Option<bool>> {
    let mut first = Replication::open_plain(server).await?;
    let asked = match wanted {
        Wanted::Any | Wanted::PreferStandby => None,
        Wanted::ReadWrite | Wanted::ReadOnly => Some(sql::IS_READ_ONLY),
        Wanted::Primary | Wanted::Standby => Some(sql::IS_STANDBY),
    };
    if let Some(question) = asked {
        let is_so = first.ask(question).await? == "t";
        if is_so != matches!(wanted, Wanted::ReadOnly | Wanted::Standby) {
            return Ok(None);
        }
    }
    let pid = first.ask(sql::POOLED_PID).await?;
    if first.announced_pid().is_some_and(|announced| announced.to_string() == pid) {
        return Ok(Some(false));
    }
    if lends_sessions(server, &mut first, &pid).await? {
        return Err(Error::refused(
            format!("work on {}", server.name()),
            "a pooler answers there, and lends its sessions for one transaction at a time: what \
             this tool sets for itself would be left to your applications, and its locks with it. \
             Give the server's own address in the URL, or a pool in session mode (in PgBouncer: \
             pool_mode = session for this database or user)",
        ));
    }
    Ok(Some(true))
}

/// Refuses a pool that has fewer sessions than a run needs at once. The run would wait for one for
/// ever, in the middle of the work. `open` are those that it has already.
pub(crate) async fn require_sessions(
    server: &Server,
    workers: usize,
    open: usize,
) -> Result<Option<Finding>> {
    if !server.is_pooled {
        return Ok(None);
    }
    let needed = workers + BESIDE_WORKERS;
    let mut kept = Vec::new();
    while kept.len() + open < needed {
        let one = async {
            let mut one = Replication::open_plain(server).await?;
            one.ask(sql::POOLED_PID).await.map(|_| one)
        };
        // A pool that has none left lets its client wait.
        let Ok(one) = tokio::time::timeout(PATIENCE, one).await else { break };
        kept.push(one?);
    }
    let found = kept.len() + open;
    for one in kept {
        one.close().await;
    }
    Ok((found < needed).then(|| {
        let reason = format!(
            "its pool has {found} sessions to give at most, and this run needs \
                              {needed} at once"
        );
        let remedy = "give the server's own address in the URL, or a bigger pool (in PgBouncer: \
                      default_pool_size or pool_size); with fewer --workers it needs fewer";
        Finding::error(Code::Pooler, format!("the pooler at {}", server.name()), reason, remedy)
    }))
}

/// Whether the pooler lends a session to others between two transactions.
async fn lends_sessions(server: &Server, first: &mut Replication, pid: &str) -> Result<bool> {
    for _ in 0..ROUNDS {
        let second = async {
            let mut second = Replication::open_plain(server).await?;
            // Where a session is lent for one statement, there are no transactions.
            let begun = second.ask_if_allowed(sql::BEGIN_READ_ONLY).await?;
            let lent =
                if begun.is_some() { second.ask_if_allowed(sql::POOLED_PID).await? } else { None };
            Ok::<_, Error>((second, begun, lent))
        };
        let Ok(second) = tokio::time::timeout(PATIENCE, second).await else {
            // The pool has no second session to give; the first is either kept for us, or taken by
            // others.
            if first.ask(sql::POOLED_PID).await? != pid {
                return Ok(true);
            }
            return Err(Error::refused(
                format!("work on {}", server.name()),
                "a pooler answers there, and its pool has no second session to give: this tool \
                 needs several at once. Give the server's own address in the URL, or a bigger pool \
                 (in PgBouncer: default_pool_size or pool_size)",
            ));
        };
        let (second, begun, lent) = second?;
        if begun.is_none() || lent.as_deref() == Some(pid) {
            second.close().await;
            return Ok(true);
        }
        let still = tokio::time::timeout(PATIENCE, first.ask(sql::POOLED_PID)).await;
        second.close().await;
        match still {
            Err(_) => return Ok(true),
            Ok(still) if still.as_ref().is_ok_and(|still| still == pid) => {}
            Ok(still) => return still.map(|_| true),
        }
    }
    Ok(false)
}
