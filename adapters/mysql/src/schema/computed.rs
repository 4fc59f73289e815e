//! The columns that `--set` computes: what their expressions may hold, and which type the server
//! gives their values. Pure, except for [`crate::schema::probe`].

use crate::schema::lexer::{Token, tokens};
use crate::schema::table::Column;
use altergeist_contract::{Code, Finding};

/// A column that `--set` computes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Computed {
    /// Its name in the altered table.
    pub name: String,
    /// The expression over the source's columns, in brackets.
    pub expression: String,
    /// The value as a column of the source: its name is ours, its type the server's.
    pub value: Column,
    /// Whether the value's text is copied: it is a member of an ENUM or a SET.
    pub by_text: bool,
    /// The functions of loaded libraries that it calls.
    pub loaded: Vec<String>,
}

/// A name before a bracket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub name: String,
    /// Whether a schema stands before it.
    pub is_qualified: bool,
}

/// Names of ours begin with this.
pub(crate) const VALUE: &str = "_ag_set_";

/// What gives another value each time, or in another session. Words without brackets.
const MOMENTS: [&str; 9] = [
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "CURRENT_USER",
];

/// The same with brackets.
const FUNCTIONS: [&str; 40] = [
    "RAND",
    "RANDOM_BYTES",
    "UUID",
    "UUID_SHORT",
    "UUID_V4",
    "UUID_V7",
    "SYS_GUID",
    "NOW",
    "SYSDATE",
    "CURDATE",
    "CURTIME",
    "CONNECTION_ID",
    "LAST_INSERT_ID",
    "ROW_COUNT",
    "FOUND_ROWS",
    "SLEEP",
    "BENCHMARK",
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "IS_FREE_LOCK",
    "IS_USED_LOCK",
    "MASTER_POS_WAIT",
    "SOURCE_POS_WAIT",
    "LOAD_FILE",
    "USER",
    "SESSION_USER",
    "SYSTEM_USER",
    "CURRENT_ROLE",
    "DATABASE",
    "SCHEMA",
    "VERSION",
    "NEXTVAL",
    "LASTVAL",
    "SETVAL",
    "VALUES",
    "VALUE",
    "ROWNUM",
    "PS_CURRENT_THREAD_ID",
    "ENCRYPT",
];

/// What looks at other rows.
const AGGREGATES: [&str; 20] = [
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "GROUP_CONCAT",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "STD",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "ANY_VALUE",
    "GROUPING",
];

/// Functions whose value depends on the session's time zone.
const OF_ZONE: [&str; 2] = ["FROM_UNIXTIME", "UNIX_TIMESTAMP"];

const REMEDY: &str = "write an expression over the columns of one row that always gives the same \
                      value";

/// Returns what a finding names.
pub(crate) fn object(name: &str) -> String {
    format!("--set {name}")
}

/// Reads the name of a column, or says that it is none.
pub(crate) fn name_of(text: &str) -> Result<String, Finding> {
    let tokens = tokens(text, true).unwrap_or_default();
    match &tokens[..] {
        [token] if token.name().is_some() => Ok(token.name().unwrap_or_default().to_owned()),
        _ => Err(rejected(text, "it does not begin with the name of one column")),
    }
}

pub(crate) fn rejected(name: &str, why: impl Into<String>) -> Finding {
    let remedy = "write one column, and one expression over the columns of the table";
    Finding::error(Code::ClauseRejected, object(name), why, remedy)
}

/// Checks the text of an expression. `modes` are the server's own: our sessions read SQL without
/// some of them. Returns the functions that it calls.
pub(crate) fn check(name: &str, text: &str, modes: &str) -> Result<Vec<Call>, Finding> {
    let tokens = tokens(text, false)
        .map_err(|why| rejected(name, format!("its expression cannot be read: {why}")))?;
    if !is_whole(&tokens) {
        return Err(rejected(name, "its brackets do not match, or it is more than one expression"));
    }
    if let Some(why) = read_otherwise(&tokens, text, modes) {
        return Err(rejected(name, why));
    }
    if let Some(what) = volatile(&tokens) {
        return Err(Finding::error(Code::VolatileExpression, object(name), what, REMEDY));
    }
    Ok(calls(text))
}

