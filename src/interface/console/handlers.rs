//! The console's side of the PostgreSQL protocol: log in, simple and extended queries.

use crate::interface::console::cell::Column;
use crate::interface::console::driver::SERVER_VERSION;
use crate::interface::console::message::is_first_of_scram;
use crate::interface::console::parser::{parse, parse_one};
use crate::interface::console::refusal::Refusal;
use crate::interface::console::rows::{self, fields};
use crate::interface::console::session::{Content, Login, Notice, Reply, Room, Session};
use crate::interface::console::statement::Parsed;
use crate::interface::console::users::Role;
use async_trait::async_trait;
use futures_util::{Sink, SinkExt};
use pgwire::api::auth::mechanism::AuthMechanismFactory;
use pgwire::api::auth::sasl::scram::{ScramAuth, ScramSecret};
use pgwire::api::auth::{
    AuthDriver, AuthOutcome, AuthSource, LoginInfo, Password, ServerParameterProvider,
    StartupHandler, protocol_negotiation, save_startup_parameters_to_metadata,
};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldInfo, Response};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, METADATA_DATABASE, METADATA_USER, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::response::NoticeResponse;
use pgwire::messages::startup::PasswordMessageFamily;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The database that the console shows.
const DATABASE: &str = "altergeist";
/// The most parameters of a statement.
const PARAMETERS_MAX: u16 = 1000;
/// The rest after a wrong password, so that guessing takes long.
const AFTER_WRONG: Duration = Duration::from_millis(500);

/// Where a client comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// In words.
    pub name: String,
    /// Whether it is a process of the run's own user.
    pub is_own_user: bool,
    /// Whether the connection may be used: it is local or encrypted.
    pub is_protected: bool,
    /// The certificate that the connection is encrypted with.
    pub certificate: Option<Arc<Vec<u8>>>,
}

/// One connection.
pub struct Connection {
    room: Arc<Room>,
    peer: Peer,
    driver: Arc<AuthDriver<Parameters>>,
    session: OnceLock<Session>,
    has_sent_password: AtomicBool,
}

impl Connection {
    /// A connection that has not logged in.
    pub fn new(room: Arc<Room>, peer: Peer, driver: Arc<AuthDriver<Parameters>>) -> Connection {
        let has_sent_password = AtomicBool::new(false);
        Connection { room, peer, driver, session: OnceLock::new(), has_sent_password }
    }

    /// The session, once a user has logged in.
    pub fn session(&self) -> Option<&Session> {
        self.session.get()
    }

    /// What all sessions share.
    pub fn room(&self) -> &Room {
        &self.room
    }

    async fn execute(&self, parsed: &Parsed) -> Result<Reply, Refusal> {
        let session = self.session.get().ok_or_else(|| Refusal::login("nobody has logged in"))?;
        let mut reply = session.execute(&parsed.statement, &self.room)?;
        session.note(&mut reply, &self.room).await;
        Ok(reply)
    }

    /// Whether a user is let in without a password, and as what. None if the password decides.
    fn trusted(&self, user: &str) -> Result<Option<Role>, Refusal> {
        let known = self.room.users.role(user);
        match (self.peer.is_own_user, known) {
            // This user can do all of it at the run's socket as well; but not approve.
            (true, Some(Role::Watcher)) => Ok(Some(Role::Watcher)),
            (true, None) if user == "watcher" => Ok(Some(Role::Watcher)),
            (true, None) if user == "approver" => {
                Err(Refusal::login("an approver needs a password, at the Unix socket too")
                    .hint("name one in --console-users FILE"))
            }
            (true, None | Some(Role::Operator)) => Ok(Some(Role::Operator)),
            (true, Some(Role::Approver)) => Ok(None),
            (false, _) if self.room.users.is_empty() => {
                Err(Refusal::login("only the user who runs the change is let in here"))
            }
            (false, _) => Ok(None),
        }
    }

    fn enter(&self, client: &impl ClientInfo, user: &str, role: Role, is_own_user: bool) {
        let (name, from) = (user.to_owned(), self.peer.name.clone());
        let number = client.pid_and_secret_key().0;
        let login = Login { name, role, is_own_user, from, number };
        let _ = self.session.set(Session::new(login));
    }
}

/// What clients are told of the server.
pub struct Parameters;

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let told = |name: &str| client.metadata().get(name).cloned().unwrap_or_default();
        let parameters = [
            ("server_version", SERVER_VERSION.into()),
            ("server_encoding", "UTF8".into()),
            ("client_encoding", "UTF8".into()),
            ("application_name", told("application_name")),
            ("session_authorization", told(METADATA_USER)),
            ("is_superuser", "off".into()),
            ("in_hot_standby", "off".into()),
            ("default_transaction_read_only", "off".into()),
            ("integer_datetimes", "on".into()),
            ("standard_conforming_strings", "on".into()),
            ("DateStyle", "ISO, MDY".into()),
            ("IntervalStyle", "postgres".into()),
            ("TimeZone", "UTC".into()),
        ];
        Some(parameters.map(|(name, value): (&str, String)| (name.to_owned(), value)).into())
    }
}

/// Gives the verifiers to the library.
struct Verifiers(Arc<Room>);

impl Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifiers")
    }
}

#[async_trait]
impl AuthSource for Verifiers {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        Err(PgWireError::InvalidPassword(login.user().unwrap_or_default().to_owned()))
    }

    async fn get_scram_secret(&self, login: &LoginInfo) -> PgWireResult<(ScramSecret, Option<()>)> {
        Ok((self.0.users.secret(login.user().unwrap_or_default()), None))
    }
}

