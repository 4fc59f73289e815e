//! Who may use the console, and what for. The console keeps verifiers, as PostgreSQL does, and no
//! passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::ScramSecret;
use postgres_protocol::password::scram_sha_256;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The fewest characters of a password. A shorter one can be guessed.
const PASSWORD_MIN: usize = 8;
/// The most that is read of the file.
const FILE_MAX: u64 = 64 * 1024;
/// The beginning of a verifier.
const VERIFIER: &str = "SCRAM-SHA-256$";

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Look.
    Watcher,
    /// Look, and give orders.
    Operator,
    /// Look, and approve the plan.
    Approver,
}

impl Role {
    /// Every role.
    const ALL: [Role; 3] = [Role::Watcher, Role::Operator, Role::Approver];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Watcher => "watcher",
            Role::Operator => "operator",
            Role::Approver => "approver",
        })
    }
}

struct User {
    role: Role,
    verifier: Verifier,
}

#[derive(Clone, PartialEq, Eq)]
struct Verifier {
    salt: Vec<u8>,
    iterations: usize,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// The users of a console.
pub struct Users {
    users: BTreeMap<String, User>,
    /// For a name that nobody has: its password is as wrong as any.
    decoy: Verifier,
    /// Whether an approver is another person than the operator.
    may_approve: bool,
}

impl Users {
    /// Nobody: only the run's own user may come, by the Unix socket.
    pub fn nobody() -> Users {
        Users { users: BTreeMap::new(), decoy: decoy(), may_approve: false }
    }

    /// The three roles as users, with one password.
    ///
    /// # Errors
    /// That it is too short.
    pub fn with_password(password: &str) -> Result<Users, String> {
        check(password)?;
        let verifier = made(password)?;
        let user = |role: Role| (role.to_string(), User { role, verifier: verifier.clone() });
        Ok(Users { users: Role::ALL.map(user).into(), ..Users::nobody() })
    }

    /// Reads a file of lines `NAME:ROLE:PASSWORD` that nobody but its owner can read.
    ///
    /// # Errors
    /// What is wrong with the file, and how to repair it. Never a password.
    pub fn read(path: &Path) -> Result<Users, String> {
        let wrong = |reason: String| format!("{}: {reason}", path.display());
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(wrong(format!("other users can open it (mode {mode:04o}). chmod 600 it")));
        }
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        let mut users = BTreeMap::new();
        for (nth, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, user) =
                user(line).map_err(|reason| wrong(format!("line {}: {reason}", nth + 1)))?;
            if users.insert(name.clone(), user).is_some() {
                return Err(wrong(format!("two users are called {name}")));
            }
        }
        match users.is_empty() {
            true => Err(wrong("it names no user. Write NAME:ROLE:PASSWORD lines".into())),
            false => Ok(Users { users, may_approve: true, ..Users::nobody() }),
        }
    }

    /// Whether anybody has a password.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The role of a user.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.users.get(name).map(|user| user.role)
    }

    /// Whether an approval through this console proves anything.
    pub fn may_approve(&self) -> bool {
        self.may_approve
    }

    /// What a password is compared with.
    pub fn secret(&self, name: &str) -> ScramSecret {
        let verifier = self.users.get(name).map_or(&self.decoy, |user| &user.verifier).clone();
        let Verifier { salt, iterations, stored_key, server_key } = verifier;
        ScramSecret::Verifier { salt, iterations, stored_key, server_key }
    }
}

fn user(line: &str) -> Result<(String, User), String> {
    let form = "write NAME:ROLE:PASSWORD";
    let mut parts = line.splitn(3, ':');
    let (Some(name), Some(role), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form.into());
    };
    if name.is_empty() || name.len() > 63 {
        return Err(format!("a name has 1 to 63 bytes; {form}"));
    }
    let role = Role::ALL.into_iter().find(|known| known.to_string() == role.trim());
    let role = role.ok_or("the role is watcher, operator or approver")?;
    let verifier = match secret.starts_with(VERIFIER) {
        true => parsed(secret).ok_or("the verifier is damaged; copy it again")?,
        // The person who starts the run can read this file.
        false if role == Role::Approver => {
            return Err(
                "the person who starts the run could read an approver's password here. Write \
                        the output of `altergeist console-password` in its place"
                    .into(),
            );
        }
        false => {
            check(secret)?;
            made(secret)?
        }
    };
    Ok((name.to_owned(), User { role, verifier }))
}

