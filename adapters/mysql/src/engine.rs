//! The traits of the contract. Each method hands the parts it needs to one function of a room.

use crate::backfill::{self, RowKey, Work};
use crate::cutover::table_lock::MySqlLock;
use crate::cutover::{finish, lock, ownership};
use crate::journal;
use crate::log::stream::MySqlStream;
use crate::log::{open, restore_point};
use crate::plan::{measure, preflight};
use crate::server::run_lock::watch_over;
use crate::server::{ask, gauge, lag, order_table};
use crate::shadow::{compare, complete, create, duplicates, rows, statistics};
use crate::state::MySql;
use altergeist_contract::{
    Backfill, Chunk, CommitLatency, Comparison, Cutover, Duplicates, Engine, Gauge, GivenOrder,
    Hold, Inquiry, Journal, Key, Leftover, Marker, Measure, Measured, Moment, NotedOrder,
    OnlineSteps, OrderAnswer, OrderTable, Ownership, Plan, Position, Preflight, Reading, Record,
    ReplicaLag, RestorePoint, Result, RetainedLog, RowOrder, RowUpdate, Shadow, SkippableLog,
    Target, Trial, UnloggedChanges, UpdatePace, Updated, WatchedReplicas, Watermark,
};
use std::time::Duration;

impl Engine for MySql {
    type Stream = MySqlStream;

    async fn connect(target: &Target) -> Result<MySql> {
        MySql::open(target).await
    }

    async fn hold(&self) -> Result<Hold> {
        let Hold::HeldBy(session) = self.pool.hold().await? else {
            watch_over(&self.pool);
            return Ok(Hold::Taken);
        };
        let mut reader = self.pool.reader().await?;
        let record = journal::read_entry(&self.change, &mut reader).await?.record;
        let run = record
            .map(|record| format!(", and the journal says {}", record.holder))
            .unwrap_or_default();
        Ok(Hold::HeldBy(format!("{session} holds the run lock of {}{run}", self.change.title)))
    }

    async fn holder(&self) -> Result<Option<String>> {
        self.pool.holder().await
    }

    async fn still_held(&self) -> Result<()> {
        self.pool.still_held().await
    }

    async fn open_log(&self) -> Result<Position> {
        open::open_log(&self.change, &self.pool, &self.log, &self.journal).await
    }

    async fn follow(&self, from: &Position) -> Result<MySqlStream> {
        open::follow(&self.change, &self.pool, &self.log, &self.shadow, &self.journal, from)
            .await
            .map_err(|error| self.change.reworded(error))
    }

    async fn check_stream(&self) -> Result<()> {
        open::check_stream(&self.change, &self.log, &self.shadow)
            .await
            .map_err(|error| self.change.reworded(error))
    }

    async fn mark(&self) -> Result<Marker> {
        self.log.heartbeat.begin().await?;
        Ok(self.log.heartbeat.mark())
    }
}

impl Inquiry for MySql {
    async fn ask(&self, question: &str) -> Result<Option<String>> {
        ask::ask(&self.change, &self.pool, question).await
    }
}

impl OrderTable for MySql {
    async fn make_order_tables(&self) -> Result<()> {
        order_table::make_tables(&self.change, &self.pool, &self.orders).await
    }

    async fn account(&self) -> Result<String> {
        order_table::account(&self.pool, &self.orders).await
    }

    async fn take_orders(&self, run: &str, begins: bool) -> Result<Vec<GivenOrder>> {
        order_table::take(&self.change, &self.pool, &self.orders, run, begins).await
    }

    async fn answer_order(&self, id: u64, answer: &OrderAnswer) -> Result<()> {
        order_table::answer(&self.change, &self.pool, &self.orders, id, answer).await
    }

    async fn note_order(&self, run: &str, order: &NotedOrder) -> Result<()> {
        order_table::note_order(&self.change, &self.pool, &self.orders, run, order).await
    }

    async fn give_order(&self, run: &str, word: &str, is_standing: bool) -> Result<u64> {
        order_table::give(&self.change, &self.pool, &self.orders, run, word, is_standing).await
    }

    async fn last_run(&self) -> Result<Option<String>> {
        order_table::last_run(&self.change, &self.pool, &self.orders).await
    }

    async fn order_answer(&self, id: u64) -> Result<Option<OrderAnswer>> {
        order_table::answer_of(&self.change, &self.pool, &self.orders, id).await
    }

    async fn note_moment(&self, moment: &Moment) -> Result<()> {
        order_table::note(&self.change, &self.pool, &self.orders, moment).await
    }
}

impl OnlineSteps for MySql {}

impl SkippableLog for MySql {}

impl RetainedLog for MySql {}

impl Journal for MySql {
    async fn load(&self) -> Result<Option<Record>> {
        journal::load_record(&self.change, &self.pool).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        journal::save_record(&self.change, &self.pool, &self.native, &self.journal, record).await
    }
}

impl Measure for MySql {
    async fn measure(&self, plan: &Plan) -> Result<Measured> {
        measure::measure(&self.change, &self.pool, &self.native, plan).await
    }

    async fn restore_point(&self, _: &str) -> Result<RestorePoint> {
        restore_point::read(&self.change, &self.pool).await
    }
}

