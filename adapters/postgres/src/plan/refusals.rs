//! What prevents a copy: each object by name, the reason, and the remedy.

use crate::change::Change;
use crate::cutover::materialized_views::MaterializedView;
use crate::log::source::LogSource;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, ForeignKeys, Result};

/// The code, the reason and the remedy for each kind of object, by the words of `obstacles.sql`.
const REASONS: &[(&str, Code, &str, &str)] = &[
    (
        "partitioned",
        Code::TableKind,
        "this tool does not copy partitioned tables yet",
        "use --strategy native, or run ALTER TABLE yourself",
    ),
    (
        "kind",
        Code::TableKind,
        "it is not an ordinary table",
        "use --strategy native, or run ALTER TABLE yourself",
    ),
    (
        "persistence",
        Code::UnloggedChanges,
        "its changes are not in the server's log, so a copy could not follow them",
        "run ALTER TABLE … SET LOGGED first, which the server does under its lock; or run the \
         whole change yourself",
    ),
    (
        "typed",
        Code::TableKind,
        "this tool does not copy tables of a named type yet",
        "use --strategy native, or run ALTER TABLE yourself",
    ),
    ("system", Code::TableKind, "it is one of the server's own tables", "name a table of yours"),
    (
        "forced-row-security",
        Code::HiddenFromUser,
        "FORCE ROW LEVEL SECURITY hides rows from this role, which lacks BYPASSRLS",
        "run ALTER ROLE … BYPASSRLS; or run ALTER TABLE … NO FORCE ROW LEVEL SECURITY until the \
         change is done",
    ),
    (
        "foreign-key",
        Code::ForeignKey,
        "--foreign-keys refuse is set",
        "leave that flag out; drop the foreign key until the change is done; or use --strategy \
         native",
    ),
    (
        "references",
        Code::Privilege,
        "this role may not create a foreign key to that table again",
        "grant REFERENCES on it to the table's owner",
    ),
    (
        "key-switched-off",
        Code::ForeignKey,
        "its triggers are disabled, and only a superuser can disable them again on another table",
        "run ALTER TABLE … ENABLE TRIGGER ALL, and disable them again after the change",
    ),
    (
        "owner",
        Code::Privilege,
        "the swap must change it, and this role does not own it",
        "run as a member of its owner",
    ),
    (
        "default-partition",
        Code::Partitions,
        "it is big, and the server reads it under its lock when a partition is attached",
        "prove beforehand that none of its rows belongs there. Run ALTER TABLE … ADD CHECK (NOT \
         (…)) NOT VALID with the condition that pg_get_partition_constraintdef returns for this \
         table. Then run VALIDATE CONSTRAINT. Or detach it until the change is done",
    ),
    (
        "partition-key",
        Code::ForeignKey,
        "the table has many rows, and the server proves the key for all of them under its lock \
         when a partition is attached",
        "drop it until the change is done",
    ),
    (
        "partition-self-key",
        Code::ForeignKey,
        "before version 18 the server reads all rows to create the foreign key of a partitioned \
         table to itself",
        "drop it until the change is done",
    ),
    (
        "row-function",
        Code::Dependent,
        "it takes or returns rows of the table, so the swap must create it again. That is \
         impossible while an object uses it",
        "drop the object that uses it until the change is done",
    ),
    (
        "own-row-function",
        Code::Dependent,
        "it takes rows of the table, and the copy's rows have another type",
        "drop the object that uses it until the change is done",
    ),
    (
        "inheritance",
        Code::TableKind,
        "this tool does not copy tables with parents or children yet",
        "use --strategy native, or run ALTER TABLE yourself",
    ),
    (
        "all-tables",
        Code::Dependent,
        "it publishes every new table at once, and its subscribers have neither the journal nor \
         the shadow",
        "publish a list of tables instead, or the tables of a schema",
    ),
    (
        "subscription",
        Code::Dependent,
        "this tool does not copy a table that a subscription fills yet",
        "remove it from the subscription",
    ),
    (
        "extension",
        Code::Dependent,
        "the table belongs to an extension, which alone may change it",
        "use the extension's own commands",
    ),
    (
        "grantor",
        Code::Privilege,
        "its grants must be created again as that role, and this role is not a member of it",
        "run as a member of it, or grant the privileges as the owner",
    ),
    (
        "own-oid",
        Code::OidKept,
        "it holds the OID of the table, its type or an index as a constant, and the OID changes \
         with the swap",
        "drop it until the change is done, or write the name as text: to_regclass('…')",
    ),
    (
        "dependent",
        Code::Dependent,
        "it depends on the table itself, and would stay with the old one",
        "drop it until the change is done",
    ),
];

