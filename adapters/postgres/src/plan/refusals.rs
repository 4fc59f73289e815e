//! What stands in the way of a copy: each object by name, why, and what can be done about it.

use crate::change::Change;
use crate::cutover::materialized_views::MaterializedView;
use crate::log::source::LogSource;
use crate::server::error::{self, refuse};
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{ForeignKeys, Refusal, Result};

/// Why each kind of object is in the way, and what to do; by the words `obstacles.sql` uses.
const REASONS: &[(&str, &str, &str)] = &[
    ("partitioned", "partitioned tables are not copied yet", "change it natively"),
    ("kind", "it is not an ordinary table", "change it natively"),
    (
        "persistence",
        "its changes are not in the server's log, so a copy of it could not follow them",
        "ALTER TABLE … SET LOGGED first, which the server does under its lock; or give it the \
         whole change yourself",
    ),
    ("typed", "tables of a named type are not copied yet", "change it natively"),
    (
        "forced-row-security",
        "its policies hide rows even from its owner, and this role may not bypass them",
        "ALTER ROLE … BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY for the time of the \
         change",
    ),
    (
        "foreign-key",
        "foreign keys were asked to be refused",
        "have them carried, drop it for the time of the change, or change the table natively",
    ),
    (
        "references",
        "this role may not make a foreign key to that table again",
        "GRANT REFERENCES on it to the table's owner",
    ),
    (
        "key-switched-off",
        "its triggers are switched off, which only a superuser can do again on another table",
        "ALTER TABLE … ENABLE TRIGGER ALL for the time of the change",
    ),
    (
        "owner",
        "the swap must change it, and this role does not own it",
        "run as a role that is a member of its owner",
    ),
    (
        "default-partition",
        "the server reads it under its lock when a partition is attached beside it, and it is big",
        "have it proven beforehand that none of its rows belongs there: ALTER TABLE … ADD CHECK \
         (NOT (…)) NOT VALID with what pg_get_partition_constraintdef says of this table, and \
         VALIDATE CONSTRAINT; or detach it for the time of the change",
    ),
    (
        "partition-key",
        "the server proves it for all rows under its lock when a partition is attached, and these \
         are many",
        "drop it for the time of the change",
    ),
    (
        "partition-self-key",
        "before version 18 the foreign key of a partitioned table to itself cannot be made again \
         without reading all its rows",
        "drop it for the time of the change",
    ),
    (
        "row-function",
        "it takes or returns rows of the table, so it must be created again, and that is \
         impossible while an object uses it",
        "drop what uses it for the time of the change",
    ),
    ("inheritance", "tables with parents or children are not copied yet", "change it natively"),
    (
        "all-tables",
        "it publishes every new table at once, the journal and the shadow too, and its \
         subscribers have neither",
        "let it publish a list of tables, or the tables of a schema",
    ),
    (
        "subscription",
        "a table that is filled by a subscription is not copied yet",
        "take it out of the subscription",
    ),
    (
        "extension",
        "a table that belongs to an extension is the extension's to change",
        "ask the extension",
    ),
    (
        "grantor",
        "what they have granted must be granted in their name again, and this role is not a \
         member of theirs",
        "run as a role that is, or grant the privileges as the owner",
    ),
    (
        "own-oid",
        "it holds the OID of the table, its type or an index, as a constant, which is another one \
         after the swap",
        "drop it for the time of the change, or write it with the name as text: to_regclass('…')",
    ),
    (
        "dependent",
        "it depends on the table itself, and would go with the old one",
        "drop it for the time of the change",
    ),
];

/// The objects in the way of replacing the table, and the materialized views with it.
pub(crate) async fn find(
    session: &Session,
    names: &Names,
    table: u32,
    views: &[MaterializedView],
    foreign_keys: ForeignKeys,
) -> Result<Vec<Refusal>> {
    let keys_are_refused = foreign_keys == ForeignKeys::Refuse;
    let mut all = Vec::new();
    for relation in [table].into_iter().chain(views.iter().map(|view| view.oid)) {
        let rows = session
            .query(sql::OBSTACLES, &[&relation, &names.publication, &keys_are_refused])
            .await;
        let rows = rows.map_err(|error| {
            error::of(format!("look for what depends on {}", names.display), &error)
        })?;
        for refusal in rows.iter().map(|row| refusal(row.get(0), row.get(1))) {
            if !all.contains(&refusal) {
                all.push(refusal);
            }
        }
    }
    Ok(all)
}

fn refusal(object: String, why: &str) -> Refusal {
    let known = REASONS.iter().find(|(word, _, _)| *word == why);
    let (_, reason, remedy) = known.expect("obstacles.sql uses only the words listed here");
    refuse(object, *reason, remedy)
}

/// What may not have to do with a table that is logged no longer.
pub(crate) async fn of_unlogged(
    session: &Session,
    names: &Names,
    table: u32,
) -> Result<Vec<Refusal>> {
    let rows = session.query(sql::BOUND_TO_LOGGED, &[&table, &names.publication]).await;
    let rows = rows.map_err(|error| {
        error::of(format!("look for what must have {} logged", names.display), &error)
    })?;
    let reason = "the server does not let it have to do with a table that is not logged";
    Ok(rows.iter().map(|row| refuse(row.get(0), reason, "drop it first")).collect())
}

