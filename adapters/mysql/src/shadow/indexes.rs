//! The shadow's secondary indexes: left out while copying, and built when the rows are there, by
//! one ALTER that sorts instead of inserting row by row.
//!
//! The definitions are the server's own words, and the server is asked, on the empty shadow,
//! whether an index can be dropped and added again in place, and whether the table is then the same
//! text as before. Indexes are told in the order they were made in, unique ones first; so those
//! left out are the last of the others, up to the first that must stay: one that a foreign key or a
//! counter rests on, that rows are looked up by, or that is over an expression the server would
//! copy the table for.
//!
//! Where foreign keys stand on the shadow from its beginning, nothing is left out. Each change of a
//! parent's row opens the shadow then, so a build that waits for one open transaction would hold up
//! all other changes of parents.

use crate::facts::{Deferred, Facts};
use crate::schema::table::{definition_of, fingerprint};
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Slot;
use crate::server::session::Session;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, Kind, Result};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a build may wait for those that compare rows meanwhile.
const BUILD_WAIT: Duration = Duration::from_secs(600);

/// An index as SHOW CREATE TABLE tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Definition {
    pub name: String,
    pub text: String,
}

impl MySql {
    /// Drops from the empty shadow what can be built later; says what. `keep` are the indexes that
    /// rows are looked up by.
    pub(crate) async fn defer_indexes(&self, keep: &[String]) -> Result<Option<Deferred>> {
        if self.target.keep_indexes {
            return Ok(None);
        }
        let attempted = || self.doing("leave indexes out of the shadow of");
        if self.has_early_keys(&mut self.crew.reader().await?).await? {
            return Ok(None);
        }
        let mut lease = self.crew.lease(Slot::Control).await?;
        let deferred = self.defer_checked(lease.session(), keep).await;
        lease.keep();
        deferred.map_err(|failure| {
            let mut error = failure.of_catalogue(attempted());
            if error.kind == Kind::Fatal {
                error.reason += "; with --keep-indexes it has them from the beginning";
            }
            error
        })
    }

    /// What is likely to be left out of a shadow that is made like an altered clone, for `plan`.
    pub(crate) async fn foresee_deferred(
        &self,
        session: &mut Session,
        clone: &TableName,
        keep: &[String],
    ) -> Result<Vec<String>> {
        if self.target.keep_indexes {
            return Ok(Vec::new());
        }
        if !self.early_keys(session).await?.is_empty() {
            return Ok(Vec::new());
        }
        let definition = definition_of(session, clone)
            .await
            .map_err(|failure| failure.of_catalogue(self.doing("look at the altered clone of")))?;
        let found = secondary(&definition)
            .into_iter()
            .rev()
            .take_while(|definition| !keep.contains(&definition.name));
        let mut texts: Vec<String> = found.map(|definition| definition.text).collect();
        texts.reverse();
        Ok(texts)
    }

    /// The server itself refuses to drop the index of a foreign key, but only while it checks
    /// foreign keys.
    async fn defer_checked(
        &self,
        session: &mut Session,
        keep: &[String],
    ) -> std::result::Result<Option<Deferred>, Failure> {
        session.execute(&sql::session::check_foreign_keys(true)).await?;
        let deferred = self.try_to_defer(session, keep).await;
        session.execute(&sql::session::check_foreign_keys(false)).await?;
        deferred
    }

