//! Names the one statement that gives a table a usable key. Pure.

use crate::schema::table::{Column, Index, Table};
use crate::server::names::TableName;
use crate::sql;

/// Returns what to do about a table without a usable key.
pub(crate) fn remedy(name: &TableName, source: &Table) -> String {
    let alter = sql::ddl::alter_table(name);
    let nullable = source.indexes.iter().find_map(|index| nullable_only(source, index));
    if let Some(columns) = nullable {
        let not_null: Vec<String> = columns
            .iter()
            .map(|column| {
                format!("MODIFY {} {} NOT NULL", sql::quote(&column.name), column.column_type)
            })
            .collect();
        return format!(
            "if there are no NULLs, {alter} {} makes it a key (keep the rest of the column's \
             definition as SHOW CREATE TABLE prints it); else add a primary key",
            not_null.join(", ")
        );
    }
    let counter =
        source.columns.iter().find(|column| column.extra.to_lowercase().contains("auto_increment"));
    match counter {
        Some(column) => {
            format!("add a primary key: {alter} ADD PRIMARY KEY ({})", sql::quote(&column.name))
        }
        None => format!(
            "add a primary key over columns that are NOT NULL; where there are none: {alter} ADD \
             COLUMN ag_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY"
        ),
    }
}

/// Returns the columns of a unique index that may be NULL, if nothing else is wrong with it.
fn nullable_only<'a>(source: &'a Table, index: &Index) -> Option<Vec<&'a Column>> {
    let columns: Vec<&Column> = index
        .parts
        .iter()
        .map(|part| source.column(&part.column).filter(|_| part.prefix.is_none()))
        .collect::<Option<_>>()?;
    let is_good = index.unique && index.usable && columns.iter().all(|column| !column.generated);
    let nullable: Vec<&Column> = columns.into_iter().filter(|column| column.nullable).collect();
    (is_good && !nullable.is_empty()).then_some(nullable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table::Part;

    fn column(name: &str, extra: &str) -> Column {
        Column {
            name: name.into(),
            column_type: "int".into(),
            nullable: true,
            extra: extra.into(),
            ..Column::default()
        }
    }

    #[test]
    fn the_statement_is_named() {
        let name = TableName::new("s", "t");
        let part = Part { column: "a".into(), ..Part::default() };
        let unique = Index { name: "u".into(), unique: true, usable: true, parts: vec![part] };
        let table = Table { columns: vec![column("a", "")], indexes: vec![unique] };
        assert!(
            remedy(&name, &table).contains("ALTER TABLE `s`.`t` MODIFY `a` int NOT NULL makes")
        );
        let table = Table { columns: vec![column("a", "auto_increment")], indexes: Vec::new() };
        assert!(remedy(&name, &table).ends_with("ALTER TABLE `s`.`t` ADD PRIMARY KEY (`a`)"));
        let table = Table { columns: vec![column("a", "")], indexes: Vec::new() };
        assert!(remedy(&name, &table).contains("ADD COLUMN ag_row_id"));
    }
}
