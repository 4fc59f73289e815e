//! What an approval is bound to: the same change of the same table on the same kind of server.

use altergeist_contract::{Plan, Verdict};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How many bytes of the digest are kept. Nobody finds another plan with the same ones.
const BYTES: usize = 16;

/// Returns 32 hexadecimal digits that change with the server's major version, the definition before
/// and after, the clauses, the options that decide about rows, and the steps. Rows, sizes and
/// findings do not count.
pub fn fingerprint(plan: &Plan) -> String {
    let way = match &plan.verdict {
        Verdict::Native(statement) => statement,
        Verdict::Online => "online",
        Verdict::Copy => "copy",
    };
    let mut digest = Sha256::new();
    let parts = [
        &plan.server,
        &plan.table,
        &plan.alter,
        &plan.terms,
        way,
        &plan.key,
        &plan.definition_before,
        &plan.definition_after,
    ];
    let steps = plan.steps.iter().map(|step| step.statement.as_str());
    for part in parts.into_iter().chain(steps) {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(BYTES).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist_contract::{Code, Finding};

    fn plan() -> Plan {
        Plan { table: "a".into(), alter: "bc".into(), ..Plan::default() }
    }

    #[test]
    fn another_change_has_another_fingerprint() {
        let shifted = Plan { table: "ab".into(), alter: "c".into(), ..Plan::default() };
        assert_ne!(fingerprint(&plan()), fingerprint(&shifted));
        let elsewhere = Plan { server: "MySQL 9".into(), ..plan() };
        assert_ne!(fingerprint(&plan()), fingerprint(&elsewhere));
        let rounding = Plan { terms: "allow-rounding".into(), ..plan() };
        assert_ne!(fingerprint(&plan()), fingerprint(&rounding));
    }

    #[test]
    fn more_rows_are_the_same_change() {
        let findings = vec![Finding::note(Code::Other, "grown")];
        let grown = Plan { rows_estimated: 5, findings, ..plan() };
        assert_eq!(fingerprint(&plan()), fingerprint(&grown));
    }
}
