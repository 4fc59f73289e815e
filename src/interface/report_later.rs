//! The statements that `--hold` leaves for later. Nothing here does I/O.

use altergeist::contract::{Record, Stage};

/// For the end of a run: what is left to do.
pub fn sentence(statements: &[String]) -> String {
    match statements {
        [] => String::new(),
        statements => {
            let statements = statements.join("; ");
            format!(". Later, when nothing reads the held columns any more: {statements}")
        }
    }
}

/// For the status: a line for each statement.
pub fn lines(statements: &[String]) -> String {
    statements.iter().map(|statement| format!("later      {statement}\n")).collect()
}

/// Those of the journal. A change that was put back left nothing to do.
pub fn of_journal(record: Option<&Record>) -> Vec<String> {
    match record {
        Some(record) if record.stage != Stage::Reverted => record.later_statements.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_holds_nothing_says_nothing() {
        assert_eq!(sentence(&[]) + &lines(&[]), "");
        let later = ["ALTER TABLE t DROP COLUMN a".to_owned()];
        assert!(sentence(&later).ends_with("any more: ALTER TABLE t DROP COLUMN a"));
        assert_eq!(lines(&later), "later      ALTER TABLE t DROP COLUMN a\n");
    }
}
