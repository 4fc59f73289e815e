//! Materialized views that read the table, or one another. The server cannot make one read another
//! table. So each gets a replacement that reads the shadow. The run creates and fills it before the
//! swap, and nobody waits meanwhile.

use crate::server::doing::Doing;
use crate::server::names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};

/// One materialized view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MaterializedView {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) has_rows: bool,
    /// Whether REFRESH CONCURRENTLY works.
    pub(crate) is_refreshed_beside: bool,
    /// The clauses between its name and its query.
    pub(crate) storage: String,
}

impl MaterializedView {
    /// Its name, qualified and quoted.
    pub(crate) fn display(&self) -> String {
        quote::qualified(&self.schema, &self.name)
    }

    /// Its schema and its name.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    /// Its schema.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The schema where its replacement waits for the swap.
    pub(crate) fn waiting_schema(&self) -> String {
        names::shadow_schema(&self.schema)
    }

    pub(crate) fn replacement(&self) -> String {
        quote::qualified(&self.waiting_schema(), &self.name)
    }

    /// The statement that refreshes it after the swap, if no reader has to wait.
    pub(crate) fn refresh(&self) -> Option<String> {
        (self.has_rows && self.is_refreshed_beside)
            .then(|| sql::refresh_concurrently(&self.display()))
    }

    /// Returns what an operator must know about it.
    pub(crate) fn note(&self) -> Option<Finding> {
        (self.has_rows && !self.is_refreshed_beside).then(|| {
            Finding::warning(
                Code::Dependent,
                format!("materialized view {}", self.display()),
                "it will show the rows of some time before the swap, because it has no unique \
                 index",
                "refresh it after the swap, when its readers can wait",
            )
        })
    }
}

/// Lists the materialized views over a table, in the order in which they can be created.
pub(crate) async fn list(session: &Session, table: u32) -> Result<Vec<MaterializedView>> {
    let rows = session.query(sql::MATERIALIZED, &[&table]).await;
    let rows = rows.doing("look for materialized views")?;
    let view = |row: &tokio_postgres::Row| MaterializedView {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        has_rows: row.get(3),
        is_refreshed_beside: row.get(4),
        storage: row.get(5),
    };
    Ok(in_order(rows.iter().map(|row| (view(row), row.get(6))).collect()))
}

/// Sorts views, each given with what it reads, so that each can be created.
fn in_order(mut views: Vec<(MaterializedView, Vec<u32>)>) -> Vec<MaterializedView> {
    let mut ordered = Vec::new();
    while !views.is_empty() {
        let is_missing = |oid: &u32, of: &[(MaterializedView, Vec<u32>)]| {
            of.iter().any(|(view, _)| view.oid == *oid)
        };
        let next =
            views.iter().position(|(_, reads)| !reads.iter().any(|oid| is_missing(oid, &views)));
        // There is always one, because no view reads itself, not even through others.
        ordered.push(views.remove(next.unwrap_or_default()).0);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(oid: u32) -> MaterializedView {
        let text = String::new();
        MaterializedView {
            oid,
            schema: text.clone(),
            name: text.clone(),
            has_rows: true,
            is_refreshed_beside: false,
            storage: text,
        }
    }

    #[test]
    fn what_is_read_comes_first_whatever_its_number_is() {
        let views = vec![(view(1), vec![9, 7, 50]), (view(7), vec![9]), (view(9), vec![50])];
        let ordered: Vec<u32> = in_order(views).iter().map(|view| view.oid).collect();
        assert_eq!(ordered, [9, 7, 1]);
    }
}
