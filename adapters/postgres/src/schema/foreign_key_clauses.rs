//! Tries the clauses about foreign keys and about what only the swap puts in place.

use crate::schema::altered::NOT_ACCEPTED;
use crate::schema::altered::{Altered, Arrival, Orphans, Wish};
use crate::schema::clause::ForeignKey;
use crate::schema::clauses::{KeyClause, KeyDeed, Late};
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Refusal, Result};

/// What becomes of the foreign keys the table has.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) arrival: Arrival,
    /// Those that are to be proven, by the columns' old names.
    pub(crate) orphans: Vec<Orphans>,
    pub(crate) refusals: Vec<Refusal>,
}

/// Reads what becomes of the foreign keys the table has. They stand on no clone, so each is made on
/// it for the trial; the clauses are tried before all others, when the columns still have their
/// names.
pub(crate) async fn try_keys(session: &Session, wish: &Wish<'_>, schema: &str) -> Result<Keys> {
    let Keys { mut arrival, mut orphans, mut refusals } = Keys::default();
    for key in &wish.clauses.keys {
        let failed = |error: tokio_postgres::Error| {
            error::of_clauses(format!("try the clause {}", key.clause), &error)
        };
        let row =
            session.one(sql::FOREIGN_KEY, &[&wish.source, &key.name]).await.map_err(failed)?;
        let (object, proof, definition, is_validated): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        match &key.deed {
            KeyDeed::Drop => arrival.dropped_keys.push(object),
            KeyDeed::Validate if is_validated => {}
            KeyDeed::Validate => {
                arrival.validations.push(proof);
                orphans.push(Orphans::of_row(&row, 4));
            }
            KeyDeed::Rename(new) => {
                refusals.extend(try_key(session, wish, schema, key, &definition).await?);
                let renamed =
                    format!("ALTER TABLE {} VALIDATE CONSTRAINT {new}", wish.names.source());
                arrival.other_proofs.push((proof, Some(renamed)));
                arrival.clauses.push(format!("ALTER TABLE {} {}", wish.names.source(), key.clause));
            }
            KeyDeed::Alter { is_enforced } => {
                refusals.extend(try_key(session, wish, schema, key, &definition).await?);
                if !is_enforced {
                    arrival.other_proofs.push((proof, None));
                }
                arrival.clauses.push(format!("ALTER TABLE {} {}", wish.names.source(), key.clause));
            }
        }
    }
    Ok(Keys { arrival, orphans, refusals })
}

async fn try_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &KeyClause,
    definition: &str,
) -> Result<Option<Refusal>> {
    let clone = quote::qualified(schema, &wish.names.table);
    let name = quote::quoted(&key.name);
    let script = format!(
        "ALTER TABLE {clone} ADD CONSTRAINT {name} {definition}; ALTER TABLE {clone} {}",
        key.clause
    );
    session.run("SAVEPOINT key").await.map_err(|error| error::of("try a clause", &error))?;
    let outcome = session.run(&script).await;
    session
        .run("ROLLBACK TO SAVEPOINT key")
        .await
        .map_err(|error| error::of("try a clause", &error))?;
    let Err(error) = outcome else { return Ok(None) };
    let attempted = format!("try the clause {}", key.clause);
    if error::is_passing(&error) {
        return Err(error::of_lock(attempted, &error));
    }
    Ok(Some(not_accepted(wish, error::of_clauses(attempted, &error).reason)))
}

/// Tries what the swap does at its end, and takes it back: locks of other tables are held for an
/// instant only.
pub(crate) async fn try_late(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    altered.arrival.search_path = wish.search_path.to_owned();
    for late in &wish.clauses.late {
        altered.refusals.extend(try_clause(session, wish, schema, late).await?);
        altered.arrival.clauses.push(format!(
            "ALTER TABLE {} {}",
            wish.names.source(),
            late.clause
        ));
    }
    for key in &wish.clauses.foreign_keys {
        try_foreign_key(session, wish, schema, key, altered).await?;
    }
    Ok(())
}

