//! Statements that change definitions: tables, columns, constraints, schemas.

use crate::sql::quote::{literal, qualified, quoted};
use crate::sql::session::use_own_language;
use crate::sql::transaction::roll_back_to;

/// Alters a table by clauses.
pub(crate) fn alter_table(table: &str, clauses: &str) -> String {
    format!("ALTER TABLE {table} {clauses}")
}

/// Proves a constraint for all rows. The name is quoted.
pub(crate) fn validate_constraint(table: &str, name: &str) -> String {
    alter_table(table, &format!("VALIDATE CONSTRAINT {name}"))
}

/// The clause that adds a constraint for new rows only. The name is quoted.
pub(crate) fn add_unvalidated(name: &str, definition: &str) -> String {
    format!("ADD CONSTRAINT {name} {definition} NOT VALID")
}

/// The clause that demands a value in new rows. Name and column are quoted.
pub(crate) fn add_unvalidated_not_null(name: &str, column: &str) -> String {
    add_unvalidated(name, &format!("CHECK ({column} IS NOT NULL)"))
}

/// Adds a constraint to a table.
pub(crate) fn add_constraint(table: &str, name: &str, definition: &str) -> String {
    alter_table(table, &format!("ADD CONSTRAINT {name} {definition}"))
}

/// Adds the proof that the rows of a partition's shadow are within the partition's bound.
pub(crate) fn add_bound(table: &str, bound: &str) -> String {
    add_constraint(table, "altergeist_bound", &format!("CHECK ({bound})"))
}

/// Drops a constraint. The name is quoted.
pub(crate) fn drop_constraint(table: &str, name: &str) -> String {
    alter_table(table, &format!("DROP CONSTRAINT {name}"))
}

/// Drops a constraint if it exists. The name is quoted.
pub(crate) fn drop_constraint_if_exists(table: &str, name: &str) -> String {
    alter_table(table, &format!("DROP CONSTRAINT IF EXISTS {name}"))
}

/// Demands a value in a column. The column is quoted.
pub(crate) fn set_not_null(table: &str, column: &str) -> String {
    alter_table(table, &set_not_null_clause(column))
}

/// The clause that demands a value in a column. The column is quoted.
pub(crate) fn set_not_null_clause(column: &str) -> String {
    format!("ALTER COLUMN {column} SET NOT NULL")
}

/// Renames a column.
pub(crate) fn rename_column(table: &str, from: &str, to: &str) -> String {
    alter_table(table, &format!("RENAME COLUMN {} TO {}", quoted(from), quoted(to)))
}

/// Gives a table an owner, quoted.
pub(crate) fn set_owner(table: &str, owner: &str) -> String {
    alter_table(table, &format!("OWNER TO {owner}"))
}

/// Moves a relation or its statistics to a schema. `kind` is the word after ALTER.
pub(crate) fn set_schema(kind: &str, relation: &str, schema: &str) -> String {
    format!("ALTER {kind} {relation} SET SCHEMA {}", quoted(schema))
}

/// Moves a table to a schema.
pub(crate) fn move_table(table: &str, schema: &str) -> String {
    set_schema("TABLE", table, schema)
}

/// Swaps two tables: the first goes to a schema, and the second comes to another.
pub(crate) fn move_both(old: (&str, &str), new: (&str, &str)) -> String {
    format!("{}; {}", move_table(old.0, old.1), move_table(new.0, new.1))
}

/// Adds a column of ours to the shadow. The type's own collation is spelled as an empty text.
pub(crate) fn add_helper_column(
    shadow: &str,
    name: &str,
    type_name: &str,
    collation: &str,
) -> String {
    let collation =
        if collation.is_empty() { String::new() } else { format!(" COLLATE {collation}") };
    alter_table(shadow, &format!("ADD COLUMN {} {type_name}{collation} NOT NULL", quoted(name)))
}

/// Creates an index of ours on the shadow, over quoted columns.
pub(crate) fn create_helper_index(
    shadow: &str,
    name: &str,
    is_unique: bool,
    columns: &[String],
) -> String {
    let unique = if is_unique { "UNIQUE " } else { "" };
    format!("CREATE {unique}INDEX {name} ON {shadow} ({})", columns.join(", "))
}

/// Drops columns of a table.
pub(crate) fn drop_columns<'a>(table: &str, names: impl Iterator<Item = &'a str>) -> String {
    let clauses: Vec<String> = names.map(|name| format!("DROP COLUMN {}", quoted(name))).collect();
    alter_table(table, &clauses.join(", "))
}

