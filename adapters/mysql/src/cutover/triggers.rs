//! Moves triggers with the table's name, so that no write happens without them.
//!
//! A trigger's name is unique in its schema, so it cannot be on both tables, and neither server can
//! move a trigger. The run drops it from the old table and creates it on the new one, right after
//! the swap, while the table is still locked. So triggers never fire on our copying. If the lock's
//! holder died between the two, writers would get in without triggers. Therefore the shadow has
//! *guards* before the swap: triggers for the same events that refuse every write but this tool's.
//! The run drops them when all triggers exist. After a crash in between, the table refuses those
//! writes until the same command runs again. The journal has every trigger's text.

use crate::change::Change;
use crate::cutover::ownership::find_owner;
use crate::facts::{Facts, Trigger};
use crate::journal::{read_entry, save_facts};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::{Names, TableName};
use crate::server::pool::{Lease, SessionPool, Slot};
use crate::server::session::{Cells, Session, text};
use crate::sql;
use altergeist_contract::{Error, Ownership, Result};
use std::sync::Arc;

/// The events of triggers, in the order of [`Names::guards`].
const EVENTS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

/// The triggers of a table, and their rows in the catalogue.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Triggers {
    pub list: Vec<Trigger>,
    pub seen: Vec<Cells>,
}

impl Triggers {
    /// Reads a table's triggers, in the order they fire.
    pub(crate) async fn read(
        session: &mut Session,
        table: &TableName,
    ) -> std::result::Result<Triggers, Failure> {
        let seen = session.rows(&sql::triggers::trigger_facts(table)).await?;
        let mut list = Vec::new();
        if !seen.is_empty() {
            // The text must not be converted to another character set.
            session.execute(sql::catalogue::RESULTS_AS_THEY_ARE).await?;
        }
        for row in &seen {
            let name = text(&row[0]);
            let show = sql::triggers::show_create_trigger(&TableName::new(&table.schema, &name));
            let made = session.row(&show).await?.unwrap_or_default();
            let cell = |place: usize| made.get(place).map(text).unwrap_or_default();
            list.push(Trigger {
                name,
                event: text(&row[1]),
                sql_mode: cell(1),
                statement: made
                    .get(2)
                    .and_then(|cell| cell.as_deref())
                    .map(crate::sql::quote::hex)
                    .unwrap_or_default(),
                charset: cell(3),
                collation: cell(4),
            });
        }
        if !seen.is_empty() {
            session.execute(sql::session::NAMES).await?;
        }
        Ok(Triggers { list, seen })
    }

