//! What a comparison counts of a column whose values change. No value is among it.

/// The rows of a column, before the change and after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ColumnCounts {
    /// The column, by its name in the altered table.
    pub column: String,
    /// What the source holds in the column that it comes from. None for a new column.
    pub before: Option<ValueCounts>,
    /// What the shadow holds.
    pub after: ValueCounts,
    /// Ranges of rows in which the least or the greatest value is another one than before. None if
    /// the two cannot be compared.
    pub ends_moved: Option<u64>,
    /// Rows that differed when they were counted, because their change was not refreshed yet.
    pub differing: u64,
}

/// How many values there are of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ValueCounts {
    /// Rows.
    pub rows: u64,
    /// Rows that hold NULL.
    pub nulls: u64,
    /// Rows that hold an empty value: `''`, `{}`, `[]`.
    pub empties: u64,
    /// Different values, added up over the compared ranges. None if they were not counted.
    pub distinct: Option<u64>,
}

impl ColumnCounts {
    /// Adds the counts of another range of the same column.
    pub fn add(&mut self, more: &ColumnCounts) {
        self.after.add(&more.after);
        match (&mut self.before, &more.before) {
            (Some(before), Some(more)) => before.add(more),
            (before, more) => *before = before.or(*more),
        }
        self.ends_moved = both(self.ends_moved, more.ends_moved);
        self.differing += more.differing;
    }

    /// Adds the counts of a range to those of the ranges before, column by column.
    pub fn add_all(all: &mut Vec<ColumnCounts>, more: &[ColumnCounts]) {
        for counts in more {
            match all.iter_mut().find(|known| known.column == counts.column) {
                Some(known) => known.add(counts),
                None => all.push(counts.clone()),
            }
        }
    }
}

impl ValueCounts {
    fn add(&mut self, more: &ValueCounts) {
        self.rows += more.rows;
        self.nulls += more.nulls;
        self.empties += more.empties;
        self.distinct = both(self.distinct, more.distinct);
    }
}

fn both(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one? + other?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(column: &str, nulls: u64, distinct: Option<u64>) -> ColumnCounts {
        let after = ValueCounts { rows: 10, nulls, empties: 1, distinct };
        ColumnCounts {
            column: column.into(),
            before: Some(after),
            after,
            ends_moved: Some(nulls.min(1)),
            differing: nulls,
        }
    }

    #[test]
    fn ranges_add_up_column_by_column() {
        let mut all = Vec::new();
        ColumnCounts::add_all(&mut all, &[counts("a", 0, Some(4)), counts("b", 1, Some(2))]);
        ColumnCounts::add_all(&mut all, &[counts("a", 2, Some(5)), counts("b", 1, None)]);
        assert_eq!(all.len(), 2);
        let wanted = ValueCounts { rows: 20, nulls: 2, empties: 2, distinct: Some(9) };
        assert_eq!((all[0].before, all[0].after), (Some(wanted), wanted));
        assert_eq!((all[0].ends_moved, all[1].ends_moved), (Some(1), Some(2)));
        assert_eq!(all[1].after.distinct, None);
        assert_eq!((all[0].differing, all[1].differing), (2, 2));
    }
}
