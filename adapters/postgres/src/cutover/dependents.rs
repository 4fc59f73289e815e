//! The dependents of a table, which the swap creates again: rules, triggers, policies, views,
//! foreign keys, publications. The statements come from the catalogue. The swap reads them again
//! for the new table, and commits only if they are the same.

use crate::cutover::materialized_views::{self, MaterializedView};
pub(crate) use crate::facts::Dependent;
use crate::schema::altered::FinalSteps;
use crate::schema::expression;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, ForeignKeys, Result};
use futures_util::future::join_all;
use tokio_postgres::Row;

impl Dependent {
    fn of_row(row: &Row) -> Dependent {
        Dependent {
            object: row.get(0),
            before: row.get(1),
            after: row.get(2),
            finish: row.get(3),
            columns: row.get::<_, Option<Vec<String>>>(4).unwrap_or_default(),
            is_key: row.get(5),
            strip: row.get(6),
        }
    }

    /// Whether the altered table has it too. The server drops with a column what depends on that
    /// column alone.
    fn survives(&self, survivors: &[(String, String)]) -> bool {
        self.columns.iter().all(|column| survivors.iter().any(|(source, _)| source == column))
    }
}

/// Reads the dependents of a table and of the materialized views that the swap replaces. A
/// dependent of several is listed once.
pub(crate) async fn read(
    session: &Session,
    names: &Names,
    table: u32,
    views: &[MaterializedView],
) -> Result<Vec<Dependent>> {
    let mut all: Vec<Dependent> = Vec::new();
    for relation in [table].into_iter().chain(views.iter().map(|view| view.oid)) {
        let rows = session.query(sql::DEPENDENTS, &[&relation, &names.publication]).await;
        let rows = rows.doing(format!("read the dependents of {}", names.display))?;
        for dependent in rows.iter().map(Dependent::of_row) {
            if !all.iter().any(|known| known.object == dependent.object) {
                all.push(dependent);
            }
        }
    }
    Ok(all)
}

/// Returns the dependents that the new table must have: those the clauses do not drop.
pub(crate) fn wanted(
    all: &[Dependent],
    survivors: &[(String, String)],
    final_steps: &FinalSteps,
    keys: ForeignKeys,
) -> Vec<Dependent> {
    let is_wanted = |dependent: &&Dependent| {
        let is_dropped = (dependent.is_key && keys == ForeignKeys::Discard)
            || final_steps.drops(&dependent.object);
        dependent.survives(survivors) && !is_dropped
    };
    all.iter().filter(is_wanted).cloned().collect()
}

/// Creates the dependents on the table that has the name now, in one round trip. Names the one that
/// the server refuses.
pub(crate) async fn make(session: &Session, names: &Names, objects: &[Dependent]) -> Result<()> {
    let statements: Vec<String> =
        objects.iter().map(|dependent| expression::reread(&dependent.after)).collect();
    let answers = join_all(statements.iter().map(|statement| session.run(statement))).await;
    let which = if names.is_turned { "old" } else { "altered" };
    for (dependent, answer) in objects.iter().zip(answers) {
        let attempted =
            || format!("create the {} on the {which} {}", dependent.object, names.display);
        answer.trying_clauses(attempted)?;
    }
    Ok(())
}

/// Checks that the new table's dependents are the wanted ones, word by word.
pub(crate) async fn check(
    session: &Session,
    names: &Names,
    table: u32,
    wanted: &[Dependent],
) -> Result<()> {
    let views = materialized_views::list(session, table).await?;
    let found = read(session, names, table, &views).await?;
    let same =
        |one: &Dependent, other: &Dependent| one.object == other.object && one.after == other.after;
    let missing = |from: &[Dependent], dependent: &&Dependent| {
        !from.iter().any(|other| same(dependent, other))
    };
    let differing = wanted.iter().filter(|dependent| missing(&found, dependent));
    let differing = differing.chain(found.iter().filter(|dependent| missing(wanted, dependent)));
    let mut objects: Vec<&str> = differing.map(|dependent| dependent.object.as_str()).collect();
    objects.sort_unstable();
    objects.dedup();
    if objects.is_empty() {
        return Ok(());
    }
    let reason = format!("some objects are not what they were: {}", objects.join(", "));
    Err(Error::refused(format!("swap {} with its shadow", names.display), reason))
}

