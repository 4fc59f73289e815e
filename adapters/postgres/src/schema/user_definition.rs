//! A shadow that the user defines (`--create`), for changes that ALTER TABLE cannot express, such
//! as another order of the columns, or partitions. Its columns are the source's columns of the same
//! names, or of the names in `--rename`.

use crate::schema::altered::{self, Altered, CloneRequest, ColumnChanges, FinalSteps, UserTable};
use crate::schema::clone_checks;
use crate::schema::column_mapping;
use crate::schema::columns::Layout;
use crate::schema::definition::{self, Attribute};
use crate::schema::lookup_index;
use crate::schema::set_refusals;
use crate::schema::statements;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Kind, Result, Target, Watermark};

/// What refusals name.
const FILE: &str = "the file given with --create";

/// Reads the file's text. None if the user gave none.
pub(crate) fn read(target: &Target) -> Option<std::result::Result<UserTable, Finding>> {
    let text = target.create.as_ref()?;
    let statements = statements::table_statements(text).map_err(|why| {
        Finding::error(
            Code::ClauseRejected,
            FILE,
            why,
            "write CREATE TABLE, CREATE INDEX and COMMENT ON only",
        )
    });
    Some(statements.map(|statements| UserTable { statements, renames: target.renames.clone() }))
}

/// Creates the table in a schema of ours, and reads the outcome, inside the session's transaction.
pub(crate) async fn make(
    session: &Session,
    request: &CloneRequest<'_>,
    user_table: &UserTable,
    schema: &str,
) -> Result<Altered> {
    let mut altered = Altered {
        clone: 0,
        source_lines: definition::describe(session, request.source).await?,
        lines: Vec::new(),
        final_steps: FinalSteps::default(),
        sets: request.sets.to_vec(),
        layout: None,
        changes: ColumnChanges::default(),
        refusals: Vec::new(),
        is_catalogue_only: false,
        touches_columns: false,
        touched: Vec::new(),
        revalued: Vec::new(),
        demanded: Vec::new(),
    };
    let refusals = carry_out(session, request, user_table, schema, &mut altered.clone).await?;
    altered.refusals.extend(refusals);
    if altered.refusals.is_empty() {
        read_outcome(session, request, user_table, schema, &mut altered).await?;
    }
    Ok(altered)
}

/// Runs the statements, with our schema before the user's own.
async fn carry_out(
    session: &Session,
    request: &CloneRequest<'_>,
    user_table: &UserTable,
    schema: &str,
    made: &mut u32,
) -> Result<Vec<Finding>> {
    let attempted = || format!("make the new {} as the file says", request.names.table);
    let before: Vec<u32> = session
        .query(sql::RELATIONS_IN, &[&schema])
        .await
        .trying_clauses(attempted)?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let path = format!("{}, {}", quote::quoted(schema), request.search_path);
    session
        .run(&format!("{}; {}", sql::savepoint("user_table"), sql::use_search_path(&path)))
        .await
        .trying_clauses(attempted)?;
    for statement in &user_table.statements {
        if let Err(error) = session.execute(statement, &[]).await {
            return not_accepted(session, attempted(), &error).await;
        }
    }
    session.run(&sql::use_own_language()).await.trying_clauses(attempted)?;
    let found = session
        .query(sql::TABLE_ID, &[&schema, &request.names.table])
        .await
        .trying_clauses(attempted)?;
    let Some(oid) = found.first().map(|row| row.get::<_, u32>(0)) else {
        let reason = format!("it makes no table called {}", request.names.table);
        return Ok(vec![Finding::error(
            Code::ClauseRejected,
            FILE,
            reason,
            "give the new table the old one's name, without a schema",
        )]);
    };
    *made = oid;
    let strays =
        session.query(sql::STRAYS, &[&schema, &before, &oid]).await.trying_clauses(attempted)?;
    let stray = |row: &tokio_postgres::Row| {
        Finding::error(
            Code::ClauseNotCarried,
            row.get::<_, String>(0),
            "the file creates it, and it does not belong to the table",
            "create it with a separate statement",
        )
    };
    let mut refusals: Vec<Finding> = strays.iter().map(stray).collect();
    refusals.extend(unfit_kind(session, oid).await?);
    if refusals.is_empty() {
        own(session, request, schema, oid).await?;
    }
    Ok(refusals)
}

/// Refuses a table that is not logged, or has parents.
async fn unfit_kind(session: &Session, oid: u32) -> Result<Option<Finding>> {
    let kind = session.one(sql::MADE, &[&oid]).await;
    let kind = kind.trying_clauses("read what the file has made")?;
    let is_fit = kind.get::<_, bool>(0) && kind.get::<_, bool>(2);
    let reason =
        "it makes something other than a logged table, partitioned or not, without parents";
    Ok((!is_fit).then(|| Finding::error(Code::TableKind, FILE, reason, "leave that out")))
}