/// An error that ends the connection.
pub fn fatal(refusal: Refusal) -> PgWireError {
    error("FATAL", refusal)
}

fn error(severity: &str, refusal: Refusal) -> PgWireError {
    PgWireError::UserError(Box::new(info(severity, refusal)))
}

fn info(severity: &str, refusal: Refusal) -> ErrorInfo {
    let mut info = ErrorInfo::new(severity.into(), refusal.code.into(), refusal.message);
    info.hint = refusal.hint;
    info
}

fn notice(notice: Notice) -> NoticeResponse {
    let (severity, text) = match notice {
        Notice::Hint(text) => ("NOTICE", text),
        Notice::Warning(text) => ("WARNING", text),
    };
    ErrorInfo::new(severity.into(), "00000".into(), text).into()
}

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                self.begin(client).await
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                self.check_password(client, message).await
            }
            _ => Err(fatal(Refusal::protocol("the client has not logged in"))),
        }
    }
}

impl Connection {
    async fn begin<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !self.peer.is_protected {
            return Err(fatal(
                Refusal::login("this console is reached by TLS only")
                    .hint("connect with sslmode=require"),
            ));
        }
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        if user.is_empty() {
            return Err(fatal(Refusal::login("the client names no user")));
        }
        let database = client.metadata().get(METADATA_DATABASE).unwrap_or(&user);
        if database != DATABASE {
            let missing = format!("database \"{database}\" does not exist");
            let hint = format!("connect to the database {DATABASE}");
            return Err(fatal(Refusal::database(missing).hint(hint)));
        }
        if let Some(role) = self.trusted(&user).map_err(fatal)? {
            self.driver.complete_authentication(client, None).await?;
            self.enter(client, &user, role, true);
            return Ok(());
        }
        let mut scram = ScramAuth::new(Arc::new(Verifiers(self.room.clone())));
        if let Some(certificate) = &self.peer.certificate {
            // A certificate of a rare kind cannot be bound to; the password is safe all the same.
            let _ = scram.configure_certificate(certificate);
        }
        self.driver.begin_authentication(client, scram.create()).await.map(|_| ())
    }

    async fn check_password<C>(
        &self,
        client: &mut C,
        message: PasswordMessageFamily,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let is_first = !self.has_sent_password.swap(true, Ordering::Relaxed);
        let is_wrong = |body: &[u8]| is_first && !is_first_of_scram(body);
        if matches!(&message, PasswordMessageFamily::Raw(body) if is_wrong(body)) {
            return Err(fatal(Refusal::protocol("the client sent no password of SCRAM")));
        }
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        match self.driver.advance_authentication(client, message).await {
            Ok(AuthOutcome::InProgress) => Ok(()),
            Ok(AuthOutcome::Authenticated { final_message, .. }) => {
                let Some(role) = self.room.users.role(&user) else {
                    return Err(fatal(Refusal::password(&user)));
                };
                self.driver.complete_authentication(client, final_message).await?;
                self.enter(client, &user, role, self.peer.is_own_user);
                Ok(())
            }
            Err(PgWireError::IoError(error)) => Err(PgWireError::IoError(error)),
            Err(_) => {
                tracing::warn!(
                    from = self.peer.name,
                    "a client of the console sent a wrong password"
                );
                tokio::time::sleep(AFTER_WRONG).await;
                Err(fatal(Refusal::password(&user)))
            }
        }
    }
}

/// Sends what a person should know, and returns the answer's response.
async fn respond<C>(client: &mut C, reply: Reply, format: &Format) -> PgWireResult<Response>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    if let Some(text) = reply.notice {
        client.feed(PgWireBackendMessage::NoticeResponse(notice(text))).await?;
    }
    Ok(match reply.content {
        Content::Rows(columns, rows) => Response::Query(rows::response(&columns, &rows, format)),
        Content::Done(tag) => Response::Execution(rows::tag(tag)),
        Content::Begin => Response::TransactionStart(rows::tag("BEGIN")),
        Content::End(tag) => Response::TransactionEnd(rows::tag(tag)),
    })
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = parse(query).map_err(|refusal| error("ERROR", refusal))?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::new();
        for statement in &statements {
            match self.execute(statement).await {
                Ok(reply) => {
                    responses.push(respond(client, reply, &Format::UnifiedText).await?);
                }
                // The rest of the string is not carried out, as with PostgreSQL.
                Err(refusal) => {
                    responses.push(Response::Error(Box::new(info("ERROR", refusal))));
                    break;
                }
            }
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Parsed;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser)
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Parsed>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Parsed>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let reply = self.execute(&portal.statement.statement).await;
        let reply = reply.map_err(|refusal| error("ERROR", refusal))?;
        respond(client, reply, &portal.result_column_format).await
    }
}

/// Reads statements for the extended protocol.
pub struct Parser;

#[async_trait]
impl QueryParser for Parser {
    type Statement = Parsed;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Parsed>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let parsed = parse_one(sql).map_err(|refusal| error("ERROR", refusal))?;
        if parsed.as_ref().is_some_and(|parsed| parsed.parameters > PARAMETERS_MAX) {
            let most = format!("a statement has at most {PARAMETERS_MAX} parameters");
            return Err(error("ERROR", Refusal::limit(most)));
        }
        Ok(parsed)
    }

    fn get_parameter_types(&self, statement: &Parsed) -> PgWireResult<Vec<Type>> {
        Ok(vec![Type::TEXT; statement.parameters.into()])
    }

    fn get_result_schema(
        &self,
        statement: &Parsed,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let columns: Vec<Column> = statement.statement.columns().unwrap_or_default();
        Ok(fields(&columns, format.unwrap_or(&Format::UnifiedText)))
    }
}
