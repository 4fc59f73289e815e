//! The laws as tests. Every engine passes the same ones, the model too: an engine is done when it
//! does.
//!
//! A [`Laboratory`] gives a table `(id, u, v)` of three integers with key `id` and a unique index
//! over `u`, and the means to write to it as an application does. The change under test is any that
//! keeps these three columns.

use crate::{
    ChangeStream, Changes, Chunk, Cutover, Engine, Error, GivenOrder, Hold, Journal, Key, Kind,
    Moment, NotedOrder, OrderAnswer, OrderTable, Ownership, Position, Preflight, Record, Result,
    Shadow, SkippableLog, Stage, Swap, TableLock, Watermark,
};
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// A row of the table under test: id, unique value, any value.
pub type Row = (u32, u32, u32);

/// One thing a transaction of the application does.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Inserts a row, or gives the row of this id these values.
    Put(Row),
    /// Deletes the row of this id.
    Remove(u32),
    /// Changes a row's id.
    Move(u32, u32),
}

/// A server with a table, as tests need it.
pub trait Laboratory {
    /// The engine under test.
    type Engine: Engine;

    /// Makes the table anew with rows `(n, n, n)` for n in 1..=rows, and removes whatever an
    /// earlier test has left.
    async fn fresh(&self, rows: u32);
    /// Connects another process's engine.
    async fn engine(&self) -> Self::Engine;
    /// Commits one transaction of the application, to whichever table bears the name; visible when
    /// this returns.
    async fn write(&self, writes: &[Write]);
    /// The rows of the table that bears the name.
    async fn table(&self) -> BTreeSet<Row>;
    /// The rows of the shadow; None if there is none.
    async fn shadow(&self) -> Option<BTreeSet<Row>>;
    /// Opens a transaction that has read the table, and keeps it open until the value is dropped;
    /// None if nothing the application does can stand in a lock's way.
    async fn reader(&self) -> Option<Box<dyn std::any::Any>>;
}

/// Runs every test of the suite, one after the other, on fresh tables. Says which one it is at, and
/// panics at the first that fails.
pub async fn conforms(laboratory: &impl Laboratory) {
    macro_rules! each {
        ($($test:ident),* $(,)?) => {
            $(
                println!("conformance: {}", stringify!($test));
                laboratory.fresh(25).await;
                $test(laboratory).await;
            )*
        };
    }
    each!(
        chunks_cover_the_table_and_a_copy_is_what_was_read,
        a_copy_in_whose_way_a_row_is_says_stale_and_leaves_nothing,
        a_refresh_makes_keys_what_the_source_holds_of_them,
        a_refresh_keeps_to_the_watermark,
        a_refresh_lets_rows_swap_unique_values,
        a_refresh_that_meets_a_stale_row_changes_nothing,
        what_lies_beyond_the_watermark_is_cleared,
        everything_committed_is_delivered_before_a_later_mark,
        a_changed_key_is_two_keys_and_an_unchanged_one_is_one,
        a_key_is_spelled_alike_in_the_log_and_in_a_comparison,
        the_log_can_be_read_again_from_any_delivered_position,
        the_log_begins_with_what_is_committed_after_a_position_of_now,
        a_comparison_sees_rows_lost_invented_and_changed,
        duplicates_are_found_only_where_they_are,
        one_process_holds_the_table,
        the_record_is_what_was_saved,
        a_lock_that_cannot_be_had_is_given_up_in_time,
        a_released_lock_has_changed_nothing,
        a_swap_puts_the_shadow_in_the_source_s_place,
        an_order_is_taken_once_and_answered_once,
        cleaning_up_leaves_nothing_and_the_table_as_it_was,
    );
}

