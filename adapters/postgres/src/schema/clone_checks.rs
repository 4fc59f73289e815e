//! Checks what the clauses made of a clone: it must still be a plain table of the same name, and no
//! two objects may have one name after the swap.

use crate::schema::altered::CloneRequest;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Refuses names that two objects would have after the swap.
pub(crate) async fn name_clashes(
    session: &Session,
    request: &CloneRequest<'_>,
    clone: u32,
) -> Result<Vec<Finding>> {
    let attempted = "look for names taken twice";
    let has_own_sequences = request.user_table.is_some();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&request.source, &clone, &request.names.old_schema, &has_own_sequences];
    let mut clashes = session.query(sql::NAME_CLASHES, &parameters).await.doing(attempted)?;
    if request.user_table.is_some() {
        clashes.extend(
            session
                .query(sql::PARTITION_CLASHES, &[&request.source, &clone])
                .await
                .doing(attempted)?,
        );
    }
    Ok(clashes.iter().map(|row| name_taken(row.get(0))).collect())
}

/// Refuses a clone that is no longer a plain table of the source's name.
pub(crate) async fn not_plain(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    clone: u32,
) -> Result<Option<Finding>> {
    let row = session
        .one(sql::STILL_PLAIN, &[&clone, &schema, &request.names.table, &request.source])
        .await;
    let row = row.doing("read the altered clone")?;
    let why = match (row.get(0), row.get(1), row.get(2)) {
        (false, ..) => "they rename or move the table, so the swap could not find it",
        (_, false, _) => "they make it something other than a plain, logged table",
        (.., false) => "a partition must have the columns of the table it belongs to",
        _ => return Ok(None),
    };
    Ok(Some(Finding::error(
        Code::ClauseNotCarried,
        format!("the clauses for {}", request.names.display),
        why,
        "leave that part out, and run it as a separate statement",
    )))
}

fn name_taken(object: String) -> Finding {
    Finding::error(
        Code::NameTaken,
        object,
        "after the swap two objects would have this name",
        "rename one of them, or choose another name in the clauses",
    )
}
