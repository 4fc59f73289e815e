//! Maps the altered table's columns back to the old table's: which columns return, how their values
//! are converted, and what only the old table has. Pure.

use crate::key::candidates::Candidate;
use crate::key::types;
use crate::schema::column_mapping::is_plain_cast;
use crate::schema::columns::{Back, Column, KeptColumn, KeyColumn, Layout, Return, Sameness};
use crate::schema::definition::Attribute;
use crate::server::names::Names;
use crate::sql::quote;
use tokio_postgres::types::Type;

/// The columns of both tables, and how the change connects them.
pub(crate) struct Tables<'a> {
    /// How rows moved in the change.
    pub(crate) forward: &'a Layout,
    /// The old table's columns.
    pub(crate) old: &'a [Attribute],
    /// The altered table's columns, with their final names.
    pub(crate) new: &'a [Attribute],
    /// The numbers of the old columns that the altered table has, and their numbers there.
    pub(crate) pairs: Vec<(i16, i16)>,
    /// The old table's identity columns, each with the expression of its next number.
    pub(crate) numbers: Vec<(String, String)>,
    /// The user's values for columns of the old table.
    pub(crate) reverse_sets: &'a [(String, String)],
}

impl Tables<'_> {
    /// Yields the columns that both tables have, the old one first.
    pub(crate) fn both(&self) -> impl Iterator<Item = (&Attribute, &Attribute)> {
        self.pairs.iter().filter_map(|(old, new)| {
            let old = self.old.iter().find(|column| column.number == *old)?;
            Some((old, self.new.iter().find(|column| column.number == *new)?))
        })
    }

    /// Returns a key of the altered table as a key of the old one. None if the old table lacks
    /// columns of it, or cannot find rows by their values.
    pub(crate) fn key(&self, candidate: &Candidate) -> Option<Vec<KeyColumn>> {
        let column = |key: &KeyColumn| {
            let (old, _) = self
                .both()
                .find(|(old, new)| new.name == key.source && finds(old, new))
                .filter(|(old, _)| !self.is_computed(old))?;
            Some(KeyColumn { shadow: old.name.clone(), ..key.clone() })
        };
        let is_fit = candidate.unfit.is_none() && candidate.columns.iter().all(|it| it.has_arrays);
        if !is_fit {
            return None;
        }
        candidate.columns.iter().map(column).collect()
    }

    /// Whether the change computed a column's values by an expression that is no plain cast.
    pub(crate) fn is_computed(&self, old: &Attribute) -> bool {
        let plain = format!("{}.{}", self.forward.alias, quote::quoted(&old.name));
        let filled = self.forward.columns.iter().find(|column| column.source == old.name);
        filled
            .is_some_and(|column| column.value != plain && !is_plain_cast(&column.value, &old.name))
    }

    fn reverse_set(&self, old: &Attribute) -> Option<String> {
        let set = self.reverse_sets.iter().find(|(column, _)| *column == old.name);
        set.map(|(_, value)| format!("CAST(({value}\n) AS {})", old.type_name))
    }

    /// Returns how rows move on the way back. `names` are those of the way back.
    pub(crate) fn layout(
        &self,
        names: &Names,
        key_index: &str,
        keys: Vec<KeyColumn>,
        misfits: String,
    ) -> Layout {
        let kept = self.old.iter().filter(|old| {
            !old.generated && !self.pairs.iter().any(|(paired, _)| *paired == old.number)
        });
        let kept = kept
            .map(|old| KeptColumn { name: old.name.clone(), value: self.value_of_new_row(old) });
        let returning = self.both().filter(|(old, _)| !old.generated);
        Layout {
            source: names.source(),
            shadow: names.shadow(),
            shadow_schema: quote::quoted(&names.shadow_schema),
            alias: self.forward.alias.clone(),
            key_index: key_index.to_owned(),
            keys,
            order: Vec::new(),
            is_partitioned: false,
            columns: returning.map(|(old, new)| self.column(old, new)).collect(),
            helper_index: None,
            back: Some(Back { misfits, kept: kept.collect() }),
        }
    }

    fn column(&self, old: &Attribute, new: &Attribute) -> Column {
        let same_type = old.stored_shape() == new.stored_shape();
        let now = format!("{}.{}", self.forward.alias, quote::quoted(&new.name));
        let cast = || match same_type {
            true => now.clone(),
            false => format!("CAST({now} AS {})", old.type_name),
        };
        let (value, returns) = match self.is_computed(old) {
            true => (self.reverse_set(old).unwrap_or_else(cast), Some(Return::Computed)),
            false => (cast(), (!same_type).then(|| Return::As(new.type_name.clone()))),
        };
        Column {
            name: old.name.clone(),
            source: new.name.clone(),
            type_name: old.type_name.clone(),
            value,
            changed: !same_type,
            sameness: sameness(new, !same_type),
            returns,
            counted: None,
        }
    }

    /// Returns the value that a column of the old table gets in a row that only the altered table
    /// has.
    fn value_of_new_row(&self, old: &Attribute) -> String {
        let number = self.numbers.iter().find(|(column, _)| *column == old.name);
        let number = number.map(|(_, number)| number.clone());
        let default =
            old.default.as_ref().map(|default| format!("CAST(({default}) AS {})", old.type_name));
        self.reverse_set(old).or(number).or(default).unwrap_or_else(|| "NULL".to_owned())
    }
}

/// How to tell that a column's values are the same. A number that was converted may have other
/// decimals and be the same number.
fn sameness(new: &Attribute, is_changed: bool) -> Sameness {
    let is_numeric = new.stored_type().0 == Type::NUMERIC.oid();
    if is_changed && is_numeric { Sameness::Equal } else { types::sameness(new.stored_type()) }
}

/// Whether an index over the old column finds the altered column's values.
fn finds(old: &Attribute, new: &Attribute) -> bool {
    let integers = [Type::INT2.oid(), Type::INT4.oid(), Type::INT8.oid()];
    let texts = [Type::TEXT.oid(), Type::VARCHAR.oid()];
    let (from, to) = (old.stored_type().0, new.stored_type().0);
    let are_alike = |kinds: &[u32]| kinds.contains(&from) && kinds.contains(&to);
    old.collation == new.collation
        && !old.generated
        && (from == to || are_alike(&integers) || are_alike(&texts))
        && types::keeps_order(old.stored_type(), new.stored_type())
}
