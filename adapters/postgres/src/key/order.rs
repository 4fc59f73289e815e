//! The order of the rows in the new table (`--order-by`): an index of the source, or the leading
//! columns of one.
//!
//! Chunks are then ranges of these columns and the key's. A row moves when such a column changes,
//! but the log still names it by its key. The decision about it says why no row is lost.

use crate::key::candidates::Candidate;
use crate::schema::columns::KeyColumn;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Returns the columns of the requested order, or why they are not possible. Empty if the user asks
/// for none.
pub(crate) async fn find(
    session: &Session,
    order_by: Option<&str>,
    source: u32,
) -> Result<std::result::Result<Vec<KeyColumn>, Finding>> {
    let Some(wanted) = order_by else { return Ok(Ok(Vec::new())) };
    let rows = session.query(sql::KEYS, &[&source, &false]).await;
    let rows = rows.doing("read the table's indexes")?;
    let indexes: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok(choose(&indexes, wanted).map_err(|why| {
        Finding::error(
            Code::Option,
            format!("order by {wanted}"),
            why,
            "name a btree index over columns that may not be NULL, or columns such an index \
             begins with",
        )
    }))
}

fn choose(indexes: &[Candidate], wanted: &str) -> Result<Vec<KeyColumn>, String> {
    if let Some(index) = indexes.iter().find(|index| index.name == unquoted(wanted)) {
        return match &index.unfit {
            None => Ok(index.columns.clone()),
            Some(why) => Err(format!("the run cannot use the index: {why}")),
        };
    }
    let columns: Vec<String> = wanted.split(',').map(unquoted).collect();
    let begins = |index: &&Candidate| {
        let names = index.columns.iter().map(|column| &column.source);
        index.unfit.is_none()
            && index.columns.len() >= columns.len()
            && names.zip(&columns).all(|(one, other)| one == other)
    };
    let index = indexes.iter().find(begins);
    let index = index.ok_or("no usable index has this name, or begins with these columns")?;
    Ok(index.columns[..columns.len()].to_vec())
}

fn unquoted(name: &str) -> String {
    let name = name.trim();
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::candidates::Candidate;
    use crate::schema::columns::KeyColumn;

    fn index(name: &str, columns: &[&str], unfit: Option<&str>) -> Candidate {
        let column = |name: &&str| KeyColumn {
            source: (*name).to_owned(),
            shadow: (*name).to_owned(),
            type_name: "integer".into(),
            type_oid: 23,
            collation: String::new(),
            has_arrays: true,
            spelled_once: true,
            own_operators: false,
        };
        Candidate {
            name: name.into(),
            is_primary: false,
            is_identity: false,
            unfit: unfit.map(Into::into),
            is_deferrable: false,
            columns: columns.iter().map(column).collect(),
        }
    }

    #[test]
    fn an_index_or_the_columns_it_begins_with_give_the_order() {
        let indexes = [
            index("by_a", &["a", "b"], None),
            index("by_c", &["c"], Some("one of its columns may be NULL")),
        ];
        let names = |wanted: &str| {
            choose(&indexes, wanted)
                .map(|columns| columns.into_iter().map(|column| column.source).collect::<Vec<_>>())
        };
        assert_eq!(names("by_a").unwrap(), ["a", "b"]);
        assert_eq!(names("\"a\"").unwrap(), ["a"]);
        assert_eq!(names("a, b").unwrap(), ["a", "b"]);
        assert!(names("b").is_err());
        assert!(names("by_c").unwrap_err().contains("NULL"));
        assert!(names("c").is_err());
    }
}
