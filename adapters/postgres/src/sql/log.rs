//! The log: publication, slot, marks and visibility.

use crate::sql::quote::{literal, quoted};
use crate::sql::rows::list;

/// Makes the publication; without columns it publishes whole rows.
pub(crate) fn create_publication(name: &str, table: &str, columns: Option<&[String]>) -> String {
    let columns =
        columns.map(|columns| format!(" ({})", list(columns.iter().map(|column| quoted(column)))));
    format!(
        "CREATE PUBLICATION {} FOR TABLE ONLY {table}{}",
        quoted(name),
        columns.unwrap_or_default()
    )
}

/// Makes a key the replica identity of a table.
pub(crate) fn use_identity(table: &str, index: &str) -> String {
    format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {}", quoted(index))
}

/// Gives a table the replica identity that the catalogue spells so. An index has its name behind
/// the letter.
pub(crate) fn own_identity(table: &str, spelled: &str) -> String {
    if let Some(index) = spelled.strip_prefix("i ") {
        return use_identity(table, index);
    }
    let identity = if spelled == "n" { "NOTHING" } else { "DEFAULT" };
    format!("ALTER TABLE {table} REPLICA IDENTITY {identity}")
}

/// What the change stream depends on, and where source and shadow are.
pub(crate) const STREAM_CONDITIONS: &str = include_str!("stream_conditions.sql");

/// What takes from a table what others may give it and take again.
pub(crate) const REMOVE_SETTINGS: &str = include_str!("remove_settings.sql");

/// What gives a table another's storage parameters and owner.
pub(crate) const OPTIONS: &str = include_str!("options.sql");

/// Whether a table's replica identity was changed.
pub(crate) const IDENTITY_CHANGED: &str = include_str!("identity_changed.sql");

/// Says again that a publication tells of every change.
pub(crate) fn publish_all(name: &str) -> String {
    format!("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')", quoted(name))
}

/// Drops the publication if it is there.
pub(crate) fn drop_publication(name: &str) -> String {
    format!("DROP PUBLICATION IF EXISTS {}", quoted(name))
}

/// Whether a publication is there.
pub(crate) const PUBLICATION: &str =
    "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";

/// Makes the slot, to be copied to standbys that copy slots, so that a run survives a failover.
pub(crate) const CREATE_FAILOVER_SLOT: &str =
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)";

/// Makes the slot; waits for every transaction that is writing anywhere on the server.
pub(crate) const CREATE_SLOT: &str =
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', false, false)";

/// A slot's state.
pub(crate) const SLOT: &str = "
    SELECT active_pid, confirmed_flush_lsn::text, coalesce(wal_status, 'reserved'),
           coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed'), current_setting('max_slot_wal_keep_size')
    FROM pg_replication_slots s
    WHERE slot_name = $1";

/// What the log keeps for a slot, in bytes, and the most the server lets any slot keep, in
/// megabytes, -1 for all.
pub(crate) const LOG_KEPT: &str = "
    SELECT greatest(0, pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn))::int8,
           (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
    FROM pg_replication_slots s WHERE s.slot_name = $1 AND s.restart_lsn IS NOT NULL";

/// Looks at what a slot has without taking it: the messages of whole transactions, about so many.
pub(crate) const PEEK: &str = "
    SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2,
        'proto_version', '1', 'publication_names', $3, 'binary', 'true', 'messages', 'true')";

/// Reads everything a slot has by now, and takes nothing.
pub(crate) const READ_SLOT: &str = "
    SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)";

/// Up to where the server has been told to forget a slot's log.
pub(crate) const CONFIRMED: &str = "
    SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";

/// Moves a slot on to a position that is saved.
pub(crate) const MOVE_SLOT: &str = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)";

/// What a server that shall be read from is: version, whether it is a standby, identity, whether it
/// tells the primary what it still reads.
pub(crate) const STANDBY: &str = "
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
           (SELECT system_identifier::text FROM pg_control_system()), current_setting('hot_standby_feedback') = 'on'";

/// How far the log is written.
pub(crate) const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn()::text";

/// Whether a standby has replayed the log up to a place.
pub(crate) const HAS_REPLAYED: &str = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";

