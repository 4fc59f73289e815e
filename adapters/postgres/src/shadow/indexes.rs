//! Builds the shadow's indexes after the copy.

use crate::facts::ShadowFacts;
use crate::schema::altered::DeferredIndex;
use crate::schema::catalogue;
use crate::schema::expression;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

pub(crate) async fn build(
    workers: &Arc<SessionPool>,
    names: &Names,
    index: &DeferredIndex,
    gently: bool,
) -> Result<()> {
    let lease = workers.take().await?;
    let result = build_if_missing(&lease, names, index, gently).await;
    lease.settle(result).await
}

async fn build_if_missing(
    session: &Session,
    names: &Names,
    index: &DeferredIndex,
    gently: bool,
) -> Result<()> {
    let attempted = || format!("build the index {} of the shadow of {}", index.name, names.display);
    if catalogue::table_id(session, &names.shadow_schema, &index.name).await?.is_some() {
        return Ok(());
    }
    let statements =
        sql::build_index(&expression::reread(&index.create), &index.tablespace, gently);
    session.run(&statements).await.doing(attempted)
}

/// Adds constraints, comments and settings. They come last, because with their locks the builds
/// would wait for each other.
pub(crate) async fn finish_indexes(
    workers: &Arc<SessionPool>,
    names: &Names,
    shadow: &ShadowFacts,
) -> Result<()> {
    let lease = workers.take().await?;
    let result = finish(&lease, names, shadow).await;
    lease.settle(result).await
}

async fn finish(session: &Session, names: &Names, shadow: &ShadowFacts) -> Result<()> {
    let mut statements: Vec<&str> = Vec::new();
    for index in shadow.lookup.iter().chain(&shadow.deferred) {
        if let Some(constraint) = &index.constraint {
            let parameters: [&(dyn ToSql + Sync); 2] = [&names.shadow_schema, &index.name];
            let is_made: bool = session
                .one(sql::IS_CONSTRAINT, &parameters)
                .await
                .doing(format!("finish the indexes of the shadow of {}", names.display))?
                .get(0);
            statements.extend((!is_made).then_some(constraint.as_str()));
        }
        statements.extend(index.finish.iter().map(String::as_str));
    }
    if statements.is_empty() {
        return Ok(());
    }
    let script = sql::in_transaction(&statements);
    session
        .run(&script)
        .await
        .doing(format!("finish the indexes of the shadow of {}", names.display))
}
