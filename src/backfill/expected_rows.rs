//! How many rows the operator expects a backfill to change: `120000±5%`. Pure.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A number of rows, and how far the count may be from it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ExpectedRows {
    rows: u64,
    percent: f64,
}

impl ExpectedRows {
    /// The counts that it allows.
    pub fn allowed(&self) -> RangeInclusive<u64> {
        let off = (self.rows as f64 * self.percent / 100.0).floor() as u64;
        self.rows.saturating_sub(off)..=self.rows.saturating_add(off)
    }
}

/// Reads `120000`, `120000±5%` or `120000+-5%`.
impl FromStr for ExpectedRows {
    type Err = String;

    fn from_str(text: &str) -> Result<ExpectedRows, String> {
        let wrong = || "write it as 120000 or 120000±5%".to_owned();
        let text = text.replace("+-", "±").replace("+/-", "±");
        let (rows, percent) = text.split_once('±').unwrap_or((&text, "0%"));
        let percent = percent.trim().strip_suffix('%').ok_or_else(wrong)?;
        let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
        let rows = rows.trim().replace([',', '_'], "").parse().map_err(|_| wrong())?;
        if !(0.0..=100.0).contains(&percent) {
            return Err("the percentage must be from 0 to 100".into());
        }
        Ok(ExpectedRows { rows, percent })
    }
}

impl fmt::Display for ExpectedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = self.allowed();
        match allowed.start() == allowed.end() {
            true => write!(f, "{}", self.rows),
            false => write!(f, "{} to {}", allowed.start(), allowed.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> RangeInclusive<u64> {
        text.parse::<ExpectedRows>().expect(text).allowed()
    }

    #[test]
    fn a_count_may_be_off_by_its_percentage() {
        assert_eq!(allowed("1000"), 1000..=1000);
        assert_eq!(allowed("1000±5%"), 950..=1050);
        assert_eq!(allowed("1,000 +- 0.1 %"), 999..=1001);
        assert_eq!(allowed("10±5%"), 10..=10);
        assert_eq!(allowed("0±100%"), 0..=0);
    }

    #[test]
    fn nonsense_is_no_number_of_rows() {
        for text in ["", "many", "-5", "10±5", "10±101%", "10±x%", "±5%"] {
            assert!(text.parse::<ExpectedRows>().is_err(), "{text}");
        }
    }
}
