//! Says how much disk and log a copy takes, and warns if the disk has less.

use crate::change::Change;
use crate::plan::steps::TableFacts;
use crate::server::session::{Session, number, text};
use crate::sql;
use altergeist_contract::{Code, Finding};

/// Returns what the plan says of the space.
pub(crate) async fn space_notes(
    change: &Change,
    session: &mut Session,
    facts: &TableFacts,
) -> Vec<Finding> {
    let needed = facts.bytes;
    let log = format!("the binary log grows by about {}", size(needed));
    let free = free_bytes(session).await;
    let disk = match free {
        Some((path, free)) if free < needed.saturating_mul(2) => Finding::warning(
            Code::DiskSpace,
            format!("disk {path}"),
            format!(
                "it has {} free, and the shadow and the binary log take about {}",
                size(free),
                size(needed.saturating_mul(2))
            ),
            "make room on the server first",
        ),
        Some((path, free)) => Finding::note(
            Code::DiskSpace,
            format!("the shadow takes about {}, and {path} has {} free", size(needed), size(free)),
        ),
        None => Finding::note(
            Code::DiskSpace,
            format!(
                "the shadow takes about {} beside {}, and the server does not say how much is free",
                size(needed),
                change.title
            ),
        ),
    };
    vec![disk, Finding::note(Code::LogVolume, log)]
}

/// Returns the disk of the server's data and its free bytes. MariaDB tells them with its plugin
/// DISKS.
async fn free_bytes(session: &mut Session) -> Option<(String, u64)> {
    let row = session.row(sql::catalogue::FREE_DISK).await.ok()??;
    Some((text(row.first()?), number(row.get(1)?)?))
}

fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB")];
    let unit = units.into_iter().find(|(bits, _)| bytes >> bits > 0);
    match unit {
        Some((bits, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << bits) as f64),
        None => format!("{} KiB", bytes.div_ceil(1024)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        assert_eq!(size(16_384), "16 KiB");
        assert_eq!(size(3 << 20), "3.0 MiB");
        assert_eq!(size(5 << 29), "2.5 GiB");
    }
}
