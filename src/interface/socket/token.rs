//! The token that opens the TCP port.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// The fewest characters of a token. A shorter one can be guessed.
const LENGTH_MIN: usize = 16;
/// The most that is read of the file.
const LENGTH_MAX: u64 = 1024;

/// What a client must send first. It is never shown.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl Token {
    /// Reads the first line of a file that nobody but its owner can read.
    ///
    /// # Errors
    /// What is wrong with the file, and how to repair it.
    pub fn read(path: &Path) -> Result<Token, String> {
        let wrong = |reason: &str| format!("token file {}: {reason}", path.display());
        let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
        let mode = file.metadata().map_err(|error| wrong(&error.to_string()))?.mode();
        if mode & 0o077 != 0 {
            let found =
                format!("other users can open it (mode {:04o}). chmod 600 it", mode & 0o777);
            return Err(wrong(&found));
        }
        let mut text = Vec::new();
        file.take(LENGTH_MAX).read_to_end(&mut text).map_err(|error| wrong(&error.to_string()))?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        if line.len() < LENGTH_MIN {
            let short = format!("its first line must hold {LENGTH_MIN} characters or more");
            return Err(wrong(&short));
        }
        Ok(Token(line.to_owned()))
    }

    /// Whether a line is the token. The time it takes says nothing about how much of it is right.
    pub fn is(&self, line: &[u8]) -> bool {
        self.0.ct_eq(line.trim_ascii()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_long_and_its_file_is_private() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("token");
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("a file can be written");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("its mode can be set");
            Token::read(&path)
        };
        let token = with("0123456789abcdef\nnot this", 0o600).expect("it is well made");
        assert!(token.is(b"0123456789abcdef\r\n") && token.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "not this"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(with("0123456789abcdef", 0o400).is_ok());
        let public = with("0123456789abcdef", 0o640).err().unwrap_or_default();
        assert!(public.contains("0640") && !public.contains("abcdef"), "{public}");
        let short = with("secret\n", 0o600).err().unwrap_or_default();
        assert!(short.contains("16") && !short.contains("secret"), "{short}");
        assert!(Token::read(&folder.path().join("nowhere")).is_err());
    }
}
