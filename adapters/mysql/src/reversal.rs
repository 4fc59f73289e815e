//! Turns the engine around after the swap, so that the old table follows the altered one.

use crate::state::MySql;
use altergeist_contract::{Error, Key, Misfits, Result, Reversal};

impl Reversal for MySql {
    async fn turn_around(self) -> Result<MySql> {
        Err(Error::refused("keep the old table current", "this server's engine cannot do that"))
    }

    async fn refresh_each(&self, _keys: &[Key]) -> Result<()> {
        Ok(())
    }

    async fn misfits(&self) -> Result<Vec<Misfits>> {
        Ok(Vec::new())
    }

    async fn blocked_misfits(&self, _most: usize) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }
}
