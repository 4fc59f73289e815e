//! Rehearses the swap for dependents that the server keeps as parsed queries: views, rules,
//! policies, triggers, functions. An empty table like the source gets stand-ins for them. The
//! clauses then alter it, so the server itself says how each dependent reads afterwards. For
//! instance, it adds a new column to a list of aliases. The swap creates them in these words. The
//! rehearsal runs it on the stand-ins, statement by statement, and rolls everything back.

use crate::change::Change;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::materialized_views::MaterializedView;
use crate::journal;
use crate::plan::cascade::{self, Cascade};
use crate::plan::stand_ins::{self, StandIns};
use crate::schema::alteration;
use crate::schema::altered::{CloneRequest, NOT_ACCEPTED};
use crate::schema::clauses::Clauses;
use crate::schema::requested;
use crate::schema::retarget::retarget;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Error, Finding, Result};

/// The remedy for an object that cannot be carried.
const REMEDY: &str = "drop it before the change, and create it again afterwards";

/// The same for a materialized view.
const REMEDY_FOR_VIEWS: &str = "drop it until the change is done";

/// How the swap creates the dependents.
#[derive(Clone, Default)]
pub(crate) struct Adapted {
    /// Each dependent as it is, and as the swap creates it.
    objects: Vec<(Dependent, Dependent)>,
    /// The queries of the materialized views, as they are and as the swap creates them.
    queries: Vec<(String, String)>,
}

impl Adapted {
    /// Returns the dependents as the swap creates them. None if one has changed since the
    /// rehearsal.
    pub(crate) fn of(&self, dependents: &[Dependent]) -> Option<Vec<Dependent>> {
        let made = |dependent: &Dependent| {
            Some(self.objects.iter().find(|(was, _)| was == dependent)?.1.clone())
        };
        dependents.iter().map(made).collect()
    }

    /// Returns the query of a materialized view as the swap creates it.
    pub(crate) fn query(&self, query: &str) -> String {
        let made = self.queries.iter().find(|(was, _)| was == query);
        made.map_or(query, |(_, made)| made).to_owned()
    }
}

/// Whether the server keeps it as a parsed query, or creates it from one.
fn is_rehearsed(dependent: &Dependent) -> bool {
    ["view ", "rule ", "policy ", "trigger ", "function ", "row security"]
        .iter()
        .any(|kind| dependent.object.starts_with(kind))
}

/// Rehearses, inside the session's transaction, in schemas named after `schema`.
pub(crate) async fn rehearse(
    session: &Session,
    change: &Change,
    clauses: &Clauses,
    source: u32,
    views: &[MaterializedView],
    schema: &str,
) -> Result<std::result::Result<Adapted, Vec<Finding>>> {
    let attempted = || stand_ins::attempted(&change.names);
    let all = dependents::read(session, &change.names, source, views).await?;
    let mut queries = Vec::new();
    for view in views {
        queries.push(
            session
                .one(sql::VIEW_QUERY, &[&view.oid])
                .await
                .trying_clauses(attempted)?
                .get::<_, String>(0),
        );
    }
    let as_it_is = Adapted {
        objects: all.into_iter().map(|dependent| (dependent.clone(), dependent)).collect(),
        queries: queries.into_iter().map(|query| (query.clone(), query)).collect(),
    };
    let mut rehearsed = dependents::read(session, &change.names, source, &[]).await?;
    rehearsed.retain(is_rehearsed);
    // A table from --create is no clone that the clauses could alter.
    if change.target.create.is_some() || (rehearsed.is_empty() && views.is_empty()) {
        return Ok(Ok(as_it_is));
    }
    session.run(sql::BEGIN_REHEARSAL).await.trying_clauses(attempted)?;
    let request = requested::clone_request(change, source, None, clauses);
    let mut stand_ins = StandIns::open(session, change, source, schema).await?;
    let outcome = stand_ins.run_all(&request, rehearsed, views, as_it_is).await?;
    session.run(&sql::roll_back_to("rehearsal")).await.trying_clauses(attempted)?;
    Ok(outcome)
}

