//! Orders, whatever door they come through: one parser, and one place where they change settings.

use crate::control::setting::{SETTINGS, Setting};
use crate::control::{Phase, Settings, Status};
use crate::gate::{Gate, GateState, POSTPONED};
use std::time::Duration;
use tokio::sync::watch;

/// An order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Show the run.
    Status,
    /// Show the run to a script.
    StatusJson,
    /// Show the run in one line.
    Sup,
    /// Show the position in the log.
    Coordinates,
    /// Show the server.
    Server,
    /// Show the list of orders.
    Help,
    /// Pause the copy, or resume it.
    Throttle(bool),
    /// Swap the tables, if that is postponed. A table's name must be the run's.
    CutOver(Option<String>),
    /// Swap the tables now: postponed or not, and against the sessions in the way.
    Force(Option<String>),
    /// Do not swap until it is ordered.
    Postpone,
    /// Let a gate count as open.
    Overrule(String),
    /// Approve the plan of this fingerprint.
    Approve(String),
    /// Put the old table back. Whether rows that it cannot hold may be lost.
    Revert(bool),
    /// End the reversible phase now.
    Finish,
    /// Stay reversible for so much longer.
    Extend(Duration),
    /// Stop as soon as nothing is in flight.
    Stop,
    /// Stop at once. A table's name must be the run's.
    Panic(Option<String>),
    /// Show a setting's value.
    Get(String),
    /// Change a setting.
    Set(String, String),
}

/// The orders that are not settings, as `help` lists them.
pub const WORDS: &[(&str, &str)] = &[
    ("status", "show the run; status --json for scripts (also: status json)"),
    ("sup", "show the run in one line"),
    ("coordinates", "show the position in the log"),
    ("applier", "show the server (also: inspector)"),
    ("throttle", "pause the copy; the run still follows the log (also: pause, suspend)"),
    ("no-throttle", "resume the copy (also: unthrottle, resume, continue)"),
    ("cut-over [TABLE]", "swap the tables, if that is postponed (also: unpostpone, no-postpone)"),
    ("force [TABLE]", "cut-over, and kill the sessions that block it; gates still hold"),
    ("postpone", "get ready, but do not swap until cut-over"),
    ("overrule NAME", "let the gate of this name count as open"),
    ("approve PLAN", "approve the plan of this fingerprint (another account, by SQL or console)"),
    ("revert", "put the old table back; revert discard-unrevertible gives rows up"),
    ("finish", "end the reversible phase now; the old table is kept as it is"),
    ("extend TIME", "stay reversible for so much longer, as in extend 30m"),
    ("stop", "stop as soon as nothing is in flight; the same command resumes"),
    ("panic [TABLE]", "stop at once; the same command resumes"),
    ("help", "show this help"),
    ("NAME=?", "show a setting"),
    ("NAME=VALUE", "change a setting:"),
];