async fn an_order_is_taken_once_and_answered_once<L: Laboratory>(laboratory: &L) {
    let engine = laboratory.engine().await;
    engine.make_order_tables().await.expect("the tables can be made");
    let run = format!("run {}", engine.account().await.expect("the account is known"));
    let moment = Moment { run: run.clone(), table: engine.table().into(), ..Moment::default() };
    engine.note_moment(&moment).await.expect("the history can be written");
    assert_eq!(engine.last_run().await.expect("the history can be read"), Some(run.clone()));
    let word = "max-load='a' \\ b";
    let id = engine.give_order(&run, word, false).await.expect("an order can be given");
    let standing = engine.give_order(&run, "throttle", true).await.expect("one more");
    engine.give_order("another run", "panic", false).await.expect("to somebody else");
    let words = |orders: Vec<GivenOrder>| -> Vec<(u64, String)> {
        orders.into_iter().map(|it| (it.id, it.word)).collect()
    };
    let both = vec![(id, word.to_owned()), (standing, "throttle".to_owned())];
    let take = async |begins| words(engine.take_orders(&run, begins).await.expect("orders"));
    assert_eq!(take(false).await, both);
    // The process dies before it answers: the next one takes them again.
    assert_eq!(take(true).await, both);
    let (done, other) = (said(true, "it's \\ done"), said(false, "no"));
    for answer in [&done, &other] {
        engine.answer_order(id, answer).await.expect("an order can be answered");
    }
    let found = engine.order_answer(id).await.expect("an answer can be read");
    assert_eq!(found, Some(done.clone()), "the first answer stays");
    assert_eq!(engine.order_answer(standing).await.expect("the other has none"), None);
    engine.answer_order(standing, &done).await.expect("it can be answered, too");
    assert_eq!(take(false).await, []);
    assert_eq!(take(true).await, [(standing, "throttle".to_owned())], "it stands");
    // What came through another door is on record. The next process obeys what outlives this one.
    for word in ["approve f00d", "workers=2", "postpone"] {
        let given_by = "ann@console".to_owned();
        let noted = NotedOrder { word: word.into(), given_by, answer: said(true, "done") };
        engine.note_order(&run, &noted).await.expect("an order can be noted");
    }
    let refused = NotedOrder {
        word: "approve beef".into(),
        given_by: "eve@console".into(),
        answer: said(false, "no"),
    };
    engine.note_order(&run, &refused).await.expect("so can one that was refused");
    assert_eq!(take(false).await, []);
    let again = engine.take_orders(&run, true).await.expect("orders");
    let again: Vec<(&str, &str, bool, bool)> = again
        .iter()
        .map(|it| (&*it.word, &*it.given_by, it.is_answered, it.is_standing))
        .filter(|it| it.0 != "throttle")
        .collect();
    assert_eq!(
        again,
        [("approve f00d", "ann@console", true, false), ("postpone", "ann@console", true, false)]
    );
}

fn said(is_done: bool, answer: &str) -> OrderAnswer {
    OrderAnswer { is_done, answer: answer.to_owned() }
}

/// A run that has just made its shadow.
struct Run<E: Engine> {
    engine: E,
    stream: E::Stream,
    position: Position,
}

async fn begun<L: Laboratory>(laboratory: &L) -> Run<L::Engine> {
    let (engine, position) = made(laboratory).await;
    let stream = engine.follow(&position).await.expect("the log can be followed");
    Run { engine, stream, position }
}

/// The same before the log is followed.
async fn made<L: Laboratory>(laboratory: &L) -> (L::Engine, Position) {
    let engine = laboratory.engine().await;
    assert_eq!(engine.hold().await.expect("the run lock is free"), Hold::Taken);
    let plan = engine.plan().await.expect("the change can be planned");
    assert!(!plan.is_refused(), "the change must not be refused: {:?}", plan.findings);
    engine.save(&record(Stage::Preparing, None)).await.expect("the record can be saved");
    let position = engine.open_log().await.expect("the log can be opened");
    engine.create().await.expect("the shadow can be made");
    engine
        .save(&record(Stage::Copying, Some(position.clone())))
        .await
        .expect("the record can be saved");
    (engine, position)
}

/// A run that has copied the whole table.
async fn copied<L: Laboratory>(laboratory: &L) -> Run<L::Engine> {
    let run = begun(laboratory).await;
    let whole = Chunk { after: Watermark::Start, through: Watermark::End };
    run.engine.copy(&whole).await.expect("the table can be copied");
    run
}

