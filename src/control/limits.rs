//! Limits of the server's load, as the operator writes them.

use std::fmt;
use std::str::FromStr;

/// A load metric and its upper limit.
#[derive(Clone, PartialEq, Debug)]
pub struct Limit {
    /// The metric's name, as the engine knows it.
    pub measure: String,
    /// The upper limit.
    pub most: f64,
}

/// Any number of limits, written as `NAME=N,NAME=N`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Limits(pub Vec<Limit>);

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Limits, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(limit).collect::<std::result::Result<_, _>>().map(Limits)
    }
}

fn limit(part: &str) -> std::result::Result<Limit, String> {
    let wrong = || format!("{part:?} is not of the form NAME=NUMBER");
    let (measure, most) = part.split_once('=').ok_or_else(wrong)?;
    let measure = measure.trim();
    let is_name =
        !measure.is_empty() && measure.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let most = most.trim().parse::<f64>().ok().filter(|most| most.is_finite() && *most >= 0.0);
    match (is_name, most) {
        (true, Some(most)) => Ok(Limit { measure: measure.to_owned(), most }),
        _ => Err(wrong()),
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<String> =
            self.0.iter().map(|limit| format!("{}={}", limit.measure, limit.most)).collect();
        f.write_str(&written.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in ["Threads_running=25", "Threads_running=25,lock_waiters=0.5", ""] {
            assert_eq!(text.parse::<Limits>().unwrap().to_string(), text);
        }
        assert_eq!(" a = 1 ,, b=2 ".parse::<Limits>().unwrap().to_string(), "a=1,b=2");
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in
            ["Threads_running", "=5", "a=", "a=b", "a=-1", "a=inf", "a=NaN", "a b=1", "a'=1"]
        {
            assert!(text.parse::<Limits>().is_err(), "{text:?}");
        }
    }
}
