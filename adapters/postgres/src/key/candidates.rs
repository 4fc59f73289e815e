//! The keys of a table, and the choice of the one that identifies rows.

use crate::schema::columns::KeyColumn;
use crate::sql::quote::quoted;

use tokio_postgres::Row;

/// An index that could identify rows.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) is_primary: bool,
    pub(crate) is_identity: bool,
    /// Why it cannot identify rows.
    pub(crate) unfit: Option<String>,
    /// Whether it is deferrable: rows may be alike in it until the transaction ends. Then it cannot
    /// be a replica identity.
    pub(crate) is_deferrable: bool,
    pub(crate) columns: Vec<KeyColumn>,
}

impl Candidate {
    pub(crate) fn of_row(row: &Row) -> Candidate {
        let names: Vec<String> = row.get(4);
        let types: Vec<u32> = row.get(5);
        let type_names: Vec<String> = row.get(6);
        let collations: Vec<String> = row.get(7);
        let has_arrays: Vec<bool> = row.get(8);
        let spelled_once: Vec<bool> = row.get(9);
        let own_operators: Vec<bool> = row.get(11);
        let column = |at: usize| KeyColumn {
            source: names[at].clone(),
            shadow: names[at].clone(),
            type_name: type_names[at].clone(),
            type_oid: types[at],
            collation: collations[at].clone(),
            has_arrays: has_arrays[at],
            spelled_once: spelled_once[at],
            own_operators: own_operators[at],
        };
        Candidate {
            name: row.get(0),
            is_primary: row.get(1),
            is_identity: row.get(2),
            unfit: row.get(3),
            is_deferrable: row.get(10),
            columns: (0..names.len()).map(column).collect(),
        }
    }
}

/// Chooses the key that identifies rows, or returns why there is none. The replica identity
/// decides, because the log carries no other columns of an old row.
pub(crate) fn choose(candidates: &[Candidate], identity: &str) -> Result<Candidate, String> {
    let fits = |candidate: &&Candidate| candidate.unfit.is_none();
    let found = match identity {
        "i" => candidates.iter().find(|candidate| candidate.is_identity),
        // The log carries whole rows, so any key works. One that is checked at once is best.
        "f" => {
            let immediate =
                candidates.iter().filter(fits).find(|candidate| !candidate.is_deferrable);
            immediate.or_else(|| candidates.iter().find(fits))
        }
        "d" => candidates.iter().find(|candidate| candidate.is_primary && !candidate.is_deferrable),
        _ => None,
    };
    let Some(found) = found else { return Err(no_identity(candidates, identity)) };
    match &found.unfit {
        Some(why) => Err(format!("{}: {why}", found.name)),
        None => Ok(found.clone()),
    }
}

/// Returns the key that could be the table's replica identity: the primary key, if it can.
pub(crate) fn serving(candidates: &[Candidate]) -> Option<&Candidate> {
    let serving = || {
        candidates.iter().filter(|candidate| candidate.unfit.is_none() && !candidate.is_deferrable)
    };
    serving().find(|candidate| candidate.is_primary).or_else(|| serving().next())
}

/// The same, for a table with a replica identity that does not identify changed rows.
pub(crate) fn temporary_identity_key<'a>(
    candidates: &'a [Candidate],
    identity: &str,
) -> Option<&'a Candidate> {
    let tells_nothing = matches!(identity, "n" | "d") && choose(candidates, identity).is_err();
    serving(candidates).filter(|_| tells_nothing)
}

/// Returns why the log does not identify changed rows, and the statement that makes it.
fn no_identity(candidates: &[Candidate], identity: &str) -> String {
    let primary = candidates.iter().find(|candidate| candidate.is_primary);
    let serving = serving(candidates);
    let why = match (identity, primary) {
        ("n", _) => {
            "its replica identity is NOTHING, so the log does not say which rows change".to_owned()
        }
        ("f", _) => return unfit_reasons(candidates),
        (_, Some(primary)) => {
            format!("its primary key {} is deferrable, so the log does not use it", primary.name)
        }
        (_, None) => "it has no primary key, so the log cannot say which rows change".to_owned(),
    };
    match serving {
        Some(primary) if primary.is_primary => {
            format!("{why}; ALTER TABLE … REPLICA IDENTITY DEFAULT changes that")
        }
        Some(other) => {
            format!(
                "{why}; ALTER TABLE … REPLICA IDENTITY USING INDEX {} changes that",
                quoted(&other.name)
            )
        }
        None => why,
    }
}

fn unfit_reasons(candidates: &[Candidate]) -> String {
    let reasons: Vec<String> = candidates
        .iter()
        .filter_map(|candidate| Some(format!("{}: {}", candidate.name, candidate.unfit.as_ref()?)))
        .collect();
    if reasons.is_empty() { "it has no unique index".to_owned() } else { reasons.join("; ") }
}
