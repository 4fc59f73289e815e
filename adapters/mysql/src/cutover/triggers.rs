//! Triggers move with the table's name, and no write happens without them.
//!
//! A trigger's name is unique in its schema, so it cannot stand on both tables, and neither server
//! can move one: it is dropped from the old table and made again on the new one, right after the
//! swap, while the table is still locked. So they never fire on our copying. If the lock's holder
//! dies between the two, writers would get in without triggers. Therefore *guards* stand on the
//! shadow before it is swapped: triggers for the same events which refuse every write that is not
//! this tool's. They go when all triggers stand. A crash in between leaves a table that refuses
//! those writes, loudly, until the same command is given again; the journal knows every trigger's
//! text.

use crate::facts::{Facts, Trigger};
use crate::server::error::Failure;
use crate::server::names::{Names, TableName};
use crate::server::pool::{Lease, Slot};
use crate::server::session::{Cells, Session, text};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, Ownership, Refusal, Result};

/// The events a trigger can stand on, in the order of [`Names::guards`].
const EVENTS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

/// The triggers of a table, and what the catalogue said of them when they were read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Triggers {
    pub list: Vec<Trigger>,
    seen: Vec<Cells>,
}

impl Triggers {
    /// A table's triggers, in the order they fire.
    pub(crate) async fn read(
        session: &mut Session,
        table: &TableName,
    ) -> std::result::Result<Triggers, Failure> {
        let seen = session.rows(&sql::triggers::trigger_facts(table)).await?;
        let mut list = Vec::new();
        if !seen.is_empty() {
            // As it was written: the text must not pass through another character set.
            session.execute("SET SESSION character_set_results = NULL").await?;
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
            session.execute("SET NAMES utf8mb4").await?;
        }
        Ok(Triggers { list, seen })
    }

    /// Whether the table has the same triggers still.
    pub(crate) async fn are_as_read(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> std::result::Result<bool, Failure> {
        Ok(session.rows(&sql::triggers::trigger_facts(table)).await? == self.seen)
    }
}

/// The events that any of the triggers stands on, by their places in [`EVENTS`].
fn events(triggers: &[Trigger]) -> impl Iterator<Item = usize> {
    (0..EVENTS.len())
        .filter(|place| triggers.iter().any(|trigger| trigger.event.contains(EVENTS[*place])))
}

/// The statements that make a trigger again as it was: its settings, and its own words.
fn remake(trigger: &Trigger) -> Option<[Vec<u8>; 2]> {
    let settings = format!(
        "SET SESSION sql_mode = {}, character_set_client = {}, collation_connection = {}",
        sql::string(&trigger.sql_mode),
        trigger.charset,
        trigger.collation
    );
    let mut statement = unhex(&trigger.statement)?;
    // MySQL keeps a semicolon behind the body only if another statement follows in the same text.
    if statement.trim_ascii_end().ends_with(b";") {
        statement.extend_from_slice(b" DO 0");
    }
    Some([settings.into_bytes(), statement])
}

/// The same with another head. The catalogue's own column for the body is not used: it loses
/// backslashes.
fn trial_of(trigger: &Trigger, head: &str) -> Option<[Vec<u8>; 2]> {
    let [settings, statement] = remake(trigger)?;
    let body = &statement[body_at(&statement)?..];
    Some([settings, [head.as_bytes(), body].concat()])
}

/// Where a trigger's body begins: behind the words FOR EACH ROW, which may stand in quotes or
/// comments before.
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

/// Moves each trigger that is not there yet, then takes the guards away. The table is the swapped
/// one, so that it bears the name the triggers' own texts say. `dropper` is for a server where
/// `maker` holds a lock on the table alone.
pub(crate) async fn carry(
    maker: &mut Session,
    mut dropper: Option<&mut Session>,
    source: &TableName,
    names: &Names,
    triggers: &[Trigger],
) -> std::result::Result<(), Failure> {
    maker.execute(&sql::triggers::use_schema(&source.schema)).await?;
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
        maker.execute("SET NAMES utf8mb4").await?;
    }
    for guard in names.guards.iter().filter(|guard| on_new.contains(&guard.name)) {
        maker.execute(&sql::triggers::drop_trigger(source, guard)).await?;
    }
    Ok(())
}