/// Returns the calls of a text.
pub(crate) fn calls(text: &str) -> Vec<Call> {
    let tokens = tokens(text, false).unwrap_or_default();
    let call = |(place, pair): (usize, &[Token])| {
        let name = pair[0].name().filter(|_| pair[1].is_sign('('))?.to_owned();
        Some(Call { name, is_qualified: place > 0 && tokens[place - 1].is_sign('.') })
    };
    tokens.windows(2).enumerate().filter_map(call).collect()
}

/// What the body of a function holds that may give another value each time.
pub(crate) fn changes_each_time(body: &str) -> Option<String> {
    let tokens = tokens(body, false).unwrap_or_default();
    let changing: Vec<Token> = tokens.into_iter().filter(|token| !is_of_queries(token)).collect();
    volatile(&changing)
}

/// A body may select into its variables. Whether it reads tables the server knows.
fn is_of_queries(token: &Token) -> bool {
    let word = token.keyword();
    matches!(word.as_str(), "SELECT" | "TABLE" | "OVER") || AGGREGATES.contains(&word.as_str())
}

/// Refuses a stored function that is DETERMINISTIC by its word only.
pub(crate) fn only_called_deterministic(name: &str, function: &str, what: &str) -> Finding {
    let what = format!("the stored function {function} says DETERMINISTIC, and {what}");
    Finding::error(Code::VolatileExpression, object(name), what, REMEDY)
}

/// Refuses an expression that gave two values for the same row.
pub(crate) fn gave_two_values(name: &str) -> Finding {
    let what = "it gave another value for the same row at another moment";
    Finding::error(Code::VolatileExpression, object(name), what, REMEDY)
}

/// Refuses a stored function that the server does not call deterministic.
pub(crate) fn not_deterministic(name: &str, function: &str) -> Finding {
    let what = format!("the stored function {function} is not DETERMINISTIC, or it reads tables");
    Finding::error(Code::VolatileExpression, object(name), what, REMEDY)
}

/// Whether every bracket is closed after it was opened, and nothing ends the expression.
pub(crate) fn is_whole(tokens: &[Token]) -> bool {
    let mut open = 0_u32;
    for token in tokens {
        match token {
            Token::Sign('(') => open += 1,
            Token::Sign(')') if open == 0 => return false,
            Token::Sign(')') => open -= 1,
            Token::Sign(';') => return false,
            Token::Sign(',') if open == 0 => return false,
            _ => {}
        }
    }
    open == 0 && !tokens.is_empty()
}

/// Why our sessions would read the text in another way than the application's.
fn read_otherwise(tokens: &[Token], text: &str, modes: &str) -> Option<&'static str> {
    let has = |mode: &str| modes.split(',').any(|known| known == mode);
    let is_pair =
        |sign: char| tokens.windows(2).any(|pair| pair[0].is_sign(sign) && pair[1].is_sign(sign));
    let divides = tokens.iter().any(|token| {
        token.is_sign('/') || token.is_sign('%') || token.is("DIV") || token.is("MOD")
    });
    if is_pair('|') && has("PIPES_AS_CONCAT") {
        return Some("the run reads || as OR, whatever the server's sql_mode: write CONCAT()");
    }
    if text.contains('"') && has("ANSI_QUOTES") {
        return Some("the run reads \"…\" as a text, whatever sql_mode: quote names as `name`");
    }
    if text.contains('\\') && has("NO_BACKSLASH_ESCAPES") {
        return Some("the run reads \\ as an escape, whatever the server's sql_mode: avoid it");
    }
    if tokens.iter().any(|token| token.is("NOT")) && has("HIGH_NOT_PRECEDENCE") {
        return Some("the run reads NOT as the SQL standard does: write brackets, and no NOT");
    }
    (divides && !has("ERROR_FOR_DIVISION_BY_ZERO")).then_some(
        "a division by zero would silently give NULL: add ERROR_FOR_DIVISION_BY_ZERO to the global \
         sql_mode",
    )
}

