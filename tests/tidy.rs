//! Rules of the house that a compiler does not check. Each test names the file, and the line where
//! there is one.

mod literals;

use literals::literals;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose modules import each other in one direction only.
const WITHOUT_CIRCLES: [&str; 4] =
    ["src", "adapters/mysql/src", "adapters/postgres/src", "integration/src"];
/// Folders with Rust in them.
const CODE: [&str; 4] = ["src", "tests", "adapters", "integration"];
/// What the core may not name.
const NOT_OF_THE_CORE: [&str; 2] = ["cli", "interface"];
/// The rooms of the core.
const CORE: [&str; 4] = ["backfill", "control", "migration", "pace"];

/// The adapters, each with the files that still hold SQL outside `sql/`.
const SQL_STILL_IN: [(&str, &[&str]); 2] =
    [("adapters/mysql/src", &[]), ("adapters/postgres/src", &[])];
/// The adapters, each with the files that still hold server error codes outside `error.rs`.
const CODES_STILL_IN: [(&str, &[&str]); 2] =
    [("adapters/mysql/src", &[]), ("adapters/postgres/src", &[])];
/// How statements begin, and clauses that are built apart.
const SQL_VERBS: [&str; 36] = [
    "ADD",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "COMMENT",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DROP",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "INSERT",
    "KILL",
    "LOCK",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TRUNCATE",
    "UNLOCK",
    "UPDATE",
    "VACUUM",
    "VALIDATE",
    "WITH",
    "XA",
];
/// Statements that are one word.
const SQL_WORDS: [&str; 3] = ["BEGIN", "COMMIT", "ROLLBACK"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The modules of a crate by their paths: `migration::run` and its text.
fn modules(folder: &str) -> BTreeMap<String, String> {
    let folder = root().join(folder);
    let module = |path: &PathBuf| {
        let below = path.strip_prefix(&folder).expect("it lies in the folder").with_extension("");
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let is_root = |part: &&String| !matches!(part.as_str(), "mod" | "lib" | "main");
        let name = parts.iter().filter(is_root).cloned().collect::<Vec<_>>().join("::");
        (name, fs::read_to_string(path).expect("a file of the project can be read"))
    };
    rust_files(&folder).iter().map(module).collect()
}

/// The code before the unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Every path in `use` statements that begin with this word: `use crate::a::{b, c::d};` has `a::b`
/// and `a::c::d`.
fn used(text: &str, begin: &str) -> Vec<String> {
    // Words of comments are no imports.
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = product(text).lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let statements = code.split(';').filter_map(|statement| {
        let at = statement
            .rfind("use ")
            .filter(|at| statement[..*at].ends_with(['\n', ' ']) || *at == 0)?;
        statement[at + 4..].trim().strip_prefix(begin).map(str::to_owned)
    });
    statements.flat_map(|tree| leaves("", &tree)).collect()
}

fn leaves(above: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim().trim_end_matches("::self");
        return vec![format!("{above}{name}")];
    };
    let above = format!("{above}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut found, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[from..at].trim();
                if part == "self" {
                    found.push(above.trim_end_matches("::").to_owned());
                } else if !part.is_empty() {
                    found.extend(leaves(&above, part));
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The module that a path leads to, through what other modules give on.
fn target(modules: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let mut module = path;
    while !modules.contains_key(module) {
        module = module.rsplit_once("::")?.0;
    }
    let name = path.strip_prefix(module)?.trim_start_matches("::");
    let given_on = used(&modules[module], "").into_iter().find(|given| {
        let (of, last) = given.rsplit_once("::").unwrap_or(("", given));
        last == name && modules.contains_key(&format!("{module}::{of}"))
    });
    match given_on {
        Some(given) => target(modules, &format!("{module}::{given}")),
        None => Some(module.to_owned()),
    }
}

fn imports(modules: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<String>> {
    let of = |name: &str, text: &str| {
        let room = name.rsplit_once("::").map_or(String::new(), |(room, _)| format!("{room}::"));
        let beside = used(text, "super::").into_iter().map(|path| format!("{room}{path}"));
        let paths = used(text, "crate::").into_iter().chain(beside);
        let paths = paths.filter_map(|path| target(modules, &path));
        paths.filter(|target| target != name).collect()
    };
    modules.iter().map(|(name, text)| (name.as_str(), of(name, text))).collect()
}

/// A way from a module back to itself.
fn circle(imports: &BTreeMap<&str, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        imports: &BTreeMap<&str, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        let here = way.last().expect("a way begins somewhere").clone();
        for next in imports.get(here.as_str()).into_iter().flatten() {
            if let Some(from) = way.iter().position(|seen| seen == next) {
                way.drain(..from);
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if walk(imports, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| {
        let mut way = vec![(*start).to_owned()];
        walk(imports, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn modules_import_each_other_in_one_direction() {
    for folder in WITHOUT_CIRCLES {
        let modules = modules(folder);
        let imports = imports(&modules);
        assert!(
            imports.values().any(|of| !of.is_empty()) || folder == "tests/simulation",
            "{folder}: no import was found"
        );
        if let Some(circle) = circle(&imports) {
            panic!("{folder}: modules import each other in a circle: {}", circle.join(" -> "));
        }
    }
}

#[test]
fn the_core_names_neither_the_command_line_nor_an_interface() {
    let modules = modules("src");
    for (module, imported) in imports(&modules) {
        let room = |name: &str| name.split("::").next().unwrap_or_default().to_owned();
        if !CORE.contains(&room(module).as_str()) {
            continue;
        }
        let named: Vec<&String> =
            imported.iter().filter(|it| NOT_OF_THE_CORE.contains(&room(it).as_str())).collect();
        assert!(named.is_empty(), "src/{}.rs imports {named:?}", module.replace("::", "/"));
    }
}

#[test]
fn only_the_choice_of_an_engine_names_an_adapter() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("a file of the project can be read");
        let names_one = text.contains("altergeist_mysql") || text.contains("altergeist_postgres");
        assert_eq!(
            names_one,
            path.ends_with("cli/engines.rs"),
            "{} names an adapter",
            shown(&path)
        );
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for path in CODE.iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let text = fs::read_to_string(&path).expect("a file of the project can be read");
        assert!(
            text.starts_with("//! "),
            "{}:1: the first line does not say what the file is for",
            shown(&path)
        );
    }
}

/// The files of the project, by their paths from its root, without what is built or downloaded.
fn all_files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !(name.starts_with('.') && name != ".github") {
            files.extend(all_files(&path));
        } else if path.is_file() {
            files.push(shown(&path));
        }
    }
    files
}

/// Words in backticks that name a file or a folder of the project.
fn paths_named(line: &str) -> Vec<&str> {
    let spans = line.split('`').skip(1).step_by(2);
    let words = spans.flat_map(|span| {
        span.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-./".contains(letter))
    });
    let is_path = |word: &&str| {
        let begins = |folder: &str| word.starts_with(&format!("{folder}/"));
        word.ends_with(".rs") || CODE.iter().chain(&["docs"]).any(|folder| begins(folder))
    };
    // A name in capitals stands for any.
    let is_one = |word: &&str| !word.chars().any(|letter| letter.is_ascii_uppercase());
    words.map(|word| word.trim_end_matches(['/', '.'])).filter(is_path).filter(is_one).collect()
}

/// Targets of links within the project.
fn links(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn the_documents_name_files_that_exist() {
    let files = all_files(root());
    let exists = |path: &str| {
        root().join(path).exists() || files.iter().any(|file| file.ends_with(&format!("/{path}")))
    };
    let is_page = |file: &&String| file.ends_with(".md");
    for page in files.iter().filter(is_page) {
        let text = fs::read_to_string(root().join(page)).expect("a page can be read");
        let folder = root().join(page).parent().expect("a page lies in a folder").to_owned();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{page}:{}", number + 1);
            for path in paths_named(line) {
                assert!(exists(path), "{place}: there is no {path}");
            }
            for link in links(line) {
                assert!(folder.join(link).exists(), "{place}: the link to {link} leads nowhere");
            }
        }
    }
}

/// The product code of an adapter, without what may hold SQL and codes: file, path and text.
fn adapter_files(folder: &str) -> Vec<(String, String)> {
    let folder = root().join(folder);
    let below = |path: &PathBuf| {
        path.strip_prefix(&folder).expect("it lies in the folder").display().to_string()
    };
    let text =
        |path: &PathBuf| fs::read_to_string(path).expect("a file of the project can be read");
    let files = rust_files(&folder);
    let files = files.iter().map(|path| (below(path), product(&text(path)).to_owned()));
    files.filter(|(file, _)| !file.ends_with("tests.rs")).collect()
}

/// Whether a text is a statement or a clause of one. An ellipsis marks an example for people.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | '('));
    let (verb, rest) = text.split_once([' ', '\n']).unwrap_or((text.trim_end_matches(';'), ""));
    let is_statement = !rest.trim().is_empty() && SQL_VERBS.contains(&verb);
    (is_statement || SQL_WORDS.contains(&verb)) && !text.contains('…')
}

/// Whether a text is an SQLSTATE: five digits and capitals, but no word.
fn is_sqlstate(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
    text.len() == 5 && text.chars().all(is_part) && text.chars().any(|c| c.is_ascii_digit())
}

/// Whether a line holds a number that MySQL and MariaDB use as an error code, where one may stand.
fn has_error_number(line: &str) -> bool {
    let may_stand = ["code", "Some(", ": u16 ="].iter().any(|place| line.contains(place));
    let numbers = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
    let mut numbers = numbers.filter_map(|word| word.parse::<u16>().ok());
    may_stand && numbers.any(|number| (1000..5000).contains(&number))
}

/// Fails with every finding in a file that may have none, and with every file that has none any
/// more.
fn must_be_without(
    what: &str,
    exempt: [(&str, &[&str]); 2],
    find: impl Fn(&str, &str) -> Vec<usize>,
) {
    let mut wrong = Vec::new();
    for (folder, exempt) in exempt {
        for (file, text) in adapter_files(folder) {
            let found = find(&file, &text);
            match exempt.contains(&file.as_str()) {
                true if found.is_empty() => {
                    wrong.push(format!("{folder}/{file} is exempt no more"))
                }
                true => {}
                false => wrong.extend(found.iter().map(|line| format!("{folder}/{file}:{line}"))),
            }
        }
    }
    assert!(wrong.is_empty(), "{what}\n{}", wrong.join("\n"));
}

#[test]
fn sql_is_only_in_the_room_for_it() {
    must_be_without("move the SQL to sql/", SQL_STILL_IN, |file, text| {
        let found = literals(text).into_iter().filter(|literal| is_sql(&literal.text));
        found.filter(|_| !file.starts_with("sql/")).map(|literal| *literal.lines.start()).collect()
    });
}

#[test]
fn error_codes_are_only_in_the_table_for_them() {
    must_be_without("move the code to server/error.rs", CODES_STILL_IN, |file, text| {
        if file == "server/error.rs" {
            return Vec::new();
        }
        let states = literals(text).into_iter().filter(|literal| is_sqlstate(&literal.text));
        let code = |line: &str| !line.trim_start().starts_with("//") && has_error_number(line);
        let numbers = text.lines().zip(1..).filter(|(line, _)| code(line)).map(|(_, nth)| nth);
        states.map(|literal| *literal.lines.start()).chain(numbers).collect()
    });
}

#[test]
fn sql_and_codes_are_told_from_words() {
    for text in ["SELECT 1", "; GRANT USAGE ON x", "(SELECT a", "ROLLBACK", "DROP TABLE {t}"] {
        assert!(is_sql(text), "{text}");
    }
    for text in ["SELECT", "run ALTER TABLE t", "ALTER TABLE … SET LOGGED", "Set it", "a"] {
        assert!(!is_sql(text), "{text}");
    }
    assert!(is_sqlstate("42P01") && !is_sqlstate("TABLE") && !is_sqlstate("4"));
    assert!(has_error_number("Some(1205 | 1317) => x") && !has_error_number("rows > 1205"));
}

#[test]
fn a_circle_is_found_and_told_from_what_is_none() {
    let crate_of = |texts: &[(&str, &str)]| -> BTreeMap<String, String> {
        texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let modules = crate_of(&[
        ("room", "pub mod a;\npub mod b;\npub use a::Thing;\n"),
        ("room::a", "use crate::room::b::{self, Other};\n"),
        ("room::b", "use crate::room::{Thing, c};\n"),
    ]);
    assert_eq!(circle(&imports(&modules)), Some(vec!["room::a".to_owned(), "room::b".to_owned()]));
    let modules = crate_of(&[
        ("room", "pub use a::Thing;\n"),
        ("room::a", "use super::b::Other;\n"),
        ("room::b", "use super::Thing;\n"),
    ]);
    assert_eq!(circle(&imports(&modules)), Some(vec!["room::a".to_owned(), "room::b".to_owned()]));
    let modules = crate_of(&[
        ("room", "pub use a::Thing;\n"),
        ("room::a", "use crate::room::b;\n"),
        ("room::b", "use std::fmt;\n#[cfg(test)]\nmod tests { use crate::room::a; }\n"),
    ]);
    assert_eq!(circle(&imports(&modules)), None);
    assert_eq!(imports(&modules)["room::a"], BTreeSet::from(["room::b".to_owned()]));
}

#[test]
fn files_named_on_a_page_are_found_and_words_are_not() {
    let line = "See `adapters/mysql/src/lib.rs` and `run.rs`, not `--url` or `src/NAME`.";
    assert_eq!(paths_named(line), ["adapters/mysql/src/lib.rs", "run.rs"]);
    assert_eq!(links("[a](b.md#c), [d](https://e.example), [f](#g)"), ["b.md"]);
}

/// A rehearsal cannot swap: the one call of the swap asks for a leave that only a run can make.
#[test]
fn only_a_run_has_the_leave_to_swap() {
    let modules = modules("src");
    let with = |words: &str| -> Vec<&str> {
        let found = modules.iter().filter(|(_, text)| product(text).contains(words));
        found.map(|(name, _)| &**name).collect()
    };
    assert_eq!(with(".swap()"), ["migration::cutover"]);
    assert_eq!(with("of_a_run()"), ["migration::run", "migration::run::leave"]);
}

/// `println!` ends the program when the reader of a pipe has left.
#[test]
fn results_are_printed_in_one_place() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("a file of the project can be read");
        let found = ["println!(", "print!("].iter().find(|it| product(&text).contains(*it));
        assert!(found.is_none(), "{}: use interface::output, not {found:?}", shown(&path));
    }
}
