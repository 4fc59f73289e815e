//! One user's session: carries out statements, within the user's role.

use crate::interface::console::cell::{Cell, Column, shown};
use crate::interface::console::diary::Diary;
use crate::interface::console::driver;
use crate::interface::console::fields::Facts;
use crate::interface::console::refusal::Refusal;
use crate::interface::console::statement::{Constant, Statement};
use crate::interface::console::users::{Role, Users};
use crate::interface::console::view::View;
use crate::interface::order_door::reaches_out;
use crate::interface::socket::{Steering, carry_out, note, tell};
use altergeist::control::approval;
use altergeist::{Door, Giver, Order};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

/// What all sessions share.
pub struct Room {
    /// What can be seen and changed.
    pub steering: Steering,
    /// What happened.
    pub diary: Diary,
    /// Who may come.
    pub users: Users,
    /// The name of the user who started the run. It approves nothing.
    pub starter: String,
}

/// Who has logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether it is the run's own user, by the Unix socket.
    pub is_own_user: bool,
    /// Where the user is.
    pub from: String,
    /// The number of the session.
    pub number: i32,
}

/// The session of a user who has logged in.
pub struct Session {
    login: Login,
    orders_in_transaction: AtomicU32,
    panics: AtomicBool,
}

/// The answer to a statement.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// What there is to say.
    pub content: Content,
    /// What a person should know besides.
    pub notice: Option<Notice>,
    /// The order that was carried out, with its answer. It is noted before it is answered.
    pub done: Option<(Order, String)>,
}

/// What a person should know besides the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It may help.
    Hint(String),
    /// It may surprise.
    Warning(String),
}