fn record(stage: Stage, position: Option<Position>) -> Record {
    Record {
        later_statements: Vec::new(),
        run: "conformance".into(),
        alter: "conformance".into(),
        stage,
        watermark: Watermark::Start,
        position,
        rows_copied: 7,
        fingerprint: "f00d".into(),
        terms: Some("rename a=b".into()),
        passed_log: true,
        postponed: false,
        backfills: crate::Backfills::default(),
        rows_estimated: 25,
        started_at_seconds: 1,
        updated_at_seconds: 2,
        holder: "a 'quoted' \\ holder".into(),
        estimate: None,
        restore_point: None,
        is_rehearsal: false,
        reversible: None,
        ended: Some(5),
    }
}

/// Takes the run lock as soon as the server has noticed that the process before is gone.
async fn take_soon<E: Engine>(engine: &E) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Hold::HeldBy(holder) = engine.hold().await.expect("the run lock can be asked for") {
        assert!(Instant::now() < deadline, "a dead process still holds the table: {holder}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything delivered until a mark put there now has passed.
async fn delivered<E: Engine>(engine: &E, stream: &mut E::Stream) -> (HashSet<Key>, Position) {
    let mark = engine.mark().await.expect("a mark can be put");
    let mut keys = HashSet::new();
    loop {
        let Changes { keys: more, position, marker, .. } = next(stream).await;
        keys.extend(more);
        if marker >= mark {
            return (keys, position);
        }
    }
}

async fn next(stream: &mut impl ChangeStream) -> Changes {
    let soon = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    soon.expect("the stream passes a mark soon").expect("the log can be read")
}

/// The keys of rows, as a comparison spells them: found by making the shadow lack them.
async fn keys_lacking<E: Engine>(engine: &E) -> Vec<Key> {
    let whole = Chunk { after: Watermark::Start, through: Watermark::End };
    engine.compare(&whole).await.expect("the tables can be compared").differing
}

fn is_stale<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(Error { kind: Kind::Stale { .. }, .. }))
}

fn rows(ids: impl IntoIterator<Item = u32>) -> BTreeSet<Row> {
    ids.into_iter().map(|id| (id, id, id)).collect()
}

async fn chunks_cover_the_table_and_a_copy_is_what_was_read<L: Laboratory>(laboratory: &L) {
    let run = begun(laboratory).await;
    let mut after = Watermark::Start;
    let mut copied = Vec::new();
    while after != Watermark::End {
        let chunk = run.engine.next_chunk(&after, 10).await.expect("a chunk can be found");
        assert_eq!(chunk.after, after);
        copied.push(run.engine.copy(&chunk).await.expect("a chunk can be copied"));
        after = chunk.through;
    }
    assert_eq!(copied, [10, 10, 5]);
    assert_eq!(laboratory.shadow().await, Some(rows(1..=25)));
}

async fn a_copy_in_whose_way_a_row_is_says_stale_and_leaves_nothing<L: Laboratory>(laboratory: &L) {
    let run = begun(laboratory).await;
    let first = run.engine.next_chunk(&Watermark::Start, 10).await.expect("a chunk can be found");
    run.engine.copy(&first).await.expect("the first chunk can be copied");
    laboratory.write(&[Write::Put((3, 103, 3)), Write::Put((15, 3, 15))]).await;
    let second = run.engine.next_chunk(&first.through, 10).await.expect("a chunk can be found");
    let result = run.engine.copy(&second).await;
    assert!(is_stale(&result), "{result:?}");
    assert_eq!(laboratory.shadow().await, Some(rows(1..=10)));
}

async fn a_refresh_makes_keys_what_the_source_holds_of_them<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    laboratory
        .write(&[
            Write::Put((1, 1, 100)),
            Write::Remove(2),
            Write::Put((30, 30, 30)),
            Write::Move(4, 40),
        ])
        .await;
    laboratory.write(&[Write::Put((31, 31, 31))]).await;
    laboratory.write(&[Write::Remove(31)]).await;
    let (keys, _) = delivered(&run.engine, &mut run.stream).await;
    let keys: Vec<Key> = keys.into_iter().collect();
    for _ in 0..2 {
        run.engine.refresh(&keys, &Watermark::End).await.expect("a refresh may be repeated");
        assert_eq!(laboratory.shadow().await, Some(laboratory.table().await));
    }
}

