//! How fast: what makes a run wait, how large a chunk is, and how much is done at once.

pub mod cadence;
pub mod chunk_size;
pub mod concurrency;
pub mod estimate;
pub mod lag;
pub mod load;
pub mod load_factor;
pub mod own_signals;
pub mod replica_window;
pub mod signal;
pub mod signals;
pub mod skip_unchanged;
pub mod stream_lag;
pub mod throttle;
