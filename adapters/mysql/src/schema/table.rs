//! What the catalogue says of a table: columns, indexes, and its definition.

use crate::schema::check_names::Renamed;
use crate::schema::literals;
use crate::server::error::Failure;
use crate::server::names::{TableName, hash};
use crate::server::session::{Session, number, text};
use crate::server::version::Version;
use crate::sql;

/// A table, as the catalogue has it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub columns: Vec<Column>,
    pub indexes: Vec<Index>,
}

/// A column, as the catalogue has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Column {
    pub name: String,
    /// Its place in the table, from 0: also its place in the log's row images.
    pub ordinal: usize,
    /// `varchar`
    pub data_type: String,
    /// `varchar(40)`
    pub column_type: String,
    pub charset: String,
    pub collation: String,
    pub nullable: bool,
    pub has_default: bool,
    /// The default value, as the server prints it.
    pub default: String,
    pub generated: bool,
    /// The expression of a generated column.
    pub expression: String,
    /// `auto_increment`, `STORED GENERATED`, `INVISIBLE` and the like.
    pub extra: String,
}

/// An index, as the catalogue has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Index {
    pub name: String,
    pub unique: bool,
    /// A B-tree, and one the server may use.
    pub usable: bool,
    pub parts: Vec<Part>,
}

/// One part of an index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Part {
    /// Empty for an expression.
    pub column: String,
    /// The number of characters, for an index of a prefix.
    pub prefix: Option<u64>,
    pub descending: bool,
}

impl Table {
    /// Reads the catalogue; None if there is no such table.
    pub(crate) async fn read(
        session: &mut Session,
        version: Version,
        name: &TableName,
    ) -> Result<Option<Table>, Failure> {
        let columns: Vec<Column> = session
            .rows(&sql::catalogue::columns(name))
            .await?
            .iter()
            .map(|row| column(row))
            .collect();
        if columns.is_empty() {
            return Ok(None);
        }
        let parts = session.rows(&sql::catalogue::index_parts(version, name)).await?;
        Ok(Some(Table { columns, indexes: indexes(&parts) }))
    }

    /// Finds a column. Its name is the same in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| is_same(&column.name, name))
    }
}

/// Returns whether two names of columns or indexes are the same.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

impl Column {
    /// Returns the numbers in the parentheses of its type: 10 and 2 for `decimal(10,2)`.
    pub(crate) fn sizes(&self) -> Vec<u32> {
        let inside = self.column_type.split_once('(').and_then(|(_, tail)| tail.split_once(')'));
        inside
            .map(|(list, _)| list.split(',').filter_map(|size| size.trim().parse().ok()).collect())
            .unwrap_or_default()
    }

    /// Returns the members of an ENUM or a SET.
    pub(crate) fn members(&self) -> Vec<String> {
        let inside = self.column_type.split_once('(').map_or("", |(_, inside)| inside);
        let mut members = Vec::new();
        let mut rest = inside.chars().peekable();
        while let Some(char) = rest.next() {
            if char != '\'' {
                continue;
            }
            let mut member = String::new();
            while let Some(char) = rest.next() {
                if char == '\'' && rest.next_if_eq(&'\'').is_none() {
                    break;
                }
                member.push(char);
            }
            members.push(member);
        }
        members
    }

    pub(crate) fn is_unsigned(&self) -> bool {
        self.column_type.contains("unsigned")
    }

    /// Returns whether a generated column's values are stored in the rows.
    pub(crate) fn is_stored(&self) -> bool {
        self.extra.contains("STORED GENERATED")
    }

    /// Returns whether both hold the same values in the same form.
    pub(crate) fn is_alike(&self, other: &Column) -> bool {
        self.column_type == other.column_type
            && self.charset == other.charset
            && self.collation == other.collation
    }
}

fn column(row: &[Option<Vec<u8>>]) -> Column {
    Column {
        name: text(&row[0]),
        ordinal: number(&row[1]).unwrap_or(1) as usize - 1,
        data_type: text(&row[2]).to_lowercase(),
        column_type: text(&row[3]),
        charset: text(&row[4]),
        collation: text(&row[5]),
        nullable: text(&row[6]) == "YES",
        has_default: row[7].is_some(),
        default: text(&row[7]),
        generated: !text(&row[8]).is_empty(),
        expression: text(&row[8]),
        extra: text(&row[9]).to_uppercase(),
    }
}

fn indexes(parts: &[Vec<Option<Vec<u8>>>]) -> Vec<Index> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in parts {
        let name = text(&row[0]);
        if indexes.last().is_none_or(|index| index.name != name) {
            let usable = text(&row[5]) == "BTREE" && text(&row[6]) == "YES";
            indexes.push(Index { name, unique: text(&row[1]) == "0", usable, parts: Vec::new() });
        }
        let part = Part {
            column: text(&row[2]),
            prefix: number(&row[4]),
            descending: text(&row[3]) == "D",
        };
        indexes.last_mut().expect("one was pushed").parts.push(part);
    }
    indexes
}

/// Returns the table's definition as the server prints it, with every byte of its literals.
pub(crate) async fn definition_of(
    session: &mut Session,
    name: &TableName,
) -> Result<String, Failure> {
    session.execute(sql::catalogue::RESULTS_AS_THEY_ARE).await?;
    let found = session.row(&sql::catalogue::show_create(name)).await;
    if session.is_alive() {
        session.execute(sql::catalogue::RESULTS_IN_UTF8).await?;
    }
    let row = found?.unwrap_or_default();
    Ok(literals::faithful(row.get(1).and_then(Option::as_deref).unwrap_or_default()))
}

