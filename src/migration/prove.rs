//! The proof, while the server analyzes the new table.

use crate::control::{Failure, Phase};
use crate::migration::done::Done;
use crate::migration::state::Migration;
use crate::migration::verify::Verification;
use crate::pace::throttle::is_throttled;
use altergeist_contract::Engine;
use futures_util::future::join;

impl<E: Engine> Migration<'_, E> {
    /// Proves the two tables equal, and lets the server look at the new one meanwhile, so that its plans are good from the first
    /// statement.
    pub async fn prove(&mut self, proof: Verification) -> Result<(), Failure> {
        self.control.check_stop()?;
        proof.tell(self.control, &self.record);
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
        // The next statement under the run lock ends the one that was given up.
        let saved = self.save_progress().await;
        proven?;
        analyzed?;
        saved?;
        Ok(())
    }

    /// Proves, and then stays current until the server has looked at the shadow, too.
    async fn prove_until(&mut self, proof: Verification, analyzed: &Done) -> Result<(), Failure> {
        proof.finish(self).await?;
        while !analyzed.is_set() {
            is_throttled(self.engine, self.control).await?;
            self.control.update(|status| {
                status.throttle_reason =
                    Some("all rows are proven equal; the server still looks at the new table".into())
            });
            self.stay_current_until(analyzed.wait()).await?;
            self.control.update(|status| status.throttle_reason = None);
        }
        Ok(())
    }
}
