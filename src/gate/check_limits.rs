//! The numbers that checks compare with. The operator may change them while the run works.

use crate::gate::comparison::number_of;
use std::fmt;

/// The limits of the checks that have one, by the name of the check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckLimits(Vec<(String, String)>);

impl CheckLimits {
    /// The limits that checks were given with.
    pub fn new(limits: impl Iterator<Item = (String, String)>) -> CheckLimits {
        CheckLimits(limits.collect())
    }

    /// Returns the limit of a check, as it was written.
    pub fn of(&self, check: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == check).map(|(_, limit)| limit.as_str())
    }

    /// Returns the limits after `NAME=N,...`. A check that is not named keeps its own.
    ///
    /// # Errors
    /// That a number is none, or that no check has such a name.
    pub fn changed(&self, text: &str) -> Result<CheckLimits, String> {
        const FORM: &str = "must be NAME=N,...; a number may be a percentage";
        let mut changed = self.clone();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, limit) = part.split_once('=').ok_or(FORM)?;
            let (name, limit) = (name.trim(), limit.trim());
            number_of(limit).ok_or(FORM)?;
            let known = changed.0.iter_mut().find(|(known, _)| known == name);
            let known = known.ok_or_else(|| match self.0.is_empty() {
                true => "changes nothing: this run has no check with a number".to_owned(),
                false => format!("knows no check {name:?}; the checks are: {self}"),
            })?;
            known.1 = limit.to_owned();
        }
        Ok(changed)
    }
}

impl fmt::Display for CheckLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits: Vec<String> =
            self.0.iter().map(|(name, limit)| format!("{name}={limit}")).collect();
        f.write_str(&limits.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_changed_by_name_and_a_name_that_nobody_knows_is_refused() {
        let given = [("empty", "0.5%"), ("rows", "0")];
        let limits = CheckLimits::new(given.into_iter().map(|(a, b)| (a.into(), b.into())));
        assert_eq!(limits.changed(&limits.to_string()), Ok(limits.clone()));
        let changed = limits.changed("rows=12").expect("it is known");
        assert_eq!(changed.to_string(), "empty=0.5%,rows=12");
        for wrong in ["row=1", "rows", "rows=many", "rows=1,empty="] {
            assert!(limits.changed(wrong).is_err(), "{wrong}");
        }
        assert!(CheckLimits::default().changed("rows=1").is_err());
    }
}