    async fn try_to_defer(
        &self,
        session: &mut Session,
        keep: &[String],
    ) -> std::result::Result<Option<Deferred>, Failure> {
        let shadow = &self.names.shadow;
        let whole = fingerprint(session, shadow).await?;
        let mut definitions = Vec::new();
        for definition in secondary(&definition_of(session, shadow).await?).into_iter().rev() {
            if keep.contains(&definition.name) || !self.comes_and_goes(session, &definition).await?
            {
                break;
            }
            definitions.push(definition);
        }
        definitions.reverse();
        let names: Vec<&str> = definitions.iter().map(|definition| &*definition.name).collect();
        let definitions: Vec<String> =
            definitions.iter().map(|definition| definition.text.clone()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        // Each was dropped and added again, the last one first; now all of them, as it will be
        // done.
        session.execute(&sql::ddl::drop_indexes(&self.source, shadow, &names)).await?;
        session.execute(&sql::ddl::add_indexes(&self.source, shadow, &definitions)).await?;
        if fingerprint(session, shadow).await? != whole {
            return Err(Failure::Server {
                code: 0,
                message: "the table is another with its indexes added again".into(),
            });
        }
        session.execute(&sql::ddl::drop_indexes(&self.source, shadow, &names)).await?;
        Ok(Some(Deferred { definitions, fingerprint: whole }))
    }

    /// Whether an index of the empty shadow can be dropped, and added again without copying the
    /// table.
    async fn comes_and_goes(
        &self,
        session: &mut Session,
        definition: &Definition,
    ) -> std::result::Result<bool, Failure> {
        let shadow = &self.names.shadow;
        match session
            .execute(&sql::ddl::drop_indexes(&self.source, shadow, &[&definition.name]))
            .await
        {
            Ok(_) => {}
            Err(failure) if failure.ends_session() => return Err(failure),
            Err(_) => return Ok(false),
        }
        let added = session
            .execute(&sql::ddl::add_indexes(
                &self.source,
                shadow,
                std::slice::from_ref(&definition.text),
            ))
            .await;
        match added {
            Ok(_) => Ok(true),
            Err(failure) if failure.ends_session() => Err(failure),
            Err(_) => {
                session
                    .execute(&sql::ddl::add_index_anyhow(&self.source, shadow, &definition.text))
                    .await?;
                Ok(false)
            }
        }
    }

    /// Builds what was left out; nothing if nothing is missing.
    pub(crate) async fn build_indexes(&self, gently: bool) -> Result<()> {
        let attempted = || self.doing("build the indexes of the shadow of");
        let mut reader = self.crew.reader().await?;
        let mut facts: Facts = self.entry(&mut reader).await?.facts;
        let Some(deferred) = facts.deferred.take() else { return Ok(()) };
        let mut lease = self.crew.lease(Slot::Control).await?;
        self.builder.store(lease.id(), Ordering::Relaxed);
        let built = self.add_what_is_missing(lease.session(), &deferred, gently).await;
        self.builder.store(0, Ordering::Relaxed);
        let now = built.map_err(|failure| failure.of_rows(attempted()))?;
        lease.keep();
        if now != deferred.fingerprint {
            return Err(Error::fatal(
                attempted(),
                "it is not the table it should be now; `altergeist cleanup` drops it",
            ));
        }
        facts.shadow = Some(self.made(&mut reader, &self.names.shadow).await?);
        self.save_facts(&facts).await
    }

    /// The fingerprint with all indexes. One ALTER adds them all or none, and one that was killed
    /// leaves nothing.
    async fn add_what_is_missing(
        &self,
        session: &mut Session,
        deferred: &Deferred,
        gently: bool,
    ) -> std::result::Result<String, Failure> {
        let shadow = &self.names.shadow;
        let present = secondary(&definition_of(session, shadow).await?);
        let is_missing = |text: &&String| {
            named(text).is_none_or(|name| present.iter().all(|one| one.name != name))
        };
        let missing: Vec<String> =
            deferred.definitions.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            for setting in sql::ddl::build_settings(self.server.version, gently) {
                session.execute(setting).await?;
            }
            // At its end it waits for comparisons, and would undo all its work rather than wait for
            // long.
            session.execute(&sql::session::lock_waits(BUILD_WAIT)).await?;
            let added =
                session.execute(&sql::ddl::add_indexes(&self.source, shadow, &missing)).await;
            session.execute(&sql::session::lock_waits(self.target.lock_timeout)).await?;
            added?;
        }
        fingerprint(session, shadow).await
    }
}

/// The indexes that are neither unique nor of full texts, which are always told last, from SHOW
/// CREATE TABLE: one a line. (An index of full texts brings a hidden column, and the server builds
/// only one at a time.)
pub(crate) fn secondary(definition: &str) -> Vec<Definition> {
    let of_line = |line: &str| {
        let text = line.strip_prefix("  ")?;
        let text = text.strip_suffix(',').unwrap_or(text);
        Some(Definition { name: named(text)?, text: text.to_owned() })
    };
    definition.lines().filter_map(of_line).collect()
}

/// The name in an index's definition, if it is one of those.
fn named(text: &str) -> Option<String> {
    quoted(text.strip_prefix("SPATIAL ").unwrap_or(text).strip_prefix("KEY ")?)
}

/// The quoted name at the beginning of a text.
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