    /// Returns whether the table still has the same triggers.
    pub(crate) async fn are_as_read(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> std::result::Result<bool, Failure> {
        Ok(session.rows(&sql::triggers::trigger_facts(table)).await? == self.seen)
    }
}

/// Returns the events that these triggers are for, by their places in [`EVENTS`].
fn events(triggers: &[Trigger]) -> impl Iterator<Item = usize> {
    (0..EVENTS.len())
        .filter(|place| triggers.iter().any(|trigger| trigger.event.contains(EVENTS[*place])))
}

/// Returns the statements that create a trigger again: its settings, and its own text.
fn remake(trigger: &Trigger) -> Option<[Vec<u8>; 2]> {
    let settings = sql::triggers::trigger_settings(trigger);
    let mut statement = unhex(&trigger.statement)?;
    // MySQL keeps a semicolon after the body only if another statement follows in the same text.
    if statement.trim_ascii_end().ends_with(b";") {
        statement.extend_from_slice(b" DO 0");
    }
    Some([settings.into_bytes(), statement])
}

/// Returns the same statements with another head. The catalogue's own column for the body would
/// lose backslashes.
pub(crate) fn trial_of(trigger: &Trigger, head: &str) -> Option<[Vec<u8>; 2]> {
    let [settings, statement] = remake(trigger)?;
    let body = &statement[body_at(&statement)?..];
    Some([settings, [head.as_bytes(), body].concat()])
}

/// Finds where a trigger's body begins: after the words FOR EACH ROW. The same words may be in
/// quotes or comments before.
fn body_at(statement: &[u8]) -> Option<usize> {
    let mut words = Vec::new();
    let mut place = 0;
    while place < statement.len() {
        let rest = &statement[place..];
        let length = match rest[0] {
            quote @ (b'`' | b'"' | b'\'') => {
                2 + rest[1..].iter().position(|byte| *byte == quote)?
            }
            b'/' if rest.starts_with(b"/*") => {
                2 + rest[2..].windows(2).position(|end| end == b"*/")? + 2
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => rest
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
                .count(),
            _ => 1,
        };
        if !rest[0].is_ascii_whitespace() {
            words.push(rest[..length].to_ascii_uppercase());
        }
        place += length;
        if words.ends_with(&[b"FOR".to_vec(), b"EACH".to_vec(), b"ROW".to_vec()]) {
            return Some(place);
        }
    }
    None
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

async fn standing_on(
    session: &mut Session,
    table: &TableName,
) -> std::result::Result<Vec<String>, Failure> {
    let rows = session.rows(&sql::triggers::trigger_facts(table)).await?;
    Ok(rows.iter().map(|row| text(&row[0])).collect())
}

/// Moves each trigger that is still on the old table, then drops the guards. The swap is done, so
/// the table has the name that the triggers' own texts use. `dropper` is for a server where `maker`
/// holds a lock on one table only.
pub(crate) async fn carry(
    maker: &mut Session,
    mut dropper: Option<&mut Session>,
    source: &TableName,
    names: &Names,
    triggers: &[Trigger],
) -> std::result::Result<(), Failure> {
    maker.execute(&sql::session::use_schema(&source.schema)).await?;
    let on_old = standing_on(maker, &names.old).await?;
    let on_new = standing_on(maker, source).await?;
    for trigger in triggers.iter().filter(|trigger| !on_new.contains(&trigger.name)) {
        if on_old.contains(&trigger.name) {
            let drop =
                sql::triggers::drop_trigger(source, &TableName::new(&source.schema, &trigger.name));
            match &mut dropper {
                Some(session) => session.execute(&drop).await?,
                None => maker.execute(&drop).await?,
            };
        }
        let statements = remake(trigger)
            .ok_or_else(|| Failure::Lost("the journal does not hold the trigger's text".into()))?;
        for statement in statements {
            maker.execute_bytes(statement).await?;
        }
        maker.execute(sql::session::NAMES).await?;
    }
    for guard in names.guards.iter().filter(|guard| on_new.contains(&guard.name)) {
        maker.execute(&sql::triggers::drop_trigger(source, guard)).await?;
    }
    Ok(())
}

/// Reads the table's triggers, writes them to the journal, and puts the guards on the shadow. This
/// comes before the lock.
pub(crate) async fn prepare_triggers(change: &Change, pool: &Arc<SessionPool>) -> Result<Triggers> {
    let attempted = || change.doing("prepare to carry the triggers of");
    let mut reader = pool.reader().await?;
    let triggers =
        Triggers::read(&mut reader, &change.source).await.doing_in_catalogue(attempted)?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    if facts.triggers != triggers.list {
        facts.triggers.clone_from(&triggers.list);
        save_facts(change, pool, &facts).await?;
    }
    let mut lease = pool.lease(Slot::Control).await?;
    let session = lease.session();
    let standing =
        standing_on(session, &change.names.shadow).await.doing_in_catalogue(attempted)?;
    for (place, event) in EVENTS.into_iter().enumerate() {
        let guard = &change.names.guards[place];
        let is_wanted = events(&triggers.list).any(|wanted| wanted == place);
        let statement = match (is_wanted, standing.contains(&guard.name)) {
            (true, false) => {
                sql::triggers::create_guard(&change.source, &change.names.shadow, guard, event)
            }
            // An attempt left this guard when the source had other triggers. Nothing would drop it
            // after the swap.
            (false, true) => sql::triggers::drop_trigger(&change.source, guard),
            _ => continue,
        };
        session.execute(&statement).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    Ok(triggers)
}

/// Drops the guards of a shadow that stays a table of its own.
pub(crate) async fn drop_guards(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let attempted = || change.doing("drop the guards beside");
    let mut lease = pool.lease(Slot::Control).await?;
    let session = lease.session();
    let standing =
        standing_on(session, &change.names.shadow).await.doing_in_catalogue(attempted)?;
    for guard in change.names.guards.iter().filter(|guard| standing.contains(&guard.name)) {
        let drop = sql::triggers::drop_trigger(&change.source, guard);
        session.execute(&drop).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    Ok(())
}

/// Completes what a cut-over left half done after its swap. It may be called again.
pub(crate) async fn complete_triggers(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    if facts.triggers.is_empty() {
        return Ok(());
    }
    // The session has other settings afterwards, so it is not kept.
    let mut lease: Lease = pool.lease(Slot::Control).await?;
    carry(lease.session(), None, &change.source, &change.names, &facts.triggers).await.map_err(
        |failure| {
            let mut error = failure.of_catalogue(change.doing("create the triggers on"));
            error.reason += "; until they exist, the table refuses writes that would fire them: \
                             run the same command again";
            error
        },
    )?;
    drop(lease);
    facts.triggers.clear();
    save_facts(change, pool, &facts).await
}

/// Restores the triggers before the journal is deleted: it may have the only copy.
pub(crate) async fn rescue_triggers(
    change: &Change,
    pool: &Arc<SessionPool>,
    facts: &Facts,
) -> Result<()> {
    if facts.triggers.is_empty() || facts.done.is_some() {
        return Ok(());
    }
    match find_owner(change, pool).await? {
        Ownership::Source => Ok(()),
        Ownership::Shadow => complete_triggers(change, pool).await,
        Ownership::Unclear(found) => Err(Error::fatal(
            change.doing("clean up after the change of"),
            format!("triggers may be missing, and only the journal knows them: {found}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(event: &str) -> Trigger {
        Trigger {
            name: "t".into(),
            event: event.into(),
            sql_mode: "ANSI".into(),
            charset: "latin1".into(),
            collation: "latin1_bin".into(),
            statement: "53455420".into(),
        }
    }

    #[test]
    fn guards_stand_on_the_events_of_the_triggers() {
        let of = |triggers: &[Trigger]| events(triggers).collect::<Vec<_>>();
        assert_eq!(of(&[]), [0_usize; 0]);
        assert_eq!(of(&[trigger("DELETE"), trigger("DELETE")]), [2]);
        assert_eq!(of(&[trigger("UPDATE"), trigger("INSERT")]), [0, 1]);
        assert_eq!(of(&[trigger("INSERT,DELETE")]), [0, 2]);
    }

    #[test]
    fn the_body_begins_behind_for_each_row() {
        let body = |statement: &str| {
            body_at(statement.as_bytes()).map(|place| statement[place..].to_owned())
        };
        assert_eq!(
            body(
                "CREATE DEFINER=`FOR EACH ROW`@`%` TRIGGER /* for each row */ `a``b` AFTER INSERT \
                 ON \"t\"\nfor each  ROW SET @a = 1"
            ),
            Some(" SET @a = 1".to_owned())
        );
        assert_eq!(body("CREATE TRIGGER a"), None);
    }

    #[test]
    fn a_trigger_is_made_in_its_own_settings_from_its_own_bytes() {
        let made = remake(&trigger("INSERT")).expect("hex");
        let settings = String::from_utf8_lossy(&made[0]).into_owned();
        assert_eq!(
            settings,
            "SET SESSION sql_mode = 'ANSI', character_set_client = latin1, collation_connection = \
             latin1_bin"
        );
        assert_eq!(made[1], b"SET ");
    }
}
