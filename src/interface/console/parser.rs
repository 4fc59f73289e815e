//! What a client can say. Orders go through the one parser of orders; nothing else is a language.

use crate::interface::console::driver;
use crate::interface::console::lexer::{Piece, Token, pieces};
use crate::interface::console::refusal::Refusal;
use crate::interface::console::select;
use crate::interface::console::statement::{Parsed, Statement};
use crate::interface::console::view::View;
use crate::interface::socket::LINE_BYTES_MAX;
use altergeist::Order;
use altergeist::control::setting::Setting;

/// Reads every statement of a string. None is carried out if one is wrong.
///
/// # Errors
/// What is wrong.
pub fn parse(sql: &str) -> Result<Vec<Parsed>, Refusal> {
    pieces(sql)?.iter().map(statement).collect()
}

/// Reads a string that may hold one statement. None if it holds none.
///
/// # Errors
/// What is wrong.
pub fn parse_one(sql: &str) -> Result<Option<Parsed>, Refusal> {
    let mut parsed = parse(sql)?;
    match parsed.len() {
        0 | 1 => Ok(parsed.pop()),
        _ => Err(Refusal::syntax("a prepared statement holds one statement")),
    }
}

fn statement(piece: &Piece) -> Result<Parsed, Refusal> {
    let parameter = |token: &Token| match token {
        Token::Parameter(number) => Some(*number),
        _ => None,
    };
    let parameters = piece.tokens.iter().filter_map(parameter).max().unwrap_or(0);
    let statement = read(piece)?;
    match statement {
        Statement::Catalogue(_) => {}
        _ if parameters > 0 => {
            return Err(Refusal::unsupported("the console takes no parameters")
                .hint("write the value into the statement: SET workers = 8"));
        }
        _ => {}
    }
    Ok(Parsed { statement, parameters })
}

fn read(piece: &Piece) -> Result<Statement, Refusal> {
    let words = words(piece);
    let first = words.first().copied().unwrap_or_default();
    let rest =
        piece.text[piece.text.find(char::is_whitespace).unwrap_or(piece.text.len())..].trim();
    match first {
        "select" | "with" | "table" => select::parse(&piece.tokens),
        "show" => show(rest),
        "set" => set(rest),
        _ => match driver::accepted(&words) {
            Some(statement) => Ok(statement),
            None => order(piece, &words),
        },
    }
}

/// The bare words at the beginning of a statement.
fn words(piece: &Piece) -> Vec<&str> {
    let word = |token: &'_ Token| matches!(token, Token::Word(_));
    let words = piece.tokens.iter().take_while(|token| word(token)).take(6);
    words
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.as_str()),
            _ => None,
        })
        .collect()
}

fn show(rest: &str) -> Result<Statement, Refusal> {
    let name = unquoted(rest).to_lowercase();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(view) = View::named(&name) {
        return Ok(Statement::Show(view));
    }
    if let Some(parameter) = driver::parameter(&name) {
        return Ok(Statement::Parameter(parameter));
    }
    match setting_named(&name) {
        Some(name) => Ok(Statement::Order(Order::Get(name))),
        None => Err(Refusal::unknown(format!("SHOW does not know {name:?}"))
            .hint("SHOW HELP lists what it knows")),
    }
}

/// The name by which the parser of orders knows a setting: SQL has no hyphens in names.
fn setting_named(name: &str) -> Option<String> {
    let name = name.replace('_', "-");
    Setting::named(&name).map(|_| name)
}

/// `SET name = value`, with or without quotation marks.
fn set(rest: &str) -> Result<Statement, Refusal> {
    let lower = rest.to_ascii_lowercase();
    let skip = ["session ", "local "].iter().find(|word| lower.starts_with(*word));
    let rest = rest[skip.map_or(0, |word| word.len())..].trim_start();
    let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
    let name = unquoted(&rest[..end]).to_lowercase();
    let value = rest[end..].trim_start();
    let is_to = value.len() > 2
        && value.is_char_boundary(2)
        && value[..2].eq_ignore_ascii_case("to")
        && value[2..].starts_with(char::is_whitespace);
    let value = match value.strip_prefix('=') {
        Some(value) => value,
        None if is_to => &value[2..],
        None => return driver::set_in_words(&name, value),
    };
    let value = unquoted(value);
    let Some(setting) = setting_named(&name) else { return driver::set(&name, &value) };
    if value == "?" {
        return Err(Refusal::syntax("a question mark is no value")
            .hint(format!("SHOW {name} shows the value")));
    }
    by_parser(&format!("{setting}={value}"))
}

