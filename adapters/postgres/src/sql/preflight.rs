//! What the plan asks.

use crate::server::version::Version;

/// Rights and settings a copy needs.
pub(crate) const ABILITIES: &str = "
    SELECT current_setting('wal_level'),
           current_setting('max_replication_slots')::int8,
           (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $2),
           has_database_privilege(current_database(), 'CREATE'),
           (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = $1),
           (SELECT has_schema_privilege(c.relnamespace, 'CREATE') FROM pg_class c WHERE c.oid = $1),
           has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'UPDATE, DELETE, TRUNCATE'),
           quote_ident(current_user), $1::regclass::text";

/// The role that logs in, quoted, where the one that is set for the session may not end that one's
/// sessions.
pub(crate) const ROLE_IN_THE_WAY: &str = "
    SELECT quote_ident(session_user)
    WHERE current_user <> session_user AND NOT pg_has_role(current_user, session_user, 'USAGE')
      AND NOT pg_has_role(current_user, 'pg_signal_backend', 'USAGE')";

/// Whether the log may be read, and by which role it may not: the one that logs in opens the
/// stream, and the one that is set for the session makes the slot.
pub(crate) const MAY_READ_LOG: &str = "
    SELECT count(*) = 0, coalesce(min(quote_ident(r.rolname)), '')
    FROM pg_roles r
    WHERE r.rolname IN (current_user, session_user) AND NOT r.rolsuper AND NOT r.rolreplication
      AND NOT coalesce((SELECT pg_has_role(r.oid, g.oid, 'USAGE') FROM pg_roles g WHERE g.rolname = 'rds_replication'), false)";

/// Settings of a connection that streams the log; no limit on time may end it.
pub(crate) const STREAM_SETTINGS: &str = "
    SET search_path = ''; SET statement_timeout = 0; SET idle_session_timeout = 0; SET lock_timeout = 0;
    SET client_min_messages = warning;
    SELECT set_config('client_encoding', 'SQL_ASCII', false) WHERE current_setting('server_encoding') = 'SQL_ASCII';
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// The standbys that must have a piece of the log before it is sent to us.
pub(crate) const AWAITED_STANDBYS: &str =
    "SELECT current_setting('synchronized_standby_slots', true)";

/// How big a table is, by the server's estimate.
pub(crate) const SIZE: &str = "
    SELECT CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 ELSE c.reltuples::int8 END, pg_total_relation_size(c.oid)::int8 FROM pg_class c WHERE c.oid = $1";

/// Event triggers that would see our statements.
pub(crate) const EVENT_TRIGGERS: &str = "
    SELECT evtname::text FROM pg_event_trigger WHERE evtenabled <> 'D' ORDER BY evtname";

/// What of a row's old self the log carries.
pub(crate) const REPLICA_IDENTITY: &str = "SELECT relreplident::text FROM pg_class WHERE oid = $1";

/// Indexes of the source that are not valid and will not be carried.
pub(crate) const INVALID_INDEXES: &str = "
    SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = $1 AND NOT i.indisvalid ORDER BY 1";

/// The files a table and its indexes are stored in, and how often the table was read in this
/// transaction.
pub(crate) const STORAGE: &str = "
    SELECT c.oid, pg_relation_filenode(c.oid), CASE WHEN c.oid = $1 THEN pg_stat_get_xact_numscans(c.oid) ELSE 0 END
    FROM pg_class c
    WHERE c.oid = $1 OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1)";

/// What must be as it was after the clauses: name, place and kind of the table, what it may not
/// have got, and the columns if the source ($4) is a partition.
pub(crate) const STILL_PLAIN: &str = "
    SELECT n.nspname = $2 AND c.relname = $3,
           c.relpersistence IN ('p', 'u') AND c.relkind = 'r' AND c.reloftype = 0
             AND NOT EXISTS (SELECT FROM pg_inherits WHERE $1 IN (inhrelid, inhparent)),
           NOT (SELECT s.relispartition FROM pg_class s WHERE s.oid = $4) OR NOT EXISTS (
               SELECT FROM (SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated
                            FROM pg_attribute a
                            WHERE a.attrelid IN ($1, $4) AND a.attnum > 0 AND NOT a.attisdropped) AS a
               GROUP BY a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated HAVING count(*) = 1)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1";

/// Whether a table is kept out of the log.
pub(crate) const IS_UNLOGGED: &str =
    "SELECT c.relpersistence = 'u' FROM pg_class c WHERE c.oid = $1";

