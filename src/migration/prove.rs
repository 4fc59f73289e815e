//! The proof, while the server analyzes the new table.

use crate::control::{Control, Failure, Phase};
use crate::migration::checkpoint;
use crate::migration::done::Done;
use crate::migration::listen::Listener;
use crate::migration::verify::Verification;
use crate::migration::wait::stay_current_until;
use crate::pace::throttle::is_throttled;
use altergeist_contract::{Engine, Record};
use futures_util::future::join;

/// Proves the two tables equal, and lets the server look at the new one meanwhile, so that its plans are good from the first
/// statement.
pub async fn prove<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
    proof: Verification,
) -> Result<(), Failure> {
    control.check_stop()?;
    proof.tell(control, record);
    control.update(|status| status.phase = Phase::Verifying);
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
        let proven = prove_until(engine, listener, control, record, proof, &analyzed).await;
        given_up.set();
        proven
    };
    let (analyzed, proven) = join(analyzing, proving).await;
    // The next statement under the run lock ends the one that was given up.
    let saved = checkpoint::save_progress(engine, listener, record).await;
    proven?;
    analyzed?;
    saved?;
    Ok(())
}

/// Proves, and then stays current until the server has looked at the shadow, too.
async fn prove_until<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
    proof: Verification,
    analyzed: &Done,
) -> Result<(), Failure> {
    proof.finish(engine, listener, control, record).await?;
    while !analyzed.is_set() {
        is_throttled(engine, control).await?;
        control.update(|status| {
            status.throttle_reason = Some("all rows are proven equal; the server still looks at the new table".into())
        });
        stay_current_until(analyzed.wait(), engine, listener, control, record).await?;
        control.update(|status| status.throttle_reason = None);
    }
    Ok(())
}
