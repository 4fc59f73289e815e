//! What a throttle signal may read from a server, and the replicas whose lag counts.

use std::fmt;

/// A number that tells how the server fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Sessions of others that wait for a lock now, anywhere on the server.
    LockWaiters,
    /// How far the server's cleaning is behind its oldest reader: old row versions, or
    /// transactions.
    HistoryList,
    /// Bytes that are free on the disk of the server's data.
    FreeDisk,
}

/// A replica that the operator has named. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedReplica {
    /// Host and port, for people.
    pub address: String,
    /// How to log in. Without a URL, as to the server.
    pub url: Option<String>,
}

impl NamedReplica {
    /// Returns the host and the port of the address.
    pub fn host_and_port(&self) -> (&str, Option<u16>) {
        let (host, port) = match self.address.rsplit_once(':') {
            // A bare IPv6 address has colons of its own.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().ok())
            }
            _ => (&*self.address, None),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }
}

impl fmt::Debug for NamedReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedReplica").field(&self.address).finish()
    }
}

/// Whose lag counts, and how it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WatchedReplicas<'a> {
    /// The replicas that the operator has named. Without any, those that the engine finds.
    pub named: &'a [NamedReplica],
    /// A query that returns the lag in seconds, in place of the run's own heartbeats. The engine
    /// asks each named replica, or the server if none is named.
    pub query: Option<&'a str>,
}

/// Reads the answer of a lag query.
///
/// # Errors
/// Why it is no lag. The words hold no value.
pub fn seconds_of_lag(answer: Option<&str>) -> Result<std::time::Duration, &'static str> {
    let text = answer.ok_or("the lag query returned nothing")?;
    let seconds: f64 = text.trim().parse().map_err(|_| "the lag query returned no number")?;
    std::time::Duration::try_from_secs_f64(seconds)
        .map_err(|_| "the lag query returned no number of seconds from 0 on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn named(address: &str) -> NamedReplica {
        NamedReplica { address: address.into(), url: Some("mysql://me:hush@h".into()) }
    }

    #[test]
    fn an_address_has_a_host_and_perhaps_a_port() {
        assert_eq!(named("h:3307").host_and_port(), ("h", Some(3307)));
        assert_eq!(named("h").host_and_port(), ("h", None));
        assert_eq!(named("[::1]:3307").host_and_port(), ("::1", Some(3307)));
        assert_eq!(named("::1").host_and_port(), ("::1", None));
        assert!(!format!("{:?}", named("h")).contains("hush"));
    }

    #[test]
    fn only_a_number_of_seconds_is_a_lag() {
        assert_eq!(seconds_of_lag(Some(" 1.5 ")), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds_of_lag(Some("0")), Ok(Duration::ZERO));
        for wrong in [None, Some(""), Some("00:00:01"), Some("-1"), Some("NaN"), Some("inf")] {
            assert!(seconds_of_lag(wrong).is_err(), "{wrong:?}");
        }
    }
}