/// Asks the server, on stand-ins, how to create the present dependents on the altered table.
pub(crate) async fn beforehand(
    session: &Session,
    change: &Change,
    source: u32,
    views: &[MaterializedView],
) -> Result<Adapted> {
    if change.names.is_turned {
        // Nothing is altered on the way back. The journal knows how everything was.
        let shadow = journal::facts(session, &change.names).await?.shadow;
        let originals = shadow.and_then(|shadow| shadow.originals).unwrap_or_default();
        return Ok(Adapted { objects: Vec::new(), queries: originals.queries });
    }
    let attempted = || stand_ins::attempted(&change.names);
    let refused = |refusals: &[Finding]| {
        let reasons =
            refusals.iter().map(|refusal| format!("{}: {}", refusal.object, refusal.message));
        Error::refused(attempted(), reasons.collect::<Vec<_>>().join("; "))
    };
    let clauses = requested::clauses(session, change, source)
        .await?
        .map_err(|refusal| refused(&[refusal]))?;
    session.run(sql::BEGIN).await.doing(attempted)?;
    let schema = change.trial_schema();
    let outcome = rehearse(session, change, &clauses, source, views, &schema).await?;
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    outcome.map_err(|refusals| refused(&refusals))
}

impl StandIns<'_> {
    /// Runs the rehearsal. Returns the adapted objects, or why some cannot be carried.
    async fn run_all(
        &mut self,
        request: &CloneRequest<'_>,
        rehearsed: Vec<Dependent>,
        views: &[MaterializedView],
        as_it_is: Adapted,
    ) -> Result<std::result::Result<Adapted, Vec<Finding>>> {
        let (replacements, refusals) = self.stand_in_for_all(&rehearsed, views).await?;
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        let queries: Vec<String> =
            as_it_is.queries.iter().map(|(query, _)| query.clone()).collect();
        let refusals = self.misread(&rehearsed, views, &queries, &replacements).await?;
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        self.run(&sql::savepoint("unaltered")).await?;
        let mut altered =
            alteration::alter_built(self.session, request, self.table, &self.schema).await?;
        altered.refusals.retain(|refusal| refusal.message.starts_with(NOT_ACCEPTED));
        if !altered.refusals.is_empty() {
            return Ok(Err(altered.refusals));
        }
        let after = self.read().await?;
        let queries_after = self.queries(&replacements).await?;
        self.run(&sql::roll_back_to("unaltered")).await?;
        let cascade = cascade::find(self.session, self.source, &request.clauses.cascades).await?;
        let (made, mut refusals) = adapted(&rehearsed, &after, &cascade);
        refusals.extend(self.swap(request, &made).await?);
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        let objects = as_it_is.objects.into_iter().map(|(was, _)| {
            let now = made
                .iter()
                .find(|made| made.object == was.object)
                .cloned()
                .unwrap_or_else(|| was.clone());
            (was, now)
        });
        let queries = queries.into_iter().zip(queries_after);
        Ok(Ok(Adapted { objects: objects.collect(), queries: queries.collect() }))
    }

    /// Creates the stand-ins of all objects. Returns those of the materialized views, and why
    /// others cannot be created.
    async fn stand_in_for_all(
        &mut self,
        rehearsed: &[Dependent],
        views: &[MaterializedView],
    ) -> Result<(Vec<u32>, Vec<Finding>)> {
        let mut refusals = Vec::new();
        for dependent in rehearsed {
            let made = self.stand_in(dependent).await?;
            refusals.extend(made.err().map(|why| {
                Finding::error(Code::Dependent, dependent.object.clone(), could_not(&why), REMEDY)
            }));
        }
        let mut replacements = Vec::new();
        for view in views {
            match self.replacement(view).await? {
                Ok(replacement) => replacements.push(replacement),
                Err(why) => refusals.push(Finding::error(
                    Code::Dependent,
                    format!("materialized view {}", view.display()),
                    could_not(&why),
                    REMEDY_FOR_VIEWS,
                )),
            }
        }
        Ok((replacements, refusals))
    }

    /// Refuses objects whose stand-ins read otherwise than they do, before any clause.
    async fn misread(
        &self,
        rehearsed: &[Dependent],
        views: &[MaterializedView],
        queries: &[String],
        replacements: &[u32],
    ) -> Result<Vec<Finding>> {
        let misread = "the server reads its printed definition as something else";
        let found = self.read().await?;
        let mut refusals: Vec<Finding> = differing(rehearsed, &found)
            .map(|dependent| {
                Finding::error(Code::Dependent, dependent.object.clone(), misread, REMEDY)
            })
            .collect();
        let seen = self.queries(replacements).await?;
        let misread_views =
            views.iter().zip(queries.iter().zip(&seen)).filter(|(_, (was, is))| was != is);
        refusals.extend(misread_views.map(|(view, _)| {
            let object = format!("materialized view {}", view.display());
            Finding::error(Code::Dependent, object, misread, REMEDY_FOR_VIEWS)
        }));
        Ok(refusals)
    }

    /// Does what the swap does: drop, move, create, read, rename.
    async fn swap(&self, request: &CloneRequest<'_>, made: &[Dependent]) -> Result<Vec<Finding>> {
        let (shadow, gone) = (format!("{}_shadow", self.schema), format!("{}_gone", self.schema));
        for schema in [&shadow, &gone] {
            self.make_schema(schema).await?;
        }
        let altered = alteration::alter_clone(self.session, request, &shadow).await?;
        let mut refusals = Vec::new();
        for dependent in made.iter() {
            let Some(before) = &dependent.before else { continue };
            let taken = self.try_run(&self.on_stand_ins(dependent, before)).await?;
            refusals.extend(taken.err().map(|why| {
                Finding::error(Code::Dependent, dependent.object.clone(), could_not(&why), REMEDY)
            }));
        }
        let table = &self.change.names.table;
        self.run(&sql::move_both(
            (&quote::qualified(&self.schema, table), &gone),
            (&quote::qualified(&shadow, table), &self.schema),
        ))
        .await?;
        for dependent in made {
            let made = self.try_run(&self.on_stand_ins(dependent, &dependent.after)).await?;
            refusals.extend(made.err().map(|why| {
                Finding::error(Code::Dependent, dependent.object.clone(), could_not(&why), REMEDY)
            }));
        }
        if !refusals.is_empty() {
            return Ok(refusals);
        }
        let found = self.read().await?;
        let misread = "the swap would change it";
        refusals.extend(differing(made, &found).map(|dependent| {
            Finding::error(Code::Dependent, dependent.object.clone(), misread, REMEDY)
        }));
        let is_new = |found: &&Dependent| {
            is_rehearsed(found) && !made.iter().any(|made| made.object == found.object)
        };
        refusals.extend(found.iter().filter(is_new).map(|found| {
            let reason =
                "the table does not have it, but an event trigger would create it on the new one";
            Finding::error(
                Code::Trigger,
                found.object.clone(),
                reason,
                "disable the event trigger: ALTER EVENT TRIGGER … DISABLE",
            )
        }));
        let renames =
            retarget(&altered.final_steps.renames.join(";\n"), std::slice::from_ref(&self.own));
        if let Err(why) = self.try_run(&renames).await? {
            refusals.push(Finding::error(
                Code::ClauseRejected,
                format!("the clauses for {}", self.change.names.display),
                why,
                "rename it in a separate change",
            ));
        }
        Ok(refusals)
    }
}

