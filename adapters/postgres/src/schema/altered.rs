//! What the user's clauses make of a clone of the source: the data types, with the final steps of
//! the swap.

use crate::key::candidates::Candidate;
use crate::schema::clauses::Clauses;
use crate::schema::columns::{KeyColumn, Layout};
use crate::schema::definition::{Attribute, Line};
use crate::schema::set_columns::SetColumn;
use crate::server::names::Names;
use crate::server::version::Version;
use altergeist_contract::Finding;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The beginning of a refusal in the server's own words.
pub(crate) const NOT_ACCEPTED: &str = "the server refuses them";

/// The name of our own columns and index on the shadow, which find rows if its own do not.
pub(crate) const HELPER: &str = "altergeist_key";

/// What to clone, and how to alter it.
pub(crate) struct CloneRequest<'a> {
    pub(crate) names: &'a Names,
    pub(crate) version: Version,
    pub(crate) source: u32,
    pub(crate) key: Option<&'a Candidate>,
    pub(crate) clauses: &'a Clauses,
    /// The columns that --set computes.
    pub(crate) sets: &'a [SetColumn],
    /// The order of the rows, if it is not the key's.
    pub(crate) order: &'a [KeyColumn],
    /// The user's own table, if --create is given.
    pub(crate) user_table: Option<&'a UserTable>,
    /// The search path of the user's own session.
    pub(crate) search_path: &'a str,
}

/// An index that the run builds after the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeferredIndex {
    /// Its name.
    pub(crate) name: String,
    /// The statement that creates it.
    pub(crate) create: String,
    /// Its tablespace. Empty for the database's own.
    pub(crate) tablespace: String,
    /// The statement that makes a constraint of it, if it belongs to one.
    #[serde(default)]
    pub(crate) constraint: Option<String>,
    /// Statements that restore its comment and settings.
    pub(crate) finish: Vec<String>,
}

/// What the clauses made of the clone.
pub(crate) struct Altered {
    /// The clone.
    pub(crate) clone: u32,
    /// The source's definition. The clone had the same.
    pub(crate) source_lines: Vec<Line>,
    /// The clone's definition after the clauses, except for names that columns get in the swap.
    pub(crate) lines: Vec<Line>,
    /// What the swap does at its end.
    pub(crate) final_steps: FinalSteps,
    /// The columns that --set computes, by their names in the clone.
    pub(crate) sets: Vec<SetColumn>,
    /// How rows move. None if they cannot.
    pub(crate) layout: Option<Layout>,
    /// How the columns differ from the source's.
    pub(crate) changes: ColumnChanges,
    /// Why the change is impossible.
    pub(crate) refusals: Vec<Finding>,
    /// Whether a native change touches only the catalogue.
    pub(crate) is_catalogue_only: bool,
    /// Whether a column was dropped or changed its type. Dependents may not survive that.
    pub(crate) touches_columns: bool,
    /// These columns, by their names in the source.
    pub(crate) touched: Vec<String>,
    /// Columns whose values may change, so that foreign keys may not hold any more.
    pub(crate) revalued: Vec<String>,
    /// Columns that must not be NULL afterwards.
    pub(crate) demanded: Vec<String>,
}

/// What the run does with the new table at the end of the swap, and after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalSteps {
    /// Statements that rename columns. The server writes the new names into the dependents.
    pub(crate) renames: Vec<String>,
    /// The structure after the renames. None if there are none.
    pub(crate) structure: Option<String>,
    /// Clauses about objects that only the swap creates, and foreign keys for new rows only.
    pub(crate) clauses: Vec<String>,
    /// The search path for these clauses.
    pub(crate) search_path: String,
    /// The parents of new foreign keys, qualified. The swap locks them first.
    pub(crate) parents: Vec<String>,
    /// Statements that prove the foreign keys for all rows, after the swap.
    pub(crate) validations: Vec<String>,
    /// Foreign keys that the clauses drop.
    pub(crate) dropped_keys: Vec<String>,
    /// What CASCADE drops, by name.
    #[serde(default)]
    pub(crate) cascade: Vec<String>,
    /// The statement that proves a carried foreign key, and its replacement if the clauses changed
    /// the key. None if the key must not be proven.
    pub(crate) other_proofs: Vec<(String, Option<String>)>,
    /// Columns of the source that keep their serial's sequence beside the new identity's.
    #[serde(default)]
    pub(crate) kept_serials: Vec<String>,
    /// The names of the foreign keys, quoted.
    #[serde(skip)]
    pub(crate) key_names: Vec<String>,
    /// Those of these foreign keys that the rows may violate.
    #[serde(skip)]
    pub(crate) unvalidated: Vec<UnvalidatedKey>,
}

