//! What the change loses without an error: values of dropped columns, digits, time zones. And what
//! an undo could not bring back.

use crate::change::Change;
use crate::plan::row_counts::{self, RowCounts};
use crate::plan::survey::Survey;
use crate::schema::altered::{ColumnChanges, Conversion};
use crate::schema::catalogue;
use crate::schema::definition::Attribute;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};
use tokio_postgres::types::Type;

/// How a conversion can be judged.
enum Judgement {
    /// It keeps every value, or fails.
    Faithful,
    /// The values that meet this condition lose something.
    Counted(String),
    /// The server cannot convert it back.
    OneWay,
}

/// Returns warnings about values that the change loses. `converts` says that every value fits its
/// new type.
pub(crate) async fn find(
    session: &Session,
    change: &Change,
    survey: &Survey,
    converts: bool,
) -> Result<Vec<Finding>> {
    let Some(altered) = &survey.altered else { return Ok(Vec::new()) };
    let changes = &altered.changes;
    let (table, alias) = (change.names.source(), quote::quoted(&change.names.table));
    let dropped: Vec<&Attribute> =
        changes.dropped.iter().filter(|column| !column.generated).collect();
    let mut findings = time_zones(session, &changes.conversions).await?;
    // Without a copy there is no undo.
    let is_copy = !survey.is_native && survey.online_steps.is_none();
    let mut conditions: Vec<String> = dropped
        .iter()
        .map(|column| sql::is_present(&format!("{alias}.{}", quote::quoted(&column.name))))
        .collect();
    let mut counted = Vec::new();
    for conversion in changes.conversions.iter().filter(|_| converts) {
        match judge(session, (&table, &alias), conversion).await? {
            Judgement::Faithful => {}
            Judgement::Counted(condition) => {
                conditions.push(condition);
                counted.push(conversion);
            }
            Judgement::OneWay => findings.extend(is_copy.then(|| one_way(conversion))),
        }
    }
    let source = catalogue::source(session, &change.names).await?;
    let counts =
        row_counts::count(session, change.target.look, source, (&table, &alias), &conditions)
            .await?;
    for (nth, column) in dropped.iter().enumerate() {
        findings.extend(drops_data(change, survey, column, &counts, nth));
        findings.extend(match still_read(survey, column) {
            Some(finding) => Some(finding),
            None => rename_lost(changes, column, counts.counts[nth]),
        });
    }
    for (nth, conversion) in counted.iter().enumerate() {
        findings.extend(lossy(conversion, &counts, dropped.len() + nth));
    }
    if is_copy {
        findings.extend(dropped.iter().filter_map(|column| without_default(column)));
    }
    Ok(findings)
}

async fn judge(
    session: &Session,
    (table, alias): (&str, &str),
    conversion: &Conversion,
) -> Result<Judgement> {
    if conversion.is_computed {
        return Ok(Judgement::OneWay);
    }
    if conversion.is_safe {
        return Ok(Judgement::Faithful);
    }
    let (value, from, to) = (&conversion.value, &conversion.from, &conversion.to);
    for as_text in [false, true] {
        let condition = sql::is_lossy(value, from, to, as_text);
        let trial = sql::try_condition(table, alias, &condition);
        match session.one(&trial, &[]).await {
            Ok(_) if is_spelling_only(conversion) => return Ok(Judgement::Faithful),
            Ok(_) => return Ok(Judgement::Counted(condition)),
            Err(error) if error::is_of_statement(&error) => {}
            Err(error) => return Err(error::of(format!("count rows of {table}"), &error)),
        }
    }
    Ok(Judgement::OneWay)
}

/// Whether values differ after a way forth and back only because the server spells them its own
/// way.
fn is_spelling_only(conversion: &Conversion) -> bool {
    let is = |oid: u32, types: &[Type]| types.iter().any(|known| known.oid() == oid);
    let texts = [Type::TEXT, Type::VARCHAR, Type::BPCHAR];
    let numbers = [Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC, Type::FLOAT4, Type::FLOAT8];
    let to = conversion.to_type.0;
    is(to, &[Type::JSON, Type::JSONB])
        || is(conversion.from_type.0, &texts) && !is(to, &numbers) && !is(to, &texts)
}

