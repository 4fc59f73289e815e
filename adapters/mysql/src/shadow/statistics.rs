//! Statistics that an operator asked for: histograms of MySQL, persistent statistics of MariaDB.
//! They follow a renamed table. So the new table has them only if the shadow has them before the
//! swap.

use crate::change::Change;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::table::{Table, is_same};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::shadow::column_mapping::load_mapping;
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::Result;
use std::sync::Arc;

/// Gives the filled shadow the statistics that the source has, computed from the shadow's own rows.
pub(crate) async fn carry_statistics(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> std::result::Result<(), Failure> {
    for statement in statistics_of_source(change, session, mapping).await? {
        session.rows(&statement).await?;
    }
    Ok(())
}

async fn statistics_of_source(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> std::result::Result<Vec<String>, Failure> {
    let analyze =
        |what: String| format!("{} {what}", sql::ddl::analyze(&mapping.source, &mapping.shadow));
    if change.server.version.flavour == Flavour::MySql {
        let histograms = session.rows(&sql::ddl::histograms(&mapping.source)).await?;
        let again = |row: &crate::server::session::Cells| {
            let [column, buckets, is_automatic] = [0, 1, 2].map(|place| text(&row[place]));
            let column = mapping.name_after(&column);
            analyze(sql::ddl::histogram(&column, &buckets, is_automatic == "true"))
        };
        return Ok(histograms.iter().map(again).collect());
    }
    // A user who may not read them does not get them.
    let columns =
        match session.rows(&sql::ddl::persistent_statistics(&mapping.source, "column")).await {
            Err(failure) if failure.ends_session() => return Err(failure),
            columns => columns.unwrap_or_default(),
        };
    let indexes =
        match session.rows(&sql::ddl::persistent_statistics(&mapping.source, "index")).await {
            Err(failure) if failure.ends_session() => return Err(failure),
            indexes => indexes.unwrap_or_default(),
        };
    if columns.is_empty() && indexes.is_empty() {
        return Ok(Vec::new());
    }
    let Some(shadow) = Table::read(session, change.server.version, &mapping.shadow).await? else {
        return Ok(Vec::new());
    };
    let columns = columns.iter().map(|row| mapping.name_after(&text(&row[0])));
    let columns: Vec<String> = columns.filter(|name| shadow.column(name).is_some()).collect();
    let has = |name: &String| shadow.indexes.iter().any(|index| is_same(&index.name, name));
    let indexes: Vec<String> = indexes.iter().map(|row| text(&row[0])).filter(has).collect();
    Ok(vec![analyze(sql::ddl::persistent(&columns, &indexes))])
}

pub(crate) async fn analyze_shadow(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let mut lease = pool.worker().await?;
    let mut outcome = lease
        .session()
        .rows(&sql::ddl::analyze(&change.source, &change.names.shadow))
        .await
        .map(|_| ());
    if outcome.is_ok() {
        outcome = carry_statistics(change, lease.session(), &mapping).await;
    }
    lease.keep();
    outcome.doing(change.doing("analyze the shadow of"))
}
