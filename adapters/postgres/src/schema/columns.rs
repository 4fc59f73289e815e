//! What the statements that move rows must know about source and shadow. It is settled when the
//! shadow is created, and kept in the journal.

use serde::{Deserialize, Serialize};

/// Source and shadow, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The source, qualified and quoted.
    pub(crate) source: String,
    /// The shadow, qualified and quoted.
    pub(crate) shadow: String,
    /// The shadow's schema, quoted.
    pub(crate) shadow_schema: String,
    /// The name of the source in the user's expressions, quoted.
    pub(crate) alias: String,
    /// The key's index in the source.
    pub(crate) key_index: String,
    /// The key's columns, in the index's order.
    pub(crate) keys: Vec<KeyColumn>,
    /// The columns of --order-by, which the scan uses before the key's. Here a row can move from
    /// one side of the watermark to the other. See the decision about it.
    #[serde(default)]
    pub(crate) order: Vec<KeyColumn>,
    /// Whether the shadow is a partitioned table.
    #[serde(default)]
    pub(crate) is_partitioned: bool,
    /// The shadow's columns that get their values from the source.
    pub(crate) columns: Vec<Column>,
    /// Our index that finds the shadow's rows, if the shadow has none of its own for that. It goes
    /// in the swap.
    #[serde(default)]
    pub(crate) helper_index: Option<String>,
    /// What only the way back needs.
    #[serde(default)]
    pub(crate) back: Option<Back>,
}

/// What the statements of the way back need beyond source and shadow. There the altered table is
/// the source, and the old table is the shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    /// The table of the rows that the old table cannot hold, qualified and quoted.
    pub(crate) misfits: String,
    /// The old table's columns that the altered one lacks.
    pub(crate) kept: Vec<KeptColumn>,
}

/// A column that only the old table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptColumn {
    pub(crate) name: String,
    /// Its value in a new row, as an expression over the altered table's columns.
    pub(crate) value: String,
}

/// How a changed column returns to the old table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Return {
    /// By a cast. The old value, cast to this type of the altered table, must be the new value.
    As(String),
    /// By an expression. The values cannot be compared.
    Computed,
}

/// One column of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyColumn {
    /// Its name in the source.
    pub(crate) source: String,
    /// Its name in the shadow.
    pub(crate) shadow: String,
    /// Its type in the source, as SQL spells it. For a domain, the base type.
    pub(crate) type_name: String,
    /// The same type's OID.
    pub(crate) type_oid: u32,
    /// Its collation in the source, as SQL spells it. Empty for the type's own.
    #[serde(default)]
    pub(crate) collation: String,
    /// Whether there are arrays of the type.
    #[serde(default = "yes")]
    pub(crate) has_arrays: bool,
    /// Whether equal values are always the same bytes.
    #[serde(default)]
    pub(crate) spelled_once: bool,
    /// Whether built-in operators compare its values.
    #[serde(default)]
    pub(crate) own_operators: bool,
}

/// One column of the shadow, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Column {
    /// Its name in the shadow.
    pub(crate) name: String,
    /// Its name in the source.
    pub(crate) source: String,
    /// Its type in the shadow, as SQL spells it.
    pub(crate) type_name: String,
    /// Its value, as an expression over the source's columns.
    pub(crate) value: String,
    /// Whether the value may differ from the source's stored value.
    pub(crate) changed: bool,
    /// How to tell that two values are the same stored bytes.
    #[serde(default)]
    pub(crate) sameness: Sameness,
    /// On the way back only, and only if the change changed the column.
    #[serde(default)]
    pub(crate) returns: Option<Return>,
    /// What the comparison counts of it. None if its values stay.
    #[serde(default)]
    pub(crate) counted: Option<Counted>,
}

/// What the comparison counts of a column whose values change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// The old value, as an expression. None for a new column.
    pub(crate) before: Option<String>,
    /// Whether an old value, or a new one, may be empty without being NULL.
    pub(crate) may_be_empty_before: bool,
    pub(crate) may_be_empty: bool,
    /// Whether different values are counted.
    pub(crate) distinct: bool,
    /// Whether the least and the greatest values are compared.
    pub(crate) ends: bool,
}

/// How to tell that two values of a type are the same stored bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sameness {
    /// By the bytes: the type's own equality is another one, or unknown.
    #[default]
    Image,
    /// By the type's own equality.
    Equal,
    /// By equality in the collation of bytes.
    EqualText,
}

fn yes() -> bool {
    true
}

impl Layout {
    /// Returns the columns of chunk bounds and watermarks: those of the order, then those of the
    /// key, each once.
    pub(crate) fn scan_columns(&self) -> Vec<&KeyColumn> {
        let rest = self
            .keys
            .iter()
            .filter(|key| !self.order.iter().any(|ordered| ordered.source == key.source));
        self.order.iter().chain(rest).collect()
    }

    /// Whether the shadow stores the key's values as the source does.
    pub(crate) fn keeps_key(&self) -> bool {
        let is_kept = |key: &KeyColumn| {
            self.columns.iter().any(|column| column.name == key.shadow && !column.changed)
        };
        self.keys.iter().all(is_kept)
    }

    /// Returns the shadow as statements on its rows name it. A partitioned table's rows are in its
    /// partitions.
    pub(crate) fn shadow_rows(&self) -> String {
        let only = if self.is_partitioned { "" } else { "ONLY " };
        format!("{only}{}", self.shadow)
    }

    /// Whether sets of keys can travel as one array for each column.
    pub(crate) fn has_arrays(&self) -> bool {
        self.keys.iter().all(|key| key.has_arrays)
    }

    /// Returns an operator between keys, or between positions in the scan. The search path is the
    /// user's there, and another user may have created an operator of that name that fits the type
    /// better. So a built-in operator is named in full.
    pub(crate) fn operator(&self, name: &str) -> String {
        let is_own = self.scan_columns().iter().all(|column| column.own_operators);
        if is_own { format!("OPERATOR(pg_catalog.{name})") } else { name.to_owned() }
    }

    /// Returns the changed columns, for a message about a value that does not fit.
    pub(crate) fn changed_columns(&self) -> String {
        let changed =
            self.columns.iter().filter(|column| column.changed).map(|column| column.name.as_str());
        changed.collect::<Vec<_>>().join(", ")
    }

    /// Returns the key, for people.
    pub(crate) fn key_description(&self) -> String {
        let columns =
            self.keys.iter().map(|key| key.source.as_str()).collect::<Vec<_>>().join(", ");
        format!("{} ({columns})", self.key_index)
    }
}
