//! The functions that an expression of `--set` calls and that are not the server's own: stored
//! functions, and functions of loaded libraries.

use crate::schema::computed::{self, Call};
use crate::server::error::Failure;
use crate::server::session::{Session, text};
use crate::sql;
use crate::sql::quote::quote;
use altergeist_contract::{Finding, Result};

/// How many functions are looked at: those that the expression calls, and those that these call.
const FUNCTIONS_MAX: usize = 100;

/// Refuses calls that may give another value each time. Otherwise returns the called functions of
/// loaded libraries: of these the server tells nothing.
pub(crate) async fn judge(
    session: &mut Session,
    name: &str,
    calls: &[Call],
) -> Result<std::result::Result<Vec<String>, Finding>> {
    let failed = |failure: Failure| failure.of_catalogue("look for stored functions");
    let mut functions: Vec<String> = calls.iter().map(|call| call.name.to_lowercase()).collect();
    let mut loaded = Vec::new();
    let mut nth = 0;
    while nth < functions.len().min(FUNCTIONS_MAX) {
        let function = functions[nth].clone();
        nth += 1;
        let unsafe_ones = session.text(&sql::computed::unsafe_functions(&function)).await;
        if unsafe_ones.map_err(failed)? != "0" {
            return Ok(Err(computed::not_deterministic(name, &function)));
        }
        let stored = session.rows(&sql::computed::stored_functions(&function)).await;
        for row in stored.map_err(failed)? {
            let body = text(&row[1]);
            if let Some(what) = computed::changes_each_time(&body) {
                return Ok(Err(computed::only_called_deterministic(name, &function, &what)));
            }
            let inner = computed::calls(&body).into_iter().map(|call| call.name.to_lowercase());
            for inner in inner {
                if !functions.contains(&inner) {
                    functions.push(inner);
                }
            }
        }
        if is_loaded(session, &function).await? {
            loaded.push(function);
        }
    }
    Ok(Ok(loaded))
}

/// Functions that MySQL itself has put into a library, and that give the same value each time.
const STABLE: [&str; 3] = ["md5", "sha1", "sha"];

/// Whether a function is of a loaded library. If the user may not know, no.
async fn is_loaded(session: &mut Session, function: &str) -> Result<bool> {
    if STABLE.contains(&function) {
        return Ok(false);
    }
    for question in sql::computed::loaded_functions(function) {
        match session.text(&question).await {
            Ok(count) if count != "0" => return Ok(true),
            Err(failure) if failure.ends_session() => {
                return Err(failure.of_catalogue("look for loaded functions"));
            }
            _ => {}
        }
    }
    Ok(false)
}

/// How to write the call of a stored function that has no schema: the run's sessions use none.
pub(crate) async fn qualified(session: &mut Session, calls: &[Call]) -> Result<Option<String>> {
    for call in calls.iter().filter(|call| !call.is_qualified) {
        let stored = session.rows(&sql::computed::stored_functions(&call.name)).await;
        let stored = stored.map_err(|it| it.of_catalogue("look for stored functions"))?;
        if let Some(row) = stored.first() {
            return Ok(Some(format!("{}.{}(…)", quote(&text(&row[0])), quote(&call.name))));
        }
    }
    Ok(None)
}
