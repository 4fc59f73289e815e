//! What the user's clauses make of a clone of the source: the data, and what the swap does at its
//! end.

use crate::key::candidates::Candidate;
use crate::schema::clauses::Clauses;
use crate::schema::columns::{KeyColumn, Layout};
use crate::schema::definition::{Attribute, Line};
use crate::server::names::Names;
use crate::server::version::Version;
use altergeist_contract::Refusal;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How a refusal in the server's own words begins.
pub(crate) const NOT_ACCEPTED: &str = "the server will not have them";

/// What columns and the index of ours on the shadow are called, by which rows are found where
/// nothing of its own serves.
pub(crate) const HELPER: &str = "altergeist_key";

/// What is to be done, and to which table.
pub(crate) struct CloneRequest<'a> {
    pub(crate) names: &'a Names,
    pub(crate) version: Version,
    pub(crate) source: u32,
    pub(crate) key: Option<&'a Candidate>,
    pub(crate) clauses: &'a Clauses,
    /// The order rows are laid down in, if it is not the key's.
    pub(crate) order: &'a [KeyColumn],
    /// What makes the new table, if it is not made like the old one.
    pub(crate) user_table: Option<&'a UserTable>,
    /// The search path of the user's own session.
    pub(crate) search_path: &'a str,
}

/// An index that is built when the rows are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeferredIndex {
    /// Its name.
    pub(crate) name: String,
    /// The statement that makes it.
    pub(crate) create: String,
    /// Where it is stored; empty for the database's own place.
    pub(crate) tablespace: String,
    /// The statement that makes a constraint of it, if it is one's.
    #[serde(default)]
    pub(crate) constraint: Option<String>,
    /// Statements that give it back its comment and settings.
    pub(crate) finish: Vec<String>,
}

/// What the clauses made of the clone.
pub(crate) struct Altered {
    /// The clone.
    pub(crate) clone: u32,
    /// The source's definition, which the clone had too.
    pub(crate) source_lines: Vec<Line>,
    /// The clone's definition after the clauses, but for names that columns get in the swap.
    pub(crate) lines: Vec<Line>,
    /// What the swap does when everything is in its place.
    pub(crate) final_steps: FinalSteps,
    /// How rows move; None if they could not.
    pub(crate) layout: Option<Layout>,
    /// Columns that no source column fills, and those that may no longer be NULL.
    pub(crate) changes: ColumnChanges,
    /// Why it cannot be done.
    pub(crate) refusals: Vec<Refusal>,
    /// Whether the server itself would only touch its catalogue.
    pub(crate) is_catalogue_only: bool,
    /// Whether a column went or became another type, which objects that depend on the table may not
    /// bear.
    pub(crate) touches_columns: bool,
    /// These columns, by their names in the source.
    pub(crate) touched: Vec<String>,
    /// Those of them, or computed anew, whose values may become others, so that foreign keys need
    /// not hold any more.
    pub(crate) revalued: Vec<String>,
    /// Columns that may not be NULL afterwards.
    pub(crate) demanded: Vec<String>,
}

/// What is done to the new table at the end of the swap, and after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalSteps {
    /// Columns get their new names: the server carries them into whatever speaks of them.
    pub(crate) renames: Vec<String>,
    /// The structure then; None if nothing is renamed.
    pub(crate) structure: Option<String>,
    /// Clauses about what only the swap puts in place, and foreign keys that hold for new rows.
    pub(crate) clauses: Vec<String>,
    /// The search path they were written for.
    pub(crate) search_path: String,
    /// Tables new foreign keys point to, qualified: they are locked first.
    pub(crate) parents: Vec<String>,
    /// Statements that prove the foreign keys for all rows, after the swap.
    pub(crate) validations: Vec<String>,
    /// Foreign keys of the old table that the new one has not.
    pub(crate) dropped_keys: Vec<String>,
    /// What CASCADE drops, by name.
    #[serde(default)]
    pub(crate) cascade: Vec<String>,
    /// What proves a carried foreign key, and what does so when the clauses have changed it, if it
    /// can be.
    pub(crate) other_proofs: Vec<(String, Option<String>)>,
    /// The names of the foreign keys, quoted.
    #[serde(skip)]
    pub(crate) key_names: Vec<String>,
    /// Which of these foreign keys the rows may not satisfy.
    #[serde(skip)]
    pub(crate) unvalidated: Vec<UnvalidatedKey>,
}

