//! The proof that the change stream has delivered every changed row (law 9). The run notes what the
//! stream depends on when it opens the log. It compares that at every turn, and under the cut-over
//! lock. The proof also shows what happened to the tables, and whether another session wrote to the
//! shadow.

use crate::facts::{Facts, StreamConditions};
use crate::journal;
use crate::log::source::LogSource;
use crate::schema::definition;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, locked};
use crate::shadow::concurrent_ddl;
use crate::shadow::guard;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Kind, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a good answer stays good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What is found now.
struct Seen {
    stream_conditions: StreamConditions,
    /// The source's schema and name.
    source: Option<(String, String)>,
    /// The table that has the source's name.
    holder: Option<u32>,
    /// The shadow's schema and name.
    shadow: Option<(String, String)>,
}

/// What the change stream depends on now.
pub(crate) async fn take(
    session: &Session,
    names: &Names,
    source: u32,
) -> Result<StreamConditions> {
    Ok(look(session, names, source, 0).await?.stream_conditions)
}

async fn look(session: &Session, names: &Names, source: u32, shadow: u32) -> Result<Seen> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&source, &names.publication, &names.schema, &names.table, &shadow];
    let row = session.one(sql::STREAM_CONDITIONS, &parameters).await;
    let row = row.doing(format!("look at what the log of {} depends on", names.display))?;
    let place = |at: usize| {
        Some((row.get::<_, Option<String>>(at)?, row.get::<_, Option<String>>(at + 1)?))
    };
    Ok(Seen {
        stream_conditions: StreamConditions { publication: row.get(0), identity: row.get(1) },
        source: place(2),
        holder: row.get(4),
        shadow: place(5),
    })
}

/// Compares what is found now with what was noted, unless the last answer is still good.
pub(crate) async fn check(
    control: &Arc<SessionPool>,
    names: &Names,
    log: &LogSource,
) -> Result<()> {
    if locked(&log.stream_was_good).is_some_and(|at| at.elapsed() < GOOD_FOR) {
        return Ok(());
    }
    let lease = control.take().await?;
    let result = check_now(&lease, names).await;
    lease.settle(result).await?;
    *locked(&log.stream_was_good) = Some(Instant::now());
    Ok(())
}

async fn check_now(session: &Session, names: &Names) -> Result<()> {
    let Some(facts) = journal::entry(session, names).await?.facts else { return Ok(()) };
    judge(session, names, &facts).await?;
    let lost = match definition::describe(session, facts.source).await {
        // Another session has locked it. The next check comes soon.
        Err(error) if error.kind == Kind::Transient => return Ok(()),
        now => concurrent_ddl::unfollowable(&facts.source_lines, &now?),
    };
    if lost.is_empty() { Ok(()) } else { Err(concurrent_ddl::ended(names, &lost)) }
}

/// Compares what is found now with what was noted.
///
/// # Errors
/// `Missed` if the log may have left out changed rows, or the shadow has other rows; `Fatal` if
/// source or shadow are not where they were.
pub(crate) async fn judge(session: &Session, names: &Names, facts: &Facts) -> Result<()> {
    let shadow = facts.shadow.as_ref().map(|shadow| shadow.oid);
    let seen = look(session, names, facts.source, shadow.unwrap_or_default()).await?;
    let attempted = || format!("follow {}", names.display);
    if let Some(reason) = misplaced(names, &seen, shadow.is_some()) {
        let remedy = match names.is_turned {
            true => "the old table cannot come back any more".to_owned(),
            false => format!(
                "`altergeist cleanup --table {}` drops what this run made; then start again",
                names.display
            ),
        };
        return Err(Error::fatal(attempted(), format!("{reason}; {remedy}")));
    }
    let missed = |reason: String| Err(Error::new(Kind::Missed, attempted(), reason));
    let Some(noted) = &facts.stream_conditions else {
        return missed(
            "the version that began this run did not note what its log depends on".to_owned(),
        );
    };
    if seen.stream_conditions.identity != noted.identity {
        return missed("its replica identity was changed".to_owned());
    }
    if seen.stream_conditions.publication != noted.publication {
        return missed(format!("the publication {} was dropped or changed", names.publication));
    }
    match &facts.shadow {
        Some(shadow) if shadow.is_guarded => guard::check(session, names, shadow.oid).await,
        _ => Ok(()),
    }
}

/// Returns what happened to source and shadow, if they are not where they were.
fn misplaced(names: &Names, seen: &Seen, has_shadow: bool) -> Option<String> {
    match &seen.source {
        None if seen.holder.is_some() => {
            return Some(
                "the table was dropped, and another one was made under its name".to_owned(),
            );
        }
        None => return Some("the table was dropped".to_owned()),
        Some((schema, table)) if *schema != names.schema || *table != names.table => {
            return Some(format!("the table was renamed to {}", quote::qualified(schema, table)));
        }
        Some(_) => {}
    }
    match &seen.shadow {
        None if has_shadow => Some(format!("its shadow {} was dropped", names.shadow())),
        Some((schema, table)) if *schema != names.shadow_schema || *table != names.table => {
            Some(format!(
                "its shadow {} was renamed to {}",
                names.shadow(),
                quote::qualified(schema, table)
            ))
        }
        _ => None,
    }
}

/// Prevents changes of the publication until the session's transaction ends. That transaction holds
/// the source locked. It waits for a session that has just changed it: the change can be in the log
/// and not visible yet. Entries of the publication need nothing more, because their changes take a
/// lock of the table.
pub(crate) async fn hold_still(session: &Session, names: &Names) -> Result<()> {
    let attempted = || format!("keep the publication {} as it is", names.publication);
    let Err(error) = session.run(&sql::publish_all(&names.publication)).await else {
        return Ok(());
    };
    // The server's answer when another session changed the row during the wait.
    if error::is_internal(&error) {
        return Err(Error::new(Kind::Busy, attempted(), "another session has just changed it"));
    }
    if error::is_gone_or_forbidden(&error) {
        return Err(Error::new(
            Kind::Missed,
            attempted(),
            "another session dropped it, or changed its owner",
        ));
    }
    Err(error::of_lock(attempted(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::StreamConditions;
    use crate::server::names::Names;

    fn seen(
        source: Option<(&str, &str)>,
        holder: Option<u32>,
        shadow: Option<(&str, &str)>,
    ) -> Seen {
        let owned = |place: (&str, &str)| (place.0.to_owned(), place.1.to_owned());
        let stream_conditions =
            StreamConditions { publication: None, identity: Some("d 1 2".to_owned()) };
        Seen { stream_conditions, source: source.map(owned), holder, shadow: shadow.map(owned) }
    }

    #[test]
    fn what_became_of_source_and_shadow_is_said() {
        let names = Names::new("d", "s", "t");
        let shadow = Some(("ag_shadow_s", "t"));
        let said = |seen: &Seen| misplaced(&names, seen, true).unwrap_or_default();
        assert_eq!(said(&seen(Some(("s", "t")), Some(1), shadow)), "");
        assert!(said(&seen(None, None, shadow)).ends_with("was dropped"));
        assert!(said(&seen(None, Some(2), shadow)).contains("another one was made"));
        assert!(said(&seen(Some(("o", "t")), None, shadow)).contains("renamed to o.t"));
        assert!(said(&seen(Some(("s", "t")), Some(1), None)).contains("shadow"));
    }

    #[test]
    fn an_identity_begins_with_its_letter() {
        assert_eq!(seen(None, None, None).stream_conditions.letter(), Some(b'd'));
    }
}