/// Refuses the file in the server's own words, unless they only say something of this moment.
async fn not_accepted(
    session: &Session,
    attempted: String,
    error: &tokio_postgres::Error,
) -> Result<Vec<Finding>> {
    let answer = error::of_clauses(attempted.clone(), error);
    if answer.kind != Kind::Refused {
        return Err(answer);
    }
    session.run(&sql::roll_back_and_reset("user_table")).await.trying_clauses(attempted)?;
    let reason = format!("{}: {}", altered::NOT_ACCEPTED, answer.reason);
    let remedy = "correct it; write the names of new objects without a schema";
    Ok(vec![Finding::error(Code::ClauseRejected, FILE, reason, remedy)])
}

/// Gives the new table the old one's owner and privileges.
async fn own(session: &Session, request: &CloneRequest<'_>, schema: &str, oid: u32) -> Result<()> {
    let attempted = "give the new table to the old one's owner";
    let table = quote::qualified(schema, &request.names.table);
    let owner = session.one(sql::OWNER, &[&request.source]).await.trying_clauses(attempted)?;
    if !owner.get::<_, bool>(1) {
        let mut tables = vec![table.clone()];
        tables.extend(
            partitions(session, oid)
                .await?
                .into_iter()
                .map(|(name, schema)| quote::qualified(&schema, &name)),
        );
        let owner = quote::quoted(owner.get(0));
        let script: Vec<String> =
            tables.iter().map(|table| sql::set_owner(table, &owner)).collect();
        session.run(&script.join("; ")).await.trying_clauses(attempted)?;
    }
    definition::carry_privileges(session, request.source, oid, &table)
        .await
        .trying_clauses(attempted)
}

