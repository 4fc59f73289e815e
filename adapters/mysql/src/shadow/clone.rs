//! Makes an altered, empty copy of the source: the clone for trying the clauses, and the shadow.

use crate::change::Change;
use crate::schema::check_names::{self, Renamed};
use crate::schema::table::definition_of;
use crate::server::error::{Failure, ONE_FULL_TEXT};
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::server::settings;
use crate::server::version::Flavour;
use crate::sql;

/// Makes an empty copy of the source, and returns the names of its CHECK constraints. The copy must
/// not exist before.
pub(crate) async fn make_copy(
    change: &Change,
    session: &mut Session,
    copy: &TableName,
) -> std::result::Result<Vec<Renamed>, Failure> {
    session.execute(&sql::ddl::create_like(&change.source, copy)).await?;
    if change.server.version.flavour == Flavour::MariaDb {
        return Ok(Vec::new());
    }
    let mut definitions = [String::new(), String::new()];
    for (definition, of) in definitions.iter_mut().zip([&change.source, copy]) {
        *definition = definition_of(session, of).await?;
    }
    let [wanted, made] = definitions.map(|definition| check_names::checks(&definition));
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.rows(&sql::catalogue::check_names(&change.source.schema)).await?;
    let taken: Vec<String> = rows.iter().map(|row| text(&row[0]).to_lowercase()).collect();
    let is_free = |name: &str| !taken.contains(&name.to_lowercase());
    let names = check_names::renamed(&wanted, &change.source.name, &copy.name, is_free);
    // All constraints are dropped first: a name that the server chose may be one that another
    // needs.
    for clauses in [check_names::dropping(&made), check_names::adding(&wanted, &names)] {
        session.execute(&sql::ddl::alter(&change.source, copy, &clauses)).await?;
    }
    Ok(names)
}

/// Runs the user's clauses on a copy, under the server's own rules for dates. `means` is put before
/// them, such as `ALGORITHM=INSTANT, `.
pub(crate) async fn alter_copy(
    change: &Change,
    session: &mut Session,
    copy: &TableName,
    names: &[Renamed],
    means: &str,
) -> std::result::Result<(), Failure> {
    let clauses =
        check_names::reworded(&change.request.effective, change.server.has_ansi_quotes, names);
    let statement =
        |means: &str| sql::ddl::alter(&change.source, copy, &format!("{means}{clauses}"));
    match execute_as_user(change, session, &statement(means)).await {
        Err(failure) if failure.code() == Some(ONE_FULL_TEXT) && means.is_empty() => {
            execute_as_user(change, session, &statement(sql::ddl::BY_COPY)).await
        }
        outcome => outcome,
    }
}

/// Runs a statement with the user's clauses in the server's own modes and time zone. The rules for
/// zero dates are off if zero dates are allowed.
pub(crate) async fn execute_as_user(
    change: &Change,
    session: &mut Session,
    statement: &str,
) -> std::result::Result<(), Failure> {
    session
        .execute(&settings::modes_of_clauses(&change.server.modes, change.target.allow_zero_dates))
        .await?;
    let outcome = session.execute(statement).await;
    if session.is_alive() {
        session.execute(&settings::our_modes(&change.server.modes)).await?;
    }
    outcome.map(|_| ())
}
