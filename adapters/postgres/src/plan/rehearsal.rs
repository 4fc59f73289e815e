//! Rehearses the swap for dependents that the server keeps as parsed queries: views, rules,
//! policies, triggers, functions. An empty table like the source gets stand-ins for them. The
//! clauses then alter it, so the server itself says how each dependent reads afterwards. For
//! instance, it adds a new column to a list of aliases. The swap creates them in these words. The
//! rehearsal runs it on the stand-ins, statement by statement, and rolls everything back.

use crate::change::Change;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::materialized_views::MaterializedView;
use crate::plan::cascade;
use crate::schema::alteration;
use crate::schema::altered::{CloneRequest, NOT_ACCEPTED};
use crate::schema::catalogue;
use crate::schema::clauses::Clauses;
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::requested;
use crate::schema::retarget::{self, Move, retarget};
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::{self, quoted};
use altergeist_contract::{Error, Refusal, Result};

/// The remedy for an object that cannot be carried.
const REMEDY: &str = "drop it first, and make it again afterwards";

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
) -> Result<std::result::Result<Adapted, Vec<Refusal>>> {
    let attempted = || rehearsing(&change.names);
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
    let attempted = || rehearsing(&change.names);
    let refused = |refusals: &[Refusal]| {
        let reasons =
            refusals.iter().map(|refusal| format!("{}: {}", refusal.object, refusal.reason));
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

fn rehearsing(names: &Names) -> String {
    format!("rehearse the swap of {}", names.display)
}

/// The stand-ins of the table and of its dependents.
struct StandIns<'a> {
    session: &'a Session,
    change: &'a Change,
    source: u32,
    schema: String,
    /// The table's stand-in.
    table: u32,
    own: Move,
    /// The stand-ins of everything else.
    others: Vec<Move>,
    /// The schemas of the others, and the schemas of their stand-ins.
    schemas: Vec<(String, String)>,
}

impl<'a> StandIns<'a> {
    async fn open(
        session: &'a Session,
        change: &'a Change,
        source: u32,
        schema: &str,
    ) -> Result<StandIns<'a>> {
        let names = &change.names;
        let own =
            Move { schema: quoted(&names.schema), name: quoted(&names.table), to: quoted(schema) };
        let mut stand_ins = StandIns {
            session,
            change,
            source,
            schema: schema.to_owned(),
            table: 0,
            schemas: vec![(own.schema.clone(), own.to.clone())],
            own,
            others: Vec::new(),
        };
        stand_ins.make_schema(schema).await?;
        stand_ins.table = definition::build(session, names, change.version, source, schema).await?;
        Ok(stand_ins)
    }

    /// Creates a schema in which every owner may create objects. No other session ever sees it.
    async fn make_schema(&self, schema: &str) -> Result<()> {
        definition::make_schema(self.session, schema, self.source).await?;
        self.run(&sql::open_schema_to(schema, "PUBLIC")).await
    }

    async fn run(&self, statement: &str) -> Result<()> {
        let ran = self.session.run(statement).await;
        ran.trying_clauses(rehearsing(&self.change.names))
    }

    /// Runs a statement of an object. Returns why the server refuses it.
    async fn try_run(&self, statement: &str) -> Result<std::result::Result<(), String>> {
        self.run(&sql::savepoint("dependent")).await?;
        match self.session.run(statement).await {
            Ok(()) => self.run(&sql::release("dependent")).await.map(Ok),
            Err(error) if error::is_passing(&error) => {
                Err(error::of_lock(rehearsing(&self.change.names), &error))
            }
            Err(error) => {
                self.run(&sql::roll_back_to("dependent")).await?;
                Ok(Err(error::of_clauses("try it", &error).reason))
            }
        }
    }

    async fn run_all(
        &mut self,
        request: &CloneRequest<'_>,
        rehearsed: Vec<Dependent>,
        views: &[MaterializedView],
        as_it_is: Adapted,
    ) -> Result<std::result::Result<Adapted, Vec<Refusal>>> {
        let mut refusals = Vec::new();
        for dependent in &rehearsed {
            let made = self.stand_in(dependent).await?;
            refusals.extend(
                made.err()
                    .map(|why| Refusal::new(dependent.object.clone(), could_not(&why), REMEDY)),
            );
        }
        let mut replacements = Vec::new();
        for view in views {
            match self.replacement(view).await? {
                Ok(replacement) => replacements.push(replacement),
                Err(why) => refusals.push(Refusal::new(
                    format!("materialized view {}", view.display()),
                    could_not(&why),
                    "drop it for the time of the change",
                )),
            }
        }
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        let misread = "the server reads what it prints of it as something else";
        refusals.extend(
            differing(&rehearsed, &self.read().await?)
                .map(|dependent| Refusal::new(dependent.object.clone(), misread, REMEDY)),
        );
        let queries: Vec<String> =
            as_it_is.queries.iter().map(|(query, _)| query.clone()).collect();
        let seen = self.queries(&replacements).await?;
        let misread_views =
            views.iter().zip(queries.iter().zip(&seen)).filter(|(_, (was, is))| was != is);
        refusals.extend(misread_views.map(|(view, _)| {
            Refusal::new(
                format!("materialized view {}", view.display()),
                misread,
                "drop it for the time of the change",
            )
        }));
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        self.run(&sql::savepoint("unaltered")).await?;
        let mut altered =
            alteration::alter_built(self.session, request, self.table, &self.schema).await?;
        altered.refusals.retain(|refusal| refusal.reason.starts_with(NOT_ACCEPTED));
        if !altered.refusals.is_empty() {
            return Ok(Err(altered.refusals));
        }
        let after = self.read().await?;
        let queries_after = self.queries(&replacements).await?;
        self.run(&sql::roll_back_to("unaltered")).await?;
        let mut made = Vec::new();
        let cascade = cascade::find(self.session, self.source, &request.clauses.cascades).await?;
        for dependent in &rehearsed {
            match after.iter().find(|after| after.object == dependent.object) {
                None if cascade.takes(&dependent.object) => {}
                None => refusals.push(Refusal::new(
                    dependent.object.clone(),
                    "the clauses would take it away",
                    "drop it first",
                )),
                Some(_) if cascade.takes(&dependent.object) => {
                    let reason =
                        "it depends on what the clauses drop, but CASCADE would not drop it";
                    refusals.push(Refusal::new(dependent.object.clone(), reason, "drop it first"));
                }
                Some(after) => {
                    made.push(Dependent { after: after.after.clone(), ..dependent.clone() })
                }
            }
        }
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

    /// Does what the swap does: drop, move, create, read, rename.
    async fn swap(&self, request: &CloneRequest<'_>, made: &[Dependent]) -> Result<Vec<Refusal>> {
        let (shadow, gone) = (format!("{}_shadow", self.schema), format!("{}_gone", self.schema));
        for schema in [&shadow, &gone] {
            self.make_schema(schema).await?;
        }
        let altered = alteration::alter_clone(self.session, request, &shadow).await?;
        let mut refusals = Vec::new();
        for dependent in made.iter() {
            let Some(before) = &dependent.before else { continue };
            let taken = self.try_run(&self.on_stand_ins(dependent, before)).await?;
            refusals.extend(
                taken
                    .err()
                    .map(|why| Refusal::new(dependent.object.clone(), could_not(&why), REMEDY)),
            );
        }
        let table = &self.change.names.table;
        self.run(&sql::move_both(
            (&quote::qualified(&self.schema, table), &gone),
            (&quote::qualified(&shadow, table), &self.schema),
        ))
        .await?;
        for dependent in made {
            let made = self.try_run(&self.on_stand_ins(dependent, &dependent.after)).await?;
            refusals.extend(
                made.err()
                    .map(|why| Refusal::new(dependent.object.clone(), could_not(&why), REMEDY)),
            );
        }
        if !refusals.is_empty() {
            return Ok(refusals);
        }
        let found = self.read().await?;
        let misread = "it would come out of the swap as something else";
        refusals.extend(
            differing(made, &found)
                .map(|dependent| Refusal::new(dependent.object.clone(), misread, REMEDY)),
        );
        let is_new = |found: &&Dependent| {
            is_rehearsed(found) && !made.iter().any(|made| made.object == found.object)
        };
        refusals.extend(found.iter().filter(is_new).map(|found| {
            let reason = "it is not on the table, but an event trigger would put it on the new one";
            Refusal::new(
                found.object.clone(),
                reason,
                "disable the event trigger: ALTER EVENT TRIGGER … DISABLE",
            )
        }));
        let renames =
            retarget(&altered.final_steps.renames.join(";\n"), std::slice::from_ref(&self.own));
        if let Err(why) = self.try_run(&renames).await? {
            refusals.push(Refusal::new(
                format!("the clauses for {}", self.change.names.display),
                why,
                "rename it by itself",
            ));
        }
        Ok(refusals)
    }

    /// Returns a statement of an object, with the stand-ins' names.
    fn on_stand_ins(&self, dependent: &Dependent, statement: &str) -> String {
        let mut moves = vec![self.own.clone()];
        moves.extend(host(&dependent.object).and_then(|(schema, name)| {
            self.others.iter().find(|known| known.schema == schema && known.name == name).cloned()
        }));
        expression::reread(&retarget(statement, &moves))
    }

    /// Creates the stand-in of an object, and of its relation.
    async fn stand_in(&mut self, dependent: &Dependent) -> Result<std::result::Result<(), String>> {
        if let Some((schema, name)) = host(&dependent.object)
            && !self.others.iter().any(|known| known.schema == schema && known.name == name)
        {
            let stand_in = self.place(schema, name).await?;
            if dependent.object.contains(" on ") {
                let own = format!("{schema}.{name}");
                let is_view: bool = self
                    .session
                    .one(sql::IS_VIEW, &[&own])
                    .await
                    .trying_clauses(rehearsing(&self.change.names))?
                    .get(0);
                let place = format!("{}.{name}", stand_in.to);
                let make = match is_view {
                    true => sql::create_stand_in_view(&place, &own),
                    false => sql::create_stand_in_table(&place, &own),
                };
                if let Err(why) = self.try_run(&make).await? {
                    return Ok(Err(why));
                }
            }
            self.others.push(stand_in);
        }
        // The swap only alters a policy of another table, so its stand-in must exist before.
        if let Some(policy) =
            dependent.object.strip_prefix("policy ").filter(|_| host(&dependent.object).is_some())
            && let Err(why) =
                self.try_run(&self.on_stand_ins(dependent, &sql::create_policy(policy))).await?
        {
            return Ok(Err(why));
        }
        self.try_run(&self.on_stand_ins(dependent, &dependent.after)).await
    }

    /// Creates the stand-in of a materialized view, without rows.
    async fn replacement(
        &mut self,
        view: &MaterializedView,
    ) -> Result<std::result::Result<u32, String>> {
        let (schema, name) = view.parts();
        let stand_in = self.place(&quoted(schema), &quoted(name)).await?;
        let query: String = self
            .session
            .one(sql::VIEW_QUERY, &[&view.oid])
            .await
            .trying_clauses(rehearsing(&self.change.names))?
            .get(0);
        let moves: Vec<Move> = self.others.iter().chain([&self.own]).cloned().collect();
        let query = expression::reread(&retarget(query.trim_end().trim_end_matches(';'), &moves));
        let made = format!("{}.{}", stand_in.to, stand_in.name);
        if let Err(why) = self.try_run(&sql::create_materialized_view(&made, "", &query)).await? {
            return Ok(Err(why));
        }
        self.others.push(stand_in.clone());
        let found = catalogue::table_id(self.session, &unquoted(&stand_in.to), name).await?;
        Ok(found.ok_or_else(|| "it cannot be found".to_owned()))
    }

    /// Returns where a stand-in goes. Creates that schema if it is missing.
    async fn place(&mut self, schema: &str, name: &str) -> Result<Move> {
        let known =
            self.schemas.iter().find(|(known, _)| known == schema).map(|(_, to)| to.clone());
        let to = match known {
            Some(to) => to,
            None => {
                let to = format!("{}_{}", self.schema, self.schemas.len());
                self.make_schema(&to).await?;
                self.schemas.push((schema.to_owned(), quoted(&to)));
                quoted(&to)
            }
        };
        Ok(Move { schema: schema.to_owned(), name: name.to_owned(), to })
    }

    /// Returns the dependents of the table's stand-in, with the real names.
    async fn read(&self) -> Result<Vec<Dependent>> {
        let names = &self.change.names;
        let table = catalogue::table_id(self.session, &self.schema, &names.table)
            .await?
            .unwrap_or(self.table);
        let mut found = dependents::read(self.session, names, table, &[]).await?;
        let back: Vec<Move> = self.others.iter().chain([&self.own]).map(Move::back).collect();
        for dependent in &mut found {
            dependent.object = retarget(&dependent.object, &back);
            dependent.after = retarget(&dependent.after, &back);
        }
        Ok(found)
    }

    /// Returns the queries of the stand-ins of materialized views, with the real names.
    async fn queries(&self, replacements: &[u32]) -> Result<Vec<String>> {
        let back: Vec<Move> = self.others.iter().chain([&self.own]).map(Move::back).collect();
        let mut queries = Vec::new();
        for replacement in replacements {
            let query: String = self
                .session
                .one(sql::VIEW_QUERY, &[replacement])
                .await
                .trying_clauses(rehearsing(&self.change.names))?
                .get(0);
            queries.push(retarget(&query, &back));
        }
        Ok(queries)
    }
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
    format!("it could not be made again on the altered table: {why}")
}

/// Returns the relation or function that an object is, or belongs to, unless that is the table:
/// schema and name.
fn host(object: &str) -> Option<(&str, &str)> {
    let (kind, rest) = object.split_once(' ')?;
    let spelled = match kind {
        "view" | "function" => rest,
        "rule" | "policy" | "trigger" => &rest[rest.rfind(" on ")? + " on ".len()..],
        _ => return None,
    };
    retarget::qualified(spelled)
}

/// Returns one of our names without its quotes.
fn unquoted(name: &str) -> String {
    name.strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name)
        .replace("\"\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_what_it_is_on() {
        assert_eq!(host("view public.v"), Some(("public", "v")));
        assert_eq!(host("function shop.\"f x\"(shop.t)"), Some(("shop", "\"f x\"")));
        assert_eq!(host("rule \"a on b\" on public.\"o p\""), Some(("public", "\"o p\"")));
        assert_eq!(host("trigger own"), None);
        assert_eq!(host("row security"), None);
        assert_eq!(host("publication p"), None);
    }
}
