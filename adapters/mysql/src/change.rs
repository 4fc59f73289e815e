//! The change of one table: what was asked for, of which table, on which server. It is read once,
//! when the engine connects, and stays the same for the whole run.

use crate::facts::{Facts, WayBack};
use crate::schema::alter_request::AlterRequest;
use crate::schema::clauses::Clauses;
use crate::schema::foreign_key::foreign_keys;
use crate::schema::lexer::{Token, tokens};
use crate::schema::probe;
use crate::server::about::Server;
use crate::server::doing::Doing;
use crate::server::error::START_AGAIN;
use crate::server::names::{Names, TableName, hash};
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Error, Finding, ForeignKeys, Result, Target};

/// What it means that the old table cannot follow.
const NO_WAY_BACK: &str = "the change stays, and the old table is no longer current";

/// One change of one table. Nothing in it changes during the run.
#[derive(Clone)]
pub(crate) struct Change {
    pub target: Target,
    /// What the clauses ask for.
    pub request: AlterRequest,
    pub server: Server,
    pub source: TableName,
    /// The table's name in messages.
    pub title: String,
    pub names: Names,
    /// What the journal says about the way back, if the engine is turned around.
    pub way_back: Option<WayBack>,
}

impl Change {
    /// Finds the table, and reads what is asked for. `schema` is the one that the URL names.
    pub(crate) async fn read(
        session: &mut Session,
        target: &Target,
        schema: Option<&str>,
        server: Server,
    ) -> Result<Change> {
        let source = find(session, &table_asked(target, schema)?).await?;
        let keys = foreign_keys(session, &source)
            .await
            .doing_in_catalogue(format!("look for foreign keys of {}", source.plain()))?;
        let own: Vec<String> =
            keys.into_iter().filter(|key| key.child == source).map(|key| key.name).collect();
        let mut request = AlterRequest::read(target, server.has_ansi_quotes, &source, &own)?;
        if !target.sets.is_empty() && request.clauses.is_ok() {
            let read = probe::read(session, &source, &server.modes, &target.sets).await?;
            request.clauses = match (request.clauses, read) {
                (Ok(mut clauses), Ok(computed)) => {
                    clauses.computed = computed;
                    Ok(clauses)
                }
                (clauses, Ok(_)) => clauses,
                (_, Err(refusal)) => Err(refusal),
            };
        }
        let (title, names) = (source.plain(), Names::of(&source));
        let target = target.clone();
        Ok(Change { target, request, server, source, title, names, way_back: None })
    }

    /// Returns the change that puts the old table back. The clauses are not needed for it.
    pub(crate) fn turned(self, way_back: WayBack) -> Change {
        Change {
            request: AlterRequest::undoing(way_back.added_keys.clone()),
            target: Target { foreign_keys: ForeignKeys::Carry, ..self.target },
            names: self.names.turned(),
            way_back: Some(way_back),
            ..self
        }
    }

    /// Returns the change that puts the old table back, if its facts are noted. A process that died
    /// may have left something of it.
    pub(crate) fn begun_way_back(&self, facts: &Facts) -> Option<Change> {
        match (&self.way_back, &facts.way_back, &facts.back) {
            (Some(_), ..) => Some(self.clone()),
            (None, Some(way_back), Some(_)) => Some(self.clone().turned(way_back.clone())),
            _ => None,
        }
    }

    /// Returns what is attempted, with the table's name.
    pub(crate) fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.title)
    }

    /// Returns an error as the operator must hear it. Once the tables are swapped, the run cannot
    /// start again.
    pub(crate) fn reworded(&self, mut error: Error) -> Error {
        if self.way_back.is_some() {
            error.reason = error.reason.replace(START_AGAIN, NO_WAY_BACK);
        }
        error
    }

    /// Returns what the clauses say about columns.
    pub(crate) fn clauses(&self) -> Result<&Clauses> {
        let unread = |refusal: &Finding| Error::refused("read the clauses", &*refusal.message);
        self.request.clauses.as_ref().map_err(unread)
    }

    /// Returns the names that an empty clone may have.
    pub(crate) fn clones(&self) -> [&TableName; 2] {
        [&self.names.clone, &self.names.renamed_clone]
    }

    /// Returns how the names of early foreign keys begin.
    pub(crate) fn early_prefix(&self) -> String {
        format!("_ag_{:016x}_early_", hash(&self.title))
    }
}

/// Reads the table's name: `schema.table` or `table`, either part in backticks.
fn table_asked(target: &Target, schema: Option<&str>) -> Result<TableName> {
    let attempted = || format!("find table {}", target.table);
    let parts = if target.table.contains('`') {
        let tokens =
            tokens(&target.table, false).map_err(|reason| Error::refused(attempted(), reason))?;
        tokens.iter().filter_map(Token::name).map(str::to_owned).collect()
    } else {
        target.table.splitn(2, '.').map(str::to_owned).collect::<Vec<_>>()
    };
    match (&parts[..], schema) {
        ([schema, name], _) => Ok(TableName::new(schema, name)),
        ([name], Some(schema)) => Ok(TableName::new(schema, name)),
        _ => Err(Error::refused(attempted(), "name its schema, in the URL or before a dot")),
    }
}

async fn find(session: &mut Session, asked: &TableName) -> Result<TableName> {
    let attempted = || format!("find table {}", asked.plain());
    let row =
        session.row(&sql::catalogue::find_table(asked)).await.doing_in_catalogue(attempted)?;
    match row {
        Some(row) => Ok(TableName::new(&text(&row[0]), &text(&row[1]))),
        // A table that is gone may have left a change behind, which must be cleaned up.
        None if has_entry(session, asked).await => Ok(asked.clone()),
        None => Err(Error::refused(attempted(), "there is none, or this user may not see it")),
    }
}

/// Returns whether the journal of its schema knows a table.
async fn has_entry(session: &mut Session, asked: &TableName) -> bool {
    let entry = sql::journal::load_entry(&Names::of(asked).journal, &asked.name);
    session.row(&entry).await.is_ok_and(|row| row.is_some())
}
