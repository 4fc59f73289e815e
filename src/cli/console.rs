//! The console of a run: its flags, and how it opens.

use crate::cli::table::holder;
use crate::interface::console::{Address, Diary, Listening, Room, Tls, Users, listen, verifier};
use crate::interface::log::say_error;
use crate::interface::output::print_line;
use crate::interface::socket::Steering;
use altergeist::Listeners;
use altergeist::contract::{Error, Kind, Result};
use clap::Args;
use std::io::BufRead;
use std::path::PathBuf;

/// The variable with one password for all users.
const PASSWORD: &str = "ALTERGEIST_CONSOLE_PASSWORD";

/// The console of a run.
#[derive(Args)]
pub struct ConsoleArgs {
    /// Show and steer the run at this port or socket, with psql or any other client of PostgreSQL
    #[arg(long, value_name = "127.0.0.1:PORT or DIR/.s.PGSQL.PORT")]
    console: Option<Address>,
    /// File with the users of the console, as NAME:ROLE:PASSWORD lines; the roles are watcher,
    /// operator and approver. Only its owner may have access. Without it there are three users
    /// named like the roles, with the password in ALTERGEIST_CONSOLE_PASSWORD
    #[arg(long, value_name = "FILE", requires = "console")]
    console_users: Option<PathBuf>,
    /// Certificate of the console, in PEM
    #[arg(long, value_name = "FILE", requires = "console", requires = "console_tls_key")]
    console_tls_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "console_tls_cert")]
    console_tls_key: Option<PathBuf>,
}

/// A console that nobody can reach yet.
pub struct Ready {
    address: Address,
    users: Users,
    tls: Option<Tls>,
    diary: Diary,
}

impl ConsoleArgs {
    /// Reads what the console needs, and lets it hear of the run's events. None without the flag.
    ///
    /// # Errors
    /// `Usage` if a file is wrong, or a flag is missing.
    pub fn prepare(&self, listeners: &mut Listeners) -> Result<Option<Ready>> {
        let Some(address) = &self.console else { return Ok(None) };
        let wrong = |reason: String| Error::new(Kind::Usage, "open the console", reason);
        let users = self.users(address).map_err(wrong)?;
        let tls = match (&self.console_tls_cert, &self.console_tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::read(certificate, key).map_err(wrong)?),
            _ => None,
        };
        if !address.is_local() && tls.is_none() {
            return Err(wrong(
                "other machines can reach this address, and the connection is not encrypted. Use \
                 127.0.0.1, or give --console-tls-cert and --console-tls-key"
                    .into(),
            ));
        }
        let (diary, news) = Diary::new();
        listeners.console = Some(news);
        Ok(Some(Ready { address: address.clone(), users, tls, diary }))
    }

    fn users(&self, address: &Address) -> std::result::Result<Users, String> {
        if let Some(path) = &self.console_users {
            return Users::read(path);
        }
        match (std::env::var(PASSWORD), address) {
            (Ok(password), _) => {
                Users::with_password(&password).map_err(|reason| format!("{PASSWORD}: {reason}"))
            }
            (Err(_), Address::Unix(_)) => Ok(Users::nobody()),
            (Err(_), Address::Tcp(_)) => {
                Err(format!("nobody has a password. Give --console-users FILE, or set {PASSWORD}"))
            }
        }
    }
}

impl Ready {
    /// Opens the console.
    ///
    /// # Errors
    /// `Usage` if the address cannot be used.
    pub async fn open(self, steering: &Steering) -> Result<Listening> {
        let Ready { address, users, tls, diary } = self;
        let starter = holder().split('@').next().unwrap_or_default().to_owned();
        let room = Room { steering: steering.clone(), diary, users, starter };
        listen(&address, tls, room).await
    }
}

/// Prints what a file of users holds in the place of a password, which is read from stdin.
pub fn password() -> u8 {
    let mut line = String::new();
    if let Err(error) = std::io::stdin().lock().read_line(&mut line) {
        say_error(&format!("altergeist: the password cannot be read from stdin: {error}"));
        return 2;
    }
    match verifier(line.trim_end_matches(['\r', '\n'])) {
        Ok(verifier) => print_line(&verifier),
        Err(reason) => {
            say_error(&format!("altergeist: {reason}. Write it to stdin, in one line"));
            2
        }
    }
}