/// Returns the statements that rename the new table's columns to their old names, and those that
/// rename them back. In between the dependents are created, and the server then writes the new
/// names into them. `survivors` are the columns' old and new names. `columns` are all the new
/// table's columns.
pub(crate) fn renames(
    table: &str,
    survivors: &[(String, String)],
    columns: &[String],
) -> (Vec<String>, Vec<String>) {
    // A new column may have the name of a dropped or renamed one. It steps aside, so that no
    // dependent uses it by mistake.
    let is_taken = |name: &String| survivors.iter().any(|(source, _)| source == name);
    let is_new = |name: &String| !survivors.iter().any(|(_, now)| now == name);
    let renamed = survivors.iter().filter(|(source, now)| source != now);
    let moves: Vec<(&String, Option<&String>)> = renamed
        .map(|(source, now)| (now, Some(source)))
        .chain(
            columns.iter().filter(|name| is_new(name) && is_taken(name)).map(|name| (name, None)),
        )
        .collect();
    let rename = |from: &str, to: &str| sql::rename_column(table, from, to);
    let aside = |number: usize| format!("ag_aside_{number}");
    let (mut back, mut forth, mut settle) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (now, _)) in moves.iter().enumerate() {
        back.push(rename(now, &aside(number)));
        settle.push(rename(&aside(number), now));
    }
    for (number, (_, source)) in moves.iter().enumerate() {
        let Some(source) = source else { continue };
        back.push(rename(&aside(number), source));
        forth.push(rename(source, &aside(number)));
    }
    forth.extend(settle);
    (back, forth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::altered::FinalSteps;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Applies renames to the names of a table's columns; every one must be there, and none may be
    /// there twice.
    fn apply(columns: &[String], script: &[String]) -> Vec<String> {
        let mut columns = columns.to_vec();
        for statement in script {
            let (from, to) = statement
                .strip_prefix("ALTER TABLE t RENAME COLUMN ")
                .unwrap()
                .split_once(" TO ")
                .unwrap();
            assert!(!columns.iter().any(|name| name == to), "{to} twice");
            *columns.iter_mut().find(|name| *name == from).expect("the column is there") =
                to.to_owned();
        }
        columns
    }

    #[test]
    fn columns_have_their_old_names_for_a_while_and_then_their_new_ones() {
        let survivors = pairs(&[("a", "c"), ("c", "a"), ("b", "b"), ("d", "e")]);
        let columns = strings(&["c", "a", "b", "e", "d"]);
        let (back, forth) = renames("t", &survivors, &columns);
        let between = apply(&columns, &back);
        assert_eq!(between[..4], strings(&["a", "c", "b", "d"]));
        assert_eq!(apply(&between, &forth), columns);
    }

    #[test]
    fn without_renames_nothing_is_renamed() {
        let (back, forth) = renames("t", &pairs(&[("a", "a")]), &strings(&["a", "b"]));
        assert!(back.is_empty() && forth.is_empty());
    }

    #[test]
    fn what_stands_on_a_dropped_column_goes_with_it() {
        let key = Dependent {
            object: "foreign key k on t".into(),
            before: None,
            after: String::new(),
            finish: None,
            columns: strings(&["a", "gone"]),
            is_key: true,
            strip: None,
        };
        let survivors = pairs(&[("a", "a")]);
        let nothing = FinalSteps::default();
        assert!(
            wanted(std::slice::from_ref(&key), &survivors, &nothing, ForeignKeys::Carry).is_empty()
        );
        let kept = Dependent { columns: strings(&["a"]), ..key };
        assert_eq!(
            wanted(std::slice::from_ref(&kept), &survivors, &nothing, ForeignKeys::Carry).len(),
            1
        );
        let dropped =
            FinalSteps { dropped_keys: strings(&["foreign key k on t"]), ..FinalSteps::default() };
        assert!(
            wanted(std::slice::from_ref(&kept), &survivors, &dropped, ForeignKeys::Carry)
                .is_empty()
        );
        assert!(
            wanted(std::slice::from_ref(&kept), &survivors, &nothing, ForeignKeys::Discard)
                .is_empty()
        );
        let view = Dependent { object: "view v".to_owned(), is_key: false, ..kept };
        let cascade = FinalSteps { cascade: strings(&["view v"]), ..FinalSteps::default() };
        assert_eq!(
            wanted(std::slice::from_ref(&view), &survivors, &nothing, ForeignKeys::Carry).len(),
            1
        );
        assert!(wanted(&[view], &survivors, &cascade, ForeignKeys::Carry).is_empty());
    }
}
