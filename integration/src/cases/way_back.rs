//! A case that is put back as its last step: the definition is what `create.sql` made, and the rows
//! are those of the altered table, the ones written since the swap included.

use std::collections::BTreeSet;

use super::row_check;
use super::scenario::{Scenario, said, words};
use super::structure::{Name, describe, difference, is_altered, is_journal, kept_table};
use super::writers::Writers;
use crate::altergeist_process::{self, Ended, Running};

impl Scenario<'_> {
    /// The flags that make the change reversible, if it is put back.
    pub(super) fn reversible_flags(&self) -> Vec<String> {
        if !self.goes_back {
            return Vec::new();
        }
        let words = ["--reversible", "30m"].map(str::to_owned);
        words.into_iter().chain(self.case.way_back.flags.iter().cloned()).collect()
    }

    /// What cannot be put back is refused by name before anything happens.
    pub(super) fn must_be_refused_a_way_back(&self) -> Result<(), String> {
        let Some((code, words)) = &self.case.way_back.refusal else { return Ok(()) };
        let reversible = ["--reversible", "30m"];
        let ended = match code {
            2 => self.start(&reversible).wait(),
            _ => self.plan(&reversible),
        };
        let ended = self.ended_with(ended, *code);
        let ended = ended.map_err(|why| format!("plan --reversible: {why}"))?;
        match ended.output.to_lowercase().contains(&words.to_lowercase()) {
            true => Ok(()),
            false => Err(format!("plan --reversible does not say {words:?}; {}", said(&ended))),
        }
    }

    /// The tables are about to be swapped, and nobody writes. Writers come and go, and the old
    /// table comes back with all that they wrote.
    pub(super) fn back(&self, mut run: Running, before: &BTreeSet<String>) -> Result<(), String> {
        become_reversible(&mut run)?;
        let pristine = describe(&self.server, &self.twin)?;
        self.structure_must_be_the_twins(true)?;
        self.queries_must_be_as_expected()?;
        let writers =
            Writers::start(&self.server, &self.database, &self.case.blocks, &self.case.errors);
        writers.wait_for(20)?;
        writers.stop()?;
        if let Some(words) = &self.case.way_back.stays {
            return self.must_stay(run, words);
        }
        self.put_back(run)?;
        if !self.case.way_back.misfits {
            self.rows_must_be_those_of_the_altered_table()?;
        }
        self.must_be_as_at_the_beginning(&pristine, before)
    }

    /// The same, while the writers go on all the time. If they write rows that the old table cannot
    /// hold, they stop before the order: it would give up the last ones only.
    pub(super) fn live_and_back(&self) -> Result<(), String> {
        let before = self.inventory(&self.database)?;
        let writers =
            Writers::start(&self.server, &self.database, &self.case.blocks, &self.case.errors);
        writers.wait_for(10)?;
        let mut run = self.start(&[]);
        let swapped = become_reversible(&mut run).and_then(|()| writers.wait_for(20));
        if self.case.way_back.misfits {
            let written = writers.stop();
            swapped.and(written)?;
            self.put_back(run)?;
        } else {
            let ended = swapped
                .and_then(|()| match &self.case.way_back.stays {
                    Some(words) => self.must_stay(run, words),
                    None => self.put_back(run),
                })
                .and_then(|()| writers.wait_for(20));
            match (ended, writers.stop()) {
                (Err(why), Err(other)) => return Err(format!("{why}; {other}")),
                (ended, written) => ended.and(written)?,
            }
        }
        if self.case.way_back.stays.is_some() {
            return Ok(());
        }
        let pristine = describe(&self.server, &self.twin)?;
        self.must_be_as_at_the_beginning(&pristine, &before)
    }

    /// What was written meanwhile keeps the table from being put back, and the change stays.
    fn must_stay(&self, mut run: Running, words: &str) -> Result<(), String> {
        let refused = self.ended_with(self.revert(), 3);
        let refused = refused.map_err(|why| format!("revert: {why}"))?;
        if !refused.output.to_lowercase().contains(&words.to_lowercase()) {
            return Err(format!("revert does not say {words:?}; {}", said(&refused)));
        }
        run.ask("finish");
        self.ended_with(run.wait(), 0).map(drop)
    }

    fn revert(&self) -> Ended {
        let url = self.server.url(&self.database);
        let mut order = vec!["revert", "--url", &url, "--table", &self.case.table];
        if self.case.way_back.misfits {
            order.push("--discard-unrevertible");
        }
        altergeist_process::command(&order)
    }

    fn put_back(&self, run: Running) -> Result<(), String> {
        let ended = self.ended_with(self.revert(), 0);
        let ended = ended.map_err(|why| format!("revert: {why}; the run: {}", run.output()))?;
        self.ended_with(run.wait(), 10)
            .map(drop)
            .map_err(|why| format!("{why}; revert: {}", said(&ended)))
    }

    fn rows_must_be_those_of_the_altered_table(&self) -> Result<(), String> {
        let altered = self.altered_table()?;
        row_check::fill(&self.server, &self.database, &self.table, &self.reference, &self.table)
            .map_err(|failure| format!("the rows that came back: {failure}"))?;
        self.alter_natively(&self.reference)?;
        let found = row_check::rows(&self.server, &self.database, &altered)
            .map_err(|failure| format!("the altered table's rows: {failure}"))?;
        row_check::differences(&found, &self.rows(&self.reference)?)
            .map_err(|why| format!("rows that came back: {why}"))
    }

    fn altered_table(&self) -> Result<Name, String> {
        kept_table(&self.server, &self.database, "shadow")
            .map_err(words)?
            .ok_or_else(|| "there is no altered table, or more than one".into())
    }

    fn must_be_as_at_the_beginning(
        &self,
        pristine: &[String],
        before: &BTreeSet<String>,
    ) -> Result<(), String> {
        difference(pristine, &describe(&self.server, &self.database)?)
            .map_err(|why| format!("the structure is not what it was at the beginning:{why}"))?;
        let mut left = self.inventory(&self.database)?;
        left.retain(|thing| {
            !before.contains(thing) && !is_journal(thing) && !is_altered(thing, self.postgres)
        });
        if !left.is_empty() {
            return Err(format!("left behind by the revert: {left:?}"));
        }
        self.clean_up(before, &["--drop-old"])
    }
}

fn become_reversible(run: &mut Running) -> Result<(), String> {
    let reversible = run.wait_until_or_end(|status| status["phase"] == "reversible");
    let ended = |ended: Ended| format!("it ended before it was reversible; {}", said(&ended));
    reversible.map(drop).map_err(ended)
}
