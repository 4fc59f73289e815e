//! Compares two definitions of a table: what the shadow can be given too, and what it cannot. Pure.

use crate::schema::harmless::OPTIONS;
use crate::schema::index_definition::{Definition, quoted};
use crate::schema::literals;
use crate::schema::table::{is_same, outline};
use crate::sql::clauses::DEFINITION;

/// What the shadow must get to follow the source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changed {
    pub drop: Vec<String>,
    pub add: Vec<Definition>,
    pub options: Vec<(String, String)>,
}

impl Changed {
    /// Returns what was changed on the source and the shadow lacks. If the shadow differed from the
    /// source before, the clauses wanted that, and it stays so.
    pub(crate) fn between(before: &str, now: &str, shadow: &str) -> Changed {
        let [before_keys, now_keys, has_keys] = [before, now, shadow].map(indexes);
        let find = |list: &[Definition], name: &str| {
            list.iter().find(|index| is_same(&index.name, name)).cloned()
        };
        let has_same = |list: &[Definition], index: &Definition| {
            find(list, &index.name).is_some_and(|other| is_alike(&other, index))
        };
        let mut changed = Changed::default();
        for index in before_keys.iter().filter(|index| !has_same(&now_keys, index)) {
            if has_same(&has_keys, index) {
                changed.drop.push(index.name.clone());
            }
        }
        for index in now_keys.iter().filter(|index| !has_same(&before_keys, index)) {
            let is_to_go = changed.drop.iter().any(|name| is_same(name, &index.name));
            let is_redefined = find(&before_keys, &index.name).is_some() && !is_to_go;
            if !has_same(&has_keys, index) && !is_redefined {
                changed.add.push(index.clone());
            }
        }
        let [before_has, now_has, shadow_has] = [before, now, shadow].map(options);
        for (name, nothing) in OPTIONS {
            let of = |list: &[(String, String)]| {
                list.iter().find(|(option, _)| option == name).map(|(_, value)| value.clone())
            };
            let (was, is, has) = (of(&before_has), of(&now_has), of(&shadow_has));
            if was != is && has == was {
                changed.options.push((name.to_owned(), is.unwrap_or_else(|| nothing.to_owned())));
            }
        }
        changed
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Changed::default()
    }

    pub(crate) fn named(&self) -> Vec<String> {
        let indexes = self.drop.iter().chain(self.add.iter().map(|index| &index.name));
        let mut named: Vec<String> = indexes.map(|name| format!("index {name}")).collect();
        named.extend(self.options.iter().map(|(name, _)| format!("option {name}")));
        named.dedup();
        named
    }
}

/// Returns whether a table was not altered between two looks. Its counter does not matter, nor do
/// foreign keys.
pub(crate) fn is_made_alike(before: &str, now: &str) -> bool {
    let (name, other) = (table_of(before), table_of(now));
    outline(before, &name, &[]) == outline(now, &other, &[])
}

/// Returns the differences between two definitions that the shadow cannot follow.
pub(crate) fn out_of_reach(before: &str, now: &str) -> Vec<String> {
    let rigid = |definition: &str| -> Vec<String> {
        let can_be_given = indexes(definition);
        let is_followed = |line: &String| {
            let text = line.trim_start();
            can_be_given.iter().any(|index| literals::without_charsets(&index.text) == text)
        };
        let lines = outline(definition, &table_of(definition), &[])
            .into_iter()
            .filter(|line| !line.starts_with(')'));
        let mut lines: Vec<String> = lines.filter(|line| !is_followed(line)).collect();
        let others = options(definition).into_iter().filter(|(name, _)| {
            name != "AUTO_INCREMENT" && OPTIONS.iter().all(|(option, _)| option != name)
        });
        lines.extend(others.map(|(name, value)| format!("){name}={value}")));
        lines
    };
    let (before, now) = (rigid(before), rigid(now));
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).map(|line| object(line)).collect()
    };
    let mut lost = only_in(&before, &now);
    lost.extend(only_in(&now, &before));
    lost.dedup();
    if lost.is_empty() && before != now {
        lost.push("the order of columns".to_owned());
    }
    lost
}

/// Returns what a line of a definition is about.
fn object(line: &str) -> String {
    let text = line.trim_start();
    if let Some(option) = text.strip_prefix(')') {
        return format!("option {}", option.split_once('=').map_or(option, |(name, _)| name));
    }
    let kinds = [("", "column"), ("UNIQUE KEY ", "index"), ("CONSTRAINT ", "constraint")];
    let named = kinds
        .iter()
        .find_map(|(words, kind)| Some(format!("{kind} {}", quoted(text.strip_prefix(words)?)?)));
    match named {
        Some(named) => named,
        None if text.starts_with("PRIMARY KEY") => "the primary key".to_owned(),
        None => "the partitions".to_owned(),
    }
}

/// Returns the table that a definition is of.
fn table_of(definition: &str) -> String {
    definition.strip_prefix(DEFINITION).and_then(quoted).unwrap_or_default()
}

fn is_alike(one: &Definition, other: &Definition) -> bool {
    literals::without_charsets(&one.text) == literals::without_charsets(&other.text)
}

