//! All SQL, whole and readable as SQL.

pub(crate) mod backfill;
pub(crate) mod catalogue;
pub(crate) mod clauses;
pub(crate) mod compare;
pub(crate) mod computed;
pub(crate) mod counts;
pub(crate) mod cutover;
pub(crate) mod ddl;
pub(crate) mod documents;
pub(crate) mod journal;
pub(crate) mod log;
pub(crate) mod order_table;
pub(crate) mod quote;
pub(crate) mod reversal;
pub(crate) mod rows;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod triggers;
pub(crate) mod turn;

pub(crate) use quote::{is_signed, quote, sign, string, table};