/// Returns the objects that prevent a swap of the table, and of the materialized views with it.
pub(crate) async fn find(
    session: &Session,
    names: &Names,
    table: u32,
    views: &[MaterializedView],
    foreign_keys: ForeignKeys,
) -> Result<Vec<Finding>> {
    let keys_are_refused = foreign_keys == ForeignKeys::Refuse;
    let mut all = Vec::new();
    for relation in [table].into_iter().chain(views.iter().map(|view| view.oid)) {
        let rows = session
            .query(sql::OBSTACLES, &[&relation, &names.publication, &keys_are_refused])
            .await;
        let rows = rows.doing(format!("look for what depends on {}", names.display))?;
        for refusal in rows.iter().map(|row| refusal(row.get(0), row.get(1))) {
            if !all.contains(&refusal) {
                all.push(refusal);
            }
        }
    }
    Ok(all)
}

fn refusal(object: String, why: &str) -> Finding {
    let known = REASONS.iter().find(|(word, ..)| *word == why);
    let (_, code, reason, remedy) = known.expect("obstacles.sql uses only the words listed here");
    Finding::error(*code, object, *reason, *remedy)
}

/// Returns refusals for objects that the server does not allow with an unlogged table.
pub(crate) async fn of_unlogged(
    session: &Session,
    names: &Names,
    table: u32,
) -> Result<Vec<Finding>> {
    let rows = session.query(sql::BOUND_TO_LOGGED, &[&table, &names.publication]).await;
    let rows = rows.doing(format!("look for what must have {} logged", names.display))?;
    let reason = "the server does not allow it together with a table that is not logged";
    Ok(rows
        .iter()
        .map(|row| {
            Finding::error(Code::Dependent, row.get::<_, String>(0), reason, "drop it first")
        })
        .collect())
}

/// Refuses key columns whose indexes may not find every row. The copy would skip such rows. So
/// would the proof, because it scans the same index.
pub(crate) async fn of_collations(
    session: &Session,
    change: &Change,
    table: u32,
    columns: &[&str],
) -> Result<Vec<Finding>> {
    let rows = session.query(&sql::changed_collations(change.version), &[&table, &columns]).await;
    let rows = rows.doing(format!("read the collations of {}", change.names.display))?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, refresh): (String, String) = (row.get(0), row.get(1));
        Finding::error(
            Code::ServerSettings,
            format!("column {column}"),
            "its collation sorts differently now than when it was created. An older index may not \
             find all rows",
            format!("run REINDEX TABLE {}, and then {refresh}", change.names.source()),
        )
    };
    Ok(rows.iter().map(refusal).collect())
}

/// Whether the table is of a kind that has no clone.
pub(crate) fn prevents_clone(obstacles: &[Finding]) -> bool {
    let prevents = |why: &str| {
        matches!(
            why,
            "partitioned" | "kind" | "system" | "typed" | "inheritance" | "own-row-function"
        )
    };
    let reasons: Vec<&str> =
        REASONS.iter().filter(|(why, ..)| prevents(why)).map(|(_, _, reason, _)| *reason).collect();
    obstacles.iter().any(|obstacle| reasons.contains(&obstacle.message.as_str()))
}

