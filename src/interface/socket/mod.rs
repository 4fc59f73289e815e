//! The sockets that steer a run: lines in, text out, with the words that DBAs' scripts already use.
//! A Unix socket by default, a TCP port beside it with `--serve-tcp`.

mod ask;
pub mod connections;
mod conversation;
mod place;
mod tcp;
mod token;
mod unix;

pub use ask::ask;
pub use conversation::{LINE_BYTES_MAX, Steering, answer, carry_out, note, tell};
pub use place::{default_path, only_one};
pub use tcp::{ListeningTcp, listen_tcp};
pub use token::Token;
pub use unix::{Listening, listen, lock_folder, name_of};