/// Which of columns $2 of table $1 have a collation that sorts otherwise now than when it was made,
/// as far as the catalogue tells: the column, and the statement that says its indexes are built
/// anew.
pub(crate) fn changed_collations(version: Version) -> String {
    let of_database = match version.records_collation_of_database() {
        true => {
            "(SELECT d.datcollversion <> pg_database_collation_actual_version(d.oid)
              FROM pg_database d WHERE d.datname = current_database())"
        }
        false => "false",
    };
    format!(
        "SELECT a.attname::text,
                CASE WHEN l.collprovider = 'd' THEN format('ALTER DATABASE %I REFRESH COLLATION VERSION', current_database())
                     ELSE format('ALTER COLLATION %s REFRESH VERSION', l.oid::regcollation) END
         FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation
         WHERE a.attrelid = $1 AND a.attname::text = ANY($2)
           AND CASE WHEN l.collprovider = 'd' THEN {of_database}
                    ELSE l.collversion <> pg_collation_actual_version(l.oid) END
         ORDER BY 1"
    )
}

/// What only goes with table $1 as long as it is logged; $2 is our own publication.
pub(crate) const BOUND_TO_LOGGED: &str = "
    SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 AND c.relpersistence = 'p'
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 AND p.pubname <> $2
    ORDER BY 1";

/// Whether functions in the language of the guard can be made.
pub(crate) const HAS_PLPGSQL: &str = "
    SELECT EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))";

/// Whether the guard is on the shadow $1, as trigger $2.
pub(crate) const IS_GUARDED: &str = "
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2 AND tgenabled = 'A')";

/// The function of the guard, and the table it writes to; both have the name, and belong to the
/// shadow's owner. Nobody but a trigger may call it.
pub(crate) fn guard(name: &str, owner: &str) -> String {
    format!(
        "CREATE TABLE {name} (at timestamptz);
        ALTER TABLE {name} OWNER TO {owner};
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'BEGIN INSERT INTO {} VALUES (now()); RETURN NULL; END';
        REVOKE ALL ON FUNCTION {name}() FROM PUBLIC;
        ALTER FUNCTION {name}() OWNER TO {owner}",
        name.replace('\'', "''")
    )
}

/// Puts the guard on a table. Sessions of ours have a setting of their own, by which they do not
/// fire it.
pub(crate) fn guard_table(trigger: &str, table: &str, function: &str) -> String {
    format!(
        "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            WHEN (pg_catalog.current_setting('altergeist.own', true) IS DISTINCT FROM 'on')
            EXECUTE FUNCTION {function}();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"
    )
}

/// Says of an unlogged shadow that it is whole, in a table that a crash of the server empties with
/// it.
pub(crate) const NOTE_WHOLE: &str =
    "CREATE UNLOGGED TABLE IF NOT EXISTS altergeist.whole (shadow oid PRIMARY KEY)";

/// The row that says so.
pub(crate) const ADD_WHOLE: &str =
    "INSERT INTO altergeist.whole VALUES ($1) ON CONFLICT DO NOTHING";

/// Whether no crash has emptied an unlogged shadow.
pub(crate) const IS_WHOLE: &str = "SELECT EXISTS (SELECT FROM altergeist.whole WHERE shadow = $1)";

/// Whether a table has a trigger of this name.
pub(crate) const HAS_TRIGGER: &str =
    "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2)";

/// Whether a table has a rule of this name.
pub(crate) const HAS_RULE: &str =
    "SELECT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = $1 AND rulename = $2)";

/// Whether a name, as it was given, is that of a table.
pub(crate) const IS_TABLE: &str = "SELECT coalesce(to_regclass($1) = $2::oid, false)";

/// How the foreign keys of a table and to it are tried on its clone.
pub(crate) const KEYS_THAT_STAY: &str = include_str!("keys_that_stay.sql");

/// The foreign key a table got last: name, parent, its columns and the parent's, and whether the
/// parent is the table itself. Under an empty search path.
pub(crate) const NEWEST_FOREIGN_KEY: &str = "
    SELECT k.conname::text, k.confrelid::regclass::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
           k.confrelid = k.conrelid
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' ORDER BY k.oid DESC LIMIT 1";

/// The names of a table's own foreign keys; not those it has of a partitioned table it belongs to.
pub(crate) const FOREIGN_KEYS: &str = "
    SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0";

/// A foreign key of a table: what it and what proves it is called among the carried, what makes it,
/// whether it was proven, and then the same as of the newest.
pub(crate) const FOREIGN_KEY: &str = "
    SELECT 'foreign key ' || quote_ident(k.conname) || ' on ' || k.conrelid::regclass,
           format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname),
           regexp_replace(pg_get_constraintdef(k.oid), '( NOT VALID)?( NOT ENFORCED)?$', '') || ' NOT VALID', k.convalidated,
           k.conname::text, k.confrelid::regclass::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
           k.confrelid = k.conrelid
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.conname = $2 AND k.contype = 'f'";

/// The constraints of a table that look at rows: name, kind, definition, its index's, whether it
/// may be checked late, the first column, the index's tablespace, its expression, whether it holds
/// for every row, its columns, and whether it reads the whole row.
pub(crate) const CONSTRAINTS: &str = "
    SELECT k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), pg_get_indexdef(nullif(k.conindid, 0)),
           k.condeferrable, k.condeferred,
           (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]),
           coalesce(s.spcname::text, ''), pg_get_expr(k.conbin, k.conrelid), k.convalidated,
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
           coalesce(0 = ANY (k.conkey), false)
    FROM pg_constraint k
    LEFT JOIN pg_class x ON x.oid = k.conindid
    LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
    WHERE k.conrelid = $1 AND k.contype IN ('c', 'n', 'u', 'p', 'x')
    ORDER BY k.conname";