fn check(password: &str) -> Result<(), String> {
    match password.chars().count() {
        0..PASSWORD_MIN => Err(format!("a password has {PASSWORD_MIN} characters or more")),
        _ => Ok(()),
    }
}

/// Makes the verifier of a password, as a file of users holds it.
///
/// # Errors
/// That the password is too short.
pub fn verifier(password: &str) -> Result<String, String> {
    check(password)?;
    Ok(scram_sha_256(password.as_bytes()))
}

fn made(password: &str) -> Result<Verifier, String> {
    let broken = || "the verifier could not be made".to_owned();
    parsed(&scram_sha_256(password.as_bytes())).ok_or_else(broken)
}

/// Reads `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`.
fn parsed(text: &str) -> Option<Verifier> {
    let mut parts = text.trim().strip_prefix(VERIFIER)?.split(['$', ':']);
    let iterations = parts.next()?.parse().ok().filter(|it| (1000..=10_000_000).contains(it))?;
    let mut bytes = || STANDARD.decode(parts.next()?).ok();
    let (salt, stored_key, server_key) = (bytes()?, bytes()?, bytes()?);
    let is_whole = !salt.is_empty() && stored_key.len() == 32 && server_key.len() == 32;
    let is_all = parts.next().is_none();
    (is_whole && is_all).then_some(Verifier { salt, iterations, stored_key, server_key })
}

/// A verifier that fits no password that anybody knows.
fn decoy() -> Verifier {
    let unknown = pgwire::api::auth::sasl::scram::random_nonce();
    let keys = || unknown.bytes().cycle().take(32).collect::<Vec<u8>>();
    let salt = unknown.bytes().take(16).collect();
    Verifier { salt, iterations: 4096, stored_key: keys(), server_key: keys() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_names_users_and_is_private() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("users");
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("a file can be written");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("its mode can be set");
            Users::read(&path)
        };
        let secret = verifier("correct horse").expect("it is long");
        let text = format!("# people\nkim:operator:pass:word 1\n\nann:approver:{secret}\n");
        let users = with(&text, 0o600).map_err(|reason| panic!("{reason}")).ok();
        let users = users.expect("it is well made");
        assert_eq!(users.role("kim"), Some(Role::Operator));
        assert_eq!(users.role("ann"), Some(Role::Approver));
        assert_eq!(users.role("operator"), None);
        assert!(users.may_approve());
        for (wrong, words) in [
            ("", "no user"),
            ("kim", "line 1: write NAME:ROLE:PASSWORD"),
            ("kim:owner:hush hush", "the role is"),
            (":operator:hush hush", "a name has"),
            ("kim:operator:hush", "8 characters"),
            ("ann:approver:hush hush", "console-password"),
            ("kim:operator:SCRAM-SHA-256$4096:hush", "damaged"),
            ("kim:operator:hush hush\nkim:watcher:hush hush", "two users"),
        ] {
            let reason = with(wrong, 0o600).err().unwrap_or_default();
            assert!(reason.contains(words) && !reason.contains("hush"), "{wrong}: {reason}");
        }
        let public = with(&text, 0o640).err().unwrap_or_default();
        assert!(public.contains("0640") && public.contains("chmod 600"), "{public}");
    }

    #[test]
    fn with_one_password_for_all_nobody_can_approve() {
        let users = Users::with_password("hush hush").map_err(|reason| panic!("{reason}")).ok();
        let users = users.expect("it is long");
        assert_eq!(users.role("approver"), Some(Role::Approver));
        assert!(!users.may_approve());
        assert!(Users::with_password("hush").is_err());
    }
}