/// Warns of conversions that read or drop a time zone: the session's decides.
async fn time_zones(session: &Session, conversions: &[Conversion]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let zone = session.one(sql::TIME_ZONE, &[]).await.doing("ask for the time zone")?;
    let zone: String = zone.get(0);
    let is = |oid: u32, types: &[Type]| types.iter().any(|known| known.oid() == oid);
    let without = |oid| is(oid, &[Type::TIMESTAMP, Type::DATE, Type::TIME]);
    let with = |oid| is(oid, &[Type::TIMESTAMPTZ, Type::TIMETZ]);
    for conversion in conversions.iter().filter(|conversion| !conversion.is_computed) {
        let (from, to) = (conversion.from_type.0, conversion.to_type.0);
        if without(from) && with(to) || with(from) && without(to) {
            let column = quote::quoted(&conversion.source);
            let message = format!(
                "the server converts {} to {} in the time zone of the session, {zone}",
                conversion.from, conversion.to
            );
            let to = &conversion.to;
            let remedy = format!("name the zone: TYPE {to} USING {column} AT TIME ZONE 'UTC'");
            let object = object(&conversion.source);
            findings.push(Finding::warning(Code::ValueLossy, object, message, remedy));
        }
    }
    Ok(findings)
}

fn object(column: &str) -> String {
    format!("column {column}")
}

fn drops_data(
    change: &Change,
    survey: &Survey,
    column: &Attribute,
    counts: &RowCounts,
    nth: usize,
) -> Option<Finding> {
    let count = counts.counts[nth];
    let remedy = match survey.is_native || survey.online_steps.is_some() {
        true => format!(
            "save them first: CREATE TABLE … AS SELECT …, {} FROM {}",
            quote::quoted(&column.name),
            change.names.source()
        ),
        false => format!(
            "drop it once nothing reads it; the old table {} holds the values until you drop it",
            change.names.old()
        ),
    };
    let message = match (count, counts.percent) {
        (0, 100) => return None,
        (0, percent) => {
            let message =
                format!("the change drops it; the first {percent} % of the table hold no value");
            return Some(Finding::note(Code::DropsData, message).about(object(&column.name)));
        }
        _ => format!("the change drops it, and {} hold a value in it", counts.words(nth)),
    };
    Some(Finding::warning(Code::DropsData, object(&column.name), message, remedy).count(count))
}

/// Warns if --set reads a column that the change drops: nobody can compute the new column again.
fn still_read(survey: &Survey, column: &Attribute) -> Option<Finding> {
    let (_, computed) = survey.set_reads.iter().find(|(read, _)| *read == column.name)?;
    let message = format!(
        "the change drops it, and --set computes column {computed} from it: nobody can compute \
         that again"
    );
    let remedy = format!("keep it for now: --hold {}", quote::quoted(&column.name));
    Some(Finding::warning(Code::ContractTooEarly, object(&column.name), message, remedy))
}

/// Warns if a dropped column and a new one may be the same column under two names, or if a column
/// with values goes in the same change that adds others.
fn rename_lost(changes: &ColumnChanges, column: &Attribute, count: u64) -> Option<Finding> {
    if count == 0 {
        return None;
    }
    let alike = changes.created.iter().find(|(_, type_name)| *type_name == column.type_name);
    let old = quote::quoted(&column.name);
    match (alike, changes.created.first()) {
        (Some((new, type_name)), _) => Some(Finding::warning(
            Code::RenameLost,
            object(&column.name),
            format!(
                "the change drops it, and adds column {new} of the same type ({type_name}) \
                 without its values"
            ),
            format!("if it is a new name: RENAME COLUMN {old} TO {}", quote::quoted(new)),
        )),
        (None, Some((new, _))) => Some(Finding::warning(
            Code::ContractTooEarly,
            object(&column.name),
            format!(
                "the change drops it at the moment when it adds column {new}: a version of the \
                 application that still reads it fails"
            ),
            format!("keep it for now: --hold {old}"),
        )),
        (None, None) => None,
    }
}

fn lossy(conversion: &Conversion, counts: &RowCounts, nth: usize) -> Option<Finding> {
    let count = counts.counts[nth];
    if count == 0 {
        return None;
    }
    let message = format!(
        "{} hold a value that {} cannot hold exactly ({} now)",
        counts.words(nth),
        conversion.to,
        conversion.from
    );
    let remedy = "choose a type that holds them, or write a USING that says how to round";
    Some(
        Finding::warning(Code::ValueLossy, object(&conversion.source), message, remedy)
            .count(count),
    )
}

fn one_way(conversion: &Conversion) -> Finding {
    let message = match conversion.is_computed {
        true => format!(
            "an expression computes it; an undo would have to compute {} from {}",
            conversion.from, conversion.to
        ),
        false => format!(
            "the server converts {} to {}, and not back: an undo could not keep rows written later",
            conversion.from, conversion.to
        ),
    };
    Finding::note(Code::NotRevertible, message).about(object(&conversion.source))
}

fn without_default(column: &Attribute) -> Option<Finding> {
    let has_none = column.not_null && column.default.is_none() && !column.identity;
    has_none.then(|| {
        let message = "it is NOT NULL without a default: an undo has no value for rows written \
                       after the swap";
        Finding::note(Code::NotRevertible, message).about(object(&column.name))
    })
}
