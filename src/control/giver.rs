//! Who gave an order, and through which door.

use std::fmt;

/// Where orders come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// The run's Unix socket.
    Socket,
    /// The TCP port with a token.
    Tcp,
    /// The table of orders beside the journal.
    Sql,
    /// The console.
    Console,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::Socket => "socket",
            Door::Tcp => "tcp",
            Door::Sql => "sql",
            Door::Console => "console",
        })
    }
}

/// Who gave an order, as far as the door knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Giver {
    /// A user, an account or an address.
    pub name: String,
    /// The door.
    pub door: Door,
}

impl Giver {
    /// A user at a door.
    pub fn new(name: impl Into<String>, door: Door) -> Giver {
        Giver { name: name.into(), door }
    }

    /// As the table of orders has it: the server's own account, or `ann@console`.
    pub fn in_the_journal(&self) -> String {
        match self.door {
            Door::Sql => self.name.clone(),
            door => format!("{}@{door}", self.name),
        }
    }
}