impl Gauge for MySql {
    async fn replica_lags(&self, watched: WatchedReplicas<'_>) -> Result<Vec<ReplicaLag>> {
        lag::replica_lags(&self.change, &self.pool, &self.log, &self.gauge, watched).await
    }

    fn commit_latency(&self) -> Option<CommitLatency> {
        self.log.heartbeat.commit_latency()
    }

    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>> {
        gauge::read_loads(&self.change, &self.pool, &self.gauge, measures).await
    }

    async fn read(&self, reading: Reading) -> Result<u64> {
        gauge::read(&self.change, &self.pool, &self.gauge, reading).await
    }

    async fn built(&self) -> Option<f64> {
        gauge::built_fraction(&self.change, &self.pool, &self.shadow).await
    }
}

impl Preflight for MySql {
    fn table(&self) -> &str {
        &self.change.title
    }

    async fn plan(&self) -> Result<Plan> {
        preflight::plan(&self.change, &self.pool, &self.log.server, &self.native).await
    }

    async fn alter_natively(&self, statement: &str) -> Result<()> {
        preflight::alter_natively(&self.change, &self.pool, &self.native, statement).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        preflight::leftovers(&self.change, &self.pool).await
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        preflight::cleanup(&self.change, &self.pool, &self.log, &self.shadow, old_too).await
    }
}

impl Cutover for MySql {
    type Lock = MySqlLock;

    async fn lock(&self, within: Duration) -> Result<MySqlLock> {
        lock::lock_tables(&self.change, &self.pool, &self.log, &self.shadow, within)
            .await
            .map_err(|error| self.change.reworded(error))
    }

    async fn ownership(&self) -> Result<Ownership> {
        ownership::find_ownership(&self.change, &self.pool).await
    }

    async fn settle(&self) -> Result<()> {
        finish::settle_swap(&self.change, &self.pool).await
    }

    async fn finish(&self) -> Result<()> {
        finish::finish_swap(&self.change, &self.pool, &self.log, &self.shadow).await
    }
}

impl Shadow for MySql {
    async fn create(&self) -> Result<()> {
        create::create_shadow(&self.change, &self.pool, &self.shadow, &self.journal).await
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        rows::next_chunk(&self.change, &self.pool, &self.shadow, after, rows).await
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        rows::copy_chunk(&self.change, &self.pool, &self.shadow, chunk).await
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        rows::refresh_keys(&self.change, &self.pool, &self.shadow, keys, through).await
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        rows::clear_beyond(&self.change, &self.pool, &self.shadow, through).await
    }

    async fn clear(&self) -> Result<()> {
        create::clear_shadow(&self.change, &self.pool).await
    }

    async fn complete(&self, gently: bool) -> Result<()> {
        complete::complete_shadow(&self.change, &self.pool, &self.shadow, gently).await
    }

    /// Rows that the log does not mention are refreshed first. Until then nothing is compared.
    fn compares_beside_builds(&self) -> bool {
        complete::log_tells_all(&self.shadow)
    }

    async fn analyze(&self, _gently: bool) -> Result<()> {
        statistics::analyze_shadow(&self.change, &self.pool, &self.shadow).await
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        compare::compare_chunk(&self.change, &self.pool, &self.log, &self.shadow, chunk).await
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        compare::compare_keys(&self.change, &self.pool, &self.shadow, keys).await
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        duplicates::shadow_duplicates(&self.change, &self.pool, &self.shadow).await
    }
}

impl UnloggedChanges for MySql {
    fn log_tells_all(&self) -> bool {
        complete::log_tells_all(&self.shadow)
    }

    async fn causes(&self, key: &Key) -> Result<Vec<Key>> {
        complete::causes_of(&self.change, &self.pool, &self.shadow, key).await
    }
}

impl MySql {
    async fn row_key(&self) -> Result<&RowKey> {
        let find = async || RowKey::find(&self.change, &self.pool).await;
        self.backfill.key.get_or_try_init(find).await
    }

    async fn work<'a>(&'a self, update: &'a RowUpdate) -> Result<Work<'a>> {
        let key = self.row_key().await?;
        Ok(Work { change: &self.change, pool: &self.pool, key, update })
    }
}

impl Backfill for MySql {
    async fn row_order(&self) -> Result<RowOrder> {
        Ok(self.row_key().await?.order.clone())
    }

    fn is_same_table(&self, then: &str, now: &str) -> bool {
        backfill::is_same_table(then, now)
    }

    async fn try_update(&self, update: &RowUpdate) -> Result<Trial> {
        self.work(update).await?.try_update().await
    }

    async fn begin_backfill(&self) -> Result<()> {
        self.log.heartbeat.begin().await
    }

    async fn next_range(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let none = RowUpdate::default();
        self.work(&none).await?.next_range(&self.backfill.reader, after, rows).await
    }

    async fn count_matching(&self, update: &RowUpdate, range: &Chunk) -> Result<u64> {
        self.work(update).await?.count_matching(&self.backfill.reader, range).await
    }

    async fn update_range(
        &self,
        update: &RowUpdate,
        range: &Chunk,
        pace: UpdatePace,
        record: &dyn Fn(&Updated) -> Record,
    ) -> Result<Updated> {
        self.work(update).await?.update_range(range, pace, record).await
    }
}
