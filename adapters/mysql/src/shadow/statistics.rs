//! Statistics that somebody asked for stay with a table's name only if the shadow has them before
//! the swap: histograms of MySQL, persistent statistics of MariaDB. Both follow a table that is
//! renamed.

use crate::schema::columns::Shape;
use crate::schema::table::{Table, is_same};
use crate::server::error::Failure;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::sql::{self, quote, sign, table};
use crate::state::MySql;

impl MySql {
    /// Gives the filled shadow what the source has of them, by looking at the shadow's own rows.
    pub(crate) async fn carry_statistics(
        &self,
        session: &mut Session,
        shape: &Shape,
    ) -> std::result::Result<(), Failure> {
        for statement in self.statistics_of_source(session, shape).await? {
            session.rows(&statement).await?;
        }
        Ok(())
    }

    async fn statistics_of_source(
        &self,
        session: &mut Session,
        shape: &Shape,
    ) -> std::result::Result<Vec<String>, Failure> {
        let analyze = |what: String| {
            format!("{}ANALYZE TABLE {} {what}", sign(&shape.source), table(&shape.shadow))
        };
        if self.server.version.flavour == Flavour::MySql {
            let histograms = session.rows(&sql::ddl::histograms(&shape.source)).await?;
            let again = |row: &crate::server::session::Cells| {
                let [column, buckets, is_automatic] = [0, 1, 2].map(|place| text(&row[place]));
                let update = if is_automatic == "true" { " AUTO UPDATE" } else { "" };
                let column = quote(&shape.name_after(&column));
                analyze(format!("UPDATE HISTOGRAM ON {column} WITH {buckets} BUCKETS{update}"))
            };
            return Ok(histograms.iter().map(again).collect());
        }
        // Who may not read them does not get them.
        let columns =
            match session.rows(&sql::ddl::persistent_statistics(&shape.source, "column")).await {
                Err(failure) if failure.ends_session() => return Err(failure),
                columns => columns.unwrap_or_default(),
            };
        let indexes =
            match session.rows(&sql::ddl::persistent_statistics(&shape.source, "index")).await {
                Err(failure) if failure.ends_session() => return Err(failure),
                indexes => indexes.unwrap_or_default(),
            };
        if columns.is_empty() && indexes.is_empty() {
            return Ok(Vec::new());
        }
        let Some(shadow) = Table::read(session, self.server.version, &shape.shadow).await? else {
            return Ok(Vec::new());
        };
        let columns = columns.iter().map(|row| shape.name_after(&text(&row[0])));
        let columns = columns
            .filter(|name| shadow.column(name).is_some())
            .map(|name| quote(&name))
            .collect::<Vec<_>>();
        let indexes = indexes.iter().map(|row| text(&row[0]));
        let is_there =
            |name: &String| shadow.indexes.iter().any(|index| is_same(&index.name, name));
        let indexes = indexes.filter(is_there).map(|name| quote(&name)).collect::<Vec<_>>();
        Ok(vec![analyze(format!(
            "PERSISTENT FOR COLUMNS ({}) INDEXES ({})",
            columns.join(", "),
            indexes.join(", ")
        ))])
    }
}
