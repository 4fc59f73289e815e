//! Finds what `DROP … CASCADE` drops beside the column or constraint: views, and views on them,
//! rules, policies, triggers, functions, defaults, foreign keys of other tables. The plan names
//! each object. Before the tables change places, the swap drops those objects and no others. If a
//! new one appears meanwhile, the run stops and names it.

use crate::change::Change;
use crate::cutover::materialized_views::MaterializedView;
use crate::schema::cascades::Cascades;
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Result};

/// The objects that CASCADE drops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cascade {
    /// What the clauses drop.
    dropped: Cascades,
    taken: Vec<CascadedObject>,
}

/// One object that CASCADE drops.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CascadedObject {
    object: String,
    /// Drops it. None if it stays with the old table, or the swap drops all dependents anyway.
    statement: Option<String>,
    /// Whether a copy can drop it as the server would.
    is_known: bool,
    /// Whether this role may drop it.
    is_ours: bool,
    /// The relation that it is, or that it belongs to.
    relation: Option<u32>,
    oid: u32,
}

/// Finds the objects that depend on dropped columns and constraints of a table.
pub(crate) async fn find(session: &Session, table: u32, dropped: &Cascades) -> Result<Cascade> {
    if dropped.is_empty() {
        return Ok(Cascade::default());
    }
    let (columns, constraints) = (dropped.columns(), dropped.constraints());
    let rows = session
        .query(sql::CASCADE, &[&table, &columns, &constraints])
        .await
        .doing("look for what CASCADE drops")?;
    let taken = |row: &tokio_postgres::Row| CascadedObject {
        object: row.get(0),
        statement: row.get(1),
        is_known: row.get(2),
        is_ours: row.get(3),
        relation: row.get(4),
        oid: row.get(5),
    };
    Ok(Cascade { dropped: dropped.clone(), taken: rows.iter().map(taken).collect() })
}

/// Finds the objects that the requested change drops by CASCADE.
pub(crate) async fn of_change(session: &Session, change: &Change, table: u32) -> Result<Cascade> {
    match requested::clauses(session, change, table).await? {
        Ok(clauses) => find(session, table, &clauses.cascades).await,
        Err(refusal) => Err(Error::refused(format!("read {}", refusal.object), refusal.message)),
    }
}

impl Cascade {
    /// Reads the objects again.
    pub(crate) async fn again(&self, session: &Session, table: u32) -> Result<Cascade> {
        find(session, table, &self.dropped).await
    }

    /// Whether it drops an object. Other queries of the catalogue spell the object the same way.
    pub(crate) fn takes(&self, object: &str) -> bool {
        self.taken.iter().any(|taken| taken.object == object)
    }

    /// Returns the names of the objects.
    pub(crate) fn objects(&self) -> Vec<String> {
        self.taken.iter().map(|taken| taken.object.clone()).collect()
    }

    /// Returns the OIDs of the objects.
    pub(crate) fn oids(&self) -> Vec<u32> {
        self.taken.iter().map(|taken| taken.oid).collect()
    }

    /// Returns the relations that the swap must lock for it.
    pub(crate) fn relations(&self) -> Vec<u32> {
        self.taken.iter().filter_map(|taken| taken.relation).collect()
    }

    /// Returns the materialized views that stay.
    pub(crate) fn without(&self, mut views: Vec<MaterializedView>) -> Vec<MaterializedView> {
        views.retain(|view| !self.taken.iter().any(|taken| taken.oid == view.oid));
        views
    }

    /// Whether an object is dropped by a statement of [`Cascade::statements`].
    pub(crate) fn drops(&self, object: &str) -> bool {
        self.taken.iter().any(|taken| taken.object == object && taken.statement.is_some())
    }

