//! The application of a case: its blocks of SQL, over and over, on two connections.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::servers::Server;
use crate::session::{Failure, Session, block_on};

const CONNECTIONS: usize = 2;
/// Between two blocks of a connection: an application thinks, and two cores are shared by many.
const THINKING: Duration = Duration::from_millis(5);
/// An application that waits longer than this for one block has been stopped by us.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections that go on writing until they are stopped.
pub(super) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

struct Shared {
    server: Arc<Server>,
    url: String,
    /// Codes that these writes get without any change under way.
    errors: Vec<String>,
    stop: AtomicBool,
    done: AtomicU64,
    /// What the server calls the connections of these writers, the closed ones too.
    sessions: Mutex<Vec<u64>>,
}

impl Writers {
    pub(super) fn start(
        server: &Arc<Server>,
        database: &str,
        blocks: &[String],
        errors: &[String],
    ) -> Self {
        let shared = Arc::new(Shared {
            server: server.clone(),
            url: server.url(database),
            errors: errors.to_vec(),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            sessions: Mutex::default(),
        });
        let connections = if blocks.is_empty() { 0 } else { CONNECTIONS };
        let threads = (0..connections)
            .map(|nth| {
                let mut blocks = blocks.to_vec();
                let first = nth * blocks.len() / CONNECTIONS;
                blocks.rotate_left(first);
                let shared = shared.clone();
                thread::spawn(move || block_on(shared.write(&blocks)))
            })
            .collect();
        Self { shared, threads }
    }

    /// Waits until so many blocks more were written, or a writer has given up.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) fn wait_for(&self, blocks: u64) -> Result<(), String> {
        let goal = self.shared.done.load(Ordering::SeqCst) + blocks;
        let deadline = Instant::now() + 2 * PATIENCE;
        while self.shared.done.load(Ordering::SeqCst) < goal
            && !self.threads.iter().any(JoinHandle::is_finished)
        {
            if self.threads.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "the writers got no {blocks} blocks done in {:?}",
                    2 * PATIENCE
                ));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Lets every writer finish its block.
    ///
    /// # Errors
    /// The first error that the application cannot have brought upon itself.
    pub(super) fn stop(mut self) -> Result<(), String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut self.threads);
        let ends: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a writer never panics"))
            .collect();
        ends.into_iter().collect()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    async fn write(&self, blocks: &[String]) -> Result<(), String> {
        let mut open = None;
        for block in blocks.iter().cycle() {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let (mut session, id) = match open.take() {
                Some(open) => open,
                None => {
                    self.connect().await.map_err(|failure| format!("no connection: {failure}"))?
                }
            };
            let written = tokio::time::timeout(PATIENCE, session.execute(block)).await;
            let written = written.map_err(|_| {
                format!("the application waits for more than {PATIENCE:?} for\n{block}")
            })?;
            open = match written {
                Ok(_) => Some((session, id)),
                Err(failure) if self.is_its_own_affair(&failure, id) => {
                    // Whatever the block had begun must not go on: it would hold its locks.
                    session.execute("ROLLBACK").await.is_ok().then_some((session, id))
                }
                Err(failure) => {
                    return Err(format!("the application got an error: {failure}\nfor\n{block}"));
                }
            };
            self.done.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(THINKING).await;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<(Session, u64), Failure> {
        let mut session = Session::connect(&self.url).await?;
        let who = if session.is_postgres() {
            "SELECT pg_backend_pid()"
        } else {
            "SELECT CONNECTION_ID()"
        };
        let id = session.value(who).await?.and_then(|id| id.parse().ok()).unwrap_or_default();
        self.sessions.lock().expect("no writer panics").push(id);
        Ok((session, id))
    }

    /// Duplicate keys and serialization, which depend on who comes first; what the case says its
    /// writes get; and a deadlock that only writers have part in. An error that names one of our
    /// tables never is.
    fn is_its_own_affair(&self, failure: &Failure, id: u64) -> bool {
        if names_ours(&failure.message) {
            return false;
        }
        let codes: &[&str] = match self.server.flavour().is_postgres() {
            true => &["23505", "23P01", "40001"],
            false => &["1020", "1062", "1586"],
        };
        if !failure.is_deadlock() {
            return codes.contains(&failure.code.as_str()) || self.errors.contains(&failure.code);
        }
        let parties = match self.server.flavour().is_postgres() {
            true => numbers_after(&failure.message, "rocess "),
            false => parties_of(&self.server.log_text(), id),
        };
        let writers = self.sessions.lock().expect("no writer panics");
        parties.len() > 1 && parties.iter().all(|party| writers.contains(party))
    }
}

/// Whether a server's words name a table, a key or a trigger that is ours. Two names may be seen
/// right after the swap, when they refuse what the table's own keys refuse: the former key's, where
/// the clauses take it away, and those that MariaDB's foreign keys bear until they get their own
/// ones.
fn names_ours(message: &str) -> bool {
    let message = message.replace("_ag_key'", "");
    let is_ours =
        |name: &str| ["_ag_", "ag_shadow", "altergeist"].iter().any(|part| name.contains(part));
    message.split('`').any(|name| is_ours(name) && !is_temporary(name))
}

/// Whether this is the temporary name of a foreign key that is carried: `_ag_`, a hash, and a
/// number.
fn is_temporary(name: &str) -> bool {
    let parts = name.strip_prefix("_ag_").and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(hash, number)| {
        hash.len() == 16
            && hash.chars().all(|letter| letter.is_ascii_hexdigit())
            && !number.is_empty()
            && number.chars().all(|letter| letter.is_ascii_digit())
    })
}

