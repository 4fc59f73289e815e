//! Tables that number their documents themselves (`FTS_DOC_ID`) under a FULLTEXT index. The run
//! refreshes them by document ([`crate::shadow::documents`]). This refuses what breaks the rules
//! that it builds on.

use crate::change::Change;
use crate::schema::carried_keys::source_keys;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::full_text::{
    DOCUMENT, finds_documents, full_text, full_text_columns, has_own_documents,
};
use crate::schema::table::{Table, definition_of, is_same};
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// What `plan` found about such a table.
#[derive(Default)]
pub(crate) struct OwnDocuments {
    pub findings: Vec<Finding>,
    /// The FULLTEXT indexes that are built last.
    pub built_last: Vec<String>,
}

/// Checks the altered clone, if it is such a table.
pub(crate) async fn check_own_documents(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    tables: [&Table; 2],
) -> Result<OwnDocuments> {
    let attempted = || change.doing("look at the clone of");
    let altered = definition_of(session, &change.names.clone).await;
    let altered = altered.doing_in_catalogue(attempted)?;
    if !has_own_documents(&altered) {
        return Ok(OwnDocuments::default());
    }
    let source = definition_of(session, &change.source).await.doing_in_catalogue(attempted)?;
    let mut findings = Vec::new();
    findings.extend(refuse_new_rule(change, mapping, &source, &altered));
    findings.extend(refuse_missing_index(change, tables));
    let keys = source_keys(change, session).await?;
    if keys.iter().any(|key| key.child == change.source && key.writes()) {
        findings.push(Finding::error(
            Code::FullText,
            format!("column {DOCUMENT}"),
            "the table numbers its documents itself, and actions of its foreign keys change its \
             rows in no order of these numbers",
            "drop the FULLTEXT index first, and add it again by the server's own ALTER",
        ));
    }
    let built_last: Vec<String> = full_text(&altered).into_iter().map(|index| index.text).collect();
    let note = format!(
        "the table numbers its documents itself ({DOCUMENT}): the run builds the FULLTEXT index \
         last, and refreshes rows in place afterwards. If a transaction adds a document behind a \
         greater one, the run waits for it"
    );
    findings.push(Finding::note(Code::FullText, note));
    Ok(OwnDocuments { findings, built_last })
}

/// Refuses indexes whose rule does not hold in the source. There the application may change a text
/// and keep its number.
fn refuse_new_rule(
    change: &Change,
    mapping: &ColumnMapping,
    source: &str,
    altered: &str,
) -> Option<Finding> {
    let numbered = mapping.columns.iter().any(|pair| {
        is_same(&pair.shadow.name, DOCUMENT)
            && is_same(&pair.source.name, DOCUMENT)
            && pair.source.is_alike(&pair.shadow)
    });
    let covered = full_text_columns(source);
    let is_covered = |name: &String| {
        let of = mapping.columns.iter().find(|pair| is_same(&pair.shadow.name, name));
        of.is_some_and(|pair| covered.iter().any(|one| is_same(one, &pair.source.name)))
    };
    let new = full_text_columns(altered).into_iter().find(|name| !is_covered(name));
    if numbered && new.is_none() {
        return None;
    }
    let reason = match new {
        Some(column) if numbered => format!(
            "the table numbers its documents itself, and a FULLTEXT index would newly cover \
             {column}: until the swap the application may change {column} and keep the number, \
             which the altered table does not take"
        ),
        _ => format!(
            "the clauses make {DOCUMENT} under a FULLTEXT index: until the swap the application \
             may write numbers in any order, which the altered table does not take"
        ),
    };
    Some(Finding::error(
        Code::FullText,
        format!("column {DOCUMENT}"),
        reason,
        format!(
            "leave this index out of the clauses, and add it by the server's own {} …",
            sql::ddl::alter_table(&change.source)
        ),
    ))
}

/// Refuses a table without an index that finds a row by its number.
fn refuse_missing_index(change: &Change, tables: [&Table; 2]) -> Option<Finding> {
    tables.into_iter().any(|table| !finds_documents(table)).then(|| {
        Finding::error(
            Code::FullText,
            format!("column {DOCUMENT}"),
            "the table numbers its documents itself, and no unique index over the number alone is \
             visible",
            format!("{} {}", sql::ddl::alter_table(&change.source), sql::documents::ADD_INDEX),
        )
    })
}
