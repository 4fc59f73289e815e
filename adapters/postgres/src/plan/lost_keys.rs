//! Finds foreign keys that cannot exist on the altered table.

use crate::change::Change;
use crate::cutover::dependents;
use crate::schema::altered::Altered;
use crate::schema::definition;
use crate::schema::lookup_index;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Refusal, Result};

/// Returns refusals for foreign keys of the table, or to it, that cannot exist afterwards: the
/// types do not match, or a key is gone.
pub(crate) async fn lost_keys(
    session: &Session,
    change: &Change,
    source: u32,
    schema: &str,
    altered: &Altered,
) -> Result<Vec<Refusal>> {
    let attempted = "try the foreign keys on the clone";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&source, &schema, &change.names.table];
    let mut refusals = Vec::new();
    // Without a key the caller has already refused, and for a partitioned table it refuses every
    // foreign key.
    let Some(layout) = altered.layout.as_ref().filter(|layout| !layout.is_partitioned) else {
        return Ok(refusals);
    };
    // Our own index finds rows until the swap. It must not count as the referenced key.
    let mut bare: Vec<String> = lookup_index::drop_helpers(layout).into_iter().collect();
    let is_made = change.target.create.is_some();
    // Foreign keys name columns by their old names.
    let columns =
        definition::attributes(session, altered.clone).await?.into_iter().map(|column| column.name);
    let columns: Vec<String> = columns.filter(|name| !lookup_index::is_helper(name)).collect();
    let kept = layout.columns.iter().filter(|column| !lookup_index::is_helper(&column.name));
    let kept: Vec<(String, String)> =
        kept.map(|column| (column.source.clone(), column.name.clone())).collect();
    bare.extend(dependents::renames(&layout.shadow, &kept, &columns).0);
    let bare: String = bare.iter().map(|statement| format!("{statement}; ")).collect();
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
        if let Err(error) = outcome {
            let words = error::of_clauses("try it", &error).reason;
            let remedy = match () {
                () if is_own && !is_made => "drop it in the same change",
                () => "drop it first, and make it again for what there is then",
            };
            refusals.push(Refusal::new(
                object,
                format!("the altered table could not have it: {words}"),
                remedy,
            ));
            continue;
        }
        let compared: Vec<String> = row.get(4);
        // The swap creates it again without checking the rows, which may not match any more.
        let is_revalued =
            |column: &&String| !altered.is_catalogue_only && altered.revalued.contains(column);
        if let Some(column) = compared.iter().find(is_revalued) {
            let reason = format!(
                "column {column} of the table may get other values, and rows need not match then"
            );
            let drop =
                if is_own && !is_made { "drop it in the same change" } else { "drop it first" };
            let leave = if is_made {
                ""
            } else {
                "; or leave USING out, if all it does is what the new type does"
            };
            refusals.push(Refusal::new(
                object,
                reason,
                format!("{drop} and make it again afterwards{leave}"),
            ));
        }
    }
    Ok(refusals)
}
