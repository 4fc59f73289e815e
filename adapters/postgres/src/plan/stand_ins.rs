//! Stand-ins: an empty table like the source, and copies of its dependents, on which the plan
//! rehearses the swap.

use crate::change::Change;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::materialized_views::MaterializedView;
use crate::schema::catalogue;
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::retarget::{self, Move, retarget};
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::quoted;
use altergeist_contract::Result;

/// The stand-ins of the table and of its dependents.
pub(crate) struct StandIns<'a> {
    pub(crate) session: &'a Session,
    pub(crate) change: &'a Change,
    pub(crate) source: u32,
    pub(crate) schema: String,
    /// The table's stand-in.
    pub(crate) table: u32,
    pub(crate) own: Move,
    /// The stand-ins of everything else.
    pub(crate) others: Vec<Move>,
    /// The schemas of the others, and the schemas of their stand-ins.
    pub(crate) schemas: Vec<(String, String)>,
}

impl<'a> StandIns<'a> {
    pub(crate) async fn open(
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
    pub(crate) async fn make_schema(&self, schema: &str) -> Result<()> {
        definition::make_schema(self.session, schema, self.source).await?;
        self.run(&sql::open_schema_to(schema, "PUBLIC")).await
    }

    pub(crate) async fn run(&self, statement: &str) -> Result<()> {
        let ran = self.session.run(statement).await;
        ran.trying_clauses(attempted(&self.change.names))
    }

    /// Runs a statement of an object. Returns why the server refuses it.
    pub(crate) async fn try_run(&self, statement: &str) -> Result<std::result::Result<(), String>> {
        self.run(&sql::savepoint("dependent")).await?;
        match self.session.run(statement).await {
            Ok(()) => self.run(&sql::release("dependent")).await.map(Ok),
            Err(error) if error::is_passing(&error) => {
                Err(error::of_lock(attempted(&self.change.names), &error))
            }
            Err(error) => {
                self.run(&sql::roll_back_to("dependent")).await?;
                Ok(Err(error::of_clauses("try it", &error).reason))
            }
        }
    }

    /// Returns a statement of an object, with the stand-ins' names.
    pub(crate) fn on_stand_ins(&self, dependent: &Dependent, statement: &str) -> String {
        let mut moves = vec![self.own.clone()];
        moves.extend(host(&dependent.object).and_then(|(schema, name)| {
            self.others.iter().find(|known| known.schema == schema && known.name == name).cloned()
        }));
        expression::reread(&retarget(statement, &moves))
    }

    /// Creates the stand-in of an object, and of its relation.
    pub(crate) async fn stand_in(
        &mut self,
        dependent: &Dependent,
    ) -> Result<std::result::Result<(), String>> {
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
                    .trying_clauses(attempted(&self.change.names))?
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
    pub(crate) async fn replacement(
        &mut self,
        view: &MaterializedView,
    ) -> Result<std::result::Result<u32, String>> {
        let (schema, name) = view.parts();
        let stand_in = self.place(&quoted(schema), &quoted(name)).await?;
        let query: String = self
            .session
            .one(sql::VIEW_QUERY, &[&view.oid])
            .await
            .trying_clauses(attempted(&self.change.names))?
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
    pub(crate) async fn place(&mut self, schema: &str, name: &str) -> Result<Move> {
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
    pub(crate) async fn read(&self) -> Result<Vec<Dependent>> {
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
    pub(crate) async fn queries(&self, replacements: &[u32]) -> Result<Vec<String>> {
        let back: Vec<Move> = self.others.iter().chain([&self.own]).map(Move::back).collect();
        let mut queries = Vec::new();
        for replacement in replacements {
            let query: String = self
                .session
                .one(sql::VIEW_QUERY, &[replacement])
                .await
                .trying_clauses(attempted(&self.change.names))?
                .get(0);
            queries.push(retarget(&query, &back));
        }
        Ok(queries)
    }
}

/// Returns what the rehearsal attempts.
pub(crate) fn attempted(names: &Names) -> String {
    format!("rehearse the swap of {}", names.display)
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