/// What the expression holds that may give another value each time, or that reads other rows.
fn volatile(tokens: &[Token]) -> Option<String> {
    let another = |what: &str| Some(format!("{what} may give another value each time"));
    for (place, token) in tokens.iter().enumerate() {
        let word = token.keyword();
        let word = word.as_str();
        let behind = &tokens[place + 1..];
        let is_call = behind.first().is_some_and(|next| next.is_sign('('));
        let is_member = place > 0 && tokens[place - 1].is_sign('.') && !is_call;
        match word {
            _ if token.is_sign('@') || word.starts_with('@') => return another("a variable"),
            "" => {}
            _ if is_member => {}
            "SELECT" | "TABLE" => return Some("it reads rows of a table".into()),
            "OVER" => return Some("it reads other rows through a window".into()),
            "AGAINST" => return another("a full-text search"),
            "NEXT" | "PREVIOUS" if behind.first().is_some_and(|next| next.is("VALUE")) => {
                return another("a sequence");
            }
            _ if MOMENTS.contains(&word) => return another(word),
            _ if is_call && FUNCTIONS.contains(&word) => return another(word),
            _ if is_call && AGGREGATES.contains(&word) => return Some("it aggregates rows".into()),
            "UNIX_TIMESTAMP" if behind.get(1).is_some_and(|next| next.is_sign(')')) => {
                return another(word);
            }
            _ => {}
        }
    }
    None
}

/// Whether the value depends on the session's time zone: it is computed from moments.
pub(crate) fn depends_on_zone(computed: &Computed, source: &[Column]) -> bool {
    let tokens = tokens(&computed.expression, false).unwrap_or_default();
    let is_moment = |name: &str| {
        let column = source.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        column.is_some_and(|column| column.data_type == "timestamp")
    };
    tokens.iter().any(|token| {
        OF_ZONE.contains(&token.keyword().as_str()) || token.name().is_some_and(is_moment)
    })
}

/// Whether the expression reads a column.
pub(crate) fn reads(computed: &Computed, column: &str) -> bool {
    let tokens = tokens(&computed.expression, false).unwrap_or_default();
    let is_it = |token: &Token| token.name().is_some_and(|name| name.eq_ignore_ascii_case(column));
    tokens.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str, modes: &str) -> Option<Code> {
        check("a", text, modes).err().map(|finding| finding.code)
    }

    #[test]
    fn what_may_change_or_looks_further_is_refused() {
        let modes = "ERROR_FOR_DIVISION_BY_ZERO";
        for text in [
            "RAND()",
            "now()",
            "current_date",
            "@a",
            "@@x",
            "(SELECT 1)",
            "MAX(a)",
            "ROW_NUMBER() OVER ()",
            "uuid ()",
            "UNIX_TIMESTAMP()",
            "NEXT VALUE FOR s",
        ] {
            assert_eq!(code(text, modes), Some(Code::VolatileExpression), "{text}");
        }
        for text in
            ["COALESCE(a, 'NOW()')", "`current_date`", "t.count", "UNIX_TIMESTAMP(a)", "a / 2"]
        {
            assert_eq!(code(text, modes), None, "{text}");
        }
        for text in ["a, b", "a) + (b", "", "a; b", "'a"] {
            assert_eq!(code(text, modes), Some(Code::ClauseRejected), "{text}");
        }
    }

    #[test]
    fn a_body_may_select_and_not_look_at_the_clock() {
        assert_eq!(changes_each_time("BEGIN SELECT a + 1 INTO a; RETURN a; END"), None);
        assert_eq!(
            changes_each_time("RETURN now()").as_deref(),
            Some("NOW may give another value each time")
        );
        assert!(changes_each_time("RETURN @a + 1").is_some());
        let own = Call { name: "own".into(), is_qualified: true };
        assert!(calls("a + shop.own(b)").contains(&own));
    }

    #[test]
    fn what_the_server_would_read_otherwise_is_refused() {
        for (text, mode) in [
            ("a || b", "PIPES_AS_CONCAT"),
            ("\"a\"", "ANSI_QUOTES"),
            ("'\\\\'", "NO_BACKSLASH_ESCAPES"),
            ("NOT a", "HIGH_NOT_PRECEDENCE"),
            ("a DIV b", ""),
        ] {
            assert_eq!(code(text, mode), Some(Code::ClauseRejected), "{text}");
        }
    }
}
