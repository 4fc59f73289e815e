//! What a case's folder says. No server here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::servers::Flavour;

/// A case, as its folder tells it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The kinds of server it runs on.
    pub flavours: Vec<Flavour>,
    /// Settings for servers of its own; empty when the shared ones will do.
    pub settings: Vec<(String, String)>,
    pub(super) create: String,
    pub(super) blocks: Vec<String>,
    pub(super) alter: String,
    pub(super) native: Option<String>,
    pub(super) table: String,
    pub(super) flags: Vec<String>,
    pub(super) exit: i32,
    /// What its writes get from foreign keys and checks without any change under way, by the
    /// server's codes.
    pub(super) errors: Vec<String>,
    pub(super) says: Vec<String>,
    pub(super) queries: Vec<(String, String)>,
    pub(super) way_back: WayBack,
}

/// How a case is put back after the swap.
#[derive(Clone, Debug, Default)]
pub(super) struct WayBack {
    /// Flags of the run besides `--reversible`.
    pub(super) flags: Vec<String>,
    /// The exit code and the words of `plan --reversible`, if it cannot be put back.
    pub(super) refusal: Option<(i32, String)>,
    /// Whether the old table cannot hold some rows that are written after the swap.
    pub(super) misfits: bool,
    /// What `revert` says if it cannot put the table back after what the application wrote.
    pub(super) stays: Option<String>,
}

impl Case {
    /// Every case there is, by name.
    ///
    /// # Panics
    /// When a folder cannot be understood.
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
        let engines: [(&str, &[Flavour]); 2] = [
            ("mysql", &[Flavour::MySql97, Flavour::MariaDb1011]),
            ("postgres", &[Flavour::Postgres15, Flavour::Postgres18]),
        ];
        let mut cases: Vec<Self> = engines
            .into_iter()
            .flat_map(|(engine, flavours)| {
                folders(&root.join(engine)).into_iter().map(move |path| (path, flavours))
            })
            .map(|(path, flavours)| {
                Self::read(&path, flavours)
                    .unwrap_or_else(|why| panic!("{}: {why}", path.display()))
            })
            .collect();
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        cases
    }

    fn read(folder: &Path, flavours: &[Flavour]) -> Result<Self, String> {
        let must =
            |name: &str| fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"));
        let may = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let lines = |name: &str| may(name).map(|text| lines_of(&text)).unwrap_or_default();
        let mut case = Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            flavours: named(flavours, &lines("servers"))?,
            settings: lines("settings")
                .iter()
                .map(|line| setting(line))
                .collect::<Result<_, _>>()?,
            create: must("create.sql")?,
            blocks: blocks_of(&may("writes.sql").unwrap_or_default()),
            alter: must("alter")?.trim().to_owned(),
            native: may("native.sql"),
            table: may("table")
                .map_or_else(|| "t".to_owned(), |name| name.trim_end_matches('\n').to_owned()),
            flags: lines("flags").iter().flat_map(|line| words_of(line, folder)).collect(),
            exit: 0,
            errors: Vec::new(),
            says: Vec::new(),
            queries: Vec::new(),
            way_back: WayBack::default(),
        };
        case.expect(&lines("expect"))?;
        case.way_back = way_back(&lines("revert"), folder)?;
        Ok(case)
    }

    fn expect(&mut self, lines: &[String]) -> Result<(), String> {
        for line in lines {
            match line.split_once(' ') {
                Some(("exit", code)) => {
                    self.exit =
                        code.trim().parse().map_err(|_| format!("{line:?}: no exit code"))?
                }
                Some(("error", codes)) => {
                    self.errors.extend(codes.split_whitespace().map(str::to_owned))
                }
                Some(("say", words)) => self.says.push(words.trim().to_owned()),
                Some(("query", rest)) => {
                    let (sql, result) = rest.rsplit_once("=>").ok_or(format!("{line:?}: no =>"))?;
                    self.queries.push((sql.trim().to_owned(), result.trim().to_owned()));
                }
                _ => return Err(format!("{line:?} is nothing that can be expected")),
            }
        }
        Ok(())
    }

    /// Whether a copy can be put back, or a plan must say that it cannot.
    pub fn has_way_back(&self) -> bool {
        self.exit == 0 && !self.may_be_native()
    }

    /// Whether the server may do the change itself, so that nothing is copied.
    pub(super) fn may_be_native(&self) -> bool {
        let strategy = self
            .flags
            .iter()
            .position(|flag| flag == "--strategy")
            .and_then(|at| self.flags.get(at + 1));
        strategy.is_some_and(|strategy| strategy != "copy")
    }
}

fn way_back(lines: &[String], folder: &Path) -> Result<WayBack, String> {
    let mut way_back = WayBack::default();
    for line in lines {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("refused", words) => way_back.refusal = Some((3, words.trim().to_owned())),
            ("usage", words) => way_back.refusal = Some((2, words.trim().to_owned())),
            ("stays", words) => way_back.stays = Some(words.trim().to_owned()),
            ("misfits", "") => way_back.misfits = true,
            (flag, _) if flag.starts_with("--") => way_back.flags.extend(words_of(line, folder)),
            _ => return Err(format!("{line:?} is no way back")),
        }
    }
    Ok(way_back)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn blocks_of(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match (line.trim().is_empty(), blocks.last_mut()) {
            (true, _) => blocks.push(String::new()),
            (false, Some(block)) => *block += &format!("{line}\n"),
            (false, None) => unreachable!("there is always a last block"),
        }
    }
    blocks.retain(|block| block.lines().any(|line| !line.trim_start().starts_with("--")));
    blocks
}

fn named(all: &[Flavour], names: &[String]) -> Result<Vec<Flavour>, String> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let one = |name: &String| all.iter().copied().find(|flavour| flavour.name() == name);
    names
        .iter()
        .map(|name| one(name).ok_or(format!("{name:?} is no server of this engine")))
        .collect()
}

fn setting(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once('=').ok_or(format!("{line:?}: give it as name=value"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A flag and its value, which may hold blanks; `{case}` is the folder.
fn words_of(line: &str, folder: &Path) -> Vec<String> {
    let line = line.replace("{case}", &folder.display().to_string());
    line.splitn(2, ' ').map(|word| word.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_parted_by_blank_lines_and_comments_alone_are_none() {
        assert_eq!(
            blocks_of("a;\nb;\n\n\n-- only this\n\n-- and\nc;\n"),
            ["a;\nb;\n", "-- and\nc;\n"]
        );
        assert!(blocks_of("").is_empty());
    }

    #[test]
    fn a_flag_keeps_the_blanks_of_its_value() {
        assert_eq!(words_of("--order-by a, b", Path::new("/x")), ["--order-by", "a, b"]);
        assert_eq!(
            words_of("--create {case}/new.sql", Path::new("/x")),
            ["--create", "/x/new.sql"]
        );
        assert_eq!(words_of("--keep-indexes", Path::new("/x")), ["--keep-indexes"]);
    }

    #[test]
    fn every_folder_can_be_read_and_no_name_is_given_twice() {
        let cases = Case::all();
        let mut names: Vec<(&str, Flavour)> = cases
            .iter()
            .flat_map(|case| case.flavours.iter().map(|flavour| (case.name.as_str(), *flavour)))
            .collect();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 20, "only {all} cases were found");
        assert!(
            cases.iter().all(|case| case.name.len() <= 40),
            "a name is part of a database's name"
        );
    }
}