/// Returns a fingerprint of the table's definition, without its name and without what changes by
/// itself. Two tables with the same fingerprint are made alike.
pub(crate) async fn fingerprint(
    session: &mut Session,
    name: &TableName,
) -> Result<String, Failure> {
    let definition = definition_of(session, name).await?;
    Ok(format!("{:016x}", hash(&parts(&definition, &name.name).join("\n"))))
}

/// Returns the lines of a definition, without what a copy of the table cannot have: the given names
/// of CHECK constraints. `renamed` has their names here.
pub(crate) fn outline(definition: &str, table: &str, renamed: &[Renamed]) -> Vec<String> {
    let plain = |mut line: String| {
        for (old, new) in renamed {
            let named = |name: &str| format!("CONSTRAINT {} CHECK", sql::quote(name));
            line = line.replace(&named(new), &named(old));
        }
        line
    };
    in_order(parts(definition, table).into_iter().map(plain).collect())
}

/// Returns the lines of a table's definition, without what changes with the table's name.
fn parts(definition: &str, table: &str) -> Vec<String> {
    let body = definition.split_once('(').map_or("", |(_, body)| body);
    let body = without_made_names(&without_foreign_keys(&without_counter(body)), table);
    let body = literals::without_charsets(&body);
    in_order(body.lines().map(|line| line.strip_suffix(',').unwrap_or(line).to_owned()).collect())
}

/// Sorts the constraints. The server prints them in the order of their names, and the table's name
/// may be part of those.
fn in_order(mut lines: Vec<String>) -> Vec<String> {
    let is_constraint = |line: &String| line.starts_with("  CONSTRAINT ");
    if let Some(first) = lines.iter().position(is_constraint) {
        let behind = lines.iter().rposition(is_constraint).map_or(first, |last| last + 1);
        lines[first..behind].sort();
    }
    lines
}

/// Removes names that the server made of the table's name. They follow a renamed table.
fn without_made_names(definition: &str, table: &str) -> String {
    let quoted =
        |sign: char| format!("CONSTRAINT {sign}{}", table.replace(sign, &format!("{sign}{sign}")));
    ["_chk_", "_ibfk_"].into_iter().fold(definition.to_owned(), |definition, made| {
        ['`', '"'].into_iter().fold(definition, |definition, sign| {
            definition
                .replace(&format!("{}{made}", quoted(sign)), &format!("CONSTRAINT {sign}{made}"))
        })
    })
}

fn without_counter(definition: &str) -> String {
    let Some((before, after)) = definition.rsplit_once(" AUTO_INCREMENT=") else {
        return definition.to_owned();
    };
    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Removes foreign keys. The cut-over moves them from one table to another without rebuilding
/// either.
fn without_foreign_keys(definition: &str) -> String {
    let is_key =
        |line: &str| line.starts_with("  CONSTRAINT `") && line.contains(" FOREIGN KEY (`");
    let kept: Vec<&str> = definition
        .lines()
        .filter(|line| !is_key(line))
        .map(|line| line.strip_suffix(',').unwrap_or(line))
        .collect();
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_of_the_tables_name_are_no_difference() {
        let of = |table: &str| {
            format!(
                "CONSTRAINT `{table}_chk_1` CHECK (`{table}_chk_1` > 0), CONSTRAINT `low` CHECK (1)"
            )
        };
        let bare = without_made_names(&of("a``b"), "a`b");
        assert_eq!(
            bare,
            "CONSTRAINT `_chk_1` CHECK (`a``b_chk_1` > 0), CONSTRAINT `low` CHECK (1)"
        );
    }

    #[test]
    fn an_outline_is_the_same_for_a_copy() {
        let of = |table: &str, low: &str, keys: &str| {
            format!(
                "CREATE TABLE `{table}` (\n  `a` int,\n  CONSTRAINT `{low}` CHECK (`a`),\n  \
                 CONSTRAINT `{table}_chk_1` CHECK (1){keys}\n) ENGINE=InnoDB AUTO_INCREMENT=7 \
                 COMMENT='x'"
            )
        };
        let source = of("t", "low", ",\n  CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`a`)");
        let names = [
            ("t_chk_1".to_owned(), "_t_chk_1".to_owned()),
            ("low".to_owned(), "low_ag".to_owned()),
        ];
        assert_eq!(outline(&source, "t", &[]), outline(&of("_t", "low_ag", ""), "_t", &names));
        assert_ne!(outline(&source, "t", &[]), outline(&of("_t", "other", ""), "_t", &names));
    }

    #[test]
    fn sizes_are_read_from_the_type() {
        let column = |text: &str| Column { column_type: text.into(), ..Column::default() };
        assert_eq!(column("decimal(10,2) unsigned").sizes(), [10, 2]);
        assert!(column("decimal(10,2) unsigned").is_unsigned());
        assert_eq!(column("date").sizes(), [0; 0]);
        assert_eq!(column("enum('a','it''s','b,c','')").members(), ["a", "it's", "b,c", ""]);
    }

    #[test]
    fn the_counter_does_not_count() {
        assert_eq!(
            without_counter("`a` int) ENGINE=InnoDB AUTO_INCREMENT=17 COMMENT='x'"),
            "`a` int) ENGINE=InnoDB COMMENT='x'"
        );
    }

    #[test]
    fn foreign_keys_do_not_count() {
        let bare = "\n  `a` int,\n  KEY `k` (`a`)\n) ENGINE=InnoDB";
        let bound = "\n  `a` int,\n  KEY `k` (`a`),\n  CONSTRAINT `c` FOREIGN KEY (`a`) \
                     REFERENCES `p` (`b`)\n) ENGINE=InnoDB";
        assert_eq!(without_foreign_keys(bound), without_foreign_keys(bare));
        assert_ne!(
            without_foreign_keys(bare),
            without_foreign_keys("\n  `a` int\n) ENGINE=InnoDB")
        );
    }
}
