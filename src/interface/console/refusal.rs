//! Why the console did not do what a client asked.

/// A refusal, with its code of PostgreSQL: clients read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The SQLSTATE.
    pub code: &'static str,
    /// The cause.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    fn of(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: None }
    }

    /// A statement that cannot be read.
    pub fn syntax(message: impl Into<String>) -> Refusal {
        Refusal::of("42601", message).hint("SHOW HELP lists the statements")
    }

    /// A name that nobody knows.
    pub fn unknown(message: impl Into<String>) -> Refusal {
        Refusal::of("42704", message)
    }

    /// What the console cannot do.
    pub fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal::of("0A000", message)
    }

    /// A wrong value.
    pub fn value(message: impl Into<String>) -> Refusal {
        Refusal::of("22023", message)
    }

    /// What this user may not do.
    pub fn role(message: impl Into<String>) -> Refusal {
        Refusal::of("42501", message)
    }

    /// An order that was not carried out.
    pub fn order(message: impl Into<String>) -> Refusal {
        Refusal::of("55000", message)
    }

    /// A user who is not let in.
    pub fn login(message: impl Into<String>) -> Refusal {
        Refusal::of("28000", message)
    }

    /// A wrong password.
    pub fn password(user: &str) -> Refusal {
        Refusal::of("28P01", format!("password authentication failed for user \"{user}\""))
    }

    /// A database that is not there.
    pub fn database(message: impl Into<String>) -> Refusal {
        Refusal::of("3D000", message)
    }

    /// Too much of something.
    pub fn limit(message: impl Into<String>) -> Refusal {
        Refusal::of("54000", message)
    }

    /// Too many clients.
    pub fn full(message: impl Into<String>) -> Refusal {
        Refusal::of("53300", message)
    }

    /// Bytes that are no message.
    pub fn protocol(message: impl Into<String>) -> Refusal {
        Refusal::of("08P01", message)
    }

    /// A connection that the console ends.
    pub fn ended(message: impl Into<String>) -> Refusal {
        Refusal::of("57P01", message)
    }

    /// Adds what to do.
    pub fn hint(self, hint: impl Into<String>) -> Refusal {
        Refusal { hint: Some(hint.into()), ..self }
    }
}
