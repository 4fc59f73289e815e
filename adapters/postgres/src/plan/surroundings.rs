//! What goes on at the server now, and what the change does to it: open transactions, standbys,
//! log.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::time::Duration;

/// An open transaction that only reads is no news before this age.
const READER_AGE: i64 = 60;

/// A transaction of another session, or a prepared one.
struct OpenTransaction {
    who: String,
    seconds: i64,
    /// Whether it holds a lock on the table, or on what the swap locks with it.
    holds: bool,
    writes: bool,
    reads: bool,
    /// The statement that ends it.
    end: String,
}

/// Findings about open transactions.
pub(crate) struct OpenTransactions {
    /// Those that hold a lock the change needs.
    pub(crate) in_the_way: Vec<Finding>,
    /// Those that only a copy waits for.
    pub(crate) others: Vec<Finding>,
}

/// Returns what an operator should know before the change begins.
pub(crate) async fn find(
    session: &Session,
    change: &Change,
    relations: &[u32],
) -> Result<OpenTransactions> {
    let patience = i64::try_from(change.target.lock_timeout.as_millis()).unwrap_or(i64::MAX);
    let rows = session
        .query(sql::OPEN_TRANSACTIONS, &[&relations, &patience, &change.names.application])
        .await
        .doing("ask which transactions are open")?;
    let open = rows.iter().map(|row| OpenTransaction {
        who: row.get(0),
        seconds: row.get(1),
        holds: row.get(2),
        writes: row.get(3),
        reads: row.get(4),
        end: row.get(5),
    });
    let (in_the_way, others): (Vec<_>, Vec<_>) = open.partition(|open| open.holds);
    let sees = session.one(sql::SEES_SESSIONS, &[]).await.doing("ask what this role may see")?;
    let hidden = (!sees.get::<_, bool>(0)).then(|| {
        let message = "this role does not see how long transactions of others are open; GRANT \
                       pg_read_all_stats shows it";
        Finding::note(Code::HiddenFromUser, message)
    });
    Ok(OpenTransactions {
        in_the_way: in_the_way.iter().filter_map(blocker).collect(),
        others: others.iter().filter_map(blocker).chain(hidden).collect(),
    })
}

fn blocker(open: &OpenTransaction) -> Option<Finding> {
    let age = Duration::from_secs(open.seconds.unsigned_abs());
    let (message, remedy) = match () {
        () if open.holds => (
            format!("it has held a lock for {age:?} that keeps the change from locking the table"),
            format!("end it ({}), or use --kill-blockers", open.end),
        ),
        () if open.writes => (
            format!(
                "its transaction is {age:?} old and has written; the run cannot begin to read the \
                 log before it ends"
            ),
            format!("end it ({})", open.end),
        ),
        () if open.reads && open.seconds >= READER_AGE => (
            format!(
                "its snapshot is {age:?} old; it keeps dead rows, and after a swap it would see \
                 an empty table"
            ),
            format!("end it ({}), or use --wait-old-snapshots", open.end),
        ),
        () => return None,
    };
    Some(Finding::warning(Code::Blockers, open.who.clone(), message, remedy))
}

/// Returns what a copy costs beside the table: space, log, standbys.
pub(crate) async fn costs(session: &Session, change: &Change, bytes: i64) -> Result<Vec<Finding>> {
    let row = session.one(sql::LOG_LIMIT, &[]).await.doing("ask how much log may stay")?;
    let limit: i64 = row.get(0);
    let size = size(bytes);
    let mut findings = vec![Finding::note(
        Code::DiskSpace,
        format!(
            "the copy takes about {size} beside the table, and the server keeps the log that is \
             written meanwhile; PostgreSQL does not tell how much space is free"
        ),
    )];
    let own = change.target.log_limit_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    let volume = format!("the copy writes about {size} of log");
    findings.push(match (limit, own) {
        (limit, _) if limit >= 0 && limit << 20 < bytes => Finding::warning(
            Code::LogVolume,
            "setting max_slot_wal_keep_size",
            format!(
                "{volume}, and the server keeps at most {limit} MB for a slot: a run that stops \
                 for long must start again"
            ),
            format!(
                "run ALTER SYSTEM SET max_slot_wal_keep_size = '{}MB', or use --max-log-kept",
                (bytes >> 20) + 1
            ),
        ),
        (_, Some(own)) if own < bytes => Finding::warning(
            Code::LogVolume,
            "--max-log-kept",
            format!("{volume}, and the run ends when the server keeps more than this limit"),
            "raise it, or leave it out",
        ),
        _ => Finding::note(Code::LogVolume, volume),
    });
    findings.extend(standbys(session).await?);
    Ok(findings)
}

/// A number of bytes, for people.
fn size(bytes: i64) -> String {
    match bytes {
        ..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Returns the standbys that replay what the copy writes.
async fn standbys(session: &Session) -> Result<Vec<Finding>> {
    let rows = session.query(sql::STANDBYS, &[]).await.doing("ask how far the standbys are")?;
    let standby = |row: &tokio_postgres::Row| {
        let name: String = row.get(0);
        let lag = match row.get::<_, Option<f64>>(1) {
            Some(seconds) => format!("it is {seconds:.1} s behind now"),
            None => "its lag is unknown".to_owned(),
        };
        let message = format!(
            "{lag}; it replays the copy too. The run waits while it is behind by more than \
             --max-lag"
        );
        Finding::note(Code::ReplicaLag, message).about(format!("standby {name}"))
    };
    Ok(rows.iter().map(standby).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(holds: bool, writes: bool, seconds: i64) -> OpenTransaction {
        let (who, end) = ("server process 7".to_owned(), "SELECT 1".to_owned());
        OpenTransaction { who, seconds, holds, writes, reads: true, end }
    }

    #[test]
    fn who_holds_a_lock_is_named_first_and_a_young_reader_is_no_news() {
        let remedy = |open: &OpenTransaction| blocker(open).unwrap().remedy;
        assert!(remedy(&open(true, true, 1)).contains("--kill-blockers"));
        assert!(blocker(&open(false, true, 1)).unwrap().message.contains("1s old"));
        assert!(remedy(&open(false, false, READER_AGE)).contains("--wait-old-snapshots"));
        assert!(blocker(&open(false, false, READER_AGE - 1)).is_none());
    }
}
