//! Plans as SARIF 2.1.0, which code scanning services read.

use crate::interface::plan::Judged;
use altergeist::contract::{Code, Finding, Severity};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn render(judged: &[Judged]) -> String {
    let codes: BTreeSet<Code> =
        judged.iter().flat_map(|it| &it.plan.findings).map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            let page = format!("docs/reference/findings/{}.md", code.name());
            json!({ "id": code.name(), "help": { "text": format!("See {page} of altergeist.") } })
        })
        .collect();
    let results: Vec<Value> = judged
        .iter()
        .flat_map(|it| it.findings().into_iter().map(|finding| result(it, finding)))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "altergeist",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "results": results,
        }],
    })
    .to_string()
}

fn result(judged: &Judged, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let text = match finding.remedy.as_str() {
        "" => finding.to_string(),
        remedy => format!("{finding}. {remedy}"),
    };
    let table = json!([{ "fullyQualifiedName": judged.plan.table, "kind": "type" }]);
    let mut location = json!({ "logicalLocations": table });
    if let Some(place) = &judged.place {
        location["physicalLocation"] = json!({
            "artifactLocation": { "uri": place.file },
            "region": { "startLine": place.line },
        });
    }
    json!({
        "ruleId": finding.code.name(),
        "level": level,
        "message": { "text": text },
        "locations": [location],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;

    #[test]
    fn each_finding_is_a_result_with_a_rule_and_a_place() {
        let said: Value = serde_json::from_str(&render(&[example()])).expect("it is JSON");
        let run = &said["runs"][0];
        assert_eq!(run["results"].as_array().map(Vec::len), Some(3));
        assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(3));
        let first = &run["results"][0];
        assert_eq!(first["ruleId"], "unique-duplicates");
        assert_eq!(first["level"], "error");
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "db/1.sql");
        assert_eq!(place["region"]["startLine"], 7);
    }
}
