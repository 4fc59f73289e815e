//! What the mapping of the way back has beside its columns. Pure.

use crate::schema::pair::Pair;
use crate::schema::table::Column;
use crate::server::names::TableName;

/// What only the mapping of the way back has.
#[derive(Clone, Debug)]
pub(crate) struct Reverse {
    /// The change's own pairs of columns: the old table's, then the altered one's.
    pub compared: Vec<Pair>,
    /// Columns that only the old table has. Its rows keep their values.
    pub lost: Vec<String>,
    /// Columns of the old table that its rows can be written with.
    pub written: Vec<Column>,
    /// Expressions for some of the lost columns in new rows.
    pub sets: Vec<(String, String)>,
    /// Other unique indexes of the old table: the name, and how its columns come from the altered
    /// table's.
    pub unique: Vec<(String, Vec<Pair>)>,
    /// The key's columns, as the altered table has them.
    pub key: Vec<Column>,
    /// The table of misfits.
    pub misfits: TableName,
    /// A temporary table for rows of the old table while they are written again.
    pub stash: TableName,
    /// The columns of the altered table.
    pub altered: Vec<Column>,
    /// A temporary table for rows of the altered table, all as they are at one moment.
    pub rows: TableName,
}