/// Drops an index, a table or statistics in a schema. Both names are quoted.
pub(crate) fn drop_in(kind: &str, schema: &str, name: &str) -> String {
    format!("DROP {kind} {schema}.{name}")
}

/// Drops a table.
pub(crate) fn drop_table(table: &str) -> String {
    format!("DROP TABLE {table}")
}

/// Creates a schema.
pub(crate) fn create_plain_schema(schema: &str) -> String {
    format!("CREATE SCHEMA {}", quoted(schema))
}

/// Drops an empty schema.
pub(crate) fn drop_schema(schema: &str) -> String {
    format!("DROP SCHEMA {}", quoted(schema))
}

/// Drops an empty schema and commits.
pub(crate) fn drop_schema_and_commit(schema: &str) -> String {
    format!("{}; COMMIT", drop_schema(schema))
}

/// Drops a schema of ours with all that is in it.
pub(crate) fn drop_schema_and_content(schema: &str) -> String {
    format!("DROP SCHEMA {} CASCADE", quoted(schema))
}

/// Lets a role, given as SQL spells it, create tables in a schema.
pub(crate) fn open_schema_to(schema: &str, role: &str) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", quoted(schema))
}

/// Lets a savepoint begin in which the server says what it rewrites and scans.
pub(crate) const BEGIN_CLAUSES: &str = "SAVEPOINT clauses; SET LOCAL client_min_messages = debug1";

/// Ends that: the server says only warnings again.
pub(crate) fn end_clauses() -> String {
    format!("SET LOCAL client_min_messages = warning; {}", use_own_language())
}

/// Takes the clauses back.
pub(crate) fn roll_back_clauses() -> String {
    roll_back_and_reset("clauses")
}

/// Rolls back to a savepoint before which the session had its own settings.
pub(crate) fn roll_back_and_reset(savepoint: &str) -> String {
    format!("{}; {}", roll_back_to(savepoint), use_own_language())
}

/// Has new relations stored in the database's own tablespace.
pub(crate) const USE_OWN_TABLESPACE: &str = "SET LOCAL default_tablespace = ''";

/// Has new relations stored where the session's settings say.
pub(crate) const USE_SESSIONS_TABLESPACE: &str = "SET LOCAL default_tablespace TO DEFAULT";

/// Creates a bare table, by a statement of the server's, in the database's own tablespace.
pub(crate) fn create_bare(statement: &str) -> String {
    format!("{USE_OWN_TABLESPACE};\n{statement}")
}

/// Begins the rehearsal of a swap. Bodies of functions are not checked in it.
pub(crate) const BEGIN_REHEARSAL: &str =
    "SAVEPOINT rehearsal; SET LOCAL check_function_bodies = off";

/// Creates the stand-in of a view.
pub(crate) fn create_stand_in_view(stand_in: &str, view: &str) -> String {
    format!("CREATE VIEW {stand_in} AS SELECT * FROM {view}")
}

/// Creates the stand-in of a table.
pub(crate) fn create_stand_in_table(stand_in: &str, table: &str) -> String {
    format!("CREATE TABLE {stand_in} (LIKE {table})")
}

/// Creates a policy, given as `name ON table`.
pub(crate) fn create_policy(policy: &str) -> String {
    format!("CREATE POLICY {policy}")
}

/// Creates a view.
pub(crate) fn create_view(view: &str, query: &str) -> String {
    format!("CREATE VIEW {view} AS {query}")
}

/// Drops a view.
pub(crate) fn drop_view(view: &str) -> String {
    format!("DROP VIEW {view}")
}

/// Creates a materialized view without rows. `storage` stands between its name and its query.
pub(crate) fn create_materialized_view(view: &str, storage: &str, query: &str) -> String {
    format!("CREATE MATERIALIZED VIEW {view}{storage} AS {query}\nWITH NO DATA")
}

/// Fills a materialized view that nobody reads.
pub(crate) fn fill_materialized_view(view: &str) -> String {
    format!("REFRESH MATERIALIZED VIEW {view}; ANALYZE {view}")
}

/// Refreshes a materialized view while it is read.
pub(crate) fn refresh_concurrently(view: &str) -> String {
    format!("REFRESH MATERIALIZED VIEW CONCURRENTLY {view}")
}

/// Drops a materialized view.
pub(crate) fn drop_materialized_view(view: &str) -> String {
    format!("DROP MATERIALIZED VIEW {view}")
}

/// Detaches a sequence from its column.
pub(crate) fn detach_sequence(sequence: &str) -> String {
    format!("ALTER SEQUENCE {sequence} OWNED BY NONE")
}

