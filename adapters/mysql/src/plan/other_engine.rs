//! Refuses a table of another engine than InnoDB, even if the clauses make it InnoDB. Pure.
//!
//! The run cannot follow such a table. Its engine has no transactions and no snapshots. A reader
//! sees half of a statement, and a killed or failed statement leaves the rows it has changed. The
//! log has them only when the statement ends. So no mark in the log proves what a read has seen
//! (law 1), and no comparison belongs to one moment (law 8).

use crate::server::names::TableName;
use crate::sql;
use altergeist_contract::{Code, Finding};

/// Returns the refusal, with the server's own statement, which blocks writers only.
pub(crate) fn refusal(source: &TableName, engine: &str) -> Finding {
    Finding::error(
        Code::TableKind,
        format!("table {}", source.plain()),
        format!(
            "its engine is {engine}, not InnoDB: it has no snapshots, so the run cannot prove a \
             copy equal while others write"
        ),
        format!(
            "convert it with the server's own ALTER, which blocks writers but not readers: ALTER \
             TABLE {} ENGINE=InnoDB; add the other clauses to it, or run altergeist with them \
             afterwards",
            sql::table(source)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_statement_is_named() {
        let refusal = refusal(&TableName::new("s", "t"), "MyISAM");
        assert!(
            refusal.remedy.contains("ALTER TABLE `s`.`t` ENGINE=InnoDB;"),
            "{}",
            refusal.remedy
        );
    }
}
