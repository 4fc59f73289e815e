//! Proves the tables equal, while the server analyzes the new one.

use crate::control::{Failure, Phase};
use crate::migration::done::Done;
use crate::migration::state::Migration;
use crate::migration::verify::Verification;
use crate::pace::throttle::is_throttled;
use altergeist_contract::Engine;
use futures_util::future::join;

impl<E: Engine> Migration<'_, E> {
    /// Proves the two tables equal. Meanwhile the server analyzes the new one, so that its first
    /// query plans are good.
    pub async fn prove(&mut self, proof: Verification) -> Result<(), Failure> {
        self.control.check_stop()?;
        proof.report_progress(self.control, &self.record);
        self.control.update(|status| status.phase = Phase::Verifying);
        let (engine, control) = (self.engine, self.control);
        let (given_up, analyzed) = (Done::default(), Done::default());
        let analyzing = async {
            let ended = tokio::select! {
                ended = engine.analyze(control.settings().is_gentle()) => ended,
                () = given_up.wait() => Ok(()),
            };
            analyzed.set();
            ended
        };
        let proving = async {
            let proven = self.prove_until(proof, &analyzed).await;
            given_up.set();
            proven
        };
        let (analyzed, proven) = join(analyzing, proving).await;
        // The next statement under the run lock ends an analysis that was given up.
        let saved = self.save_progress().await;
        proven?;
        analyzed?;
        saved?;
        Ok(())
    }

    /// Proves the rows equal, and then stays current until the server has analyzed the shadow.
    async fn prove_until(&mut self, proof: Verification, analyzed: &Done) -> Result<(), Failure> {
        proof.finish(self).await?;
        while !analyzed.is_set() {
            self.control.update(|status| status.phase = Phase::Analyzing);
            is_throttled(self.engine, self.control).await?;
            self.stay_current_until(analyzed.wait()).await?;
        }
        Ok(())
    }
}