/// The content of an answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// Rows.
    Rows(Vec<Column>, Vec<Vec<Cell>>),
    /// Nothing but its tag.
    Done(&'static str),
    /// A transaction begins.
    Begin,
    /// A transaction ends, with its tag.
    End(&'static str),
}

impl Session {
    /// A session that begins.
    pub fn new(login: Login) -> Session {
        Session { login, orders_in_transaction: AtomicU32::new(0), panics: AtomicBool::new(false) }
    }

    /// Whether the run must stop at once, now that the answer is given.
    pub fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }

    /// Stops the run at once.
    pub fn stop_at_once(&self, room: &Room) {
        room.steering.settings.send_modify(|settings| settings.panic = true);
    }

    /// Carries out a statement.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub fn execute(&self, statement: &Statement, room: &Room) -> Result<Reply, Refusal> {
        let rows = |rows| Content::Rows(statement.columns().unwrap_or_default(), rows);
        let content = match statement {
            Statement::Show(view) => return Ok(show(*view, rows, room)),
            Statement::Parameter(name) => rows(vec![vec![Cell::Text(driver::value(name).into())]]),
            Statement::Order(order) => {
                let answer = self.order(order, room)?;
                let content = match order {
                    Order::Set(..) => Content::Done("SET"),
                    Order::Get(_) => rows(vec![vec![Cell::Text(shown(&answer))]]),
                    _ => rows(answer.lines().map(|line| vec![Cell::Text(line.into())]).collect()),
                };
                return Ok(Reply { content, notice: None, done: Some((order.clone(), answer)) });
            }
            Statement::Accepted(tag) => Content::Done(tag),
            Statement::Begin => {
                self.orders_in_transaction.store(0, Ordering::Relaxed);
                Content::Begin
            }
            Statement::End(tag) => return Ok(self.end(tag)),
            Statement::Constants(constants) => {
                rows(vec![constants.iter().map(|(_, it)| self.constant(it)).collect()])
            }
            Statement::Catalogue(names) => {
                let hint =
                    "this is the console of altergeist: SHOW HELP lists its tables and orders";
                let notice = is_described(names).then(|| Notice::Hint(hint.into()));
                return Ok(Reply { content: rows(Vec::new()), notice, done: None });
            }
        };
        Ok(Reply { content, notice: None, done: None })
    }

    /// Notes what was carried out, and warns if an approval may be lost with this process.
    pub async fn note(&self, reply: &mut Reply, room: &Room) {
        let Some((order, answer)) = reply.done.take() else { return };
        let status = room.steering.status.borrow().clone();
        let giver = Giver::new(self.login.name.clone(), Door::Console);
        let noted = note(&room.steering, &order, &giver, &answer, &status).await;
        if let (Order::Approve(_), Err(reason)) = (&order, noted) {
            reply.notice = Some(Notice::Warning(format!(
                "the journal may not have this approval ({reason}): it counts for this process, \
                 and a run that is resumed may need it again"
            )));
        }
    }

    fn end(&self, tag: &'static str) -> Reply {
        let orders = self.orders_in_transaction.swap(0, Ordering::Relaxed);
        let warning = "an order takes effect at once: ROLLBACK takes none of them back";
        let is_surprising = tag == "ROLLBACK" && orders > 0;
        let notice = is_surprising.then(|| Notice::Warning(warning.into()));
        Reply { content: Content::End(tag), notice, done: None }
    }

    fn constant(&self, constant: &Constant) -> Cell {
        match constant {
            Constant::Value(cell) => cell.clone(),
            Constant::User => Cell::Text(self.login.name.clone()),
            Constant::Session => Cell::Int(self.login.number.into()),
            Constant::Now => Cell::Time(SystemTime::now()),
        }
    }

    /// Carries out an order and records it. Returns its answer.
    fn order(&self, order: &Order, room: &Room) -> Result<String, Refusal> {
        let status = room.steering.status.borrow().clone();
        let is_change = order.in_words().is_some();
        if is_change {
            self.must_be_allowed(order, room)?;
        }
        let answer = match order {
            Order::Approve(fingerprint) => approval::approve(
                fingerprint,
                &format!("{}@console", self.login.name),
                &room.starter,
                &room.steering.settings,
                &status,
            ),
            _ => carry_out(order, &room.steering.settings, &status),
        };
        let answer = answer.map_err(Refusal::order)?;
        if is_change {
            self.orders_in_transaction.fetch_add(1, Ordering::Relaxed);
            let giver = format!("{} ({})", self.login.name, self.login.from);
            tell(&room.steering.listeners, order, &Giver::new(giver, Door::Console), &status);
        }
        if matches!(order, Order::Panic(_)) {
            self.panics.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn must_be_allowed(&self, order: &Order, room: &Room) -> Result<(), Refusal> {
        let Login { name, role, is_own_user, .. } = &self.login;
        let is_approval = matches!(order, Order::Approve(_));
        let needed = if is_approval { Role::Approver } else { Role::Operator };
        if *role != needed {
            return Err(Refusal::role(format!(
                "{name} has the role {role}; this order needs the role {needed}"
            )));
        }
        if is_approval && !room.users.may_approve() {
            return Err(Refusal::role(
                "all users of this console share one password, so an approval proves nothing",
            )
            .hint("give the run --console-users FILE, or approve by SQL under another account"));
        }
        if reaches_out(order) && !is_own_user {
            return Err(Refusal::role(
                "the run would read files, run SQL or open addresses with its own rights",
            )
            .hint("set it at the Unix socket, as the user who runs the change"));
        }
        Ok(())
    }
}

fn show(view: View, rows: impl Fn(Vec<Vec<Cell>>) -> Content, room: &Room) -> Reply {
    let status = room.steering.status.borrow().clone();
    let settings = room.steering.settings.borrow().clone();
    let found = view.rows(&Facts { status: &status, settings: &settings, diary: &room.diary });
    let notice = match found.is_empty() {
        true => view.when_empty().map(|text| Notice::Hint(text.into())),
        false => None,
    };
    Reply { content: rows(found), notice, done: None }
}

/// Whether psql asks for a person who typed `\d` or another of its commands. Completing a word asks
/// too, and must stay silent.
fn is_described(names: &[String]) -> bool {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    matches!(names[..], ["Schema" | "Name", ..] | ["oid", "nspname", "relname"])
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::interface::console::parser::parse_one;
    use crate::interface::recorder::Recorder;
    use altergeist::{Listeners, Settings, Status};
    use std::sync::Arc;
    use tokio::sync::watch;

    /// A room with two users.
    pub fn room(users: Users) -> Room {
        let status =
            Status { table: "shop.t".into(), fingerprint: "f00d".into(), ..Status::default() };
        let (diary, news) = Diary::new();
        let mut listeners = Listeners::default();
        listeners.console = Some(news);
        let steering = Steering {
            settings: Arc::new(watch::Sender::new(Settings::default())),
            status: watch::Sender::new(status).subscribe(),
            listeners,
            recorder: Recorder::default(),
        };
        Room { steering, diary, users, starter: "deploy".into() }
    }

    fn login(name: &str, role: Role, is_own_user: bool) -> Session {
        let (name, from) = (name.to_owned(), "127.0.0.1:9".into());
        Session::new(Login { name, role, is_own_user, from, number: 7 })
    }

    fn say(session: &Session, room: &Room, sql: &str) -> Result<Reply, Refusal> {
        let parsed = parse_one(sql)?.expect("it is a statement");
        session.execute(&parsed.statement, room)
    }

    fn users_of_a_file() -> Users {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("users");
        std::fs::write(&path, "kim:operator:hush hush\n").expect("a file can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its mode can be set");
        Users::read(&path).unwrap_or_else(|reason| panic!("{reason}"))
    }

    #[test]
    fn each_role_may_do_what_it_is_for() {
        let room = room(users_of_a_file());
        let watcher = login("w", Role::Watcher, false);
        let operator = login("kim", Role::Operator, false);
        let approver = login("ann", Role::Approver, false);
        assert!(say(&watcher, &room, "SHOW STATUS").is_ok());
        for (session, sql) in [
            (&watcher, "PAUSE"),
            (&watcher, "SET workers = 2"),
            (&operator, "APPROVE f00d"),
            (&approver, "CUT OVER"),
            (&operator, "SET throttle_query = 'SELECT evil()'"),
            (&operator, "SET postpone_file = '/etc/passwd'"),
        ] {
            let refusal = say(session, &room, sql).expect_err("it may not");
            assert_eq!(refusal.code, "42501", "{sql}: {refusal:?}");
        }
        assert_eq!(*room.steering.settings.borrow(), Settings::default());
        assert_eq!(
            say(&operator, &room, "SET workers = 2").map(|it| it.content),
            Ok(Content::Done("SET"))
        );
        assert!(say(&approver, &room, "APPROVE f00d").is_ok());
        let approval = room.steering.settings.borrow().approval.clone();
        assert_eq!(approval.map(|it| it.by), Some("ann@console".into()));
        let given: Vec<(String, String)> = {
            let kept = room.diary.read(&room.steering.status.borrow());
            kept.orders.iter().map(|it| (it.given_by.clone(), it.words.clone())).collect()
        };
        assert_eq!(given[0], ("kim (127.0.0.1:9)".into(), "workers=2".into()));
        assert_eq!(given[1], ("ann (127.0.0.1:9)".into(), "approve f00d".into()));
        let own = login("root", Role::Operator, true);
        assert!(say(&own, &room, "SET throttle_query = 'SELECT 0'").is_ok());
    }

    #[test]
    fn nobody_approves_a_change_that_they_started_or_with_a_shared_password() {
        let shared = Users::with_password("hush hush").unwrap_or_else(|reason| panic!("{reason}"));
        let (shared, own) = (room(shared), room(users_of_a_file()));
        assert!(say(&login("approver", Role::Approver, false), &shared, "APPROVE f00d").is_err());
        assert!(say(&login("deploy", Role::Approver, false), &own, "APPROVE f00d").is_err());
        assert!(say(&login("ann", Role::Approver, false), &own, "APPROVE beef").is_err());
        for room in [shared, own] {
            assert_eq!(room.steering.settings.borrow().approval, None);
        }
    }

    #[test]
    fn a_rollback_says_that_orders_stay() {
        let room = room(users_of_a_file());
        let operator = login("kim", Role::Operator, false);
        for (sql, is_said) in
            [("BEGIN", false), ("ROLLBACK", false), ("PAUSE", false), ("ROLLBACK", true)]
        {
            let reply = say(&operator, &room, sql).expect("it may");
            assert_eq!(reply.notice.is_some(), is_said, "{sql}");
        }
        assert!(room.steering.settings.borrow().throttle);
        assert!(!operator.panics());
        assert!(say(&operator, &room, "PANIC t").is_ok() && operator.panics());
    }
}
