//! Replica lag by our own heartbeats: which one has arrived there, and how long ago the run sent
//! the next. No clocks are compared.

use crate::server::about::Replica;
use crate::server::doing::Doing;
use crate::server::session::{Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{CommitLatency, Error, Gauge, ReplicaLag, Result};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many row versions readers hold up. MariaDB has a status variable for it; MySQL has it
/// elsewhere.
const HISTORY: &str = "Innodb_history_list_length";

/// A replica that does not answer in time counts as too far behind.
const PATIENCE: Duration = Duration::from_secs(3);

impl Gauge for MySql {
    async fn replica_lags(&self) -> Result<Vec<ReplicaLag>> {
        let mut replicas = self.replicas.lock().await;
        if replicas.is_none() {
            *replicas = Some(self.watched().await?);
        }
        let replicas = replicas.get_or_insert_default();
        let mut lags = Vec::new();
        for replica in replicas.iter_mut() {
            let beat = tokio::time::timeout(PATIENCE, self.last_beat(replica)).await.ok().flatten();
            if beat.is_none() {
                replica.session = None;
            }
            replica.is_certain |= beat.is_some();
            let lag = beat.map(|beat| self.beats.age(beat));
            lags.push(ReplicaLag { replica: replica.access.address.clone(), lag });
        }
        self.forget_those_that_left(replicas).await?;
        Ok(lags)
    }

    fn commit_latency(&self) -> Option<CommitLatency> {
        self.beats.commit_latency()
    }

    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>> {
        let of_server =
            |measure: &str| format!("look at the load {measure} of {}", self.crew.access.address);
        let mut watch = self.watch.lock().await;
        if !watch.as_ref().is_some_and(Session::is_fresh) {
            *watch = Some(Session::bare(&self.crew.access).await?);
        }
        let session = watch.as_mut().expect("it was just opened");
        let mut loads = Vec::new();
        for measure in measures {
            let is_history = measure.eq_ignore_ascii_case(HISTORY)
                && self.server.version.flavour == Flavour::MySql;
            let statement = if is_history {
                sql::session::HISTORY.to_owned()
            } else {
                sql::session::status_variable(measure)
            };
            let row = session.row(&statement).await.doing_in_catalogue(of_server(measure))?;
            let load =
                row.as_ref().and_then(|row| row.last()).and_then(|cell| text(cell).parse().ok());
            loads.push(load.ok_or_else(|| {
                Error::refused(
                    of_server(measure),
                    "SHOW GLOBAL STATUS knows no number of this name".to_owned(),
                )
            })?);
        }
        Ok(loads)
    }

    async fn built(&self) -> Option<f64> {
        let builder = self.builder.load(Ordering::Relaxed);
        if builder == 0 || self.server.version.flavour == Flavour::MariaDb {
            return None;
        }
        let mut session = self.crew.reader().await.ok()?;
        let work = session.row(&sql::session::work_of(builder)).await.ok()??;
        let (done, of) = (number(&work[0])?, number(&work[1])?);
        Some((done as f64 / of.max(1) as f64).min(1.0))
    }
}

impl MySql {
    pub(crate) async fn last_beat(&self, replica: &mut Replica) -> Option<u64> {
        if !replica.session.as_ref().is_some_and(Session::is_alive) {
            replica.session = Some(Session::bare(&replica.access).await.ok()?);
        }
        let statement = sql::journal::last_beat(&self.names.beat, &self.source.name);
        number(&replica.session.as_mut()?.row(&statement).await.ok()??[0])
    }
}
