//! What the table looks like: the easy case, and those that are harder for a tool that walks along
//! a key.

/// A kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A bigint key in ascending order.
    Plain,
    /// A random key of 16 bytes: neighbours in the key are nowhere near each other in time.
    Uuid,
    /// A key of two columns, of which the first has a hundred values.
    Composite,
    /// A twentieth of the rows, each with 8,000 more bytes that lie out of line.
    Wide,
}

impl Shape {
    /// The shape that is called so.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Plain, Self::Uuid, Self::Composite, Self::Wide]
            .into_iter()
            .find(|shape| shape.name() == word)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Uuid => "uuid",
            Self::Composite => "composite",
            Self::Wide => "wide",
        }
    }

    /// How many rows stand for so many of the easy case.
    pub fn rows(self, plain: u64) -> u64 {
        if self == Self::Wide { plain / 20 } else { plain }
    }

    /// The columns of the table, all but the three that every shape has, and its key.
    pub(super) fn columns(self, is_postgres: bool) -> &'static str {
        match (self, is_postgres) {
            (Self::Plain, _) => "id bigint NOT NULL PRIMARY KEY",
            (Self::Uuid, true) => "id uuid NOT NULL PRIMARY KEY",
            (Self::Uuid, false) => "id binary(16) NOT NULL PRIMARY KEY",
            (Self::Composite, _) => "a int NOT NULL, id bigint NOT NULL, PRIMARY KEY (a, id)",
            (Self::Wide, true) => "id bigint NOT NULL PRIMARY KEY, doc text",
            (Self::Wide, false) => "id bigint NOT NULL PRIMARY KEY, doc longtext",
        }
    }

    /// Their values in the row of this number, which may be an expression.
    pub(super) fn values(self, n: &str, is_postgres: bool) -> String {
        match self {
            Self::Plain => n.to_owned(),
            Self::Uuid => uuid(n, is_postgres),
            Self::Composite => format!("({n}) % 100, {n}"),
            // Not to be compressed to nothing: 250 times another hash.
            Self::Wide if is_postgres => {
                format!(
                    "{n}, (SELECT string_agg(md5(concat({n}, 'd', i)), '') FROM \
                     generate_series(1, 250) AS i)"
                )
            }
            Self::Wide => format!(
                "{n}, repeat(concat(sha2(concat('d', {n}), 256), sha2(concat('e', {n}), 256)), 64)"
            ),
        }
    }

    /// The condition that finds the row of this number.
    pub(super) fn is_row(self, n: u64, is_postgres: bool) -> String {
        match self {
            Self::Plain | Self::Wide => format!("id = {n}"),
            Self::Uuid => format!("id = {}", uuid(&n.to_string(), is_postgres)),
            Self::Composite => format!("a = {} AND id = {n}", n % 100),
        }
    }
}

fn uuid(n: &str, is_postgres: bool) -> String {
    match is_postgres {
        true => format!("md5(concat('u', {n}))::uuid"),
        false => format!("unhex(left(sha2(concat('u', {n}), 256), 32))"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_the_values_it_was_made_with() {
        assert_eq!(Shape::Composite.values("7", true), "(7) % 100, 7");
        assert_eq!(Shape::Composite.is_row(107, false), "a = 7 AND id = 107");
        assert!(Shape::Uuid.is_row(7, false).ends_with(&Shape::Uuid.values("7", false)));
    }
}
