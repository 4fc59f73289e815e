//! Which transactions every later read sees (law 1). The log sends a transaction before it is
//! visible. The gap lasts as long as the commit, or until a standby acknowledges it. Pure.

/// A snapshot of the primary: the transactions that had ended when it was taken. An ended one stays
/// ended.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    /// Every transaction before this one had ended.
    pub(crate) all_before: u64,
    /// The first transaction after all that had ended.
    pub(crate) none_from: u64,
    running: Vec<u64>,
}

impl Snapshot {
    /// Reads the server's spelling: `xmin:xmax:xip,xip`.
    pub(crate) fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.splitn(3, ':');
        let all_before = parts.next()?.parse().ok()?;
        let none_from = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        let running = running.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Snapshot { all_before, none_from, running })
    }

    /// Whether a transaction had ended. The log has 32 bits of its number.
    pub(crate) fn sees(&self, xid: u32) -> bool {
        let xid = self.widen(xid);
        xid < self.all_before || (xid < self.none_from && !self.running.contains(&xid))
    }

    /// Returns the nearest transaction with these low bits. A transaction in the log is never 2³¹
    /// away.
    fn widen(&self, xid: u32) -> u64 {
        #[allow(clippy::cast_possible_truncation)] // The low bits are what is wanted.
        let distance = xid.wrapping_sub(self.none_from as u32).cast_signed();
        self.none_from.saturating_add_signed(distance.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_transaction_is_not_seen_and_its_neighbours_are() {
        let snapshot = Snapshot::parse("10:15:10,12").unwrap();
        let seen: Vec<u32> = (8..18).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 11, 13, 14]);
    }

    #[test]
    fn the_epoch_is_that_of_the_nearest_transaction() {
        let epoch = 3_u64 << 32;
        let snapshot = Snapshot::parse(&format!("{}:{}:", epoch - 2, epoch + 2)).unwrap();
        assert!(snapshot.sees(u32::MAX - 2));
        assert!(snapshot.sees(1));
        assert!(!snapshot.sees(2));
        assert!(!snapshot.sees(90));
    }

    #[test]
    fn what_is_no_snapshot_is_none() {
        assert_eq!(Snapshot::parse("10:x:"), None);
        assert_eq!(Snapshot::parse("10"), None);
    }
}