/// Any other statement is an order, in capitals or not, with a space for a hyphen in CUT OVER.
fn order(piece: &Piece, words: &[&str]) -> Result<Statement, Refusal> {
    let text = piece.text.as_str();
    let after = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    let (first, mut rest) = text.split_at(after(text));
    let mut word = first.to_lowercase();
    rest = rest.trim();
    if let ["cut", "over", ..] = words {
        word = "cut-over".into();
        rest = rest[after(rest)..].trim();
    }
    let known = ["approve", "overrule"];
    if known.contains(&&*word) && rest.is_empty() {
        return Err(match &*word {
            "approve" => Refusal::syntax("an approval names the plan that you have read")
                .hint("SHOW STATUS shows its fingerprint: APPROVE fingerprint"),
            _ => Refusal::syntax("no gate is named").hint("SHOW GATES lists them: OVERRULE name"),
        });
    }
    by_parser(format!("{word} {}", unquoted(rest)).trim_end()).map_err(|refusal| {
        let is_word = Order::parse(&word).is_ok();
        match is_word || text.contains('=') {
            true => refusal,
            false => Refusal::syntax(format!("{first:?} is no statement of this console")),
        }
    })
}

fn by_parser(line: &str) -> Result<Statement, Refusal> {
    if line.len() > LINE_BYTES_MAX {
        let most = format!("an order has at most {LINE_BYTES_MAX} bytes of text");
        return Err(Refusal::limit(most));
    }
    Order::parse(line).map(Statement::Order).map_err(Refusal::syntax)
}