/// Has the primary write down which transactions run, from where a standby can begin to decode.
pub(crate) const OFFER_A_START: &str = "SELECT pg_log_standby_snapshot()";

/// The slots and publications in this database that have names of ours, but for slots somebody
/// reads.
pub(crate) const OUR_LOGS: &str = "
    SELECT slot_name::text, true FROM pg_replication_slots
    WHERE slot_name ~ '^altergeist_[0-9a-f]{16}$' AND plugin = 'pgoutput' AND database = current_database()
      AND active_pid IS NULL AND NOT coalesce((to_jsonb(pg_replication_slots) ->> 'synced')::boolean, false)
    UNION ALL
    SELECT pubname::text, false FROM pg_publication WHERE pubname ~ '^altergeist_[0-9a-f]{16}$'
    ORDER BY 1, 2";

/// The tables the journal knows: schema and name.
pub(crate) const KNOWN_TABLES: &str = "
    SELECT (parse_ident(\"table\"))[1], (parse_ident(\"table\"))[2] FROM ONLY altergeist.journal";

/// A table the journal knows by the name the user gave, though it is not there any more.
pub(crate) fn find_in_journal(given: &str) -> String {
    format!(
        "SELECT (parse_ident(\"table\"))[1], (parse_ident(\"table\"))[2], coalesce(stage, '') FROM ONLY altergeist.journal
        WHERE parse_ident(\"table\") = parse_ident({given})
           OR (cardinality(parse_ident({given})) = 1 AND (parse_ident(\"table\"))[2] = (parse_ident({given}))[1])
        ORDER BY \"table\"",
        given = literal(given)
    )
}

/// Ends whoever reads a slot.
pub(crate) const END_READER: &str = "
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL";

/// Drops a slot if it is there and nobody reads it.
pub(crate) const DROP_SLOT: &str = "
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NULL";

/// Which transactions are finished, to any read begun later.
pub(crate) const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text";

/// A transaction number greater than any given out before, of a transaction that has ended when
/// this returns.
pub(crate) const NEXT_TRANSACTION: &str = "SELECT pg_current_xact_id()::text";

/// Makes the server note which transactions are running, so that the log can be read from there on:
/// making a slot does, and has no other use here.
pub(crate) const NOTE_RUNNING: &str = "
    SELECT pg_drop_replication_slot(slot_name)
    FROM pg_create_logical_replication_slot($1 || '_now', 'pgoutput', true)";

/// Where the next record of the log will be.
pub(crate) const LOG_END: &str = "SELECT pg_current_wal_insert_lsn()::text";

/// Rows of a table inserted, changed and deleted, as the server counts them: a session tells within
/// a second of its commit while it works on, within ten if it rests.
pub(crate) const WRITES: &str = "
    SELECT pg_stat_get_tuples_inserted($1) + pg_stat_get_tuples_updated($1) + pg_stat_get_tuples_deleted($1)";

/// Who is writing, anywhere on the server, prepared transactions included.
pub(crate) const WRITERS: &str = "
    SELECT format('server process %s (%s, %s, %s, since %s)', pid, usename,
                  coalesce(nullif(application_name, ''), 'no application name'), state, to_char(xact_start, 'HH24:MI:SS'))
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT format('prepared transaction %L (%s, since %s)', gid, owner, to_char(prepared, 'HH24:MI:SS'))
    FROM pg_prepared_xacts
    LIMIT 10";

/// Puts a mark into the log. In a transaction, so that it is written and sent at once.
pub(crate) const MARK: &str = "SELECT pg_logical_emit_message(true, 'altergeist', $1)";

/// The server's own identity, which a promoted replica shares and another server does not.
pub(crate) const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";

/// Asks a replication connection which server it is.
pub(crate) const IDENTIFY_SYSTEM: &str = "IDENTIFY_SYSTEM";

/// Starts to stream a slot from a position on.
pub(crate) fn start_replication(slot: &str, publication: &str, from: &str) -> String {
    format!(
        "START_REPLICATION SLOT \"{slot}\" LOGICAL {from} (proto_version '1', \
         publication_names '\"{publication}\"', binary 'true', messages 'true')"
    )
}