/// Columns that rows are walked along or followed by, and whose indexes may not find them any more:
/// the copy would pass over such rows, and the proof, which walks the same index, with it.
pub(crate) async fn of_collations(
    session: &Session,
    change: &Change,
    table: u32,
    columns: &[&str],
) -> Result<Vec<Refusal>> {
    let rows = session.query(&sql::changed_collations(change.version), &[&table, &columns]).await;
    let rows = rows.map_err(|error| {
        error::of(format!("read the collations of {}", change.names.display), &error)
    })?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, refresh): (String, String) = (row.get(0), row.get(1));
        refuse(
            format!("column {column}"),
            "its collation sorts otherwise now than when it was made, and an index built before \
             may not find all rows",
            &format!("REINDEX TABLE {}, and then {refresh}", change.names.source()),
        )
    };
    Ok(rows.iter().map(refusal).collect())
}

/// Whether the table is of a kind no clone can be built of.
pub(crate) fn prevents_clone(obstacles: &[Refusal]) -> bool {
    let prevents = |why: &str| matches!(why, "partitioned" | "kind" | "typed" | "inheritance");
    let reasons: Vec<&str> =
        REASONS.iter().filter(|(why, _, _)| prevents(why)).map(|(_, reason, _)| *reason).collect();
    obstacles.iter().any(|obstacle| reasons.contains(&obstacle.reason.as_str()))
}

/// What the role lacks, without which not even a trial is possible.
pub(crate) async fn of_role(session: &Session, names: &Names, table: u32) -> Result<Vec<Refusal>> {
    let row = session.one(sql::ABILITIES, &[&table, &names.slot]).await;
    let row = row.map_err(|error| error::of("ask what the server can do", &error))?;
    let mut refusals = Vec::new();
    let mut demand = |is_met: bool, object: &str, reason: &str, remedy: &str| {
        if !is_met {
            refusals.push(refuse(object.to_owned(), reason, remedy));
        }
    };
    demand(
        row.get(3),
        "this role",
        "it may not make schemas and publications in the database",
        "GRANT CREATE ON DATABASE",
    );
    demand(
        row.get(4),
        "this role",
        "it does not own the table",
        "run as the owner, or as a member of the owner",
    );
    let login = session.query(sql::ROLE_IN_THE_WAY, &[]).await;
    let login = login.map_err(|error| error::of("ask which roles there are", &error))?;
    if let Some(login) = login.first().map(|row| row.get::<_, String>(0)) {
        refusals.push(refuse(
            "setting role".to_owned(),
            format!(
                "sessions of {login} work as another role, which may not end a session of {login} \
                 that is left behind"
            ),
            &format!(
                "ALTER ROLE {login} RESET role, or wherever it is set; or log in as the role \
                      itself"
            ),
        ));
    }
    Ok(refusals)
}

/// What the server lacks, and the role beyond [`of_role`].
pub(crate) async fn of_server(
    session: &Session,
    names: &Names,
    source: &LogSource,
    table: u32,
) -> Result<Vec<Refusal>> {
    let ask = |row: std::result::Result<_, _>| {
        row.map_err(|error| error::of("ask what the server can do", &error))
    };
    let row = ask(session.one(sql::ABILITIES, &[&table, &names.slot]).await)?;
    let log_session = source.session(session).await?;
    let log = ask(log_session.one(sql::ABILITIES, &[&table, &names.slot]).await)?;
    let may_read = ask(log_session.one(sql::MAY_READ_LOG, &[]).await)?;
    let mut refusals = Vec::new();
    let mut demand = |is_met: bool, object: &str, reason: &str, remedy: &str| {
        if !is_met {
            refusals.push(refuse(object.to_owned(), reason, remedy));
        }
    };
    let (slots, slots_used): (i64, i64) = (log.get(1), log.get(2));
    demand(
        row.get::<_, &str>(0) == "logical" && log.get::<_, &str>(0) == "logical",
        "setting wal_level",
        "the log does not say which rows change",
        "set wal_level = logical, and restart the server",
    );
    demand(
        slots > slots_used,
        "setting max_replication_slots",
        "every replication slot is taken",
        "raise it, or drop a slot nobody needs",
    );
    demand(
        may_read.get(0),
        &format!("role {}", may_read.get::<_, &str>(1)),
        "it may not read the log",
        "ALTER ROLE … REPLICATION, or what the provider offers for it",
    );
    demand(
        row.get(5),
        "this role",
        "it may not put a table into the table's schema",
        "GRANT CREATE ON SCHEMA",
    );
    demand(
        row.get(6),
        "this role",
        "it may not read the table or lock it: an owner's rights can be revoked, too",
        &format!("GRANT ALL ON {} TO {}", row.get::<_, &str>(8), row.get::<_, &str>(7)),
    );
    Ok(refusals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_query_has_a_reason() {
        let query = include_str!("../sql/obstacles.sql");
        for (word, _, _) in REASONS {
            assert!(query.contains(&format!("'{word}'")), "{word}");
        }
    }

    #[test]
    fn a_view_does_not_prevent_a_trial_and_a_child_does() {
        assert!(!prevents_clone(&[refusal("view v".into(), "owner")]));
        assert!(prevents_clone(&[refusal("child c".into(), "inheritance")]));
    }
}
