//! Refuses a table of another engine than InnoDB, also where the clauses would make it InnoDB.
//! Pure.
//!
//! A copy of such a table cannot be followed. Its engine knows no transaction and no snapshot: a
//! reader sees a statement half done, a killed or failed statement leaves the rows it has changed,
//! and the log tells of them only when it ends. So no mark in the log proves what a read has seen
//! (law 1), and no comparison has a moment that it speaks of (law 8).

use crate::server::names::TableName;
use crate::sql;
use altergeist_contract::Refusal;

/// The refusal, with the server's own statement, which blocks writers only.
pub(crate) fn refusal(source: &TableName, engine: &str) -> Refusal {
    Refusal {
        object: format!("table {}", source.plain()),
        reason: format!(
            "its engine is {engine}, not InnoDB: it has no transactions and no snapshots, so a \
             copy cannot be proven equal while others write"
        ),
        remedy: format!(
            "convert it by the server itself, which holds up its writers but not its readers \
             until it is done: ALTER TABLE {} ENGINE=InnoDB; give the other clauses with it, or to \
             altergeist afterwards",
            sql::table(source)
        ),
    }
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
