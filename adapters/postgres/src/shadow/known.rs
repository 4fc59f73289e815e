//! What this process knows of the shadow: read from the journal once, then kept.

use crate::facts::ShadowFacts;
use crate::journal;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, locked};
use crate::shadow::indexes;
use altergeist_contract::{Error, Result};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// The shadow, as far as this process knows it.
pub(crate) struct KnownShadow {
    names: Names,
    control: Arc<SessionPool>,
    workers: Arc<SessionPool>,
    facts: Mutex<Option<Arc<ShadowFacts>>>,
    /// Set when the shadow has the index that finds its rows.
    lookup: Mutex<Arc<OnceCell<()>>>,
}

impl KnownShadow {
    pub(crate) fn new(
        names: Names,
        control: Arc<SessionPool>,
        workers: Arc<SessionPool>,
    ) -> KnownShadow {
        KnownShadow { names, control, workers, facts: Mutex::new(None), lookup: Mutex::default() }
    }

    /// Remembers a new shadow, or that there is none. The workers forget their statements.
    pub(crate) fn set(&self, shadow: Option<ShadowFacts>) {
        *locked(&self.facts) = shadow.map(Arc::new);
        *locked(&self.lookup) = Arc::default();
        self.workers.refresh();
    }

    /// Returns what is known of the shadow. Fails if there is none.
    pub(crate) async fn facts(&self) -> Result<Arc<ShadowFacts>> {
        if let Some(known) = locked(&self.facts).clone() {
            return Ok(known);
        }
        let lease = self.control.take().await?;
        let result = self.load(&lease).await;
        let shadow = Arc::new(lease.settle(result).await?);
        *locked(&self.facts) = Some(shadow.clone());
        Ok(shadow)
    }

    /// The same, and builds the index that finds the shadow's rows, if it is missing.
    pub(crate) async fn with_lookup(&self) -> Result<Arc<ShadowFacts>> {
        let shadow = self.facts().await?;
        if let Some(index) = &shadow.lookup {
            let built = locked(&self.lookup).clone();
            built
                .get_or_try_init(|| indexes::build(&self.workers, &self.names, index, false))
                .await?;
        }
        Ok(shadow)
    }

    async fn load(&self, session: &Session) -> Result<ShadowFacts> {
        let facts = journal::facts(session, &self.names).await?;
        let shadow = facts.shadow.ok_or_else(|| {
            Error::fatal(format!("use the shadow of {}", self.names.display), "it was never made")
        })?;
        let attempted = format!("continue with the shadow of {}", self.names.display);
        own_objects::require_schema(session, &self.names.shadow_schema, &attempted).await?;
        own_objects::require_bare(session, shadow.oid, &attempted).await?;
        Ok(shadow)
    }
}