impl MySql {
    /// Reads the table's triggers, writes them down, and puts the guards on the shadow; before the
    /// lock is asked for.
    pub(crate) async fn prepare_triggers(&self) -> Result<Triggers> {
        let attempted = || self.doing("prepare to carry the triggers of");
        let mut reader = self.crew.reader().await?;
        let triggers = Triggers::read(&mut reader, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let mut facts = self.entry(&mut reader).await?.facts;
        if facts.triggers != triggers.list {
            facts.triggers.clone_from(&triggers.list);
            self.save_facts(&facts).await?;
        }
        let mut lease = self.crew.lease(Slot::Control).await?;
        let session = lease.session();
        let standing = standing_on(session, &self.names.shadow)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        for (place, event) in EVENTS.into_iter().enumerate() {
            let guard = &self.names.guards[place];
            let is_wanted = events(&triggers.list).any(|wanted| wanted == place);
            let statement = match (is_wanted, standing.contains(&guard.name)) {
                (true, false) => {
                    sql::triggers::create_guard(&self.source, &self.names.shadow, guard, event)
                }
                // Left by an attempt when the source had other triggers: nothing would take it away
                // after the swap.
                (false, true) => sql::triggers::drop_trigger(&self.source, guard),
                _ => continue,
            };
            session
                .execute(&statement)
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        lease.keep();
        Ok(triggers)
    }

    /// Brings what a cut-over may have left half done to its end: the swap has happened. May be
    /// called again.
    pub(crate) async fn complete_triggers(&self) -> Result<()> {
        let mut reader = self.crew.reader().await?;
        let mut facts = self.entry(&mut reader).await?.facts;
        if facts.triggers.is_empty() {
            return Ok(());
        }
        // Its state is another afterwards: it is not kept.
        let mut lease: Lease = self.crew.lease(Slot::Control).await?;
        carry(lease.session(), None, &self.source, &self.names, &facts.triggers).await.map_err(
            |failure| {
                let mut error = failure.of_catalogue(self.doing("make the triggers again on"));
                error.reason += "; until they stand, writes that would fire them are refused: give \
                             the same command again";
                error
            },
        )?;
        drop(lease);
        facts.triggers.clear();
        self.save_facts(&facts).await
    }

    /// Before the journal is forgotten: it may be all that knows the triggers.
    pub(crate) async fn rescue_triggers(&self, facts: &Facts) -> Result<()> {
        if facts.triggers.is_empty() || facts.done.is_some() {
            return Ok(());
        }
        match self.owner().await? {
            Ownership::Source => Ok(()),
            Ownership::Shadow => self.complete_triggers().await,
            Ownership::Unclear(found) => Err(Error::fatal(
                self.doing("clean up after the change of"),
                format!("triggers may be missing, and only the journal knows them: {found}"),
            )),
        }
    }

    /// Triggers that cannot be carried, found by making each on the altered clone.
    pub(crate) async fn refuse_triggers(&self) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look at the triggers of");
        let mut session = self.crew.reader().await?;
        let triggers = Triggers::read(&mut session, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let mut refusals = Vec::new();
        if triggers.list.is_empty() {
            return Ok(refusals);
        }
        let of_schema = session
            .text(&sql::triggers::schema_collation(&self.source.schema))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        // Triggers and tables have names of their own.
        let trial = &self.names.clone;
        session
            .execute(&sql::triggers::use_schema(&self.source.schema))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        for (trigger, row) in triggers.list.iter().zip(&triggers.seen) {
            let refuse = |reason: String, remedy: &str| Refusal {
                object: format!("trigger {}", trigger.name),
                reason,
                remedy: remedy.into(),
            };
            let tried = match trial_of(trigger, &sql::triggers::trial_trigger(trial, row)) {
                Some([settings, create]) => match session.execute_bytes(settings).await {
                    Ok(()) => session.execute_bytes(create).await,
                    failed => failed,
                },
                None => {
                    let remedy = "drop it and create it again in plainer words";
                    refusals.push(refuse("the server's text of it cannot be read".into(), remedy));
                    continue;
                }
            };
            session
                .execute("SET NAMES utf8mb4")
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
            match tried {
                Ok(_) => {
                    let drop = sql::triggers::drop_trigger(&self.source, trial);
                    session
                        .execute(&drop)
                        .await
                        .map_err(|failure| failure.of_catalogue(attempted()))?;
                }
                Err(failure) if failure.ends_session() => {
                    return Err(failure.of_catalogue(attempted()));
                }
                Err(failure) => {
                    let remedy = remedy(failure.code(), &self.source, row);
                    refusals.push(refuse(failure.of_catalogue("try it").reason, &remedy));
                }
            }
            let collation = text(&row[5]);
            if collation != of_schema {
                let reason = format!(
                    "it was made while the schema's collation was {collation}; it is {of_schema} \
                     now"
                );
                refusals.push(refuse(
                    reason,
                    "drop it and create it again, so that it has the schema's collation",
                ));
            }
        }
        Ok(refusals)
    }
}

fn remedy(code: Option<u16>, source: &TableName, row: &Cells) -> String {
    match code {
        Some(1419) => {
            "SET GLOBAL log_bin_trust_function_creators = ON: without it only SUPER may make \
             triggers"
                .to_owned()
        }
        Some(1227) => format!(
            "its definer is {}: GRANT SET_ANY_DEFINER ON *.* (MySQL 8.2 and later), SET_USER_ID \
             (8.0) or SET USER (MariaDB) to this user; and ALLOW_NONEXISTENT_DEFINER where the \
             definer's account is gone",
            text(&row[4])
        ),
        Some(1142 | 1370) => {
            format!("GRANT TRIGGER ON {}.* to this user", sql::quote(&source.schema))
        }
        _ => "change the trigger so that it fits the altered table, before the change or by \
              leaving that part out"
            .to_owned(),
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
