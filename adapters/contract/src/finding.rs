//! What a plan found out about a change: errors that refuse it, warnings, notes.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Lists the codes once: the variant, what it is for, and from it the name, as in
/// `unique-duplicates`.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What kind of thing was found. Scripts depend on the names. Each has a page in
        /// `docs/reference/findings`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The code as it is printed.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }
        }
    };
}

codes! {
    /// Rows hold the same value, and a unique index will not take it twice.
    UniqueDuplicates = "unique-duplicates",
    /// Rows hold NULL in a column that will not take it.
    NullValues = "null-values",
    /// A new column may not be NULL, and the rows that exist have no value for it.
    NoDefault = "no-default",
    /// A value is too long for its new type.
    ValueTooLong = "value-too-long",
    /// A number or a date lies outside its new type.
    ValueOutOfRange = "value-out-of-range",
    /// A value loses something in its new type: digits, the time of day, the time zone, letters.
    ValueLossy = "value-lossy",
    /// A value has no meaning in its new type.
    ValueInvalid = "value-invalid",
    /// Rows violate a CHECK constraint.
    CheckViolated = "check-violated",
    /// Rows point to a parent that does not exist.
    ForeignKeyViolated = "foreign-key-violated",
    /// Rows hold dates that the server's rules do not take any more.
    ZeroDates = "zero-dates",
    /// The change drops a column that holds values.
    DropsData = "drops-data",
    /// The change drops a column that it, or the application, still needs.
    ContractTooEarly = "contract-too-early",
    /// Columns are dropped and added, which may be meant as a rename.
    RenameLost = "rename-lost",
    /// An expression gives another value each time.
    VolatileExpression = "volatile-expression",
    /// What an expression gives for the rows: values, NULL, empty values, errors.
    ComputedValues = "computed-values",
    /// The clauses cannot be read, or the server does not accept them.
    ClauseRejected = "clause-rejected",
    /// The server accepts a clause that a shadow copy cannot carry out.
    ClauseNotCarried = "clause-not-carried",
    /// A part of the clauses is left out, because it says how and not what.
    ClauseLeftOut = "clause-left-out",
    /// The server cannot make the change by itself, and nothing else was allowed.
    NotNative = "not-native",
    /// The table is of a kind that is not changed.
    TableKind = "table-kind",
    /// The table has no key to follow its rows by.
    NoKey = "no-key",
    /// The key that the run would use cannot be relied on, or is of another kind than expected.
    KeyChoice = "key-choice",
    /// The partitions, before or after, are not supported.
    Partitions = "partitions",
    /// A foreign key from or to the table needs attention.
    ForeignKey = "foreign-key",
    /// A trigger on the table needs attention.
    Trigger = "trigger",
    /// Something else that hangs on the table needs attention: a view, a function, a policy.
    Dependent = "dependent-object",
    /// Something keeps the table's OID, and would mean the old table.
    OidKept = "oid-kept",
    /// A FULLTEXT index needs attention.
    FullText = "full-text",
    /// A name that the run needs is taken.
    NameTaken = "name-taken",
    /// An object under a name of this tool is not this tool's.
    NotOurs = "not-ours",
    /// The user lacks a privilege.
    Privilege = "privilege",
    /// Something may exist that the user cannot see.
    HiddenFromUser = "hidden-from-user",
    /// A setting of the server's log is in the way.
    LogSettings = "log-settings",
    /// The replica to read the log from cannot be used.
    LogSource = "log-source",
    /// Some changes of rows do not reach the log.
    UnloggedChanges = "unlogged-changes",
    /// The server is a replica of another one.
    ReplicaTarget = "replica-target",
    /// A pooler stands before the server.
    Pooler = "pooler",
    /// A setting or the state of the server is in the way.
    ServerSettings = "server-settings",
    /// An option does not fit this server or this change.
    Option = "option",
    /// Sessions are in the way of the lock now.
    Blockers = "blockers",
    /// Replicas lag, or would.
    ReplicaLag = "replica-lag",
    /// The space that the change takes.
    DiskSpace = "disk-space",
    /// The log that the change writes.
    LogVolume = "log-volume",
    /// An undo could not bring something back.
    NotRevertible = "not-revertible",
    /// The server has another way to make the change.
    Alternative = "alternative",
    /// What stays after the change: the old table, names.
    Left = "left-behind",
    /// How the change is made, where it is worth knowing.
    Method = "method",
    /// A statement builds an index and blocks writers.
    BlockingIndex = "blocking-index",
    /// A statement changes many rows in one transaction.
    UnbatchedRows = "unbatched-rows",
    /// A question about the rows took too long, and has no answer.
    NotCounted = "not-counted",
    /// A statement of a file was not judged.
    NotJudged = "not-judged",
    /// Anything else.
    Other = "other",
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The run goes on; somebody should look first.
    Warning,
    /// The run refuses the change.
    Error,
}