/// Returns the list of orders and settings, for people.
pub fn help() -> String {
    let line = |left: &str, right: &str| format!("{left:<25} {right}\n");
    let words = WORDS.iter().map(|(word, what)| line(word, what));
    let settings = SETTINGS.iter().map(|setting| {
        let setting_line = line(&format!("  {}={}", setting.names[0], setting.value), setting.help);
        match &setting.names[1..] {
            [] => setting_line,
            others => setting_line + &line("", &format!("also: {}", others.join(", "))),
        }
    });
    words.chain(settings).collect()
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// That the order or the setting is unknown.
    pub fn parse(line: &str) -> Result<Order, String> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let named = (!rest.is_empty()).then(|| rest.to_owned());
        Ok(match (word, rest) {
            ("status" | "info", "") => Order::Status,
            // In SQL `--` begins a comment.
            ("status", "--json" | "json") => Order::StatusJson,
            ("sup", "") => Order::Sup,
            ("coordinates", "") => Order::Coordinates,
            ("applier" | "inspector", "") => Order::Server,
            ("help", "") => Order::Help,
            ("throttle" | "pause" | "suspend", "") => Order::Throttle(true),
            ("no-throttle" | "unthrottle" | "resume" | "continue", "") => Order::Throttle(false),
            ("cut-over" | "unpostpone" | "no-postpone", _) => Order::CutOver(named),
            ("force" | "force-cut-over", _) => Order::Force(named),
            ("postpone", "") => Order::Postpone,
            ("overrule", name) if !name.is_empty() => Order::Overrule(name.to_owned()),
            ("approve", plan) if !plan.is_empty() => Order::Approve(plan.to_owned()),
            ("revert", "") => Order::Revert(false),
            ("revert", "discard-unrevertible" | "--discard-unrevertible") => Order::Revert(true),
            ("finish", "") => Order::Finish,
            ("extend", time) if !time.is_empty() => Order::Extend(longer(time)?),
            ("stop", "") => Order::Stop,
            ("panic", _) => Order::Panic(named),
            _ => {
                let Some((name, value)) = line.split_once('=') else {
                    return Err(format!("unknown command {line:?}; help lists them"));
                };
                let (name, value) = (name.trim(), value.trim());
                let Some(setting) = Setting::named(name) else {
                    return Err(format!("unknown setting {name:?}; help lists them"));
                };
                let name = setting_name(setting, name);
                match value {
                    "?" => Order::Get(name),
                    _ => Order::Set(name, value.to_owned()),
                }
            }
        })
    }

    /// Returns an order that changes something, in words. A URL may hold a password, so it is left
    /// out.
    pub fn in_words(&self) -> Option<String> {
        let of_table = |word: &str, table: &Option<String>| match table {
            Some(table) => format!("{word} {table}"),
            None => word.to_owned(),
        };
        Some(match self {
            Order::Throttle(true) => "throttle".into(),
            Order::Throttle(false) => "no-throttle".into(),
            Order::CutOver(table) => of_table("cut-over", table),
            Order::Force(table) => of_table("force", table),
            Order::Postpone => "postpone".into(),
            Order::Overrule(name) => format!("overrule {name}"),
            Order::Approve(fingerprint) => format!("approve {fingerprint}"),
            Order::Revert(false) => "revert".into(),
            Order::Revert(true) => "revert discard-unrevertible".into(),
            Order::Finish => "finish".into(),
            Order::Extend(time) => format!("extend {}s", time.as_secs()),
            Order::Stop => "stop".into(),
            Order::Panic(table) => of_table("panic", table),
            Order::Set(name, value) if value.contains("://") => format!("{name}=…"),
            Order::Set(name, value) => format!("{name}={value}"),
            Order::Status
            | Order::StatusJson
            | Order::Sup
            | Order::Coordinates
            | Order::Server
            | Order::Help
            | Order::Get(_) => return None,
        })
    }

    /// Carries out what changes settings. Returns the answer, or None if the run's status is the
    /// answer. [`Order::Panic`] is carried out by the door, once it has given the answer.
    ///
    /// # Errors
    /// Why the order was not carried out.
    pub fn carry_out(
        &self,
        settings: &watch::Sender<Settings>,
        status: &Status,
    ) -> Result<Option<String>, String> {
        let done = |change: &dyn Fn(&mut Settings), said: &str| {
            settings.send_modify(|settings| change(settings));
            Ok(Some(said.to_owned()))
        };
        match self {
            Order::Status | Order::StatusJson | Order::Sup => Ok(None),
            Order::Coordinates => Ok(Some(status.stream_position.clone())),
            Order::Server => Ok(Some(format!("Host: {}", status.server))),
            Order::Help => Ok(Some(help().trim_end().to_owned())),
            Order::Throttle(true) => done(&|settings| settings.throttle = true, "throttled"),
            Order::Throttle(false) => done(&|settings| settings.throttle = false, "not throttled"),
            Order::CutOver(table) => {
                is_of(table.as_deref(), status)?;
                Ok(Some(allow_cut_over(settings)))
            }
            Order::Force(table) => {
                is_of(table.as_deref(), status)?;
                settings.send_modify(|settings| settings.kill_blockers = true);
                Ok(Some(format!(
                    "{}; sessions in its way are killed until kill-blockers=off",
                    allow_cut_over(settings)
                )))
            }
            Order::Postpone => {
                let said = match status.phase {
                    Phase::CuttingOver => "postponed, unless the swap is already sent",
                    _ => "postponed",
                };
                let postpone = |settings: &mut Settings| {
                    settings.postpone_cut_over = true;
                    settings.postpone_ordered = Some(true);
                };
                done(&postpone, said)
            }
            Order::Overrule(name) => overrule(name, settings, status).map(Some),
            Order::Approve(_) => Err(format!(
                "a plan is approved under another account of the server: altergeist ctl --url URL \
                 --table {} approve {}",
                status.table, status.fingerprint
            )),
            Order::Revert(discards_misfits) => {
                is_reversible(status)?;
                let revert = |settings: &mut Settings| {
                    settings.reverts += 1;
                    settings.discards_misfits = *discards_misfits;
                };
                done(&revert, "reverting")
            }
            Order::Finish => {
                is_reversible(status)?;
                done(&|settings| settings.finish = true, "finishing")
            }
            Order::Extend(time) => {
                is_reversible(status)?;
                done(&|settings| settings.extended += *time, "extended")
            }
            Order::Stop => {
                done(&|settings| settings.stop = true, "stopping when nothing is in flight")
            }
            Order::Panic(table) => {
                is_of(table.as_deref(), status)?;
                Ok(Some("stopping at once".into()))
            }
            Order::Get(name) => {
                let setting = Setting::named(name).ok_or("unknown setting")?;
                Ok(Some(setting.read(&settings.borrow())))
            }
            Order::Set(name, value) => {
                let setting = Setting::named(name).ok_or("unknown setting")?;
                let mut wrong = Ok(());
                settings.send_modify(|settings| wrong = setting.write(settings, value));
                wrong.map(|()| None).map_err(|reason| format!("{name} {reason}"))
            }
        }
    }
}

