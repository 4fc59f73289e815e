//! MySQL's swap: one session locks both tables, drains the log, and renames.

use crate::cutover::best_effort::best_effort;
use crate::cutover::relation_sessions::AlterSessions;
use crate::cutover::table_lock::{MySqlLock, carry_row_number};
use crate::cutover::triggers::carry;
use crate::sql;
use altergeist_contract::Swap;

impl MySqlLock {
    pub(crate) async fn swap_under_lock(mut self) -> Swap {
        if let Err(failure) = carry_row_number(self.holder.session(), &self.mapping).await {
            let error = self.failed(failure);
            return self.refuse(error).await;
        }
        if let Err(error) = self.bind().await {
            return self.refuse(error).await;
        }
        let rename =
            sql::cutover::rename_both(&self.mapping.source, &self.names.old, &self.mapping.shadow);
        match self.holder.session().execute(&rename).await {
            Ok(_) => {
                // The swap is done, whatever becomes of these steps. `finish` does what is left
                // undone, and until then the guards protect the table. Without a connection there
                // is no lock.
                let session = self.holder.session();
                if let Some(key_swap) = &self.key_swap {
                    best_effort(key_swap.restore(&mut AlterSessions::one(session)).await);
                }
                if !self.triggers.list.is_empty() {
                    best_effort(
                        carry(
                            session,
                            None,
                            &self.mapping.source,
                            &self.names,
                            &self.triggers.list,
                        )
                        .await,
                    );
                }
                best_effort(self.unlock().await);
                Swap::Done
            }
            Err(failure) if failure.ends_session() => Swap::Unknown(self.failed(failure)),
            Err(failure) => {
                let error = self.failed(failure);
                self.refuse(error).await
            }
        }
    }
}