    /// Returns the statements that drop the objects that do not stay with the old table.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.taken.iter().filter_map(|taken| taken.statement.clone()).collect()
    }

    /// Returns the statements that drop the views, if this role may drop all the objects. A reader
    /// of a view locks it before the table, so the swap drops it before it locks the table.
    pub(crate) fn views_first(&self) -> Vec<String> {
        if !self.taken.iter().all(|taken| taken.is_known && taken.is_ours) {
            return Vec::new();
        }
        let views = self.taken.iter().filter(|taken| taken.relation == Some(taken.oid));
        views.filter_map(|taken| taken.statement.clone()).collect()
    }

    /// Returns refusals for objects that a copy cannot drop, or this role may not.
    pub(crate) fn refusals(&self) -> Vec<Finding> {
        let refusal = |taken: &CascadedObject| {
            let (reason, remedy) = match taken {
                taken if !taken.is_known => (
                    "CASCADE drops it too, and a copy cannot",
                    "drop it first; or make DROP … CASCADE a separate change, which the server \
                     does without a copy",
                ),
                taken if !taken.is_ours => (
                    "CASCADE drops it too, and this role does not own it",
                    "run as a member of its owner; or make DROP … CASCADE a separate change, \
                     which the server does without a copy",
                ),
                _ => return None,
            };
            Some(Finding::error(Code::Dependent, taken.object.clone(), reason, remedy))
        };
        self.taken.iter().filter_map(refusal).collect()
    }

    /// Returns refusals for objects that a swap back could not create again: their owners and
    /// privileges go with them.
    pub(crate) fn irretrievable(&self) -> Vec<Finding> {
        let dropped = self.taken.iter().filter(|taken| taken.statement.is_some());
        let refusal = |taken: &CascadedObject| {
            Finding::error(
                Code::NotRevertible,
                taken.object.clone(),
                "CASCADE drops it, and a revert cannot create it again as it was",
                "drop it in a change of its own, or leave --reversible out",
            )
        };
        dropped.map(refusal).collect()
    }

    /// Returns what an operator must know about it.
    pub(crate) fn note(&self) -> Option<Finding> {
        (!self.taken.is_empty()).then(|| {
            let objects = self.objects();
            let count = objects.len() as u64;
            let message = format!("it drops more than the column: {}", objects.join(", "));
            Finding::warning(Code::Dependent, "CASCADE", message, "leave CASCADE out to keep them")
                .count(count)
        })
    }

    /// Returns the first object that the plan did not name.
    pub(crate) fn unannounced(&self, announced: &[String]) -> Option<&str> {
        self.taken
            .iter()
            .map(|taken| &*taken.object)
            .find(|object| !announced.iter().any(|known| known == object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::cascades::Cascades;

    fn taken(object: &str, statement: Option<&str>, is_ours: bool) -> CascadedObject {
        CascadedObject {
            object: object.to_owned(),
            statement: statement.map(str::to_owned),
            is_known: true,
            is_ours,
            relation: Some(7),
            oid: 7,
        }
    }

    #[test]
    fn the_views_go_first_only_where_everything_may_be_dropped() {
        let mut cascade = Cascade {
            dropped: Cascades::default(),
            taken: vec![taken("view v", Some("DROP VIEW v"), true)],
        };
        assert_eq!(cascade.views_first(), ["DROP VIEW v"]);
        assert!(cascade.refusals().is_empty());
        cascade.taken.push(taken("view w", Some("DROP VIEW w"), false));
        assert!(cascade.views_first().is_empty());
        assert_eq!(cascade.refusals().len(), 1);
    }

    #[test]
    fn what_the_plan_did_not_name_is_found() {
        let cascade = Cascade {
            dropped: Cascades::default(),
            taken: vec![taken("view v", None, true), taken("view w", None, true)],
        };
        assert_eq!(cascade.unannounced(&["view v".to_owned()]), Some("view w"));
        assert_eq!(cascade.unannounced(&["view w".to_owned(), "view v".to_owned()]), None);
        assert!(cascade.takes("view v") && !cascade.drops("view v"));
    }
}
