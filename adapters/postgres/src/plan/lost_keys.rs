//! Finds foreign keys that cannot exist on the altered table.

use crate::change::Change;
use crate::cutover::dependents;
use crate::schema::altered::Altered;
use crate::schema::columns::Layout;
use crate::schema::definition;
use crate::schema::lookup_index;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Returns refusals for foreign keys of the table, or to it, that cannot exist afterwards: the
/// types do not match, or a key is gone.
pub(crate) async fn lost_keys(
    session: &Session,
    change: &Change,
    source: u32,
    schema: &str,
    altered: &Altered,
) -> Result<Vec<Finding>> {
    let attempted = "try the foreign keys on the clone";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&source, &schema, &change.names.table];
    let mut refusals = Vec::new();
    // Without a key the caller has already refused, and for a partitioned table it refuses every
    // foreign key.
    let Some(layout) = altered.layout.as_ref().filter(|layout| !layout.is_partitioned) else {
        return Ok(refusals);
    };
    let bare = bare_clone(session, altered, layout).await?;
    let is_made = change.target.create.is_some();
    for row in session.query(sql::KEYS_THAT_STAY, &parameters).await.doing(attempted)? {
        let (object, is_own, columns, trial): (String, bool, Vec<String>, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        // The server itself drops a foreign key with its column.
        let stays = |column: &String| layout.columns.iter().any(|known| known.source == *column);
        if altered.final_steps.drops(&object) || (is_own && !columns.iter().all(stays)) {
            continue;
        }
        session.run(&sql::savepoint("key")).await.doing(attempted)?;
        let outcome = session.run(&format!("{bare}{trial}")).await;
        session.run(&sql::roll_back_to("key")).await.doing(attempted)?;
        let is_dropped_here = is_own && !is_made;
        refusals.extend(match outcome {
            Err(error) => Some(impossible(object, &error, is_dropped_here)),
            Ok(()) => revalued(object, &row.get::<_, Vec<String>>(4), altered, is_dropped_here)
                .map(|refusal| without_using(refusal, is_made)),
        });
    }
    Ok(refusals)
}

/// Returns statements that remove from the clone what only the run needs. Our own index finds rows
/// until the swap. It must not count as the referenced key. Foreign keys name columns by their old
/// names.
async fn bare_clone(session: &Session, altered: &Altered, layout: &Layout) -> Result<String> {
    let mut bare: Vec<String> = lookup_index::drop_helpers(layout).into_iter().collect();
    let mut columns = definition::column_names(session, altered.clone).await?;
    columns.retain(|name| !lookup_index::is_helper(name));
    let kept = layout.columns.iter().filter(|column| !lookup_index::is_helper(&column.name));
    let kept: Vec<(String, String)> =
        kept.map(|column| (column.source.clone(), column.name.clone())).collect();
    bare.extend(dependents::renames(&layout.shadow, &kept, &columns).0);
    Ok(bare.iter().map(|statement| format!("{statement}; ")).collect())
}

fn impossible(object: String, error: &tokio_postgres::Error, is_dropped_here: bool) -> Finding {
    let words = error::of_clauses("try it", error).reason;
    let remedy = match is_dropped_here {
        true => "drop it in the same change",
        false => "drop it before the change, and create the key that you need afterwards",
    };
    Finding::error(
        Code::ForeignKey,
        object,
        format!("the altered table cannot have it: {words}"),
        remedy,
    )
}

/// Refuses a foreign key over a column whose values may change. The swap creates it again without
/// checking the rows, which may not match any more.
fn revalued(
    object: String,
    compared: &[String],
    altered: &Altered,
    is_dropped_here: bool,
) -> Option<Finding> {
    let is_revalued =
        |column: &&String| !altered.is_catalogue_only && altered.revalued.contains(column);
    let column = compared.iter().find(is_revalued)?;
    let reason =
        format!("column {column} of the table may get other values, and rows may not match then");
    let drop = if is_dropped_here { "drop it in the same change" } else { "drop it first" };
    Some(Finding::error(
        Code::ForeignKey,
        object,
        reason,
        format!("{drop} and create it again afterwards"),
    ))
}

/// Adds the other remedy: the clauses may not need their USING.
fn without_using(refusal: Finding, is_made: bool) -> Finding {
    if is_made {
        return refusal;
    }
    let leave = "; or leave USING out, if all it does is what the new type does";
    Finding { remedy: format!("{}{leave}", refusal.remedy), ..refusal }
}