/// Returns a table's partitions: name and schema.
pub(crate) async fn partitions(session: &Session, table: u32) -> Result<Vec<(String, String)>> {
    let rows = session.query(sql::PARTITIONS, &[&table]).await;
    let rows = rows.doing("list the partitions of the new table")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn read_outcome(
    session: &Session,
    request: &CloneRequest<'_>,
    user_table: &UserTable,
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    let after = definition::attributes(session, altered.clone).await?;
    let mut before = definition::attributes(session, request.source).await?;
    // The definition after the swap, without our own objects.
    altered.lines = definition::describe(session, altered.clone).await?;
    altered.refusals.extend(match_by_name(&mut before, &after, user_table));
    altered.refusals.extend(set_refusals::refusals(request, &before, &after));
    altered.changes = column_mapping::changes(request, &before, &after);
    let same = |old: &Attribute| {
        let new = after.iter().find(|new| new.number == old.number);
        new.is_some_and(|new| new.stored_shape() == old.stored_shape())
    };
    altered.touched = before.iter().filter(|old| !same(old)).map(|old| old.name.clone()).collect();
    altered.touches_columns = !altered.touched.is_empty();
    altered.revalued = column_mapping::revalued(session, request, &before, &after).await?;
    altered.demanded =
        after.iter().filter(|new| new.not_null).map(|new| new.name.clone()).collect();
    altered.refusals.extend(clone_checks::name_clashes(session, request, altered.clone).await?);
    let Some(key) = request.key else { return Ok(()) };
    match column_mapping::layout(request, key, &before, &after, schema) {
        Err(refusal) => altered.refusals.push(refusal),
        Ok(mut layout) => {
            layout.is_partitioned = session
                .one(sql::MADE, &[&altered.clone])
                .await
                .trying_clauses("read what the file has made")?
                .get(1);
            altered.refusals.extend(unfit_for_partitions(&layout));
            altered.refusals.extend(conversions(session, &layout).await?);
            if altered.refusals.is_empty() {
                altered.layout =
                    Some(lookup_index::find_by_key(session, layout, altered.clone).await?);
            }
        }
    }
    Ok(())
}

/// Gives the source's columns the numbers of the new table's columns of the same name, as after an
/// ALTER. A lost column beside a new one may have been renamed, and this must not guess.
fn match_by_name(
    before: &mut [Attribute],
    after: &[Attribute],
    user_table: &UserTable,
) -> Vec<Finding> {
    let becomes = |old: &str| {
        let renamed = user_table.renames.iter().find(|(from, _)| from == old);
        renamed.map_or_else(|| old.to_owned(), |(_, to)| to.clone())
    };
    let mut refusals = Vec::new();
    for (old, new) in &user_table.renames {
        if !before.iter().any(|column| column.name == *old)
            || !after.iter().any(|column| column.name == *new)
        {
            let object = format!("--rename {old}={new}");
            refusals.push(Finding::error(
                Code::Option,
                object,
                "there is no such column in the old or in the new table",
                "correct the names",
            ));
        }
    }
    let mut lost = Vec::new();
    for (place, column) in before.iter_mut().enumerate() {
        let new = after.iter().find(|new| new.name == becomes(&column.name));
        // Only system columns have negative numbers.
        let none = -1000 - i16::try_from(place).unwrap_or_default();
        column.number = new.map_or(none, |new| new.number);
        if new.is_none() && !column.generated {
            lost.push(column.name.clone());
        }
    }
    let is_new =
        |new: &&Attribute| !new.generated && !before.iter().any(|old| old.number == new.number);
    let fresh: Vec<&str> = after.iter().filter(is_new).map(|new| new.name.as_str()).collect();
    if !fresh.is_empty() {
        refusals.extend(lost.iter().map(|column| {
            Finding::error(
                Code::RenameLost,
                format!("column {column}"),
                format!(
                    "the new table lacks it, and has {} instead. That is a rename or a loss; the \
                     run cannot know which",
                    fresh.join(", ")
                ),
                "use --rename old=new, or make two changes: one drops columns, one adds them",
            )
        }));
    }
    refusals
}

/// Refuses keys that a partitioned table cannot keep unique: its index cannot reject a second row
/// of the same key.
fn unfit_for_partitions(layout: &Layout) -> Option<Finding> {
    let is_unfit = layout.is_partitioned
        && (!layout.order.is_empty() || layout.keys.iter().any(|key| !key.spelled_once));
    is_unfit.then(|| {
        Finding::error(
            Code::Partitions,
            "the partitions of the new table".to_owned(),
            "a key of this type has several spellings, or --order-by is given; a partitioned \
             table cannot keep out a second row of one key then",
            "follow the rows by a key of integers, text in a deterministic collation, uuid, dates \
             or times, without --order-by",
        )
    })
}

/// Asks the server whether every column can be converted to its new type.
async fn conversions(session: &Session, layout: &Layout) -> Result<Option<Finding>> {
    let failed =
        |error: tokio_postgres::Error| error::of_clauses("try to convert the columns", &error);
    session
        .run(&sql::savepoint("conversion"))
        .await
        .trying_clauses("try to convert the columns")?;
    let outcome = session.prepare(&sql::copy(layout, &Watermark::Start, &Watermark::End)).await;
    session
        .run(&sql::roll_back_to("conversion"))
        .await
        .trying_clauses("try to convert the columns")?;
    let Err(error) = outcome else { return Ok(None) };
    let answer = failed(error);
    if answer.kind != Kind::Refused {
        return Err(answer);
    }
    Ok(Some(Finding::error(
        Code::ClauseRejected,
        "the columns of the new table".to_owned(),
        answer.reason,
        "change the type separately, by ALTER COLUMN … TYPE … USING",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::altered::UserTable;
    use crate::schema::definition::Attribute;

    fn column(number: i16, name: &str) -> Attribute {
        Attribute {
            number,
            name: name.into(),
            type_name: "integer".into(),
            type_oid: 23,
            modifier: -1,
            collation: 0,
            not_null: false,
            generated: false,
            identity: false,
            default: None,
            is_volatile: false,
            base_type: None,
        }
    }

    fn matched(before: &[&str], after: &[&str], renames: &[(&str, &str)]) -> (Vec<i16>, usize) {
        let columns = |names: &[&str]| -> Vec<Attribute> {
            names.iter().zip(1..).map(|(name, number)| column(number, name)).collect()
        };
        let renames =
            renames.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        let (mut before, after) = (columns(before), columns(after));
        let refusals =
            match_by_name(&mut before, &after, &UserTable { statements: Vec::new(), renames });
        (before.iter().map(|column| column.number).collect(), refusals.len())
    }

    #[test]
    fn columns_are_matched_by_name_whatever_their_order() {
        assert_eq!(matched(&["a", "b"], &["b", "a"], &[]), (vec![2, 1], 0));
        assert_eq!(matched(&["a", "b"], &["b", "c"], &[("a", "c")]), (vec![2, 1], 0));
        assert_eq!(matched(&["a", "b"], &["b", "a"], &[("a", "b"), ("b", "a")]), (vec![1, 2], 0));
    }

    #[test]
    fn a_column_that_may_have_been_renamed_is_asked_about() {
        assert_eq!(matched(&["a", "b"], &["a", "c"], &[]).1, 1);
        assert_eq!(matched(&["a", "b"], &["a"], &[]).1, 0);
        assert_eq!(matched(&["a"], &["a", "c"], &[]).1, 0);
        assert_eq!(matched(&["a"], &["a"], &[("x", "a")]).1, 1);
    }
}
