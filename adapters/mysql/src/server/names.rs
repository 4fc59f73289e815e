//! The names of everything this tool makes on the server. Pure.

use altergeist_contract::name_hash;
use serde::{Deserialize, Serialize};

/// A table with its schema, as the server spells them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TableName {
    pub schema: String,
    pub name: String,
}

impl TableName {
    pub(crate) fn new(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// Whether this may be the same table. Case is ignored, so on case-sensitive servers the answer
    /// is yes too often.
    pub(crate) fn is_same(&self, other: &TableName) -> bool {
        self.plain().to_lowercase() == other.plain().to_lowercase()
    }

    /// For people: `shop.orders`.
    pub(crate) fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// MySQL counts characters, not bytes.
const LONGEST: usize = 64;
/// A table's name must leave room for the constraints that MySQL names after it: `<table>_chk_12`.
const LONGEST_WITH_CONSTRAINTS: usize = 56;

/// The names that belong to one source table.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The altered copy.
    pub shadow: TableName,
    /// What the source is called after the swap.
    pub old: TableName,
    /// Rows of the altered table that the old one cannot hold.
    pub misfits: TableName,
    /// A temporary table for rows of the old table while they are written again.
    pub stash: TableName,
    /// A temporary table for rows of the altered table, all as they are at one moment.
    pub rows: TableName,
    /// MariaDB's sentry for the swap: the RENAME fails while no table has this name.
    pub sentry: TableName,
    /// The sentry's name after the swap.
    pub used_sentry: TableName,
    /// Triggers that refuse writes to the swapped table until its own triggers exist: on INSERT,
    /// UPDATE, DELETE.
    pub guards: [TableName; 3],
    /// The empty clone that clauses are tried on.
    pub clone: TableName,
    /// Its other name while `plan` measures how long a rename takes.
    pub renamed_clone: TableName,
    /// The journal.
    pub journal: TableName,
    /// The heartbeats.
    pub beat: TableName,
    /// Orders given by SQL.
    pub orders: TableName,
    /// How the runs went.
    pub history: TableName,
    /// Named locks begin with this.
    pub lock: String,
}

impl Names {
    pub(crate) fn of(source: &TableName) -> Names {
        let named = |name: String| TableName { schema: source.schema.clone(), name };
        let hash = hash(&source.plain());
        Names {
            shadow: named(around(&source.name, "_ag_shadow")),
            old: named(around(&source.name, "_ag_old")),
            misfits: named(around(&source.name, "_ag_misfits")),
            stash: named(around(&source.name, "_ag_stash")),
            rows: named(around(&source.name, "_ag_rows")),
            sentry: named(behind(&source.name, "_ag_go")),
            used_sentry: named(behind(&source.name, "_ag_went")),
            guards: ["_ag_guard_i", "_ag_guard_u", "_ag_guard_d"]
                .map(|suffix| named(around(&source.name, suffix))),
            clone: named(format!("_ag_plan_{hash:016x}")),
            renamed_clone: named(format!("_ag_plan_{hash:016x}_renamed")),
            journal: named("_altergeist".into()),
            beat: named("_altergeist_beat".into()),
            orders: named("_altergeist_orders".into()),
            history: named("_altergeist_history".into()),
            lock: format!("ag_{hash:016x}"),
        }
    }
}

impl Names {
    /// Returns the names after the swap: the old table follows the altered one, and goes back.
    pub(crate) fn turned(&self) -> Names {
        Names { shadow: self.old.clone(), old: self.shadow.clone(), ..self.clone() }
    }
}

/// `_T<suffix>`. If that is too long, a hash replaces the end of T.
fn around(table: &str, suffix: &str) -> String {
    let whole = format!("_{table}{suffix}");
    if whole.chars().count() <= LONGEST_WITH_CONSTRAINTS {
        return whole;
    }
    let mark = format!("_{:08x}", hash(table) as u32);
    let kept = LONGEST_WITH_CONSTRAINTS - 1 - mark.len() - suffix.len();
    format!("_{}{mark}{suffix}", table.chars().take(kept).collect::<String>())
}

/// `T<suffix>`, which sorts behind T. The server locks the tables of a RENAME in the order of their
/// names, and it must lock the source before the sentry. The tilde sorts behind every ASCII
/// letter.
fn behind(table: &str, suffix: &str) -> String {
    let whole = format!("{table}{suffix}");
    if whole.chars().count() <= LONGEST {
        return whole;
    }
    let mark = format!("~{:08x}", hash(table) as u32);
    let kept = LONGEST - mark.len() - suffix.len();
    format!("{}{mark}{suffix}", table.chars().take(kept).collect::<String>())
}

/// The hash in names.
pub(crate) fn hash(text: &str) -> u64 {
    name_hash(text.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_around_the_tables() {
        let names = Names::of(&TableName::new("shop", "orders"));
        assert_eq!(names.shadow.plain(), "shop._orders_ag_shadow");
        assert_eq!(names.old.plain(), "shop._orders_ag_old");
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let one = Names::of(&TableName::new("s", &format!("{}1", "ä".repeat(63))));
        let two = Names::of(&TableName::new("s", &format!("{}2", "ä".repeat(63))));
        assert_eq!(one.shadow.name.chars().count(), LONGEST_WITH_CONSTRAINTS);
        assert_ne!(one.shadow.name, two.shadow.name);
        assert_ne!(one.shadow.name, one.old.name);
    }

    #[test]
    fn the_sentry_sorts_behind_its_table() {
        for table in ["orders", "Orders", "_x", &"z".repeat(64)] {
            let names = Names::of(&TableName::new("s", table));
            assert!(names.sentry.name.as_bytes() > table.as_bytes());
            assert!(names.used_sentry.name.as_bytes() > table.as_bytes());
        }
    }
}
