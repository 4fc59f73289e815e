//! Refuses flags that have a meaning on PostgreSQL only: the user expects something of them.

use altergeist_contract::{Code, Finding, Target};

/// Refuses the flags that this engine does not know.
pub(crate) fn refuse_postgres_flags(target: &Target) -> Vec<Finding> {
    let given = [
        (
            "--order-by",
            target.order_by.is_some(),
            "InnoDB stores rows in the order of the primary key",
        ),
        ("--capture poll", target.poll_log, "the binary log is always streamed"),
        ("--create", target.create.is_some(), "say it in --alter"),
        (
            "--wait-old-snapshots",
            target.wait_old_snapshots.is_some(),
            "readers wait at the lock anyway",
        ),
    ];
    let refused = given.into_iter().filter(|(_, is_given, _)| *is_given);
    refused
        .map(|(flag, _, why)| {
            Finding::error(
                Code::Option,
                flag,
                format!("it is for PostgreSQL only: {why}"),
                "leave it out",
            )
        })
        .collect()
}