async fn a_refresh_keeps_to_the_watermark<L: Laboratory>(laboratory: &L) {
    let mut run = begun(laboratory).await;
    let first = run.engine.next_chunk(&Watermark::Start, 10).await.expect("a chunk can be found");
    run.engine.copy(&first).await.expect("the first chunk can be copied");
    laboratory
        .write(&[Write::Put((10, 10, 100)), Write::Put((11, 11, 110)), Write::Put((99, 99, 99))])
        .await;
    let (keys, _) = delivered(&run.engine, &mut run.stream).await;
    let keys: Vec<Key> = keys.into_iter().collect();
    run.engine.refresh(&keys, &first.through).await.expect("keys can be refreshed");
    let mut expected = rows(1..=9);
    expected.insert((10, 10, 100));
    assert_eq!(laboratory.shadow().await, Some(expected));
    run.engine.refresh(&keys, &Watermark::Start).await.expect("keys can be refreshed");
    assert_eq!(laboratory.shadow().await, Some(rows(1..=9)), "nothing lies before the start");
}

async fn a_refresh_lets_rows_swap_unique_values<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    laboratory.write(&[Write::Put((1, 2, 1)), Write::Put((2, 1, 2))]).await;
    laboratory.write(&[Write::Remove(5), Write::Put((6, 5, 6)), Write::Put((50, 6, 50))]).await;
    let (keys, _) = delivered(&run.engine, &mut run.stream).await;
    let keys: Vec<Key> = keys.into_iter().collect();
    run.engine.refresh(&keys, &Watermark::End).await.expect("all of them together do not conflict");
    assert_eq!(laboratory.shadow().await, Some(laboratory.table().await));
}

async fn a_refresh_that_meets_a_stale_row_changes_nothing<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    laboratory.write(&[Write::Put((1, 101, 1))]).await;
    delivered(&run.engine, &mut run.stream).await;
    laboratory.write(&[Write::Put((2, 1, 2))]).await;
    let (keys, _) = delivered(&run.engine, &mut run.stream).await;
    let keys: Vec<Key> = keys.into_iter().collect();
    let result = run.engine.refresh(&keys, &Watermark::End).await;
    assert!(is_stale(&result), "{result:?}");
    assert_eq!(laboratory.shadow().await, Some(rows(1..=25)));
}

async fn what_lies_beyond_the_watermark_is_cleared<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    let first = run.engine.next_chunk(&Watermark::Start, 10).await.expect("a chunk can be found");
    run.engine.clear_beyond(&Watermark::End).await.expect("nothing lies beyond the end");
    assert_eq!(laboratory.shadow().await, Some(rows(1..=25)));
    run.engine.clear_beyond(&first.through).await.expect("the shadow can be cleared");
    assert_eq!(laboratory.shadow().await, Some(rows(1..=10)));
    run.engine.clear().await.expect("the shadow can be cleared");
    assert_eq!(laboratory.shadow().await, Some(rows([])));
}

async fn everything_committed_is_delivered_before_a_later_mark<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    for id in 100..150 {
        laboratory.write(&[Write::Put((id, id, id))]).await;
    }
    let (keys, _) = delivered(&run.engine, &mut run.stream).await;
    assert_eq!(keys.len(), 50);
    let (none, _) = delivered(&run.engine, &mut run.stream).await;
    assert!(none.is_empty(), "a mark passes without anybody's traffic, and brings nothing");
}

async fn a_changed_key_is_two_keys_and_an_unchanged_one_is_one<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    laboratory.write(&[Write::Put((7, 7, 70))]).await;
    assert_eq!(delivered(&run.engine, &mut run.stream).await.0.len(), 1);
    laboratory.write(&[Write::Move(8, 80)]).await;
    assert_eq!(delivered(&run.engine, &mut run.stream).await.0.len(), 2);
}

