//! Quotes names and texts.

/// The one function that quotes identifiers: always in double quotes unless it is plainly not
/// needed.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_keyword(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name with its schema.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// A literal of the given text.
pub(crate) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// Words that cannot stand as a name without quotes, or not everywhere.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = " all analyse analyze and any array as asc asymmetric authorization \
                            between bigint binary bit boolean both case cast char character check \
                            coalesce collate collation column concurrently constraint create cross \
                            current_catalog current_date current_role current_schema current_time \
                            current_timestamp current_user dec decimal default deferrable desc \
                            distinct do else end except exists extract false fetch float for \
                            foreign freeze from full grant greatest group grouping having ilike in \
                            initially inner inout int integer intersect interval into is isnull \
                            join json json_array json_arrayagg json_exists json_object \
                            json_objectagg json_query json_scalar json_serialize json_table \
                            json_value lateral leading least left like limit localtime \
                            localtimestamp merge_action national natural nchar none normalize not \
                            notnull null nullif numeric offset on only or order out outer overlaps \
                            overlay placing position precision primary real references returning \
                            right row select session_user setof similar smallint some substring \
                            symmetric system_user table tablesample then time timestamp to \
                            trailing treat trim true union unique user using values varchar \
                            variadic verbose when where window with xmlattributes xmlconcat \
                            xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
                            xmlserialize xmltable ";
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}
