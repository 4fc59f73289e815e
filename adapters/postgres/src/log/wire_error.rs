//! Errors of a replication connection.

use crate::server::error;
use altergeist_contract::{Error, Kind, Login, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend;
use std::io;

/// An error of the connection.
pub(crate) enum WireError {
    /// The connection is lost, or was never open.
    Lost(String),
    /// A retry cannot help.
    Refused(String),
    /// The server's answer: its code and its words. They name only slots and roles.
    Server { code: String, message: String },
}

impl WireError {
    pub(crate) fn of_server(body: &backend::ErrorResponseBody) -> WireError {
        let (mut code, mut message) = (String::new(), String::new());
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => code = value(),
                b'M' => message = value(),
                _ => {}
            }
        }
        WireError::Server { code, message }
    }

    /// The same during the login. A login that fails is no refusal of the plan.
    pub(crate) fn into_login_error(self, attempted: impl Into<String>) -> Error {
        match self {
            WireError::Server { code, message } if error::is_login_refused(&code) => {
                Error::fatal(attempted, message)
            }
            WireError::Refused(reason) => Error::fatal(attempted, reason),
            other => other.into_error(attempted),
        }
    }

    /// A password that is not accepted, apart from every other error.
    pub(crate) fn into_refusal<T>(
        self,
        attempted: String,
        into_error: fn(WireError, String) -> Error,
    ) -> Result<Login<T>> {
        let is_password = match &self {
            WireError::Server { code, .. } => error::is_password_refused(code),
            WireError::Lost(_) | WireError::Refused(_) => false,
        };
        let error = into_error(self, attempted);
        if is_password { Ok(Login::Refused(error)) } else { Err(error) }
    }

    pub(crate) fn into_error(self, attempted: impl Into<String>) -> Error {
        match self {
            WireError::Lost(reason) => Error::new(Kind::Disconnected, attempted, reason),
            WireError::Refused(reason) => Error::refused(attempted, reason),
            WireError::Server { code, message } => {
                Error::new(error::walsender_kind(&code), attempted, message)
            }
        }
    }
}

/// Returns the error of an answer with a wrong form.
pub(crate) fn malformed() -> WireError {
    WireError::Lost("the server's answer is malformed".to_owned())
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Lost(error.to_string())
    }
}