/// Who took part in the last deadlock with `session` that the log of a MySQL or MariaDB server
/// tells of. Nobody when it was not about rows: then it was about the table, and the application
/// does not lock tables.
fn parties_of(log: &str, session: u64) -> Vec<u64> {
    let deadlocks: Vec<Vec<u64>> = log
        .split("(1) TRANSACTION")
        .skip(1)
        .map(|deadlock| numbers_after(deadlock, "thread id "))
        .collect();
    deadlocks.into_iter().rev().find(|parties| parties.contains(&session)).unwrap_or_default()
}

fn numbers_after(text: &str, word: &str) -> Vec<u64> {
    let digits =
        |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    text.split(word).skip(1).filter_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parties_of_a_deadlock_are_read_from_the_log() {
        let log = "*** (1) TRANSACTION:\nMySQL thread id 7, OS\n*** (2) TRANSACTION:\nMySQL \
                   thread id 9, OS\n*** (1) TRANSACTION:\nMySQL thread id 3, OS\n*** (2) \
                   TRANSACTION:\nMySQL thread id 4, OS\n";
        assert_eq!(parties_of(log, 9), [7, 9]);
        assert_eq!(parties_of(log, 4), [3, 4]);
        assert!(parties_of(log, 5).is_empty());
    }

    #[test]
    fn an_error_that_names_our_tables_is_told_from_others() {
        assert!(names_ours(
            "a foreign key constraint fails (`d`.`_t_ag_shadow`, CONSTRAINT `_ag_12_early_1` \
             FOREIGN KEY …)"
        ));
        assert!(!names_ours(
            "a foreign key constraint fails (`d`.`t`, CONSTRAINT `t_p` FOREIGN KEY …)"
        ));
        assert!(!names_ours(
            "a foreign key constraint fails (`d`.`t`, CONSTRAINT `_ag_db0dbaf2fb85610f_1` FOREIGN \
             KEY …)"
        ));
        assert!(names_ours(
            "a foreign key constraint fails (`d`.`_t_ag_old`, CONSTRAINT `_ag_db0dbaf2fb85610f_1` \
             …)"
        ));
        assert!(names_ours("(`d`.`t`, CONSTRAINT `_ag_db0dbaf2fb85610f_early_1` FOREIGN KEY …)"));
        assert!(!names_ours("Duplicate entry '1' for key 't._ag_key'"));
        assert!(names_ours("Duplicate entry '1' for key '_t_ag_shadow._ag_key'"));
    }

    #[test]
    fn the_parties_of_a_deadlock_are_read_from_its_detail() {
        let detail = "Process 12 waits for ShareLock on transaction 5; blocked by process 34.";
        assert_eq!(numbers_after(detail, "rocess "), [12, 34]);
    }
}