async fn a_key_is_spelled_alike_in_the_log_and_in_a_comparison<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    laboratory
        .write(&[
            Write::Put((3, 3, 33)),
            Write::Remove(9),
            Write::Put((60, 60, 60)),
            Write::Move(4, 44),
        ])
        .await;
    let (from_the_log, _) = delivered(&run.engine, &mut run.stream).await;
    let compared: HashSet<Key> = keys_lacking(&run.engine).await.into_iter().collect();
    assert_eq!(from_the_log.len(), 5);
    assert_eq!(from_the_log, compared);
}

async fn the_log_can_be_read_again_from_any_delivered_position<L: Laboratory>(laboratory: &L) {
    let mut run = begun(laboratory).await;
    laboratory.write(&[Write::Put((1, 1, 10))]).await;
    let (first, between) = delivered(&run.engine, &mut run.stream).await;
    laboratory.write(&[Write::Put((2, 2, 20))]).await;
    let (second, _) = delivered(&run.engine, &mut run.stream).await;
    drop(run.stream);
    let mut again = run.engine.follow(&between).await.expect("the log can be followed again");
    assert_eq!(delivered(&run.engine, &mut again).await.0, second);
    drop(again);
    let mut again =
        run.engine.follow(&run.position).await.expect("the log can be followed from the start");
    assert_eq!(delivered(&run.engine, &mut again).await.0, first.union(&second).cloned().collect());
}

async fn the_log_begins_with_what_is_committed_after_a_position_of_now<L: Laboratory>(
    laboratory: &L,
) {
    let (engine, _) = made(laboratory).await;
    laboratory.write(&[Write::Put((1, 1, 10))]).await;
    let Some(now) = engine.log_now().await.expect("the log can be asked for its end") else {
        return;
    };
    laboratory.write(&[Write::Put((2, 2, 20))]).await;
    engine.save(&record(Stage::Copying, Some(now.clone()))).await.expect("the record can be saved");
    engine.pass_log(&now).await.expect("the log can be passed over");
    laboratory.write(&[Write::Put((3, 3, 30))]).await;
    let mut stream = engine.follow(&now).await.expect("the log can be followed from there");
    assert_eq!(delivered(&engine, &mut stream).await.0.len(), 2);
}

async fn a_comparison_sees_rows_lost_invented_and_changed<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    assert_eq!(keys_lacking(&run.engine).await, []);
    laboratory.write(&[Write::Put((1, 1, 99)), Write::Remove(2), Write::Put((70, 70, 70))]).await;
    let differing = keys_lacking(&run.engine).await;
    assert_eq!(differing.len(), 3);
    let still: HashSet<Key> =
        run.engine.compare_keys(&differing).await.expect("comparable").into_iter().collect();
    assert_eq!(still, differing.iter().cloned().collect());
    run.engine.refresh(&differing, &Watermark::End).await.expect("keys can be refreshed");
    assert_eq!(run.engine.compare_keys(&differing).await.expect("keys can be compared"), []);
    let first = run.engine.next_chunk(&Watermark::Start, 10).await.expect("a chunk can be found");
    assert_eq!(run.engine.compare(&first).await.expect("a chunk can be compared").rows, 10);
}

async fn duplicates_are_found_only_where_they_are<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    assert_eq!(run.engine.duplicates().await.expect("duplicates can be counted"), []);
}

async fn one_process_holds_the_table<L: Laboratory>(laboratory: &L) {
    let (first, second) = (laboratory.engine().await, laboratory.engine().await);
    assert_eq!(first.hold().await.expect("the run lock is free"), Hold::Taken);
    first.still_held().await.expect("it is still held");
    match second.hold().await.expect("it can be asked for") {
        Hold::HeldBy(holder) => assert!(!holder.is_empty()),
        Hold::Taken => panic!("two processes hold the table"),
    }
    drop(first);
    take_soon(&second).await;
}

async fn the_record_is_what_was_saved<L: Laboratory>(laboratory: &L) {
    let run = begun(laboratory).await;
    let chunk = run.engine.next_chunk(&Watermark::Start, 3).await.expect("a chunk can be found");
    let mut saved = record(Stage::Copying, Some(run.position.clone()));
    saved.watermark = chunk.through;
    run.engine.save(&saved).await.expect("the record can be saved");
    drop(run);
    let another = laboratory.engine().await;
    take_soon(&another).await;
    assert_eq!(another.load().await.expect("the record can be read"), Some(saved));
}

