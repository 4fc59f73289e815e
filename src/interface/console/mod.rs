//! The console: a run is watched and steered with psql, or with any other client of PostgreSQL, for
//! every kind of server. It looks and orders; it runs no SQL.

mod address;
mod cell;
mod diary;
mod driver;
mod fields;
mod handlers;
mod help;
mod kept;
mod lexer;
mod listen;
mod message;
mod parser;
mod refusal;
mod rows;
mod select;
mod session;
mod statement;
mod talk;
mod throttle;
mod tls;
mod users;
mod view;

pub use address::Address;
pub use diary::Diary;
pub use listen::{Listening, listen};
pub use session::Room;
pub use tls::Tls;
pub use users::{Users, verifier};