impl Severity {
    /// The severity as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One thing that the plan found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The object it is about: "foreign key orders_customer_fk". Empty for the change as a whole.
    pub object: String,
    /// How many rows, values or objects, where they were counted.
    pub count: Option<u64>,
    /// One sentence about the object, without its name at the beginning and without a full stop.
    pub message: String,
    /// What the user can do about it: a statement or a flag. Empty for a note.
    pub remedy: String,
    /// The statement that is left for later: it drops a column that `--hold` keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later: Option<String>,
}

impl Finding {
    /// Refuses the change: what is in the way, why, and what the user can do.
    pub fn error(
        code: Code,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(code, Severity::Error, object.into(), message.into(), remedy.into())
    }

    /// Warns, and does not refuse.
    pub fn warning(
        code: Code,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(code, Severity::Warning, object.into(), message.into(), remedy.into())
    }

    /// Says what the user should know; about the change as a whole.
    pub fn note(code: Code, message: impl Into<String>) -> Finding {
        Finding::new(code, Severity::Note, String::new(), message.into(), String::new())
    }

    /// Refuses a change of which `--hold` leaves nothing.
    pub fn nothing_left() -> Finding {
        let message = "nothing of the change is left: the clauses only drop columns that it holds";
        let remedy = "wait with this change until the columns may go";
        Finding::error(Code::Option, "--hold", message, remedy)
    }

    /// The same, with how many there are.
    #[must_use]
    pub fn count(self, count: u64) -> Finding {
        Finding { count: Some(count), ..self }
    }

    /// The same, about this object.
    #[must_use]
    pub fn about(self, object: impl Into<String>) -> Finding {
        Finding { object: object.into(), ..self }
    }

    /// Says that a question about the rows took too long: "rows without a parent".
    pub fn not_counted(object: impl Into<String>, question: &str, limit: Duration) -> Finding {
        let message = format!(
            "the plan looked for {question} for {} s, and the server did not finish",
            limit.as_secs()
        );
        let remedy = "use plan --thorough, which waits for the answer; `run` waits, too, before it \
                      copies";
        Finding::warning(Code::NotCounted, object, message, remedy)
    }

    /// Says that `--hold` keeps a column, and which statement drops it later.
    pub fn held(column: &str, later: String) -> Finding {
        let message = format!("it stays for now (--hold). When nothing reads it any more: {later}");
        let note = Finding::note(Code::Left, message).about(format!("column {column}"));
        Finding { later: Some(later), ..note }
    }

    fn new(
        code: Code,
        severity: Severity,
        object: String,
        message: String,
        remedy: String,
    ) -> Finding {
        Finding { code, severity, object, count: None, message, remedy, later: None }
    }
}

/// The object and the sentence about it; no remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_words_of_small_letters_and_each_is_there_once() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        let is_plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(is_plain));
    }

    #[test]
    fn a_code_is_written_alike_for_people_and_scripts() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).expect("a code is plain data"), code.name());
        }
    }

    #[test]
    fn an_error_is_worse_than_a_warning() {
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Note);
    }
}
