//! Questions to the catalogue.

/// What CASCADE takes away with columns $2 and constraints $3 of table $1.
pub(crate) const CASCADE: &str = include_str!("cascade.sql");

/// Reads a definition line by line; equal lines mean an equal table.
pub(crate) const DESCRIBE: &str = include_str!("describe.sql");

/// Gives the statement that makes a bare table of the same columns.
pub(crate) const CREATE_TABLE: &str = include_str!("create_table.sql");

/// Gives the statements that make a bare table the same as another.
pub(crate) const RECREATE_OBJECTS: &str = include_str!("recreate_objects.sql");

/// Gives the statements that undo what event triggers did to a new table.
pub(crate) const EVENT_TRIGGERS_UNDONE: &str = include_str!("event_triggers_undone.sql");

/// Lists the columns that may hold a table's identity.
pub(crate) const OID_COLUMNS: &str = include_str!("oid_columns.sql");

/// Temporary objects of other sessions that read a table: in a sentence, and the session's process
/// where the server tells it.
pub(crate) const TEMPORARY: &str = "
    WITH parts AS (
        SELECT 'pg_class'::regclass AS class, $1::oid AS oid
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype
        WHERE c.oid = $1 AND c.reltype <> 0
    ), users AS (
        SELECT d.classid, d.objid FROM parts p JOIN pg_depend d ON d.refclassid = p.class AND d.refobjid = p.oid
        WHERE d.deptype IN ('n', 'a')
    )
    SELECT DISTINCT format('%s %s of %s',
                           CASE WHEN u.classid = 'pg_class'::regclass OR v.relkind = 'v'
                                THEN CASE v.relkind WHEN 'v' THEN 'temporary view' ELSE 'temporary table' END
                                ELSE 'a rule on the temporary table' END,
                           v.oid::regclass, coalesce('server process ' || a.pid || ' (' || concat_ws(', ', a.usename, a.application_name, a.state)
                           || ')', 'another session, which that schema belongs to')), a.pid
    FROM users u
    LEFT JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND u.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class OR u.classid = 'pg_class'::regclass AND v.oid = u.objid
    JOIN pg_namespace n ON n.oid = v.relnamespace AND pg_is_other_temp_schema(n.oid)
    LEFT JOIN pg_stat_activity a
      ON current_setting('server_version_num')::int >= 160000 AND a.pid = CASE WHEN n.nspname ~ '^pg_temp_[0-9]+$'
                                                                                                THEN pg_stat_get_backend_pid(substr(n.nspname, 9)::int) END
    ORDER BY 1";

/// Gives the statements that carry privileges from one table to another.
pub(crate) const PRIVILEGES: &str = include_str!("privileges.sql");

/// Lists a table's columns.
pub(crate) const COLUMNS: &str = include_str!("columns.sql");

/// Lists the indexes by which rows could be followed, or laid down in order.
pub(crate) const KEYS: &str = include_str!("keys.sql");

/// Lists the indexes that can wait until the rows are copied.
pub(crate) const DEFERRABLE_INDEXES: &str = include_str!("deferrable_indexes.sql");

/// Whether an index, by its schema and name, is one of a constraint.
pub(crate) const IS_CONSTRAINT: &str = "
    SELECT EXISTS (SELECT FROM pg_constraint k JOIN pg_class x ON x.oid = k.conindid JOIN pg_namespace n ON n.oid = x.relnamespace
                   WHERE n.nspname = $1 AND x.relname = $2 AND k.conrelid <> 0 AND k.contype IN ('p', 'u', 'x'))";

/// How many of a table's indexes with these names are built, counting what is there of those that
/// are being built. Reading the rows and sorting them is taken to be as long as writing the index.
pub(crate) const BUILT: &str = "
    SELECT (SELECT count(*) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND x.relname = ANY ($2))
           + coalesce((SELECT sum(CASE WHEN p.tuples_total > 0 THEN 0.5 + 0.5 * least(1.0, p.tuples_done::float8 / p.tuples_total)
                                       WHEN p.blocks_total > 0 THEN 0.5 * least(1.0, p.blocks_done::float8 / p.blocks_total)
                                       ELSE 0 END)
                       FROM pg_stat_progress_create_index p WHERE p.relid = $1), 0)";

/// The size of a table's rows in bytes, without what is out of line.
pub(crate) const HEAP_SIZE: &str = "SELECT pg_relation_size($1::oid)";

/// Lists the constraints that hold for new rows only.
pub(crate) const LATE_CONSTRAINTS: &str = include_str!("late_constraints.sql");

/// Lists the objects that stand in the way of a copy.
pub(crate) const OBSTACLES: &str = include_str!("obstacles.sql");

/// Lists unique indexes with what is needed to count duplicates.
pub(crate) const UNIQUE_INDEXES: &str = include_str!("unique_indexes.sql");

/// Lists sessions and prepared transactions that hold a lock on a table.
pub(crate) const BLOCKERS: &str = include_str!("blockers.sql");

/// Lists names that the swap would bring twice into a schema.
pub(crate) const NAME_CLASHES: &str = include_str!("name_clashes.sql");

/// Lists serial columns that became identities, and how the clone's sequences are renamed.
pub(crate) const IDENTITIES_BESIDE_SERIALS: &str = include_str!("identities_beside_serials.sql");

/// Lists the sequences of a table's columns, and what they have counted.
pub(crate) const SEQUENCES: &str = include_str!("sequences.sql");

/// Lists what hangs on a table and is made again in the swap, as statements.
pub(crate) const DEPENDENTS: &str = include_str!("dependents.sql");

/// Lists the other relations the swap changes.
pub(crate) const LOCKED_RELATIONS: &str = include_str!("locked_relations.sql");

/// Lists the materialized views that read a table.
pub(crate) const MATERIALIZED: &str = include_str!("materialized.sql");

/// The query of a view.
pub(crate) const VIEW_QUERY: &str = "SELECT pg_get_viewdef($1::oid)";

/// The views that read a table: their names, for people, and their queries.
pub(crate) const VIEWS_ON: &str = "
    SELECT 'view ' || v.oid::regclass, pg_get_viewdef(v.oid)
    FROM pg_class v
    WHERE v.relkind = 'v' AND EXISTS (
        SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = v.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'n')
    ORDER BY 1";

/// Whether a relation, by its name, is a view.
pub(crate) const IS_VIEW: &str =
    "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'v')";

/// The query of a view, by its name.
pub(crate) const QUERY_OF: &str = "SELECT pg_get_viewdef($1::text::regclass)";

/// Whether a view reads any of these relations.
pub(crate) const READS_ANY: &str = "
    SELECT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                   WHERE r.ev_class = $1 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($2))";

/// What a partition may hold, as its parent has it; NULL for any other table.
pub(crate) const PARTITION_BOUND: &str = "SELECT pg_get_partition_constraintdef($1)";

/// Lists a table's extended statistics.
pub(crate) const STATISTICS: &str = "
    SELECT s.stxname::text, n.nspname::text
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1 ORDER BY 1";

/// Lists what in the journal's schema is not as this tool makes it.
pub(crate) const STRANGERS: &str = include_str!("strangers.sql");

/// Makes the journal's tables.
pub(crate) const JOURNAL_TABLES: &str = include_str!("journal.sql");
