//! Checks of the operator: a question whose answer must compare with a number.

use crate::gate::command;
use crate::gate::comparison::Comparison;
use altergeist_contract::Engine;
use std::str::FromStr;

/// `name: QUESTION OP value`. A question that begins with SELECT, WITH, VALUES or TABLE is asked of
/// the server; `{old}` and `{new}` stand for the table and its shadow. Anything else is a command.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// The name by which the operator knows it.
    pub name: String,
    question: Question,
    /// None: the command need only succeed.
    comparison: Option<Comparison>,
}

#[derive(Clone, PartialEq, Debug)]
enum Question {
    Sql(String),
    Command(String),
}

/// Whether a text is a query rather than a command.
pub fn is_query(text: &str) -> bool {
    let first = text.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "with", "values", "table"].contains(&first.to_ascii_lowercase().as_str())
}

impl Check {
    /// Reads a check that asks the server.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn of_server(text: &str) -> Result<Check, String> {
        const FORM: &str = "write it as 'name: SELECT … = 0', with {old} and {new} for the tables";
        let check: Check = text.parse()?;
        match (&check.question, &check.comparison) {
            (Question::Sql(_), Some(_)) => Ok(check),
            _ => Err(FORM.into()),
        }
    }

    /// Returns the number that the answer compares with, if there is one.
    pub fn limit(&self) -> Option<&str> {
        self.comparison.as_ref().map(Comparison::limit)
    }

    /// Returns why the check fails now, with this limit in place of its own. None if it passes.
    pub async fn fails<E: Engine>(&self, engine: &E, limit: Option<&str>) -> Option<String> {
        let answer = match &self.question {
            Question::Sql(question) => match engine.ask(question).await {
                Ok(answer) => answer.unwrap_or_default(),
                Err(error) => return Some(format!("unknown ({})", error.reason)),
            },
            Question::Command(line) => match command::last_line(line, engine.table()).await {
                Ok(answer) => answer,
                Err(failure) => return Some(failure),
            },
        };
        let own = self.comparison.as_ref()?;
        let comparison = limit.map_or_else(|| own.clone(), |limit| own.with_limit(limit));
        match answer.trim().parse::<f64>() {
            Ok(number) => comparison.violated_by(number),
            // The answer may hold a value of a row.
            Err(_) => Some(format!("unknown, needs {comparison} (the answer is not a number)")),
        }
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Check, String> {
        const FORM: &str = "write it as 'name: QUERY OP value' or 'name: COMMAND'";
        let (name, rest) = text.split_once(':').ok_or(FORM)?;
        let (name, rest) = (name.trim(), rest.trim());
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || !name.chars().all(is_of_name) || rest.is_empty() {
            return Err(format!("{FORM}; a name has letters, digits, -, _ and ."));
        }
        let compared = Comparison::at_end_of(rest);
        let (question, comparison) = match compared {
            Some((question, comparison)) => (question, Some(comparison)),
            None => (rest, None),
        };
        let question = match is_query(question) {
            true if comparison.is_none() => {
                return Err("end the query with a comparison, as in '= 0' or '<= 0.5%'".into());
            }
            true => Question::Sql(question.trim_end_matches(';').to_owned()),
            false => Question::Command(question.to_owned()),
        };
        Ok(Check { name: name.to_owned(), question, comparison })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_a_name_a_question_and_a_comparison() {
        let check = Check::of_server("empty: SELECT avg(a = '') FROM {new} <= 0.5%").unwrap();
        assert_eq!(check.name, "empty");
        assert_eq!(check.question, Question::Sql("SELECT avg(a = '') FROM {new}".into()));
        let gate: Check = "ticket: jira-approved OPS-7".parse().unwrap();
        assert_eq!(gate.question, Question::Command("jira-approved OPS-7".into()));
        assert_eq!(gate.comparison, None);
        for wrong in ["SELECT 1 = 1", "a b: SELECT 1 = 1", "a:", "a: SELECT 1", ": x"] {
            assert!(Check::of_server(wrong).is_err(), "{wrong}");
        }
    }
}