async fn try_clause(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    late: &Late,
) -> Result<Option<Refusal>> {
    let failed = |error: tokio_postgres::Error| {
        error::of_clauses(format!("try the clause {}", late.clause), &error)
    };
    if let Some(name) = late.trigger.as_ref().or(late.rule.as_ref()) {
        let query = if late.trigger.is_some() { sql::HAS_TRIGGER } else { sql::HAS_RULE };
        let is_there: bool =
            session.one(query, &[&wish.source, name]).await.map_err(failed)?.get(0);
        let missing = || {
            error::refuse(
                format!("clause {}", late.clause),
                "the table has none of this name",
                "correct the name",
            )
        };
        return Ok((!is_there).then(missing));
    }
    let mut trial = sql::use_search_path(wish.search_path);
    if let Some(owner) = &late.owner {
        trial.push_str(&format!(
            "; GRANT USAGE, CREATE ON SCHEMA {} TO {owner}",
            quote::quoted(schema)
        ));
    }
    trial.push_str(&format!(
        "; ALTER TABLE {} {}",
        quote::qualified(schema, &wish.names.table),
        late.clause
    ));
    session.run("SAVEPOINT late").await.map_err(failed)?;
    let outcome = session.run(&trial).await.map_err(failed);
    session.run("ROLLBACK TO SAVEPOINT late").await.map_err(failed)?;
    match outcome {
        Err(error) if error.kind == altergeist_contract::Kind::Refused => {
            Ok(Some(not_accepted(wish, error.reason)))
        }
        outcome => outcome.map(|()| None),
    }
}

async fn try_foreign_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &ForeignKey,
    altered: &mut Altered,
) -> Result<()> {
    let attempted = || format!("try the foreign key to {}", key.parent);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    session.run("SAVEPOINT late").await.map_err(failed)?;
    let outcome = add_foreign_key(session, wish, schema, key, altered.clone).await;
    session.run("ROLLBACK TO SAVEPOINT late").await.map_err(failed)?;
    let added = match outcome {
        Err(error) if error::is_passing(&error) => return Err(error::of_lock(attempted(), &error)),
        Err(error) => {
            altered
                .refusals
                .push(not_accepted(wish, error::of_clauses(attempted(), &error).reason));
            return Ok(());
        }
        Ok(added) => added,
    };
    let name = quote::quoted(&added.name);
    let table = wish.names.source();
    altered.arrival.key_names.push(name.clone());
    altered.arrival.clauses.push(format!("ALTER TABLE {table} {}", key.add(&name, &key.parent)));
    if key.is_validated {
        altered.arrival.validations.push(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"));
    }
    if !added.is_to_itself {
        altered.arrival.parents.push(added.parent.clone());
    }
    if key.is_validated {
        altered.arrival.orphans.push(added);
    }
    Ok(())
}

/// Adds a foreign key to the clone; one that points to the table itself points to the clone then.
async fn add_foreign_key(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    key: &ForeignKey,
    clone: u32,
) -> std::result::Result<Orphans, tokio_postgres::Error> {
    session.run(&sql::use_search_path(wish.search_path)).await?;
    let is_to_itself: bool = session.one(sql::IS_TABLE, &[&key.parent, &wish.source]).await?.get(0);
    let own = quote::qualified(schema, &wish.names.table);
    let parent = if is_to_itself { &own } else { &key.parent };
    session.run(&format!("ALTER TABLE {own} {}", key.add(&key.name, parent))).await?;
    session.run(&sql::use_own_language()).await?;
    Ok(Orphans::of_row(&session.one(sql::NEWEST_FOREIGN_KEY, &[&clone]).await?, 0))
}

pub(crate) fn not_accepted(wish: &Wish<'_>, words: String) -> Refusal {
    error::refuse(
        format!("the clauses for {}", wish.names.display),
        format!("{NOT_ACCEPTED}: {words}"),
        "correct the clauses",
    )
}
