//! The ALTER clauses as they were given. The engine parses the text once, when it connects. What
//! the clauses mean depends on the table's foreign keys, which may change meanwhile.

use crate::schema::clauses::{self, Clauses};
use crate::schema::lexer::{self, Token};
use crate::schema::pasted;
use crate::server::names::Names;
use altergeist_contract::{Code, Finding};

/// The clauses that the user gave.
pub(crate) struct AlterRequest {
    /// The clauses as they were given.
    pub(crate) given: String,
    /// Their statements, or why they cannot be read.
    statements: Result<Vec<Vec<Token>>, String>,
    /// A statement among them that is no clause of ALTER TABLE.
    stray: Option<Finding>,
}

impl AlterRequest {
    pub(crate) fn read(given: &str) -> AlterRequest {
        AlterRequest {
            given: given.to_owned(),
            statements: lexer::statements(given),
            stray: pasted::index_statement(given),
        }
    }

    /// Whether there are no clauses.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.trim().is_empty()
    }

    /// What the clauses mean for a table with these foreign keys.
    pub(crate) fn clauses(&self, names: &Names, keys: &[String]) -> Result<Clauses, Finding> {
        if let Some(refusal) = &self.stray {
            return Err(refusal.clone());
        }
        self.meaning(names, keys).map_err(|why| {
            Finding::error(
                Code::ClauseRejected,
                format!("the clauses for {}", names.display),
                format!("they cannot be read: {why}"),
                "write them more plainly, as one statement",
            )
        })
    }

    /// The clauses of each statement as they were given, whatever foreign keys there are.
    pub(crate) fn native(&self, names: &Names) -> Vec<String> {
        self.meaning(names, &[]).map(|clauses| clauses.native).unwrap_or_default()
    }

    fn meaning(&self, names: &Names, keys: &[String]) -> Result<Clauses, String> {
        let statements = self.statements.as_ref().map_err(Clone::clone)?;
        clauses::read(&self.given, statements, names, keys)
    }
}
