//! Refuses flags that only MySQL and MariaDB know. A user who sets one expects an effect.

use altergeist_contract::{Code, Finding, Target};

/// Returns refusals for such flags.
pub(crate) fn refuse_others_flags(target: &Target) -> Vec<Finding> {
    let given = [
        ("--allow-zero-dates", target.allow_zero_dates, "PostgreSQL has no zero dates"),
        (
            "--allow-rounding",
            target.allow_rounding,
            "values become what the server's own ALTER TABLE makes of them",
        ),
        (
            "--allow-replica",
            target.allow_replica,
            "a standby takes no writes, and a subscriber's tables are checked one by one",
        ),
    ];
    let refused = given.into_iter().filter(|(_, is_given, _)| *is_given);
    refused
        .map(|(flag, _, why)| {
            Finding::error(
                Code::Option,
                flag.to_owned(),
                format!("only MySQL and MariaDB know it; {why}"),
                "leave it out",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flags_that_were_given_are_refused() {
        assert!(refuse_others_flags(&Target::default()).is_empty());
        let target = Target {
            allow_zero_dates: true,
            allow_rounding: true,
            allow_replica: true,
            ..Target::default()
        };
        let objects: Vec<_> =
            refuse_others_flags(&target).into_iter().map(|refusal| refusal.object).collect();
        assert_eq!(objects, ["--allow-zero-dates", "--allow-rounding", "--allow-replica"]);
    }
}
