//! Proves, before the first SET, that one server answers at the address, and that a connection is a
//! session there. A proxy may spread sessions over servers, or share the server's sessions among
//! its clients. Then our settings, locks and KILLs would hit the wrong ones.
//!
//! Such a proxy greets with a number of its own, and the server has another number for the session.
//! A proxy that only passes bytes on (HAProxy, a tunnel) does no harm, if the same server is behind
//! it each time.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::session::{Session, number, text};
use crate::sql;
use altergeist_contract::{Error, Result};

/// How many sessions are compared with the first.
const FURTHER: usize = 2;
const REMEDY: &str = "name the server's own address in --url";

/// See the module.
///
/// # Errors
/// `Refused`, with what is odd and the way out.
pub(crate) async fn check(access: &Access, first: &mut Session) -> Result<()> {
    let server = identity(access, first).await?;
    for _ in 0..FURTHER {
        let mut further = Session::bare(access).await?;
        let other = identity(access, &mut further).await?;
        if other != server {
            return Err(refused(
                access,
                format!("different servers answer there ({server}, then {other})"),
            ));
        }
    }
    // Where sessions are shared, another one may answer now.
    identity(access, first).await.map(|_| ())
}

async fn identity(access: &Access, session: &mut Session) -> Result<String> {
    let attempted = || format!("ask who answers at {}", access.address);
    let row = session.row(sql::session::IDENTITY).await.doing_in_catalogue(attempted)?;
    let row = row.unwrap_or_default();
    let id = row.get(1).and_then(number).unwrap_or_default();
    // The greeting has room for 32 bits.
    if id & 0xffff_ffff != session.id {
        let odd = format!("a proxy answers there: it greets session {id} as {}", session.id);
        return Err(refused(access, odd));
    }
    Ok(row.first().map(text).unwrap_or_default())
}

fn refused(access: &Access, odd: String) -> Error {
    Error::refused(
        format!("use {}", access.address),
        format!("{odd}, and sessions there are not ours alone; {REMEDY}"),
    )
}
