//! What the URLs of all engines have in common: percent escapes, and how the wire is protected.
//! Nothing here shows a URL: it may hold a password.

use crate::{Error, Kind, Result};

/// Says what is wrong with a URL, without showing it.
pub fn unreadable(reason: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "read the server's URL", reason)
}

/// Undoes percent escapes.
///
/// # Errors
/// `Usage` for a broken escape, and for what is not UTF-8 afterwards.
pub fn percent_decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()]
            .map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(unreadable("a '%' in it is not followed by two hex digits"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 once its escapes are read"))
}

/// How the wire is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted, without asking who answers.
    Require,
    /// Encrypted, and somebody we trust has signed the server's certificate.
    VerifyCa,
    /// Encrypted, and that certificate is made out for this host.
    VerifyFull,
}

impl TlsMode {
    /// Reads the words of every engine: `verify-full` and `VERIFY_IDENTITY`, `disable` and `OFF`.
    ///
    /// # Errors
    /// `Usage` for any other word.
    pub fn read(word: &str) -> Result<TlsMode> {
        match &*word.to_ascii_lowercase().replace('_', "-") {
            "disable" | "disabled" | "off" => Ok(TlsMode::Disable),
            "allow" | "prefer" | "preferred" => Ok(TlsMode::Prefer),
            "require" | "required" => Ok(TlsMode::Require),
            "verify-ca" => Ok(TlsMode::VerifyCa),
            "verify-full" | "verify-identity" => Ok(TlsMode::VerifyFull),
            _ => Err(unreadable(format!(
                "its TLS mode '{word}' is not one of disable, prefer, require, verify-ca, \
                 verify-full"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_broken_ones_refused() {
        assert_eq!(percent_decoded("p%40s%C3%A9").unwrap(), "p@s\u{e9}");
        for broken in ["%", "%4", "%zz", "%+5", "%ff"] {
            assert!(percent_decoded(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_mode_is_read_in_every_engines_words() {
        for word in ["verify-full", "VERIFY_IDENTITY", "verify_full"] {
            assert_eq!(TlsMode::read(word).unwrap(), TlsMode::VerifyFull);
        }
        assert_eq!(TlsMode::read("DISABLED").unwrap(), TlsMode::Disable);
        assert_eq!(TlsMode::read("maybe").unwrap_err().kind, Kind::Usage);
    }
}
