//! Definitions of indexes, read from SHOW CREATE TABLE. Pure.

/// An index, as SHOW CREATE TABLE prints it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Definition {
    pub name: String,
    pub text: String,
}

/// Returns the indexes that are neither unique nor full-text. SHOW CREATE TABLE prints them last,
/// each on a line. (A full-text index brings a hidden column, and the server builds only one at a
/// time.)
pub(crate) fn secondary(definition: &str) -> Vec<Definition> {
    let of_line = |line: &str| {
        let text = line.strip_prefix("  ")?;
        let text = text.strip_suffix(',').unwrap_or(text);
        Some(Definition { name: named(text)?, text: text.to_owned() })
    };
    definition.lines().filter_map(of_line).collect()
}

/// Returns the name in an index's definition, if it is such an index.
pub(crate) fn named(text: &str) -> Option<String> {
    quoted(text.strip_prefix("SPATIAL ").unwrap_or(text).strip_prefix("KEY ")?)
}

/// Returns the quoted name at the beginning of a text.
pub(crate) fn quoted(text: &str) -> Option<String> {
    let mut chars = text.chars().peekable();
    let quote = chars.next().filter(|char| matches!(char, '`' | '"'))?;
    let mut name = String::new();
    while let Some(char) = chars.next() {
        if char != quote {
            name.push(char);
        } else if chars.next_if_eq(&quote).is_some() {
            name.push(quote);
        } else {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secondary_indexes_are_read_from_the_servers_own_words() {
        let definition = "CREATE TABLE `t` (\n  `id` int NOT NULL,\n  `KEY` int DEFAULT NULL,\n  \
                          PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`KEY`),\n  KEY `a``b` (`KEY`) \
                          /*!80000 INVISIBLE */,\n  SPATIAL KEY `g` (`p`),\n  KEY `f` \
                          ((lower(`c`))) COMMENT 'x, y',\n  FULLTEXT KEY `ft` (`c`),\n  CONSTRAINT \
                          `c` CHECK ((`id` > 1))\n) ENGINE=InnoDB";
        let found = secondary(definition);
        let names: Vec<&str> = found.iter().map(|definition| &*definition.name).collect();
        assert_eq!(names, ["a`b", "g", "f"]);
        assert_eq!(found[0].text, "KEY `a``b` (`KEY`) /*!80000 INVISIBLE */");
        assert_eq!(found[2].text, "KEY `f` ((lower(`c`))) COMMENT 'x, y'");
    }
}
