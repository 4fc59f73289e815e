//! Foreign keys, as the catalogue has them and as ALTER TABLE takes them.

use crate::key::index::KeyIndex;
use crate::schema::table::is_same;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::server::version::{Flavour, Version};
use crate::sql;
use serde::{Deserialize, Serialize};

/// A foreign key, as the catalogue has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ForeignKey {
    pub child: TableName,
    pub name: String,
    pub columns: Vec<String>,
    pub parent: TableName,
    pub parent_columns: Vec<String>,
    pub on_delete: String,
    pub on_update: String,
}

impl ForeignKey {
    pub(crate) fn is_between(&self, child: &TableName, parent: &TableName) -> bool {
        self.child == *child && self.parent == *parent
    }

    /// Returns whether the key changes rows of its child by itself.
    pub(crate) fn writes(&self) -> bool {
        writes(&self.on_delete) || writes(&self.on_update)
    }

    /// Returns whether it changes what `key` refers to, or deletes rows of its parent.
    pub(crate) fn changes_parents_of(&self, key: &ForeignKey) -> bool {
        let has_columns = || {
            self.columns
                .iter()
                .any(|column| key.parent_columns.iter().any(|other| is_same(column, other)))
        };
        self.child == key.parent && self.writes() && (self.on_delete == "CASCADE" || has_columns())
    }

    /// Returns the same key without actions that refuse.
    pub(crate) fn following(self) -> ForeignKey {
        let followed = |action: String| if writes(&action) { action } else { "CASCADE".to_owned() };
        ForeignKey {
            on_delete: followed(self.on_delete),
            on_update: followed(self.on_update),
            ..self
        }
    }

    /// Describes the key in messages: `fk_name (shop.items to shop.orders)`.
    pub(crate) fn describe(&self) -> String {
        format!("foreign key {} ({} to {})", self.name, self.child.plain(), self.parent.plain())
    }

    /// Returns the key as a clause of ALTER TABLE. Each server has a default action, and leaves it
    /// out of its own definitions.
    pub(crate) fn definition(&self, version: Version) -> String {
        let silent = match version.flavour {
            Flavour::MySql => "NO ACTION",
            Flavour::MariaDb => "RESTRICT",
        };
        let action = |on: &str, action: &str| {
            if action == silent { String::new() } else { format!(" ON {on} {action}") }
        };
        format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}{}",
            sql::quote(&self.name),
            quoted(&self.columns),
            sql::table(&self.parent),
            quoted(&self.parent_columns),
            action("DELETE", &self.on_delete),
            action("UPDATE", &self.on_update)
        )
    }
}

pub(crate) fn writes(action: &str) -> bool {
    !matches!(action, "RESTRICT" | "NO ACTION")
}

pub(crate) fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| sql::quote(column)).collect::<Vec<_>>().join(", ")
}

/// Returns the foreign keys of a table and those that refer to it, ordered by child and name.
///
/// The server compares names in its own way. The answer has only names with exactly this spelling.
pub(crate) async fn foreign_keys(
    session: &mut Session,
    name: &TableName,
) -> std::result::Result<Vec<ForeignKey>, Failure> {
    let mut keys: Vec<ForeignKey> = Vec::new();
    for row in session.rows(&sql::catalogue::foreign_key_columns(name)).await? {
        let cell = |place: usize| text(&row[place]);
        let (child, parent) =
            (TableName::new(&cell(0), &cell(1)), TableName::new(&cell(4), &cell(5)));
        if child != *name && parent != *name {
            continue;
        }
        if keys.last().is_none_or(|key| key.child != child || key.name != cell(2)) {
            let (columns, parent_columns) = (Vec::new(), Vec::new());
            let (on_delete, on_update) = (cell(7), cell(8));
            keys.push(ForeignKey {
                child,
                name: cell(2),
                columns,
                parent,
                parent_columns,
                on_delete,
                on_update,
            });
        }
        let key = keys.last_mut().expect("one was pushed");
        key.columns.push(cell(3));
        key.parent_columns.push(cell(6));
    }
    Ok(keys)
}

/// A foreign key of the source to itself whose actions are not in the log.
#[derive(Clone, Debug)]
pub(crate) struct OwnKey {
    /// The columns that refer to those of the rows' key, in its order, with their names in the
    /// source.
    pub columns: Vec<String>,
}

impl OwnKey {
    /// Returns None if it does not refer to exactly the columns of the rows' key, or if a session's
    /// time zone could change their values.
    pub(crate) fn of(key: &ForeignKey, rows: &KeyIndex) -> Option<OwnKey> {
        if rows.has_moments() {
            return None;
        }
        let referring =
            |name: &String| key.parent_columns.iter().position(|column| is_same(column, name));
        let columns =
            rows.columns.iter().map(|column| Some(key.columns[referring(&column.name)?].clone()));
        let columns: Vec<String> = columns.collect::<Option<_>>()?;
        (columns.len() == key.columns.len()).then_some(OwnKey { columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::foreign_key_indexes::{has_index, own_indexes};
    use crate::schema::table::{Index, Part, Table};
    use crate::server::version::Flavour;

    fn key() -> ForeignKey {
        ForeignKey {
            child: TableName::new("s", "t"),
            name: "of`p".into(),
            columns: vec!["a".into(), "b".into()],
            parent: TableName::new("r", "p"),
            parent_columns: vec!["x".into(), "y".into()],
            on_delete: "NO ACTION".into(),
            on_update: "RESTRICT".into(),
        }
    }

    fn version(flavour: Flavour) -> Version {
        Version { flavour, number: (10, 6, 1) }
    }

    fn index(name: &str, unique: bool, columns: &[&str]) -> Index {
        let parts = columns
            .iter()
            .map(|column| Part { column: (*column).into(), ..Part::default() })
            .collect();
        Index { name: name.into(), unique, parts, ..Index::default() }
    }

    #[test]
    fn each_server_is_silent_of_another_action() {
        let begin = "CONSTRAINT `of``p` FOREIGN KEY (`a`, `b`) REFERENCES `r`.`p` (`x`, `y`)";
        assert_eq!(
            key().definition(version(Flavour::MySql)),
            format!("{begin} ON UPDATE RESTRICT")
        );
        assert_eq!(
            key().definition(version(Flavour::MariaDb)),
            format!("{begin} ON DELETE NO ACTION")
        );
    }

    #[test]
    fn only_indexes_the_server_could_have_made_are_kept_from_it() {
        let indexes = vec![
            index("PRIMARY", true, &["a", "b"]),
            index("made", false, &["A", "b"]),
            index("longer", false, &["a", "b", "c"]),
            index("turned", false, &["b", "a"]),
        ];
        let table = Table { columns: Vec::new(), indexes };
        assert_eq!(own_indexes(&table, [key()].iter()).into_iter().collect::<Vec<_>>(), ["made"]);
        assert!(has_index(&table, &["a".into()]) && !has_index(&table, &["c".into()]));
    }

    #[test]
    fn a_key_writes_if_one_of_its_actions_does() {
        assert!(!key().writes());
        assert!(ForeignKey { on_update: "CASCADE".into(), ..key() }.writes());
        assert!(ForeignKey { on_delete: "SET NULL".into(), ..key() }.writes());
    }
}
