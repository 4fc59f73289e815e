//! Says what of a reversible change cannot be undone. It tries the mapping of the way back on the
//! altered clone.

use crate::change::Change;
use crate::facts::WayBack;
use crate::plan::privileges::lacking_on;
use crate::schema::carried_keys::source_keys;
use crate::schema::clauses::Clauses;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::full_text::{DOCUMENT, has_own_documents};
use crate::schema::misfits::misfits;
use crate::schema::reverse_mapping;
use crate::schema::table::{Table, definition_of, is_same};
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::shadow::early_keys::{CascadeSource, cascade_source};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Privileges that keeping the old table current needs.
const TO_GO_BACK: [&str; 1] = [sql::reversal::TEMPORARY_TABLES];

/// Judges the way back. `forward` is the mapping of the change.
pub(crate) async fn judge_way_back(
    change: &Change,
    session: &mut Session,
    clauses: &Clauses,
    [source, clone]: [&Table; 2],
    forward: &ColumnMapping,
) -> Result<Vec<Finding>> {
    if !change.target.reversible {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    findings.extend(refuse_privileges(change, session).await?);
    findings.extend(refuse_actions(change, session).await?);
    findings.extend(refuse_documents(change, session).await?);
    if forward.key.needs_lookup() || !forward.kept.is_empty() {
        let reason = "the altered table has no index over it, so it could not go back by it";
        findings.push(refused(format!("key {}", forward.key.describe()), reason, KEEP_A_KEY));
        return Ok(findings);
    }
    let way_back = WayBack {
        columns: reverse_mapping::common_columns(clauses, [source, clone]),
        computed: reverse_mapping::computed_columns(clauses),
        sets: change.target.reverse_sets.clone(),
        ..WayBack::default()
    };
    findings.extend(refuse_sets(change, session, source, &way_back).await?);
    let names = change.names.turned();
    let (zone, flavour) = (change.server.zone(), change.server.version.flavour);
    let tables = [clone, source];
    match reverse_mapping::find((&change.source, &names), tables, &way_back, zone, flavour) {
        Err(refusals) => findings.extend(refusals),
        Ok(mapping) => findings.extend(notes(&mapping, tables)),
    }
    Ok(findings)
}

const KEEP_A_KEY: &str = "keep a unique key over whole NOT NULL columns that both tables have, or \
                          leave out --reversible";

fn refused(object: impl Into<String>, reason: &str, remedy: &str) -> Finding {
    Finding::error(Code::NotRevertible, object, reason, remedy)
}

async fn refuse_privileges(change: &Change, session: &mut Session) -> Result<Option<Finding>> {
    let lacking = lacking_on(change, session, &change.names.stash, &TO_GO_BACK).await?;
    Ok((!lacking.is_empty()).then(|| {
        let lacking = lacking.join(", ");
        Finding::error(
            Code::Privilege,
            "privileges",
            format!("without {lacking} the run cannot keep the old table current"),
            format!(
                "run GRANT {lacking} ON {}.* to this user, or leave out --reversible",
                sql::quote(&change.source.schema)
            ),
        )
    }))
}

/// Refuses foreign keys whose actions the log does not have. After the swap they would change rows
/// of the altered table alone.
async fn refuse_actions(change: &Change, session: &mut Session) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look for foreign keys of the altered clone of");
    let mut keys = source_keys(change, session).await?;
    let added = foreign_keys(session, &change.names.clone).await.doing_in_catalogue(attempted)?;
    keys.extend(added.into_iter().map(|key| ForeignKey { child: change.source.clone(), ..key }));
    if cascade_source(change, session, &keys).await == CascadeSource::Log {
        return Ok(Vec::new());
    }
    let acting = keys.iter().filter(|key| key.child == change.source && key.writes());
    let refuse = |key: &ForeignKey| {
        refused(
            key.describe(),
            "its actions change rows of the table, and the server's log does not have these \
             changes. So the old table could not follow them",
            "leave out --reversible, or make the key ON DELETE RESTRICT ON UPDATE RESTRICT first",
        )
    };
    Ok(acting.map(refuse).collect())
}

/// Refuses tables that number their documents themselves: InnoDB takes no number again.
async fn refuse_documents(change: &Change, session: &mut Session) -> Result<Option<Finding>> {
    let source = definition_of(session, &change.source).await;
    let source = source.doing_in_catalogue(change.doing("look at"))?;
    Ok(has_own_documents(&source).then(|| {
        refused(
            format!("column {DOCUMENT}"),
            "the table numbers its documents itself, and InnoDB takes no number a second time",
            "leave out --reversible",
        )
    }))
}

/// Refuses expressions for columns that stay or do not exist, and those that the server rejects.
async fn refuse_sets(
    change: &Change,
    session: &mut Session,
    source: &Table,
    way_back: &WayBack,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (column, value) in &way_back.sets {
        let object = format!("--reverse-set {column}");
        let is_writable = source.column(column).is_some_and(|column| !column.generated);
        let stays = way_back.columns.iter().any(|(both, _)| is_same(both, column));
        if !is_writable || stays {
            let reason = "the clauses do not drop a plain column of this name";
            findings.push(refused(object, reason, "name a column that the clauses drop"));
            continue;
        }
        let trial = sql::reversal::try_set(&change.source, &change.names.clone, value);
        match session.rows(&trial).await {
            Ok(_) => {}
            Err(failure) if failure.ends_session() => {
                return Err(failure.of_catalogue(change.doing("try --reverse-set on a clone of")));
            }
            Err(failure) => {
                let said = failure.of_clauses("").reason;
                let remedy = "give an expression over columns of the altered table";
                findings.push(refused(object, &said, remedy));
            }
        }
    }
    Ok(findings)
}

/// What does not come back, though the change can be undone.
fn notes(mapping: &ColumnMapping, [altered, old]: [&Table; 2]) -> Vec<Finding> {
    let mut notes = Vec::new();
    let is_known = |name: &String| mapping.columns.iter().any(|it| it.source.name == *name);
    let added = altered.columns.iter().filter(|column| !column.generated);
    let added: Vec<&String> =
        added.map(|column| &column.name).filter(|name| !is_known(name)).collect();
    if !added.is_empty() {
        let names = added.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        notes.push(format!("an undo loses the values of the added columns ({names})"));
    }
    for pair in &mapping.columns {
        let found = misfits(pair);
        notes.extend(found.into_iter().map(|misfit| {
            format!(
                "new rows that {} do not fit the old table: column {}. An undo must discard them",
                misfit.words, pair.source.name
            )
        }));
    }
    let is_kept = |name: &str| altered.indexes.iter().any(|index| is_same(&index.name, name));
    let gone = old.indexes.iter().filter(|index| index.unique && !is_kept(&index.name));
    notes.extend(gone.map(|index| {
        format!(
            "the clauses drop unique index {}. New rows that break it do not fit the old table",
            index.name
        )
    }));
    if mapping.reverse.as_ref().is_some_and(|reverse| !reverse.lost.is_empty()) {
        notes.push(
            "rows keep their values in the dropped columns. A row whose key changes after the swap \
             gets the default there, as a new row does"
                .to_owned(),
        );
    }
    notes.into_iter().map(|note| Finding::note(Code::NotRevertible, note)).collect()
}
