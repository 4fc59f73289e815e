//! A table, an application that writes to it, and a row check that knows what must be in it.
//!
//! Every writer connection owns a part of the table: nobody else changes those rows. So it can
//! remember what each row it touched must be, whatever happens to its connection, and afterwards
//! the table must be exactly that, and every row nobody touched what it was loaded as. Nothing in
//! here knows that the table is being altered.

mod kind;
mod model;
mod report;
mod row_check;
mod table;
mod writers;

pub use kind::{Kind, Mix};
pub use report::{Completion, Failed, Report};
pub use row_check::{Proof, RowCheck, differences};
pub use table::{COLUMNS, Table};
pub use writers::Writers;
