//! Statements about triggers, and about the guards that stay until the triggers are carried.

use crate::facts::Trigger;
use crate::server::names::TableName;
use crate::sql::quote::{quote, sign, string, table};

/// Name, event, timing, body, definer, the database's collation, and what else distinguishes
/// triggers, in the order they fire.
pub(crate) fn trigger_facts(table: &TableName) -> String {
    format!(
        "SELECT TRIGGER_NAME, EVENT_MANIPULATION, ACTION_TIMING, ACTION_STATEMENT, DEFINER, \
         DATABASE_COLLATION, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, ACTION_ORDER, \
         CREATED FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {} AND \
         EVENT_OBJECT_TABLE = {} ORDER BY EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",
        string(&table.schema),
        string(&table.name)
    )
}

/// The table of a trigger.
pub(crate) fn find_trigger(name: &TableName) -> String {
    format!(
        "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} AND \
         TRIGGER_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// How many triggers a table has.
pub(crate) fn count_triggers(table: &TableName) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {} AND \
         EVENT_OBJECT_TABLE = {}",
        string(&table.schema),
        string(&table.name)
    )
}

pub(crate) fn show_create_trigger(name: &TableName) -> String {
    format!("SHOW CREATE TRIGGER {}", table(name))
}

pub(crate) fn drop_trigger(source: &TableName, name: &TableName) -> String {
    format!("{}DROP TRIGGER IF EXISTS {}", sign(source), table(name))
}

/// What a guard does.
const GUARD: &str = "IF @altergeist IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = \
     'altergeist was interrupted while it moved the triggers: run it again'; END IF";

/// How many triggers a table has that are not ours. Ours are the guards, and the ones that `plan`
/// tries on its empty clone under the clone's name. MariaDB shows a trigger's text without our
/// signature.
pub(crate) fn count_others_triggers(
    source: &TableName,
    clone: &TableName,
    table: &TableName,
) -> String {
    let guards = [GUARD.to_owned(), format!("{}{GUARD}", sign(source))].map(|text| string(&text));
    let mut count =
        format!("{} AND ACTION_STATEMENT NOT IN ({})", count_triggers(table), guards.join(", "));
    if table == clone {
        count += &format!(" AND TRIGGER_NAME <> {}", string(&clone.name));
    }
    count
}

/// Refuses every write but this tool's. The text itself is signed, because the log has no comment
/// before the statement.
pub(crate) fn create_guard(
    source: &TableName,
    on: &TableName,
    guard: &TableName,
    event: &str,
) -> String {
    format!(
        "{sign}CREATE TRIGGER {} BEFORE {event} ON {} FOR EACH ROW {sign}{GUARD}",
        table(guard),
        table(on),
        sign = sign(source)
    )
}

/// The head of a trigger of [`trigger_facts`], under another name on the table of that name, in the
/// current schema.
pub(crate) fn trial_trigger(name: &TableName, facts: &crate::server::session::Cells) -> String {
    let [event, timing, definer] =
        [1, 2, 4].map(|place| crate::server::session::text(&facts[place]));
    let (user, host) = definer.rsplit_once('@').unwrap_or((&definer, ""));
    let definer =
        if host.is_empty() { quote(user) } else { format!("{}@{}", quote(user), quote(host)) };
    let name = quote(&name.name);
    format!("CREATE DEFINER = {definer} TRIGGER {name} {timing} {event} ON {name} FOR EACH ROW")
}

pub(crate) fn schema_collation(schema: &str) -> String {
    format!(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        string(schema)
    )
}

/// The settings that a trigger was created with. They apply to the trigger that is created next.
pub(crate) fn trigger_settings(trigger: &Trigger) -> String {
    format!(
        "SET SESSION sql_mode = {}, character_set_client = {}, collation_connection = {}",
        string(&trigger.sql_mode),
        trigger.charset,
        trigger.collation
    )
}