/// Returns what the role lacks even for a trial.
pub(crate) async fn of_role(session: &Session, names: &Names, table: u32) -> Result<Vec<Finding>> {
    let row = session.one(sql::ABILITIES, &[&table, &names.slot]).await;
    let row = row.doing("ask what the server can do")?;
    let mut refusals = Vec::new();
    let mut demand = |is_met: bool, object: &str, reason: &str, remedy: &str| {
        if !is_met {
            refusals.push(Finding::error(Code::Privilege, object.to_owned(), reason, remedy));
        }
    };
    demand(
        row.get(3),
        "this role",
        "it may not create schemas and publications in the database",
        "run GRANT CREATE ON DATABASE",
    );
    demand(
        row.get(4),
        "this role",
        "it does not own the table",
        "run as the owner, or as a member of the owner",
    );
    let login = session.query(sql::ROLE_IN_THE_WAY, &[]).await;
    let login = login.doing("ask which roles there are")?;
    if let Some(login) = login.first().map(|row| row.get::<_, String>(0)) {
        refusals.push(Finding::error(
            Code::ServerSettings,
            "setting role".to_owned(),
            format!(
                "sessions of {login} work as another role, which may not end a session of {login} \
                 that is left behind"
            ),
            format!(
                "run ALTER ROLE {login} RESET role, or reset it where it is set; or log in as \
                 the role itself"
            ),
        ));
    }
    Ok(refusals)
}

/// Returns what the server lacks, and what the role lacks beyond [`of_role`].
pub(crate) async fn of_server(
    session: &Session,
    names: &Names,
    source: &LogSource,
    table: u32,
) -> Result<Vec<Finding>> {
    let ask = |row: std::result::Result<_, _>| row.doing("ask what the server can do");
    let row = ask(session.one(sql::ABILITIES, &[&table, &names.slot]).await)?;
    let log_session = source.session(session).await?;
    let log = ask(log_session.one(sql::ABILITIES, &[&table, &names.slot]).await)?;
    let may_read = ask(log_session.one(sql::MAY_READ_LOG, &[]).await)?;
    let mut refusals = Vec::new();
    let mut demand = |is_met: bool, code: Code, object: &str, reason: &str, remedy: &str| {
        if !is_met {
            refusals.push(Finding::error(code, object.to_owned(), reason, remedy));
        }
    };
    let (slots, slots_used): (i64, i64) = (log.get(1), log.get(2));
    demand(
        row.get::<_, &str>(0) == "logical" && log.get::<_, &str>(0) == "logical",
        Code::LogSettings,
        "setting wal_level",
        "the log does not say which rows change",
        "set wal_level = logical, and restart the server",
    );
    demand(
        slots > slots_used,
        Code::LogSettings,
        "setting max_replication_slots",
        "every replication slot is in use",
        "raise it, or drop a slot that is not needed",
    );
    demand(
        may_read.get(0),
        Code::Privilege,
        &format!("role {}", may_read.get::<_, &str>(1)),
        "it may not read the log",
        "run ALTER ROLE … REPLICATION, or use your provider's way to allow it",
    );
    demand(
        row.get(5),
        Code::Privilege,
        "this role",
        "it may not create a table in the table's schema",
        "run GRANT CREATE ON SCHEMA",
    );
    demand(
        row.get(6),
        Code::Privilege,
        "this role",
        "it may not read or lock the table. Even an owner needs these privileges",
        &format!("run GRANT ALL ON {} TO {}", row.get::<_, &str>(8), row.get::<_, &str>(7)),
    );
    Ok(refusals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_query_has_a_reason() {
        let query = include_str!("../sql/obstacles.sql");
        for (word, ..) in REASONS {
            assert!(query.contains(&format!("'{word}'")), "{word}");
        }
    }

    #[test]
    fn a_view_does_not_prevent_a_trial_and_a_child_does() {
        assert!(!prevents_clone(&[refusal("view v".into(), "owner")]));
        assert!(prevents_clone(&[refusal("child c".into(), "inheritance")]));
    }
}