/// Whether an index is there, and whether it is whole.
pub(crate) const INDEX_STATE: &str = "
    SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";

/// What depends on columns of a table in a way that keeps the server from dropping them or changing
/// their type.
pub(crate) const COLUMN_DEPENDENTS: &str = "
    SELECT DISTINCT a.attname::text, pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM pg_depend d
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND a.attname = ANY ($2)
      AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass,
                        'pg_publication_rel'::regclass)
      AND NOT (d.classid = 'pg_rewrite'::regclass
               AND EXISTS (SELECT FROM pg_rewrite r WHERE r.oid = d.objid AND r.ev_class = ANY ($3)))
      AND d.objid <> ALL ($3)
    ORDER BY 1, 2";

/// The relations of a schema.
pub(crate) const RELATIONS_IN: &str = "
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1";

/// The relations of schema $1 that are neither among $2 nor part of table $3: its partitions,
/// indexes and sequences.
pub(crate) const STRAYS: &str = "
    WITH family AS (SELECT relid FROM pg_partition_tree($3::oid) UNION SELECT $3::oid)
    SELECT c.oid::regclass::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.oid <> ALL ($2) AND c.oid NOT IN (SELECT relid FROM family)
      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid IN (SELECT relid FROM family))
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT relid FROM family)
                      AND d.deptype IN ('a', 'i'))
    ORDER BY 1";

/// What kind of table a file has made: whether it is one for good, whether it is partitioned, and
/// whether it stands alone.
pub(crate) const MADE: &str = "
    SELECT c.relpersistence = 'p' AND c.reloftype = 0 AND c.relkind IN ('r', 'p'), c.relkind = 'p',
           NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $1 OR (inhparent = $1 AND c.relkind = 'r'))
    FROM pg_class c WHERE c.oid = $1";

/// The partitions of a table, at every level: name and schema.
pub(crate) const PARTITIONS: &str = "
    SELECT c.relname::text, n.nspname::text
    FROM pg_partition_tree($1::oid) p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE p.relid <> $1::oid ORDER BY p.level, 1";

/// Names of partitions of table $2, and of their indexes, that something else than table $1 has in
/// the schema of that.
pub(crate) const PARTITION_CLASHES: &str = "
    SELECT 'name ' || taken.oid::regclass
    FROM pg_partition_tree($2::oid) p
    JOIN pg_class part ON part.oid = p.relid OR part.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = p.relid)
    JOIN pg_class taken ON taken.relname = part.relname
    JOIN pg_class source ON source.oid = $1::oid AND source.relnamespace = taken.relnamespace
    WHERE p.relid <> $2::oid
      AND taken.oid NOT IN (SELECT $1::oid UNION SELECT indexrelid FROM pg_index WHERE indrelid = $1::oid)
    ORDER BY 1";

/// Whether a table has any row.
pub(crate) fn any_row(table: &str) -> String {
    format!("SELECT EXISTS (SELECT FROM ONLY {table})")
}

/// Whether a table has a row that holds NULL in one of these columns, which are quoted.
pub(crate) fn any_null_of(table: &str, columns: &[String]) -> String {
    let any: Vec<String> = columns.iter().map(|column| format!("{column} IS NULL")).collect();
    format!("SELECT EXISTS (SELECT FROM ONLY {table} WHERE {})", any.join(" OR "))
}

/// Counts the rows that meet a condition, up to a number.
pub(crate) fn count_up_to(table: &str, condition: &str, most: i64) -> String {
    format!(
        "SELECT count(*) FROM (SELECT FROM ONLY {table} WHERE {condition} LIMIT {most}) AS rows"
    )
}

/// Changes the rows that meet a condition.
pub(crate) fn update_where(table: &str, assignment: &str, condition: &str) -> String {
    format!("UPDATE ONLY {table} SET {assignment} WHERE {condition}")
}

/// Functions of others that writing a table's rows calls.
pub(crate) const OTHERS_FUNCTIONS: &str = include_str!("others_functions.sql");

/// What a view calls that may give another value each time.
pub(crate) const UNSTABLE: &str = include_str!("unstable.sql");

/// A view of an expression over a table's columns.
pub(crate) fn view_of_value(view: &str, table: &str, alias: &str, value: &str) -> String {
    format!("CREATE VIEW {view} AS SELECT ({value}\n) AS value FROM ONLY {table} AS {alias}")
}

/// Tells how the server reads an expression over a table's columns; no row is read for that.
pub(crate) fn explain_value(table: &str, alias: &str, value: &str) -> String {
    format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT ({value}\n) FROM ONLY {table} AS {alias}")
}
