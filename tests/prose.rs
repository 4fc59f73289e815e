//! Rules of prose that a compiler does not check: width and plain English. Each test names file and
//! line.

mod literals;

use literals::literals;
use std::fs;
use std::path::{Path, PathBuf};

/// The widest line of code and prose.
const WIDTH: usize = 100;

/// Phrases that make a text read as translated, and what to write instead.
const BANNED: [(&str, &str); 14] = [
    ("again and again", "repeatedly"),
    ("anew", "again"),
    ("be had", "get, acquire"),
    ("begin anew", "start again"),
    ("cannot be told", "is unknown"),
    ("goes on from here", "continues from here"),
    ("is given again", "is retried"),
    ("is looked at", "is checked"),
    ("is told", "gets, is informed"),
    ("looked at", "read, checked"),
    ("made anew", "created again"),
    ("shall", "must, will"),
    ("somebody", "another session, another user"),
    ("whoever", "the session that"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name != "target" && !name.starts_with('.') => {
                found.extend(files(&path, extension))
            }
            false if path.extension().is_some_and(|of| of == extension) => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the project can be read")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The pages for readers; decision records keep the words of their day.
fn pages() -> Vec<PathBuf> {
    let is_record = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "decisions");
    files(root(), "md").into_iter().filter(|path| !is_record(path)).collect()
}

#[test]
fn no_line_of_code_is_too_wide() {
    for path in files(root(), "rs") {
        let text = read(&path);
        // SQL and tables of words are written whole, line by line.
        let whole: Vec<_> =
            literals(&text).into_iter().filter(|literal| literal.text.contains('\n')).collect();
        let is_whole = |line| whole.iter().any(|it| it.lines.contains(&line));
        for (nth, line) in text.lines().enumerate() {
            let width = line.chars().count();
            assert!(
                width <= WIDTH || is_whole(nth + 1),
                "{}:{}: {width} columns",
                shown(&path),
                nth + 1
            );
        }
    }
}

#[test]
fn no_line_of_prose_is_too_wide() {
    for path in files(root(), "md") {
        for (nth, line) in read(&path).lines().enumerate() {
            // A row of a table and a link cannot be wrapped.
            let is_one = line.starts_with(['|', '#'])
                || !line.trim_start_matches(['-', ' ', '>']).contains(' ');
            let width = line.chars().count();
            assert!(width <= WIDTH || is_one, "{}:{}: {width} columns", shown(&path), nth + 1);
        }
    }
}

fn banned(text: &str) -> Option<&'static (&'static str, &'static str)> {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    let text = format!(" {} ", words.join(" "));
    BANNED.iter().find(|(phrase, _)| text.contains(&format!(" {phrase} ")))
}

#[test]
fn pages_are_in_plain_english() {
    for path in pages() {
        for (nth, line) in read(&path).lines().enumerate() {
            if let Some((phrase, instead)) = banned(line) {
                panic!("{}:{}: {phrase:?}; write: {instead}", shown(&path), nth + 1);
            }
        }
    }
}

#[test]
fn what_the_program_says_is_in_plain_english() {
    let model = root().join("adapters/contract/src");
    let product = ["src", "adapters"].map(|folder| files(&root().join(folder), "rs")).concat();
    let is_said =
        |path: &&PathBuf| !path.starts_with(&model) && !path.iter().any(|part| part == "tests");
    for path in product.iter().filter(is_said) {
        let text = read(path);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in literals(text) {
            if let Some((phrase, instead)) = banned(&literal.text) {
                panic!("{}:{}: {phrase:?}; write: {instead}", shown(path), literal.lines.start());
            }
        }
    }
}

#[test]
fn literals_are_found() {
    let source = "let a = \"one \\\n   two\"; // \"not this\"\nlet b = r#\"th\"ree\"#;\nlet c = \
                  '\"';\nf('a, \"four\")";
    let found: Vec<_> =
        literals(source).into_iter().map(|it| (*it.lines.start(), it.text)).collect();
    let expected = [(1, "one two"), (3, "th\"ree"), (5, "four")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    assert!(banned("It is told that").is_some() && banned("He stood anew.").is_some());
    assert!(banned("a shallow renewal").is_none());
}