impl FinalSteps {
    /// Whether the clauses drop an object, by themselves or by CASCADE.
    pub(crate) fn drops(&self, object: &str) -> bool {
        self.dropped_keys.iter().chain(&self.cascade).any(|dropped| dropped == object)
    }
}

/// What the shadow demands of rows that the source does not.
#[derive(Default)]
pub(crate) struct ColumnChanges {
    /// New columns that must have a value and get none.
    pub(crate) without_value: Vec<String>,
    /// Each column that may be NULL in the source and may not in the shadow, with its value.
    pub(crate) not_null: Vec<(String, String)>,
    /// Each new column with the value it will have in every row; None if it differs from row to
    /// row.
    pub(crate) added: Vec<(String, Option<String>)>,
    /// Generated columns of the shadow, with their expressions.
    pub(crate) generated: Vec<(String, String)>,
    /// Columns whose values may not fit their new type.
    pub(crate) risks: Vec<ConversionRisk>,
}

/// The indexes the shadow is filled without.
#[derive(Default)]
pub(crate) struct LeftOut {
    /// Those that are built when the rows are there.
    pub(crate) deferred: Vec<DeferredIndex>,
    /// The one its rows are found by, if they need not be found before the first of them changes;
    /// and how it is dropped.
    pub(crate) lookup: Option<(DeferredIndex, String)>,
}

impl ColumnChanges {
    /// Takes note of a column that no column of the source fills.
    pub(crate) fn add(&mut self, new: &Attribute) {
        if new.generated {
            self.generated
                .extend(new.default.clone().map(|expression| (new.name.clone(), expression)));
            return;
        }
        if new.not_null && new.default.is_none() && !new.identity {
            self.without_value.push(new.name.clone());
        }
        let is_same_for_all = !new.identity && !new.is_volatile;
        let value = new.default.clone().unwrap_or_else(|| "NULL".to_owned());
        let value = format!("CAST(({value}) AS {})", new.type_name);
        self.added.push((new.name.clone(), is_same_for_all.then_some(value)));
    }
}

/// A column whose values may not fit its new type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConversionRisk {
    pub(crate) column: String,
    /// The value, cast.
    pub(crate) cast: String,
    /// Whether a value is too long, where a cast would cut it off.
    pub(crate) too_long: Option<String>,
}

impl ConversionRisk {
    /// The risk of a column, given the value it gets; None if every value fits.
    pub(crate) fn of(
        column: &Attribute,
        value: &str,
        keeps_values: bool,
    ) -> Option<ConversionRisk> {
        let (base, modifier) = column.stored_type();
        let is_text = [Type::VARCHAR.oid(), Type::BPCHAR.oid()].contains(&base);
        let is_bounded = is_text && modifier >= 4;
        if keeps_values && !is_bounded && column.base_type.is_none() && !is_narrow(base) {
            return None;
        }
        Some(ConversionRisk {
            column: column.name.clone(),
            cast: format!("CAST(({value}\n) AS {})", column.type_name),
            too_long: is_bounded.then(|| {
                format!("char_length(rtrim(CAST(({value}\n) AS text), ' ')) > {}", modifier - 4)
            }),
        })
    }
}

/// Whether a type may be narrower than another that keeps the order.
fn is_narrow(base: u32) -> bool {
    [Type::INT2.oid(), Type::INT4.oid()].contains(&base)
}

/// A foreign key whose rows may have no parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnvalidatedKey {
    pub(crate) name: String,
    /// The parent, qualified.
    pub(crate) parent: String,
    pub(crate) columns: Vec<String>,
    pub(crate) parent_columns: Vec<String>,
    pub(crate) is_to_itself: bool,
}

impl UnvalidatedKey {
    /// Reads one from the columns of a row that begin at a place.
    pub(crate) fn of_row(row: &Row, at: usize) -> UnvalidatedKey {
        UnvalidatedKey {
            name: row.get(at),
            parent: row.get(at + 1),
            columns: row.get(at + 2),
            parent_columns: row.get(at + 3),
            is_to_itself: row.get(at + 4),
        }
    }

    /// The columns that are the table's own.
    pub(crate) fn own_columns(&mut self) -> impl Iterator<Item = &mut String> {
        let parents = self.is_to_itself.then_some(&mut self.parent_columns);
        self.columns.iter_mut().chain(parents.into_iter().flatten())
    }
}

/// The statements that make the new table, and what becomes of the columns' names.
pub(crate) struct UserTable {
    pub(crate) statements: Vec<String>,
    /// Old name, new name.
    pub(crate) renames: Vec<(String, String)>,
}
