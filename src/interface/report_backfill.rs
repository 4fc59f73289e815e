//! What a backfill says before and after. Nothing here does I/O.

use crate::interface::durations::moment;
use crate::interface::numbers::grouped;
use altergeist::backfill::Ended;
use altergeist::contract::{RowUpdate, Trial};

/// What becomes of rows that the application writes meanwhile. It is said before the first change.
pub fn announced(trial: &Trial, update: &RowUpdate) -> String {
    let cannot = "So the run cannot distinguish a new row from one that is done. It does not \
                  change rows that are inserted behind it. If the application changes a row's \
                  key meanwhile, that row may be missed or changed twice";
    let (rows, still) = (grouped(trial.rows), grouped(trial.still_matching));
    match (&update.condition, trial.rows) {
        (None, _) => format!("all rows match, before the change and after it. {cannot}"),
        (Some(_), 0) => "no row of the beginning of the table matches. Rows that are inserted \
                         meanwhile are changed too, as long as each changed row stops to match"
            .to_owned(),
        (Some(_), _) if trial.still_matching > 0 => {
            format!("{still} of {rows} tried rows still match after the change. {cannot}")
        }
        (Some(_), _) => format!(
            "none of {rows} tried rows matches after the change. So the last passes over the \
             table also change the rows that are inserted meanwhile"
        ),
    }
}

/// How a backfill succeeded.
pub fn ended(ended: &Ended, table: &str) -> String {
    match ended {
        Ended::Counted(rows) => {
            format!("{table}: {} rows match. Nothing was changed", grouped(*rows))
        }
        Ended::AlreadyDone { by, at_seconds } => format!(
            "{table}: already done at {} by {by}; nothing to do (--again does it once more)",
            moment(*at_seconds)
        ),
        Ended::Done { rows, passes, last_pass_rows, takes_inserted } => {
            let rows = grouped(*rows);
            let rest = match (takes_inserted, last_pass_rows) {
                (false, _) => {
                    "Rows that were inserted behind the run meanwhile are not changed".to_owned()
                }
                (true, 0) => "The last pass found no row that matches".to_owned(),
                (true, found) => format!(
                    "The last pass still found {} rows: the application goes on to write such \
                     rows. Correct that first; --again changes the rest",
                    grouped(*found)
                ),
            };
            let passes = match passes {
                1 => "1 pass".to_owned(),
                more => format!("{more} passes"),
            };
            format!("{table}: done. {rows} rows changed in {passes}. {rest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_inserted_rows_is_said_beforehand() {
        let update = RowUpdate { assignments: Vec::new(), condition: Some("a".into()) };
        let said = |rows, still_matching| {
            announced(&Trial { rows_estimated: 0, rows, still_matching }, &update)
        };
        assert!(said(100, 0).contains("also change the rows that are inserted"));
        assert!(said(100, 3).contains("3 of 100") && said(100, 3).contains("twice"));
        let all = RowUpdate { condition: None, ..update.clone() };
        assert!(announced(&Trial::default(), &all).contains("twice"));
    }
}
