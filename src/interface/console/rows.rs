//! Rows as the library of the protocol wants them.

use crate::interface::console::cell::{Cell, Column, Kind};
use bytes::BytesMut;
use futures_util::stream;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Tag};
use pgwire::messages::data::DataRow;
use std::sync::Arc;

/// The tag of an answer without rows.
pub fn tag(text: &str) -> Tag {
    Tag::new(text)
}

/// The fields of columns, in the formats that a client asked for.
pub fn fields(columns: &[Column], format: &Format) -> Vec<FieldInfo> {
    let field = |(nth, column): (usize, &Column)| {
        let (kind, size) = match column.kind {
            Kind::Text => (Type::TEXT, -1),
            Kind::Int => (Type::INT8, 8),
            Kind::Float => (Type::FLOAT8, 8),
            Kind::Bool => (Type::BOOL, 1),
            Kind::Time => (Type::TIMESTAMPTZ, 8),
        };
        let name = column.name.clone().into_owned();
        FieldInfo::new(name, None, None, kind, format_of(format, nth)).with_type_size(size)
    };
    columns.iter().enumerate().map(field).collect()
}

/// The format of a column. A client that names too few formats gets text.
fn format_of(format: &Format, nth: usize) -> FieldFormat {
    match format {
        Format::UnifiedText => FieldFormat::Text,
        Format::UnifiedBinary => FieldFormat::Binary,
        Format::Individual(codes) => {
            codes.get(nth).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
        }
    }
}

/// Rows, ready to be sent.
pub fn response(columns: &[Column], rows: &[Vec<Cell>], format: &Format) -> QueryResponse {
    let fields = fields(columns, format);
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut data = BytesMut::new();
            for (cell, field) in row.iter().zip(&fields) {
                cell.write(field.format() == FieldFormat::Binary, &mut data);
            }
            Ok(DataRow::new(data, i16::try_from(row.len()).unwrap_or(i16::MAX)))
        })
        .collect();
    QueryResponse::new(Arc::new(fields), stream::iter(rows))
}
