//! Makes an altered, empty copy of the source: the clone that clauses are tried on, and the shadow.

use crate::schema::check_names::{self, Renamed};
use crate::schema::table::definition_of;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::server::settings;
use crate::server::version::Flavour;
use crate::sql;
use crate::state::MySql;

/// MySQL makes one index of full texts at a time, unless it is told to copy the table.
const ONE_FULL_TEXT: u16 = 1795;

impl MySql {
    /// An empty copy of the source, with its constraints' names as they can be; and those names.
    /// The table must not exist.
    pub(crate) async fn make_copy(
        &self,
        session: &mut Session,
        copy: &TableName,
    ) -> std::result::Result<Vec<Renamed>, Failure> {
        session.execute(&sql::ddl::create_like(&self.source, copy)).await?;
        if self.server.version.flavour == Flavour::MariaDb {
            return Ok(Vec::new());
        }
        let mut definitions = [String::new(), String::new()];
        for (definition, of) in definitions.iter_mut().zip([&self.source, copy]) {
            *definition = definition_of(session, of).await?;
        }
        let [wanted, made] = definitions.map(|definition| check_names::checks(&definition));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = session.rows(&sql::catalogue::check_names(&self.source.schema)).await?;
        let taken: Vec<String> = rows.iter().map(|row| text(&row[0]).to_lowercase()).collect();
        let is_free = |name: &str| !taken.contains(&name.to_lowercase());
        let names = check_names::renamed(&wanted, &self.source.name, &copy.name, is_free);
        // First away with all of them: a name the server made may be one that another is to have.
        for clauses in [check_names::dropping(&made), check_names::adding(&wanted, &names)] {
            session.execute(&sql::ddl::alter(&self.source, copy, &clauses)).await?;
        }
        Ok(names)
    }

    /// Carries out the user's clauses on a copy by the means told, such as `ALGORITHM=INSTANT, `,
    /// under the server's own rules for dates.
    pub(crate) async fn alter_copy(
        &self,
        session: &mut Session,
        copy: &TableName,
        names: &[Renamed],
        means: &str,
    ) -> std::result::Result<(), Failure> {
        let clauses =
            check_names::reworded(&self.change.effective, self.server.has_ansi_quotes, names);
        let statement =
            |means: &str| sql::ddl::alter(&self.source, copy, &format!("{means}{clauses}"));
        match self.as_clauses(session, &statement(means)).await {
            Err(failure) if failure.code() == Some(ONE_FULL_TEXT) && means.is_empty() => {
                self.as_clauses(session, &statement("ALGORITHM=COPY, ")).await
            }
            outcome => outcome,
        }
    }

    /// Runs a statement of the user's clauses: in the server's own modes, without its rules for
    /// zero dates where they are allowed, and in its own time zone.
    pub(crate) async fn as_clauses(
        &self,
        session: &mut Session,
        statement: &str,
    ) -> std::result::Result<(), Failure> {
        session
            .execute(&settings::modes_of_clauses(&self.server.modes, self.target.allow_zero_dates))
            .await?;
        let outcome = session.execute(statement).await;
        if session.is_alive() {
            session.execute(&settings::our_modes(&self.server.modes)).await?;
        }
        outcome.map(|_| ())
    }
}