/// Lets the swap happen. The order outranks the file that postpones it.
fn allow_cut_over(settings: &watch::Sender<Settings>) -> String {
    let mut file = None;
    settings.send_modify(|settings| {
        settings.postpone_cut_over = false;
        settings.postpone_ordered = Some(false);
        settings.cut_overs += 1;
        file = settings.postpone_file.take();
    });
    match file {
        None => "cut-over allowed".into(),
        Some(file) => format!("cut-over allowed; the file {} no longer counts", file.display()),
    }
}

fn setting_name(setting: &Setting, asked: &str) -> String {
    setting.names.iter().find(|name| **name == asked).unwrap_or(&setting.names[0]).to_string()
}

/// Reads how much longer.
fn longer(time: &str) -> Result<Duration, String> {
    humantime::parse_duration(time)
        .map_err(|_| format!("{time:?} is no time; write it as in extend 30m"))
}

/// Checks that the tables are swapped, and that the old one is kept current.
fn is_reversible(status: &Status) -> Result<(), String> {
    match status.phase {
        Phase::Reversible | Phase::Reverting => Ok(()),
        Phase::Done | Phase::Failed => Err("this run has ended".into()),
        _ => Err("the tables are not swapped yet, so there is nothing to revert; stop ends the \
                  run"
        .into()),
    }
}

/// Checks that an order for a table is for this run's: `orders` or `shop.orders`.
fn is_of(table: Option<&str>, status: &Status) -> Result<(), String> {
    let Some(table) = table else { return Ok(()) };
    let own = &status.table;
    let is_same = own == table || own.rsplit('.').next() == Some(table);
    if is_same { Ok(()) } else { Err(format!("this run changes {own}, not {table}")) }
}

