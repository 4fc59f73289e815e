//! `OP value` at the end of a check, and how an answer compares with it.

use std::fmt;

/// How an answer must compare with a number.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    operator: Operator,
    limit: f64,
    /// As the operator wrote the number.
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Unequal};

/// The longer ones first: `<=` ends in `=`.
const OPERATORS: [(&str, Operator); 8] = [
    ("<=", LessOrEqual),
    (">=", GreaterOrEqual),
    ("!=", Unequal),
    ("<>", Unequal),
    ("==", Equal),
    ("=", Equal),
    ("<", Less),
    (">", Greater),
];

impl Comparison {
    /// Cuts `OP value` off the end of a text. The value is a number, or a percentage: `0.5%` is
    /// 0.005. None if the text does not end that way.
    pub fn at_end_of(text: &str) -> Option<(&str, Comparison)> {
        let text = text.trim_end();
        let is_of_number = |letter: char| letter.is_ascii_digit() || "+-.%_".contains(letter);
        let question = text.trim_end_matches(is_of_number);
        let number = &text[question.len()..];
        let limit = number_of(number)?;
        let question = question.trim_end();
        let (sign, operator) = OPERATORS.iter().find(|(sign, _)| question.ends_with(sign))?;
        let question = question[..question.len() - sign.len()].trim_end();
        let comparison = Comparison { operator: *operator, limit, text: number.to_owned() };
        Some((question, comparison))
    }

    /// Returns the number as it was written.
    pub fn limit(&self) -> &str {
        &self.text
    }

    /// Compares in the same way with another number. One that is none changes nothing.
    pub fn with_limit(&self, text: &str) -> Comparison {
        let limit = number_of(text);
        let text = if limit.is_some() { text } else { &self.text };
        Comparison {
            operator: self.operator,
            limit: limit.unwrap_or(self.limit),
            text: text.to_owned(),
        }
    }

    /// Returns why an answer does not compare as it must: `12 > 0`. None if it does.
    pub fn violated_by(&self, answer: f64) -> Option<String> {
        let holds = match self.operator {
            Equal => answer == self.limit,
            Unequal => answer != self.limit,
            Less => answer < self.limit,
            LessOrEqual => answer <= self.limit,
            Greater => answer > self.limit,
            GreaterOrEqual => answer >= self.limit,
        };
        if holds {
            return None;
        }
        let found = match self.operator {
            Equal if answer > self.limit => ">",
            Equal => "<",
            Unequal => "=",
            Less => ">=",
            LessOrEqual => ">",
            Greater => "<=",
            GreaterOrEqual => "<",
        };
        let observed = match self.text.ends_with('%') {
            true => format!("{}%", rounded(answer * 100.0)),
            false => rounded(answer),
        };
        Some(format!("{observed} {found} {}", self.text))
    }
}

/// Reads a number, or a percentage.
pub fn number_of(text: &str) -> Option<f64> {
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits, 100.0),
        None => (text, 1.0),
    };
    let number: f64 = digits.replace('_', "").parse().ok()?;
    number.is_finite().then_some(number / unit)
}

/// A number as people write it: no more than four digits behind the point.
fn rounded(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.operator {
            Equal => "=",
            Unequal => "!=",
            Less => "<",
            LessOrEqual => "<=",
            Greater => ">",
            GreaterOrEqual => ">=",
        };
        write!(f, "{sign} {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(check: &str, answer: f64) -> Option<String> {
        Comparison::at_end_of(check).expect("it ends in a comparison").1.violated_by(answer)
    }

    #[test]
    fn a_comparison_ends_the_text_and_the_question_may_hold_others() {
        let (question, comparison) =
            Comparison::at_end_of("SELECT count(*) FROM {new} WHERE a <> b AND c = 7 <= 5")
                .unwrap();
        assert_eq!(question, "SELECT count(*) FROM {new} WHERE a <> b AND c = 7");
        assert_eq!(comparison.to_string(), "<= 5");
        assert_eq!(Comparison::at_end_of("q == 5").unwrap().1.to_string(), "= 5");
        for text in ["SELECT 1", "SELECT 1 =", "SELECT 1 = x", "= ", ""] {
            assert_eq!(Comparison::at_end_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_answer_that_does_not_compare_is_shown_with_its_limit() {
        assert_eq!(said("q = 0", 0.0), None);
        assert_eq!(said("q = 0", 12.0).unwrap(), "12 > 0");
        assert_eq!(said("q <= 0.5%", 0.03).unwrap(), "3% > 0.5%");
        assert_eq!(said("q <= 0.5%", 0.005), None);
        assert_eq!(said("q > 1_000", 7.0).unwrap(), "7 <= 1_000");
        assert_eq!(said("q>=-2.5", -3.0).unwrap(), "-3 < -2.5");
        let limit = |check, limit| Comparison::at_end_of(check).unwrap().1.with_limit(limit);
        assert_eq!(limit("q <= 0.5%", "4%").violated_by(0.03), None);
        assert_eq!(limit("q = 0", "many").to_string(), "= 0");
        assert!(said("q = 0", f64::NAN).is_some(), "no answer is never the right one");
    }
}