impl FinalSteps {
    /// Whether the clauses drop an object, by themselves or by CASCADE.
    pub(crate) fn drops(&self, object: &str) -> bool {
        self.dropped_keys.iter().chain(&self.cascade).any(|dropped| dropped == object)
    }
}

/// How the shadow's columns differ from the source's.
#[derive(Default)]
pub(crate) struct ColumnChanges {
    /// New columns that need a value and have none.
    pub(crate) without_value: Vec<String>,
    /// Each column that becomes NOT NULL, with its value.
    pub(crate) not_null: Vec<(String, String)>,
    /// Each new column with its value in every row. None if the value differs between rows.
    pub(crate) added: Vec<(String, Option<String>)>,
    /// Generated columns of the shadow, with their expressions.
    pub(crate) generated: Vec<(String, String)>,
    /// Columns whose values may not fit their new type.
    pub(crate) risks: Vec<ConversionRisk>,
    /// Columns that the shadow lacks.
    pub(crate) dropped: Vec<Attribute>,
    /// Columns that the source lacks, except generated ones: name and type.
    pub(crate) created: Vec<(String, String)>,
    /// Columns that change their type.
    pub(crate) conversions: Vec<Conversion>,
}

/// A column that changes its type.
pub(crate) struct Conversion {
    /// Its name in the source.
    pub(crate) source: String,
    /// Its name in the shadow.
    pub(crate) name: String,
    /// The old type and the new one, as SQL spells them.
    pub(crate) from: String,
    pub(crate) to: String,
    /// The stored types: OID and modifier.
    pub(crate) from_type: (u32, i32),
    pub(crate) to_type: (u32, i32),
    /// The old value, as an expression.
    pub(crate) value: String,
    /// Whether USING or --set computes the new value.
    pub(crate) is_computed: bool,
    /// Whether the new type holds every value of the old one.
    pub(crate) is_safe: bool,
}

/// The indexes that the shadow lacks during the copy.
#[derive(Default)]
pub(crate) struct LeftOut {
    /// Those that the run builds after the copy.
    pub(crate) deferred: Vec<DeferredIndex>,
    /// The index that finds rows, if the copy can begin without it, and the statement that drops
    /// it.
    pub(crate) lookup: Option<(DeferredIndex, String)>,
}

impl ColumnChanges {
    /// Adds a column that no source column fills.
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
    /// A condition for values that are too long. A cast would truncate them.
    pub(crate) too_long: Option<String>,
}

impl ConversionRisk {
    /// Returns the risk of a column with this value. None if every value fits.
    pub(crate) fn of(
        column: &Attribute,
        value: &str,
        keeps_values: bool,
    ) -> Option<ConversionRisk> {
        let (base, modifier) = column.stored_type();
        let is_text = [Type::VARCHAR.oid(), Type::BPCHAR.oid()].contains(&base);
        let is_bounded = is_text && modifier >= 4;
        if keeps_values && !is_bounded && column.base_type.is_none() && !is_narrow((base, modifier))
        {
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
fn is_narrow((base, modifier): (u32, i32)) -> bool {
    [Type::INT2.oid(), Type::INT4.oid()].contains(&base)
        || (base == Type::NUMERIC.oid() && modifier != -1)
}

/// A foreign key that is not proven yet: rows may have no parent.
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
    /// Reads a key from a row, from a column on.
    pub(crate) fn of_row(row: &Row, at: usize) -> UnvalidatedKey {
        UnvalidatedKey {
            name: row.get(at),
            parent: row.get(at + 1),
            columns: row.get(at + 2),
            parent_columns: row.get(at + 3),
            is_to_itself: row.get(at + 4),
        }
    }

    /// Returns the names of the table's own columns.
    pub(crate) fn own_columns(&mut self) -> impl Iterator<Item = &mut String> {
        let parents = self.is_to_itself.then_some(&mut self.parent_columns);
        self.columns.iter_mut().chain(parents.into_iter().flatten())
    }
}

/// The user's own table: the statements that create it, and its renamed columns.
pub(crate) struct UserTable {
    pub(crate) statements: Vec<String>,
    /// Old name, new name.
    pub(crate) renames: Vec<(String, String)>,
}