async fn a_lock_that_cannot_be_had_is_given_up_in_time<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    let Some(reader) = laboratory.reader().await else { return };
    let refused =
        tokio::time::timeout(Duration::from_secs(10), run.engine.lock(Duration::from_secs(1)))
            .await;
    match refused.expect("the lock is given up in time") {
        Err(error) => assert_eq!(error.kind, Kind::Busy, "{error}"),
        Ok(_) => panic!("the lock was had although the table was in use"),
    }
    let write = laboratory.write(&[Write::Put((1, 1, 11))]);
    tokio::time::timeout(Duration::from_secs(5), write)
        .await
        .expect("nobody queues behind a lock given up");
    drop(reader);
}

async fn a_released_lock_has_changed_nothing<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    let lock = run.engine.lock(Duration::from_secs(2)).await.expect("the lock can be had");
    lock.release().await.expect("the lock can be let go");
    laboratory.write(&[Write::Put((1, 1, 11))]).await;
    assert_eq!(run.engine.ownership().await.expect("it can be asked"), Ownership::Source);
    let mut expected = rows(2..=25);
    expected.insert((1, 1, 11));
    assert_eq!(laboratory.table().await, expected);
}

async fn a_swap_puts_the_shadow_in_the_source_s_place<L: Laboratory>(laboratory: &L) {
    let mut run = copied(laboratory).await;
    run.engine.complete(false).await.expect("what was left out can be built");
    run.engine.analyze(false).await.expect("the shadow can be analysed");
    laboratory.write(&[Write::Put((1, 1, 11)), Write::Remove(2), Write::Put((77, 77, 77))]).await;
    let before = laboratory.table().await;
    assert_eq!(run.engine.ownership().await.expect("it can be asked"), Ownership::Source);
    let mut lock = run.engine.lock(Duration::from_secs(2)).await.expect("the lock can be had");
    let mark = lock.mark().await.expect("a mark can be put under the lock");
    let mut keys = HashSet::new();
    loop {
        let changes = next(&mut run.stream).await;
        keys.extend(changes.keys);
        if changes.marker >= mark {
            break;
        }
    }
    let keys: Vec<Key> = keys.into_iter().collect();
    lock.refresh(&keys).await.expect("keys can be refreshed under the lock");
    match lock.swap().await {
        Swap::Done => {}
        other => panic!("the swap should have happened: {other:?}"),
    }
    assert_eq!(run.engine.ownership().await.expect("it can be asked"), Ownership::Shadow);
    assert_eq!(laboratory.table().await, before);
    run.engine.finish().await.expect("the run can be finished");
    run.engine.finish().await.expect("and once more, after a crash");
    run.engine.save(&record(Stage::Done, None)).await.expect("the record can be saved");
    laboratory.write(&[Write::Put((1, 1, 12)), Write::Put((200, 200, 200))]).await;
    assert_eq!(laboratory.table().await.len(), before.len() + 1);
    let done = laboratory.engine().await.load().await.expect("the record can be read");
    assert_eq!(done.map(|record| record.stage), Some(Stage::Done));
}

async fn cleaning_up_leaves_nothing_and_the_table_as_it_was<L: Laboratory>(laboratory: &L) {
    let run = copied(laboratory).await;
    assert!(!run.engine.leftovers().await.expect("leftovers can be listed").is_empty());
    drop(run);
    let engine = laboratory.engine().await;
    take_soon(&engine).await;
    engine.cleanup(true).await.expect("what is left can be dropped");
    engine.cleanup(true).await.expect("and dropping nothing is no error");
    assert_eq!(engine.leftovers().await.expect("leftovers can be listed"), []);
    assert_eq!(engine.load().await.expect("the record can be read"), None);
    assert_eq!(laboratory.shadow().await, None);
    assert_eq!(laboratory.table().await, rows(1..=25));
}
