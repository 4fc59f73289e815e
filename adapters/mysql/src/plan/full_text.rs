//! Refuses a table with document numbers of its own (`FTS_DOC_ID`) under a full-text index. InnoDB
//! takes a row only if its number is larger than all numbers before. So the run could write a
//! changed row to a copy only if it is the last one (error 182).

use crate::change::Change;
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::session::Session;
use altergeist_contract::{Refusal, Result};

/// Refuses the altered clone if it is such a table.
pub(crate) async fn refuse_own_document_numbers(
    change: &Change,
    session: &mut Session,
) -> Result<Option<Refusal>> {
    let definition = definition_of(session, &change.names.clone).await;
    let definition = definition.doing_in_catalogue(change.doing("look at the clone of"))?;
    Ok(has_own_document_numbers(&definition).then(|| Refusal {
        object: "column FTS_DOC_ID".into(),
        reason: "the table has a FULLTEXT index and numbers its documents itself: InnoDB \
                 takes only numbers larger than all before, so rows that change meanwhile \
                 could not be brought into the copy"
            .into(),
        remedy: "let the clauses drop the FULLTEXT index, and add it again by the server's \
                 own ALTER afterwards"
            .into(),
    }))
}

fn has_own_document_numbers(definition: &str) -> bool {
    let has = |begin: &str| definition.lines().any(|line| line.starts_with(begin));
    has("  `FTS_DOC_ID` ") && has("  FULLTEXT KEY ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_numbers_under_an_index_of_full_texts_are_in_the_way() {
        let of = |column: &str, key: &str| {
            has_own_document_numbers(&format!(
                "CREATE TABLE `t` (\n  `{column}` bigint,\n  {key} (`body`)\n) ENGINE=InnoDB"
            ))
        };
        assert!(of("FTS_DOC_ID", "FULLTEXT KEY `f`"));
        assert!(!of("FTS_DOC_ID", "KEY `f`"));
        assert!(!of("id", "FULLTEXT KEY `f`"));
    }
}
