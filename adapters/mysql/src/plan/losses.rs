//! Counts, for `plan`, the rows that lose something by a change of type.

use crate::change::Change;
use crate::schema::columns::Shape;
use crate::schema::rounding::{Loss, loss};
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Refusal, Result};

/// Returns what is refused, and what is only noted because rounding is allowed.
pub(crate) async fn look_for_losses(
    change: &Change,
    session: &mut Session,
    shape: &Shape,
) -> Result<(Vec<Refusal>, Vec<String>)> {
    let (mut refusals, mut notes) = (Vec::new(), Vec::new());
    for pair in shape.columns.iter().filter(|pair| !pair.source.is_alike(&pair.shadow)) {
        let Some(loss) = loss(pair, change.server.version.flavour) else { continue };
        let attempted = || {
            change.doing(&format!(
                "count values of column {} that lose something in",
                pair.source.name
            ))
        };
        let (Loss::Rounded(condition) | Loss::Refused(condition)) = &loss;
        let query = sql::catalogue::count_where(&change.source, condition);
        let rows = session.text(&query).await.doing(attempted)?;
        let rows: u64 = rows
            .parse()
            .map_err(|_| Error::fatal(attempted(), "the server does not count them"))?;
        if rows == 0 {
            continue;
        }
        let object = format!("column {}", pair.source.name);
        let (from, into) = (&pair.source.column_type, &pair.shadow.column_type);
        match loss {
            Loss::Rounded(_) if change.target.allow_rounding => {
                notes.push(format!(
                    "{object}: {rows} rows lose digits or the time of day: {from} becomes {into}"
                ));
            }
            Loss::Rounded(_) => refusals.push(Refusal {
                object,
                reason: format!(
                    "{rows} rows would lose digits or the time of day: {from} becomes {into}"
                ),
                remedy: "keep a type that holds them, or allow it with --allow-rounding".into(),
            }),
            Loss::Refused(_) => refusals.push(Refusal {
                object,
                reason: format!(
                    "{rows} rows hold a number that the server does not accept as {into}"
                ),
                remedy: "give them a date of eight digits first (20240131), or NULL".into(),
            }),
        }
    }
    Ok((refusals, notes))
}
