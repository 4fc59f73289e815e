//! Where the Unix socket of a run lies.

use crate::interface::address::without_password;
use altergeist::contract::Target;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Returns the default socket of a run on this table.
pub fn default_path(target: &Target) -> PathBuf {
    let name: String = target
        .table
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' })
        .collect();
    let mut hasher = DefaultHasher::new();
    without_password(&target.url).hash(&mut hasher);
    target.table.hash(&mut hasher);
    let short: String = name.chars().take(40).collect();
    folder().join(format!("{short}-{:08x}.sock", hasher.finish() as u32))
}

/// Returns the only socket in the user's runtime folder.
///
/// # Errors
/// What to do if there is none, or more than one.
pub fn only_one() -> Result<PathBuf, String> {
    let files = std::fs::read_dir(folder()).into_iter().flatten().flatten().map(|file| file.path());
    let mut sockets: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect();
    sockets.sort();
    match sockets.len() {
        0 => Err(format!("no run listens in {}; give --socket", folder().display())),
        1 => Ok(sockets.remove(0)),
        _ => {
            let listed: Vec<String> =
                sockets.iter().map(|path| format!("\n  {}", path.display())).collect();
            Err(format!("several runs listen; choose one with --socket:{}", listed.concat()))
        }
    }
}

/// Returns the user's runtime folder for sockets.
pub fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("altergeist"),
        None => {
            let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
            std::env::temp_dir().join(format!("altergeist-{user}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_reach_the_socket_s_name() {
        let with = |url: &str| {
            default_path(&Target { url: url.into(), table: "t".into(), ..Target::default() })
        };
        assert_eq!(with("mysql://me:secret@h/db"), with("mysql://me:other@h/db"));
    }
}
