//! A count that stopped at a limit or a time.

use std::fmt;

/// How many there are, or how many at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Count {
    pub count: u64,
    /// Whether there may be more.
    pub is_least: bool,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.is_least { "at least " } else { "" };
        write!(f, "{least}{}", self.count)
    }
}

impl Count {
    /// Says what these rows do: "3 rows hold NULL", "1 row holds NULL".
    pub(crate) fn rows(self, words: &str) -> String {
        if self.count != 1 || self.is_least {
            return format!("{self} rows {words}");
        }
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let ending = if verb == "would" { "" } else { "s" };
        format!("1 row {verb}{ending} {rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_holds_and_more_rows_hold() {
        let say = |count, is_least| Count { count, is_least }.rows("hold NULL");
        assert_eq!(say(1, false), "1 row holds NULL");
        assert_eq!(say(3, false), "3 rows hold NULL");
        assert_eq!(say(1, true), "at least 1 rows hold NULL");
        let lost = Count { count: 1, is_least: false }.rows("would lose digits");
        assert_eq!(lost, "1 row would lose digits");
    }
}
