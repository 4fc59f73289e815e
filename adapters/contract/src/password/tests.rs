//! Logins against a server that knows one password, without any server.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server with one right password. Counts the wrong ones.
struct Door {
    right: Mutex<String>,
    wrong: AtomicUsize,
}

impl Door {
    fn new(right: &str) -> Door {
        Door { right: Mutex::new(right.into()), wrong: AtomicUsize::new(0) }
    }

    async fn open(&self, passwords: &Passwords, known: Option<&str>) -> Result<()> {
        let log_in = |password: Option<String>| async move {
            if password.as_deref() == Some(self.right.lock().unwrap().as_str()) {
                return Ok(Login::Done(()));
            }
            self.wrong.fetch_add(1, Ordering::SeqCst);
            Ok(Login::Refused(Error::fatal("log in", "access denied")))
        };
        passwords.log_in("db:1", known, log_in).await
    }

    fn wrong(&self) -> usize {
        self.wrong.load(Ordering::SeqCst)
    }
}

fn secret(folder: &Path, text: &str, mode: u32) -> PathBuf {
    let path = folder.join("secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("altergeist-password-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn a_file_is_read_for_each_session() {
    let folder = folder("each");
    let passwords = Passwords::of_file(secret(&folder, "one\n", 0o600));
    let door = Door::new("one");
    door.open(&passwords, None).await.unwrap();
    *door.right.lock().unwrap() = "two\\ %\u{e9} '".into();
    secret(&folder, "two\\ %\u{e9} '", 0o600);
    door.open(&passwords, None).await.unwrap();
    assert_eq!(door.wrong(), 0);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_rotation_in_progress_is_waited_for_and_sends_the_old_password_once() {
    let folder = folder("rotation");
    let passwords = Passwords::of_file(secret(&folder, "old", 0o600));
    let door = Door::new("new");
    let later = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        secret(&folder, "new\n", 0o600);
    };
    let (one, two, ()) =
        tokio::join!(door.open(&passwords, None), door.open(&passwords, None), later);
    one.and(two).unwrap();
    assert_eq!(door.wrong(), 1);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_by_all_sessions_together() {
    let passwords = Passwords::of_command("echo wrong");
    let door = Door::new("right");
    let open = || door.open(&passwords, None);
    let (one, two, three) = tokio::join!(open(), open(), open());
    for answer in [one, two, three] {
        assert_eq!(answer.unwrap_err().reason, "access denied");
    }
    assert_eq!(door.wrong(), 1);
    assert!(Door::new("right").open(&Passwords::default(), Some("right")).await.is_ok());
}

#[tokio::test]
async fn a_command_with_another_password_each_time_is_tried_twice_at_most() {
    let passwords = Passwords::of_command("date +%s%N");
    let door = Door::new("right");
    assert!(door.open(&passwords, None).await.is_err());
    assert!(door.open(&passwords, None).await.is_err());
    assert_eq!(door.wrong(), TRIES);
}

#[tokio::test]
async fn a_known_password_is_not_sent_twice_either() {
    let passwords = Passwords::default();
    let door = Door::new("right");
    assert!(door.open(&passwords, Some("wrong")).await.is_err());
    assert!(door.open(&passwords, Some("wrong")).await.is_err());
    assert_eq!(door.wrong(), 1);
    door.open(&passwords, Some("right")).await.unwrap();
}

#[tokio::test]
async fn a_source_without_a_password_says_why_and_shows_nothing() {
    let folder = folder("why");
    let file = |text: &str, mode| Passwords::of_file(secret(&folder, text, mode));
    let command = |text: &str| Passwords::of_command(text);
    for (passwords, words) in [
        (file("hush\n", 0o640), "chmod 0600"),
        (command("echo hush; exit 3"), "exit code 3"),
        (command("true"), "no password"),
        (command("echo hush; echo hush"), "more than one line"),
        (Passwords::of_file("/nowhere/file"), "/nowhere/file"),
        (Passwords::of_file("/dev/null"), "plain file"),
    ] {
        let error = passwords.check().await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    fs::remove_dir_all(folder).unwrap();
}