/// Attaches a sequence to a column of a table.
pub(crate) fn attach_sequence(sequence: &str, table: &str, column: &str) -> String {
    format!("ALTER SEQUENCE {sequence} OWNED BY {table}.{}", quoted(column))
}

/// Makes a sequence unlogged.
pub(crate) fn set_sequence_unlogged(sequence: &str) -> String {
    format!("ALTER SEQUENCE {sequence} SET UNLOGGED")
}

/// Sets a sequence to the state of another.
pub(crate) fn continue_sequence(sequence: &str, from: &str) -> String {
    format!("SELECT setval({}::regclass, last_value, is_called) FROM {from}", literal(sequence))
}

/// Sets an identity's sequence to the state of a serial's, if that has counted further.
pub(crate) fn advance_sequence(sequence: &str, from: &str) -> String {
    format!(
        "SELECT setval({}::regclass, s.last_value, s.is_called) FROM {from} AS s, {sequence} AS o
         WHERE s.last_value > o.last_value OR s.last_value = o.last_value AND s.is_called",
        literal(sequence)
    )
}

/// How the server prints a unique index, up to the columns. The name is quoted.
pub(crate) fn unique_index_head(name: &str, table: &str) -> String {
    format!("CREATE UNIQUE INDEX {name} ON {table} ")
}

/// Builds a unique index while the table is written to. Names are quoted; an empty tablespace is
/// the database's own.
pub(crate) fn build_unique_index(
    name: &str,
    table: &str,
    columns: &str,
    tablespace: &str,
) -> String {
    // A predicate would follow the tablespace, but no constraint has one.
    let place = match tablespace {
        "" => String::new(),
        tablespace => format!(" TABLESPACE {}", quoted(tablespace)),
    };
    format!("CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} {columns}{place}")
}

/// Makes a constraint of an index. `kind` is `UNIQUE` or `PRIMARY KEY`.
pub(crate) fn use_index(table: &str, name: &str, kind: &str, deferrable: &str) -> String {
    add_constraint(table, name, &format!("{kind} USING INDEX {name}{deferrable}"))
}

/// Drops an index while the table is written to.
pub(crate) fn drop_index_concurrently(index: &str) -> String {
    format!("DROP INDEX CONCURRENTLY {index}")
}

/// The same, with a lock that blocks everybody for an instant.
pub(crate) fn drop_index(index: &str) -> String {
    format!("DROP INDEX {index}")
}

/// Drops an index without blocking anybody, if it exists.
pub(crate) fn drop_index_concurrently_if_exists(index: &str) -> String {
    format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")
}

/// Builds an index of the shadow in a transaction of its own.
pub(crate) fn build_index(create: &str, tablespace: &str, gently: bool) -> String {
    format!(
        "BEGIN; {own} SET LOCAL default_tablespace = {};{} {create}; COMMIT",
        literal(tablespace),
        if gently { " SET LOCAL max_parallel_maintenance_workers = 0;" } else { "" },
        own = use_own_language(),
    )
}

/// Runs statements on definitions in a transaction of their own.
pub(crate) fn in_transaction(statements: &[&str]) -> String {
    format!("BEGIN; {}{};\nCOMMIT", use_own_language(), statements.join(";\n"))
}

/// Vacuums and analyzes a table, and keeps its length.
pub(crate) fn vacuum(table: &str) -> String {
    format!("VACUUM (ANALYZE, TRUNCATE off) {table}")
}

/// Drops the guard's trigger from a table.
pub(crate) fn drop_guard_trigger(trigger: &str, table: &str) -> String {
    format!("DROP TRIGGER IF EXISTS {trigger} ON {table}")
}

/// Drops the guard's function and table, which have one name.
pub(crate) fn drop_guard(name: &str) -> [String; 2] {
    [format!("DROP FUNCTION IF EXISTS {name}() CASCADE"), format!("DROP TABLE IF EXISTS {name}")]
}

/// Reads whether the guard has noted anything.
pub(crate) fn guard_notes(name: &str) -> String {
    format!("SELECT FROM {name} LIMIT 1")
}

/// The clause that adds a foreign key.
pub(crate) fn add_foreign_key(name: &str, begin: &str, parent: &str, end: &str) -> String {
    format!("ADD {name}{begin} {parent} {end}")
}

/// Moves statistics to a schema.
pub(crate) fn move_statistics(from: &str, name: &str, to: &str) -> String {
    set_schema("STATISTICS", &qualified(from, name), to)
}

/// How a statement that creates extended statistics begins. The schema is quoted.
pub(crate) fn statistics_head(schema: &str, name: &str) -> String {
    format!("CREATE STATISTICS {schema}.{name} ")
}
