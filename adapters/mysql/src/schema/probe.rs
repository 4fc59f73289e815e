//! Asks the server which type the values of an expression have. No row is read.

use crate::schema::computed::{self, Computed, VALUE};
use crate::schema::functions;
use crate::schema::table::Column;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{ColumnSet, Finding, Result};
use mysql_async::Column as Described;
use mysql_async::consts::{ColumnFlags, ColumnType};

/// The collation id of bytes.
const BINARY: u16 = 63;

/// Reads every `--set`, or says why one of them cannot be computed.
pub(crate) async fn read(
    session: &mut Session,
    source: &TableName,
    modes: &str,
    sets: &[ColumnSet],
) -> Result<std::result::Result<Vec<Computed>, Finding>> {
    let mut all: Vec<Computed> = Vec::new();
    for (nth, set) in sets.iter().enumerate() {
        let calls = computed::name_of(&set.column)
            .and_then(|name| Ok((computed::check(&name, &set.expression, modes)?, name)));
        let (calls, name) = match calls {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if all.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            return Ok(Err(computed::rejected(&name, "another --set computes the same column")));
        }
        let loaded = match functions::judge(session, &name, &calls).await? {
            Ok(loaded) => loaded,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let expression = format!("({}\n)", set.expression);
        let described = session.described(&sql::computed::describe(source, &expression)).await;
        let described = match described {
            Ok(described) => described,
            Err(failure) if failure.ends_session() => {
                return Err(failure.of_catalogue("read --set"));
            }
            Err(failure) => {
                let qualified = functions::qualified(session, &calls).await?;
                return Ok(Err(not_accepted(&name, failure, qualified)));
            }
        };
        let Some(described) = described else { continue };
        let (value, by_text) = column(&described, format!("{VALUE}{nth}"));
        all.push(Computed { name, expression, value, by_text, loaded });
    }
    Ok(Ok(all))
}

fn not_accepted(name: &str, failure: Failure, qualified: Option<String>) -> Finding {
    let words = failure.of_clauses("read --set").reason;
    let refusal = computed::rejected(name, format!("the server refuses it: {words}"));
    match qualified {
        Some(call) => {
            let remedy = format!("write the stored function with its schema: {call}");
            Finding { remedy, ..refusal }
        }
        None => refusal,
    }
}

/// Returns the value as a column, and whether its text must be copied.
fn column(described: &Described, name: String) -> (Column, bool) {
    let flags = described.flags();
    let decimals = described.decimals().min(30);
    let fraction = if decimals > 6 { 0 } else { decimals };
    let unsigned = if flags.contains(ColumnFlags::UNSIGNED_FLAG) { " unsigned" } else { "" };
    let is_member = flags.intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG);
    let (data_type, column_type) = match described.column_type() {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG => ("bigint", format!("bigint{unsigned}")),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
            ("decimal", format!("decimal(65,{decimals})"))
        }
        ColumnType::MYSQL_TYPE_FLOAT => ("float", "float".into()),
        ColumnType::MYSQL_TYPE_DOUBLE => ("double", "double".into()),
        ColumnType::MYSQL_TYPE_YEAR => ("year", "year".into()),
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => ("date", "date".into()),
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => {
            ("datetime", format!("datetime({fraction})"))
        }
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => {
            ("timestamp", format!("timestamp({fraction})"))
        }
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => {
            ("time", format!("time({fraction})"))
        }
        ColumnType::MYSQL_TYPE_BIT => ("bit", "bit(64)".into()),
        ColumnType::MYSQL_TYPE_JSON => ("json", "json".into()),
        ColumnType::MYSQL_TYPE_GEOMETRY => ("geometry", "geometry".into()),
        _ if described.character_set() == BINARY && !is_member => ("longblob", "longblob".into()),
        _ => ("longtext", "longtext".into()),
    };
    // The connection's character set is told, and not the value's: it is like no column's.
    let charset = if data_type == "longtext" { "unknown" } else { "" };
    let column = Column {
        name,
        data_type: data_type.into(),
        column_type,
        charset: charset.into(),
        nullable: true,
        ..Column::default()
    };
    (column, is_member)
}
