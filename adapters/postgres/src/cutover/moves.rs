//! The statements that move the tables in the swap, with their sequences and statistics.

use crate::cutover::owned::{sequences, statistics};
use crate::cutover::swap::Swapper;
use crate::facts::ShadowFacts;
use crate::schema::user_definition;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::qualified;
use altergeist_contract::Result;

impl Swapper {
    /// Returns the statements that move the tables, and the statistics, which do not move with
    /// them.
    pub(crate) async fn moves(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
    ) -> Result<Vec<String>> {
        let names = &self.names;
        let of_source = statistics(session, self.facts.source).await?;
        let of_shadow = statistics(session, shadow.oid).await?;
        let moved = |schema: &str, name: &str, to: &str| sql::move_statistics(schema, name, to);
        let mut moves: Vec<String> =
            of_source.iter().map(|(name, schema)| moved(schema, name, &names.old_schema)).collect();
        moves.push(sql::move_table(&names.source(), &names.old_schema));
        moves.push(sql::move_table(&names.shadow(), &names.schema));
        if shadow.layout.is_partitioned {
            let partitions = user_definition::partitions(session, shadow.oid).await?;
            moves.extend(
                partitions
                    .iter()
                    .map(|(name, schema)| sql::move_table(&qualified(schema, name), &names.schema)),
            );
        }
        moves.extend(of_shadow.iter().map(|(name, schema)| {
            let home = of_source
                .iter()
                .find(|(was, _)| was == name)
                .map_or(&names.schema, |(_, home)| home);
            moved(schema, name, home)
        }));
        Ok(moves)
    }

    /// Returns statements on sequences for before and after the move. A sequence of a source column
    /// goes to the shadow's column, unless that has its own.
    pub(crate) async fn sequences(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let of_source = sequences(session, self.facts.source).await?;
        let of_shadow = sequences(session, shadow.oid).await?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let has_identity = |column: &str| {
            of_source.iter().any(|(name, _, is_identity)| name == column && *is_identity)
        };
        for (column, sequence, is_identity) in &of_source {
            let Some(heir) = shadow.layout.columns.iter().find(|heir| heir.source == *column)
            else {
                continue;
            };
            // After a serial column became an identity, its sequence stays with the column and is
            // not used.
            let is_left_over = !is_identity && has_identity(column);
            // The shadow's own sequence continues from the old one.
            let own = of_shadow.iter().find(|(name, ..)| *name == heir.name && !is_left_over);
            // On the way back the serial goes on behind the identity that replaced it.
            let identity = of_source.iter().find(|(name, _, is_own)| name == column && *is_own);
            if let Some((_, identity, _)) =
                identity.filter(|_| is_left_over && self.names.is_turned)
            {
                before.push(sql::advance_sequence(sequence, identity));
            }
            let stays_beside = shadow.final_steps.kept_serials.contains(column) && !is_identity;
            match own {
                Some((_, own, _)) if stays_beside => {
                    before.push(sql::advance_sequence(own, sequence));
                }
                Some((_, own, _)) => before.push(sql::continue_sequence(own, sequence)),
                None => {}
            }
            if !is_identity && (own.is_none() || stays_beside) {
                before.push(sql::detach_sequence(sequence));
                after.push(sql::attach_sequence(sequence, &self.names.source(), &heir.name));
                if shadow.is_unlogged && self.version.has_unlogged_sequences() {
                    after.push(sql::set_sequence_unlogged(sequence));
                }
            }
        }
        Ok((before, after))
    }
}
