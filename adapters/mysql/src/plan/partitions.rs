//! Measures the swap's renames. Every partition is a file, and the server renames one after another
//! under the lock. `plan` measures that on the altered, empty clone, which has the same partitions.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Result};
use std::time::{Duration, Instant};

/// From so many files on, the plan measures the renames. Fewer take no noticeable time.
const MANY: u64 = 32;

/// Returns what `plan` says of the renames, or refuses a swap that would hold its lock longer than
/// the lock timeout.
pub(crate) async fn measure_swap(
    change: &Change,
    session: &mut Session,
) -> Result<Option<Finding>> {
    let attempted = || change.doing("count the partitions of");
    let mut files = [0; 2];
    for (files, table) in files.iter_mut().zip([&change.source, &change.names.clone]) {
        let count = session.text(&sql::catalogue::count_partitions(table)).await;
        let count = count.doing_in_catalogue(attempted)?;
        let count = count.parse::<u64>();
        *files =
            count.map_err(|_| Error::fatal(attempted(), "the server does not count them"))?.max(1);
    }
    let [of_source, of_clone] = files;
    if of_source.max(of_clone) < MANY {
        return Ok(None);
    }
    let there_and_back = rename_there_and_back(change, session).await;
    let there_and_back = there_and_back.doing_in_catalogue(change.doing("rename a clone of"))?;
    let swap = swap_takes(there_and_back, of_source, of_clone);
    let said = format!(
        "the swap renames {} partitions under its lock, one after another: about {} ms, measured \
         on an empty clone",
        of_source + of_clone,
        swap.as_millis()
    );
    if swap <= change.target.lock_timeout {
        return Ok(Some(Finding::note(Code::Partitions, said).count(of_source + of_clone)));
    }
    let reason = format!("{said}; --lock-timeout is {} ms", change.target.lock_timeout.as_millis());
    let remedy = format!(
        "allow a longer lock with --lock-timeout {}s, or merge partitions first",
        swap.as_secs() * 3 / 2 + 1
    );
    Ok(Some(
        Finding::error(Code::Partitions, "partitions", reason, remedy).count(of_source + of_clone),
    ))
}

async fn rename_there_and_back(
    change: &Change,
    session: &mut Session,
) -> std::result::Result<Duration, Failure> {
    let (clone, renamed) = (&change.names.clone, &change.names.renamed_clone);
    session.execute(&sql::ddl::drop_table(&change.source, renamed)).await?;
    let begun = Instant::now();
    session.execute(&sql::cutover::rename(&change.source, clone, renamed)).await?;
    session.execute(&sql::cutover::rename(&change.source, renamed, clone)).await?;
    Ok(begun.elapsed())
}

/// Estimates the swap. The clone's files were renamed twice; the swap renames the source's and the
/// shadow's once.
fn swap_takes(there_and_back: Duration, of_source: u64, of_clone: u64) -> Duration {
    there_and_back.mul_f64((of_source + of_clone) as f64 / (2 * of_clone) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_renames_both_tables_once() {
        let second = Duration::from_secs(1);
        assert_eq!(swap_takes(second, 400, 400), second);
        assert_eq!(swap_takes(second, 300, 100), 2 * second);
    }
}