/// A text without the quotation marks around all of it.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    for mark in ['\'', '"'] {
        let inner = text.strip_prefix(mark).and_then(|text| text.strip_suffix(mark));
        if let Some(inner) = inner {
            return inner.replace(&format!("{mark}{mark}"), &mark.to_string());
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::console::view::View;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    fn one(sql: &str) -> Result<Statement, Refusal> {
        parse_one(sql).map(|parsed| parsed.expect("it holds a statement").statement)
    }

    #[test]
    fn orders_are_read_by_the_one_parser_in_the_words_of_sql() {
        let order = |line: &str| Ok(Statement::Order(Order::parse(line).expect("it is an order")));
        for (sql, line) in [
            ("PAUSE", "pause"),
            ("resume;", "resume"),
            ("CUT OVER", "cut-over"),
            ("cut  over shop.orders", "cut-over shop.orders"),
            ("CUT-OVER 'orders'", "cut-over orders"),
            ("UNPOSTPONE", "unpostpone"),
            ("Postpone -- please", "postpone"),
            ("STOP", "stop"),
            ("REVERT", "revert"),
            ("Finish", "finish"),
            ("EXTEND 30m", "extend 30m"),
            ("PANIC orders", "panic orders"),
            ("OVERRULE 'empty'", "overrule empty"),
            ("APPROVE f00d", "approve f00d"),
            ("SET workers = 8", "workers=8"),
            ("set session chunk_rows to '500'", "chunk-rows=500"),
            ("SET chunk-size=10", "chunk-size=10"),
            ("SET window = '22:00-04:00 UTC'", "window=22:00-04:00 UTC"),
            ("SET window = 22:00-04:00 UTC", "window=22:00-04:00 UTC"),
            ("SET max_load = 'Threads_running=25,a=1'", "max-load=Threads_running=25,a=1"),
            ("SET throttle_query = 'SELECT ''x'''", "throttle-query=SELECT 'x'"),
            ("SET throttle-file = ''", "throttle-file="),
            ("workers=8", "workers=8"),
            ("workers=?", "workers=?"),
            ("SHOW max_lag", "max-lag=?"),
            ("status", "status"),
            ("sup", "sup"),
        ] {
            assert_eq!(one(sql), order(line), "{sql}");
        }
    }

    #[test]
    fn what_is_no_statement_is_named_and_nothing_of_its_string_is_carried_out() {
        for (sql, words) in [
            ("INSERT INTO t VALUES (1)", "\"INSERT\" is no statement"),
            ("PAUSE now", "unknown command"),
            ("SET colour = 7", "no setting is called \"colour\""),
            ("SET workers 8", "no value"),
            ("SHOW colour", "SHOW does not know"),
            ("APPROVE", "names the plan"),
            ("OVERRULE", "no gate is named"),
            ("SET workers = ?", "a question mark"),
            ("SET workers = $1", "no parameters"),
            ("PAUSE; CUT OVRE", "\"CUT\" is no statement"),
            ("SELECT * FROM orders_of_mine", "runs no SQL of the server"),
        ] {
            let message = parse(sql).expect_err("it is wrong").message;
            assert!(message.contains(words), "{sql}: {message}");
        }
        assert!(parse_one("PAUSE; RESUME").is_err());
        assert!(one(&format!("SET window = '{}'", "x".repeat(LINE_BYTES_MAX))).is_err());
    }

    #[test]
    fn what_drivers_say_first_is_understood() {
        for (sql, statement) in [
            ("SET application_name = 'x'", Statement::Accepted("SET")),
            ("SET extra_float_digits = 3", Statement::Accepted("SET")),
            ("SET client_encoding TO 'UTF8'", Statement::Accepted("SET")),
            ("SET NAMES 'utf8'", Statement::Accepted("SET")),
            ("SET TIME ZONE 'UTC'", Statement::Accepted("SET")),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Statement::Accepted("SET")),
            ("BEGIN", Statement::Begin),
            ("START TRANSACTION READ ONLY", Statement::Begin),
            ("COMMIT", Statement::End("COMMIT")),
            ("ROLLBACK", Statement::End("ROLLBACK")),
            ("DISCARD ALL", Statement::Accepted("DISCARD ALL")),
            ("SHOW transaction_isolation", Statement::Parameter("transaction_isolation")),
            ("SHOW TRANSACTION ISOLATION LEVEL", Statement::Parameter("transaction_isolation")),
            ("SHOW server_version", Statement::Parameter("server_version")),
            ("SHOW STATUS", Statement::Show(View::Status)),
            ("show \"progress\"", Statement::Show(View::Progress)),
            ("SELECT * FROM altergeist.progress", Statement::Show(View::Progress)),
        ] {
            assert_eq!(one(sql), Ok(statement), "{sql}");
        }
        let wrong = one("SET client_encoding = 'LATIN1'").expect_err("it is another encoding");
        assert!(wrong.message.contains("UTF8"), "{wrong:?}");
        let parsed = parse_one("SELECT oid FROM pg_type WHERE oid = $2").expect("it is read");
        assert_eq!(parsed.map(|parsed| parsed.parameters), Some(2));
    }

    /// Random statements, most of them nearly right.
    #[test]
    fn no_statement_makes_the_console_panic() {
        const WORDS: [&str; 24] = [
            "SELECT ", "SHOW ", "SET ", "CUT ", "OVER ", "APPROVE ", "workers ", "=", "'", "\"",
            "--", "/*", "*/", "$1", "$a$", ";", "(", ")", ", ", "::", "pg_type ", "FROM ", " to ",
            "E'",
        ];
        let until = std::time::Instant::now() + std::time::Duration::from_millis(500);
        for seed in 0.. {
            if std::time::Instant::now() > until {
                break;
            }
            let mut random = SmallRng::seed_from_u64(seed);
            let mut sql = String::new();
            for _ in 0..random.random_range(0..12) {
                match random.random_bool(0.9) {
                    true => sql += WORDS[random.random_range(0..WORDS.len())],
                    false => sql.push(random.random()),
                }
            }
            for parsed in parse(&sql).unwrap_or_default() {
                let _ = parsed.statement.columns();
            }
        }
    }
}