/// Returns the indexes that the shadow can get or lose: those that are not unique.
fn indexes(definition: &str) -> Vec<Definition> {
    let of_line = |line: &str| {
        let text = line.strip_prefix("  ")?;
        let text = text.strip_suffix(',').unwrap_or(text);
        let behind = ["KEY ", "FULLTEXT KEY ", "SPATIAL KEY "]
            .iter()
            .find_map(|kind| text.strip_prefix(kind))?;
        Some(Definition { name: quoted(behind)?, text: text.to_owned() })
    };
    definition.lines().filter_map(of_line).collect()
}

/// Returns the options of a table. They are in the last line before the partitions: `)
/// ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='x'`.
fn options(definition: &str) -> Vec<(String, String)> {
    let Some(line) = definition.lines().find(|line| line.starts_with(')')) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut rest = line[1..].trim_start();
    while let Some((name, behind)) = rest.split_once('=') {
        let length = value_length(behind);
        found.push((name.to_owned(), behind[..length].to_owned()));
        rest = behind[length..].trim_start();
    }
    if !rest.is_empty() {
        found.push((rest.to_owned(), String::new()));
    }
    found
}

/// Returns the length of the value at the beginning: a text in quotes, or a word.
fn value_length(text: &str) -> usize {
    if !text.starts_with('\'') {
        return text.find(' ').unwrap_or(text.len());
    }
    let bytes = text.as_bytes();
    let mut place = 1;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 1,
            b'\'' if bytes.get(place + 1) == Some(&b'\'') => place += 1,
            b'\'' => return place + 1,
            _ => {}
        }
        place += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(columns: &str, keys: &str, options: &str) -> String {
        format!(
            "CREATE TABLE `t` (\n  `id` int NOT NULL,\n{columns}  PRIMARY KEY (`id`){keys}\n) \
             ENGINE=InnoDB{options}"
        )
    }

    const V: &str = "  `v` text COMMENT 'a, b',\n";

    #[test]
    fn indexes_and_options_are_followed() {
        let before = definition(V, ",\n  KEY `a` (`v`),\n  KEY `b` (`v`)", " COMMENT='old'");
        let now = definition(
            V,
            ",\n  KEY `b` (`v`),\n  KEY `c` (`v`)",
            " ROW_FORMAT=DYNAMIC COMMENT='it''s = new'",
        );
        assert_eq!(out_of_reach(&before, &now), Vec::<String>::new());
        let changed = Changed::between(&before, &now, &before);
        assert_eq!(changed.drop, ["a"]);
        assert_eq!(changed.add, [Definition { name: "c".into(), text: "KEY `c` (`v`)".into() }]);
        let options = [("COMMENT", "'it''s = new'"), ("ROW_FORMAT", "DYNAMIC")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(changed.options, options);
        assert!(Changed::between(&before, &now, &now).is_nothing());
    }

    #[test]
    fn an_option_that_is_gone_goes() {
        let before = definition(V, "", " COMMENT='old'");
        let now = definition(V, "", "");
        let changed = Changed::between(&before, &now, &before);
        assert_eq!(changed.options, [("COMMENT".to_owned(), "''".to_owned())]);
    }

    #[test]
    fn what_the_clauses_wanted_otherwise_stays() {
        let before = definition(V, ",\n  KEY `a` (`v`)", " COMMENT='old'");
        let now = definition(V, "", " COMMENT='new'");
        let shadow = definition(V, ",\n  KEY `a` (`id`)", " COMMENT='mine'");
        assert!(Changed::between(&before, &now, &shadow).is_nothing());
        let renewed = definition(V, ",\n  KEY `a` (`v`,`id`)", " COMMENT='old'");
        assert!(Changed::between(&before, &renewed, &definition(V, "", "")).is_nothing());
    }

    #[test]
    fn columns_keys_constraints_and_engines_are_out_of_reach() {
        let before = definition(V, ",\n  UNIQUE KEY `u` (`v`)", "");
        let of = |now: String| out_of_reach(&before, &now);
        assert_eq!(of(definition("", ",\n  UNIQUE KEY `u` (`v`)", "")), ["column v"]);
        assert_eq!(of(definition(V, "", "")), ["index u"]);
        assert_eq!(
            of(definition(V, ",\n  UNIQUE KEY `u` (`v`),\n  CONSTRAINT `c` CHECK (1)", "")),
            ["constraint c"]
        );
        assert_eq!(
            of(definition(V, ",\n  UNIQUE KEY `u` (`v`)", "\n PARTITION BY HASH (`id`)")),
            ["the partitions"]
        );
        assert_eq!(
            of(definition(V, ",\n  UNIQUE KEY `u` (`v`)", " DEFAULT CHARSET=utf8mb4")),
            ["option DEFAULT CHARSET"]
        );
        assert_eq!(
            of(definition(V, ",\n  UNIQUE KEY `u` (`v`)", " AUTO_INCREMENT=7")),
            Vec::<String>::new()
        );
        let other = format!("  `w` int,\n{V}");
        let order = out_of_reach(
            &definition(&other, "", ""),
            &definition(&format!("{V}  `w` int,\n"), "", ""),
        );
        assert_eq!(order, ["the order of columns"]);
    }
}
