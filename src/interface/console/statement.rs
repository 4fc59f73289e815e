//! What a client can ask for, and the columns of its answers.

use crate::interface::console::cell::{Cell, Column, Kind, text_column};
use crate::interface::console::view::View;
use altergeist::Order;

/// A statement.
#[derive(Clone, PartialEq, Debug)]
pub enum Statement {
    /// A table of the console.
    Show(View),
    /// What a PostgreSQL server would say of a parameter.
    Parameter(&'static str),
    /// An order to the run.
    Order(Order),
    /// A change of the session that means nothing here, with its tag.
    Accepted(&'static str),
    /// Begins a transaction.
    Begin,
    /// Ends a transaction, with its tag.
    End(&'static str),
    /// A SELECT without a table.
    Constants(Vec<(String, Constant)>),
    /// A question to PostgreSQL's catalogue, with its columns. It is answered by no rows.
    Catalogue(Vec<String>),
}

/// A statement, and how many parameters it takes.
#[derive(Clone, PartialEq, Debug)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// The parameters. Only questions to the catalogue have any.
    pub parameters: u16,
}

/// A value that a SELECT without a table has.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// A value that was written down.
    Value(Cell),
    /// The user of the session.
    User,
    /// The number of the session.
    Session,
    /// The time.
    Now,
}

impl Constant {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Constant::Value(Cell::Int(_)) | Constant::Session => Kind::Int,
            Constant::Value(Cell::Float(_)) => Kind::Float,
            Constant::Value(Cell::Bool(_)) => Kind::Bool,
            Constant::Now => Kind::Time,
            Constant::Value(_) | Constant::User => Kind::Text,
        }
    }
}

impl Statement {
    /// The columns of its answer. None if it has no rows.
    pub fn columns(&self) -> Option<Vec<Column>> {
        match self {
            Statement::Show(view) => Some(view.columns()),
            Statement::Parameter(name) => Some(vec![text_column(*name)]),
            Statement::Order(Order::Set(_, _)) => None,
            Statement::Order(Order::Get(name)) => Some(vec![text_column(name.clone())]),
            Statement::Order(_) => Some(vec![text_column("answer")]),
            Statement::Constants(constants) => {
                let column = |(name, constant): &(String, Constant)| Column {
                    name: name.clone().into(),
                    kind: constant.kind(),
                };
                Some(constants.iter().map(column).collect())
            }
            Statement::Catalogue(names) => {
                Some(names.iter().map(|name| text_column(name.clone())).collect())
            }
            Statement::Accepted(_) | Statement::Begin | Statement::End(_) => None,
        }
    }
}