/// Returns the objects as the swap creates them, and refusals for those that the clauses take
/// away.
fn adapted(
    rehearsed: &[Dependent],
    after: &[Dependent],
    cascade: &Cascade,
) -> (Vec<Dependent>, Vec<Finding>) {
    let (mut made, mut refusals) = (Vec::new(), Vec::new());
    let mut refuse = |dependent: &Dependent, reason: &str| {
        refusals.push(Finding::error(
            Code::Dependent,
            dependent.object.clone(),
            reason,
            "drop it first",
        ));
    };
    for dependent in rehearsed {
        let is_dropped = cascade.takes(&dependent.object);
        match after.iter().find(|after| after.object == dependent.object) {
            None if is_dropped => {}
            None => refuse(dependent, "the clauses would drop it"),
            Some(_) if is_dropped => {
                refuse(
                    dependent,
                    "it depends on what the clauses drop, but CASCADE would not drop it",
                );
            }
            Some(after) => made.push(Dependent { after: after.after.clone(), ..dependent.clone() }),
        }
    }
    (made, refusals)
}

/// Returns the dependents that were not found as wanted.
fn differing<'a>(
    wanted: &'a [Dependent],
    found: &'a [Dependent],
) -> impl Iterator<Item = &'a Dependent> {
    let is_there = |wanted: &&Dependent| {
        found.iter().any(|found| found.object == wanted.object && found.after == wanted.after)
    };
    wanted.iter().filter(move |wanted| !is_there(wanted))
}

fn could_not(why: &str) -> String {
    format!("the altered table cannot have it: {why}")
}