/// Lets one gate count as open, by name only.
fn overrule(
    name: &str,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> Result<String, String> {
    if name == Gate::Approval.name() {
        return Err("an approval cannot be overruled: another account gives it by SQL".into());
    }
    let is_known = |state: &GateState| state.name == name && name != POSTPONED;
    if !status.gates.iter().any(is_known) {
        let known: Vec<&str> =
            status.gates.iter().map(|gate| &*gate.name).filter(|name| *name != POSTPONED).collect();
        return Err(format!("no gate is called {name:?}; gates: {}", known.join(", ")));
    }
    settings.send_modify(|settings| settings.overruled.push(name.to_owned()));
    tracing::warn!(gate = name, "a gate is overruled by order of the operator");
    Ok(format!("gate {name} counts as open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(line: &str, settings: &watch::Sender<Settings>) -> Result<Option<String>, String> {
        let status = Status { table: "shop.orders".into(), ..Status::default() };
        Order::parse(line)?.carry_out(settings, &status)
    }

    #[test]
    fn orders_are_states_and_can_be_taken_back() {
        let settings =
            watch::Sender::new(Settings { postpone_cut_over: true, ..Settings::default() });
        assert_eq!(say("throttle", &settings).unwrap().unwrap(), "throttled");
        assert!(settings.borrow().throttle);
        say("no-throttle", &settings).unwrap();
        assert!(!settings.borrow().throttle);
        say("cut-over", &settings).unwrap();
        assert!(!settings.borrow().postpone_cut_over);
        say("postpone-cut-over-flag-file=/tmp/hold", &settings).unwrap();
        let allowed = say("unpostpone", &settings).unwrap().unwrap();
        assert_eq!(allowed, "cut-over allowed; the file /tmp/hold no longer counts");
        assert_eq!(settings.borrow().postpone_file, None);
        say("postpone", &settings).unwrap();
        assert!(settings.borrow().postpone_cut_over && !settings.borrow().kill_blockers);
        assert!(say("force customers", &settings).is_err());
        let forced = say("force orders", &settings).unwrap().unwrap();
        assert!(forced.contains("kill-blockers=off"), "{forced}");
        assert!(!settings.borrow().postpone_cut_over && settings.borrow().kill_blockers);
        assert_eq!(settings.borrow().cut_overs, 3);
        say("postpone", &settings).unwrap();
        say("stop", &settings).unwrap();
        assert!(settings.borrow().stop);
    }

    #[test]
    fn a_value_is_shown_bare_and_a_change_is_answered_by_the_status() {
        let settings = watch::Sender::new(Settings::default());
        assert_eq!(say("workers=4", &settings), Ok(None));
        assert_eq!(say("workers=?", &settings).unwrap().unwrap(), "4");
        assert_eq!(say("chunk-size=10", &settings), Ok(None));
        assert_eq!(settings.borrow().chunk_rows, Some(10));
        assert_eq!(say("max-load=Threads_running=25", &settings), Ok(None));
        assert_eq!(say("max-load=?", &settings).unwrap().unwrap(), "Threads_running=25");
        for nonsense in ["workers=0", "frobnicate", "colour=7", "colour=?", "stop it", ""] {
            assert!(say(nonsense, &settings).is_err(), "{nonsense:?}");
        }
        assert_eq!(settings.borrow().workers, 4);
    }

    #[test]
    fn an_order_for_another_table_is_refused() {
        let settings =
            watch::Sender::new(Settings { postpone_cut_over: true, ..Settings::default() });
        assert!(say("cut-over customers", &settings).is_err());
        assert!(say("panic shop.customers", &settings).is_err());
        assert!(settings.borrow().postpone_cut_over);
        say("cut-over orders", &settings).unwrap();
        assert!(!settings.borrow().postpone_cut_over);
        assert!(say("panic shop.orders", &settings).is_ok());
    }

    #[test]
    fn help_names_every_setting() {
        let help = help();
        for name in SETTINGS.iter().flat_map(|setting| setting.names) {
            assert!(help.contains(name), "{name}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
