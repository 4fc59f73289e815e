//! The change that was asked for. It is read once, when the engine connects, and passed on.

use crate::schema::clause_text;
use crate::schema::clauses::Clauses;
use crate::server::names::TableName;
use altergeist_contract::{Code, Finding, Result, Target};

/// What the user asks for.
#[derive(Clone)]
pub(crate) struct AlterRequest {
    /// The clauses as they were given, without ALGORITHM and LOCK.
    pub given: String,
    /// What the user said about how the server should do it: `ALGORITHM=INPLACE`, `LOCK=NONE`.
    pub means: Vec<String>,
    /// The clauses for a copy of the table. It has no foreign keys, so none is dropped there.
    pub effective: String,
    /// Foreign keys of the source that the clauses drop.
    pub dropped_keys: Vec<String>,
    /// What the clauses say of columns, or why they cannot be read.
    pub clauses: std::result::Result<Clauses, Finding>,
}

impl AlterRequest {
    /// Reads what the target asks for. `keys` are the names of the source's foreign keys.
    ///
    /// # Errors
    /// `Refused` for a statement about another table.
    pub(crate) fn read(
        target: &Target,
        ansi_quotes: bool,
        source: &TableName,
        keys: &[String],
    ) -> Result<AlterRequest> {
        let (given, means) =
            clause_text::asked(&target.alter, ansi_quotes, &source.schema, &source.name)?;
        let held = clause_text::without_drops(&given, ansi_quotes, &target.holds);
        let left = held.as_ref().map_or(&*given, |held| held);
        let given = left.to_owned();
        let (rest, dropped_keys) = clause_text::without_dropped_keys(&given, ansi_quotes, keys);
        let effective = rest.trim().to_owned();
        let clauses = match held {
            Err(refusal) => Err(refusal),
            Ok(_) if given.trim().is_empty() && target.leaves_nothing() => {
                Err(Finding::nothing_left())
            }
            Ok(_) => readable(&effective, ansi_quotes, &target.renames),
        };
        Ok(AlterRequest { given, means, effective, dropped_keys, clauses })
    }

    /// Returns the request that undoes a change: it drops these keys, and has no clauses.
    pub(crate) fn undoing(dropped_keys: Vec<String>) -> AlterRequest {
        AlterRequest {
            given: String::new(),
            means: Vec::new(),
            effective: String::new(),
            dropped_keys,
            clauses: Ok(Clauses::default()),
        }
    }

    /// Returns whether the change must be instant.
    pub(crate) fn wants_instant(&self) -> bool {
        self.means.iter().any(|means| means == "ALGORITHM=INSTANT")
    }
}

fn readable(
    text: &str,
    ansi_quotes: bool,
    renames: &[(String, String)],
) -> std::result::Result<Clauses, Finding> {
    if !clause_text::is_single_statement(text, ansi_quotes) {
        return Err(Finding::error(
            Code::ClauseRejected,
            "the clauses",
            "they hold a semicolon, or a quote that does not end",
            "give the clauses of one ALTER TABLE",
        ));
    }
    Clauses::read(text, ansi_quotes, renames).map_err(|error| {
        let remedy = "rewrite them, or leave this part out";
        Finding::error(Code::ClauseRejected, "the clauses", error.reason, remedy)
    })
}
