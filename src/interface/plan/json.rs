//! A plan as one JSON object. `docs/reference/plan-json.md` describes its fields.

use crate::interface::plan::Judged;
use altergeist::contract::Severity;
use altergeist::gate::fingerprint;
use serde_json::{Value, json};

/// Grows when a field changes its meaning or goes away.
const FORMAT_VERSION: u32 = 1;

pub(super) fn render(judged: &Judged) -> String {
    let plan = &judged.plan;
    let of = |severity| judged.findings().into_iter().filter(move |it| it.severity == severity);
    let refusals: Vec<Value> = of(Severity::Error)
        .map(|it| json!({ "object": it.object, "reason": it.message, "remedy": it.remedy }))
        .collect();
    let notes: Vec<String> = of(Severity::Note).map(ToString::to_string).collect();
    // A statement that was not planned, or only looked at, has no way to be carried out.
    let is_planned = !plan.server.is_empty();
    let place =
        judged.place.as_ref().map(|place| json!({ "file": place.file, "line": place.line }));
    json!({
        "format_version": FORMAT_VERSION,
        "fingerprint": is_planned.then(|| fingerprint(plan)),
        "table": plan.table,
        "alter": plan.alter,
        "terms": plan.terms,
        "place": place,
        "server": plan.server,
        "verdict": is_planned.then_some(&plan.verdict),
        "key": plan.key,
        "rows_estimated": plan.rows_estimated,
        "bytes_estimated": plan.bytes_estimated,
        "estimate": plan.estimate,
        "cost": plan.cost,
        "steps": plan.steps,
        "findings": judged.findings(),
        "known_findings": judged.known,
        "refusals": refusals,
        "notes": notes,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;

    #[test]
    fn a_script_finds_the_codes_the_refusals_and_the_notes() {
        let said: Value = serde_json::from_str(&render(&example())).expect("it is JSON");
        assert_eq!(said["format_version"], 1);
        assert_eq!(said["findings"][0]["code"], "unique-duplicates");
        assert_eq!(said["findings"][0]["severity"], "error");
        assert_eq!(said["findings"][0]["count"], 3);
        assert_eq!(said["refusals"][0]["object"], "unique index mail");
        assert_eq!(said["notes"][0], "the old table stays as shop._orders_ag_old");
        assert_eq!(said["place"]["line"], 7);
        assert_eq!(said["fingerprint"].as_str().map(str::len), Some(32));
    }
}
