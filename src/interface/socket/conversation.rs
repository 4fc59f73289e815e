//! One connection: lines in, answers out, in order. Every wait and every buffer has a limit.

use crate::interface::recorder::Recorder;
use crate::interface::report;
use crate::interface::socket::connections::Place;
use altergeist::contract::OrderAnswer;
use altergeist::{Event, Giver, Listeners, News, Order, Settings, Status};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The longest order in bytes.
pub const LINE_BYTES_MAX: usize = 4096;

/// Longest wait for a line of a person.
const OF_A_PERSON: Duration = Duration::from_secs(60);
/// Longest wait for a further line of a script. `nc` does not say that its input has ended, and
/// returns only when the run closes the connection.
const OF_A_SCRIPT: Duration = Duration::from_secs(1);
/// A line that comes sooner is a script's.
const AT_ONCE: Duration = Duration::from_millis(300);
/// Longest wait for a client to take its answer.
const TO_TAKE: Duration = Duration::from_secs(5);
/// Longest wait for a client that has its last answer to close.
const TO_CLOSE: Duration = Duration::from_millis(500);

/// What a client can see and change.
#[derive(Clone)]
pub struct Steering {
    /// The run's settings.
    pub settings: Arc<watch::Sender<Settings>>,
    /// The run's status.
    pub status: watch::Receiver<Status>,
    /// Those who hear of orders.
    pub listeners: Listeners,
    /// Where orders are noted.
    pub recorder: Recorder,
}

/// Answers line after line, until the client leaves, falls silent or its place is needed.
pub async fn converse<S>(
    stream: &mut BufReader<S>,
    steering: &Steering,
    place: &Place,
    giver: &Giver,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut patience = OF_A_PERSON;
    let mut was_answered = false;
    loop {
        let begun = Instant::now();
        let line = tokio::select! {
            biased;
            line = timeout(patience, next_line(stream)) => line,
            () = place.is_needed() => {
                if !was_answered {
                    farewell(stream, "too many connections, and this one was silent").await;
                }
                return;
            }
        };
        place.works();
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                let most = format!("an order has at most {LINE_BYTES_MAX} bytes of text");
                return farewell(stream, &most).await;
            }
            Err(_) | Ok(Ok(None) | Err(_)) => return,
        };
        patience = if begun.elapsed() < AT_ONCE { OF_A_SCRIPT } else { OF_A_PERSON };
        if line.trim().is_empty() {
            continue;
        }
        let status = steering.status.borrow().clone();
        let (order, answer) = answer(line.trim(), &steering.settings, &status);
        if let Some(order) = &order {
            tell(&steering.listeners, order, giver, &status);
            // Nothing that the next process must know comes through this door alone.
            let _ = note(steering, order, giver, &answer, &status).await;
        }
        let is_taken = send(stream, &answer).await;
        // The process may be gone right after this; the operator has the answer by then.
        if let Some(Order::Panic(_)) = order {
            steering.settings.send_modify(|settings| settings.panic = true);
            return;
        }
        if !is_taken {
            return;
        }
        place.answered();
        was_answered = true;
    }
}

/// Reads a line. None at the end of the connection.
///
/// # Errors
/// `InvalidData` for a line that is too long or no text.
pub async fn next_line<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = stream.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).await?;
    let is_whole = line.ends_with(b"\n") || read <= LINE_BYTES_MAX;
    match String::from_utf8(line) {
        _ if read == 0 => Ok(None),
        Ok(line) if is_whole => Ok(Some(line)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Says why a connection ends, and reads what the client still sends: a connection that is closed
/// with unread lines can lose the last answer.
pub async fn farewell<S>(stream: &mut BufReader<S>, reason: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !send(stream, &format!("error: {reason}\n")).await || stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(16 * LINE_BYTES_MAX as u64);
    let _ = timeout(TO_CLOSE, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Sends an answer. Returns whether the client took it.
async fn send<S>(stream: &mut BufReader<S>, answer: &str) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(TO_TAKE, stream.write_all(answer.as_bytes())).await.is_ok_and(|sent| sent.is_ok())
}

/// Carries out one order. Returns its answer.
///
/// # Errors
/// Why it was not carried out.
pub fn carry_out(
    order: &Order,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> Result<String, String> {
    let answer = order.carry_out(settings, status)?;
    Ok(answer.unwrap_or_else(|| match order {
        Order::StatusJson => report::json(status),
        Order::Sup => report::line(status),
        _ => report::status(status).trim_end().to_owned(),
    }))
}

/// Carries out one line. Returns its order, if it was carried out, and the answer.
pub fn answer(
    line: &str,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> (Option<Order>, String) {
    let done = Order::parse(line).and_then(|order| {
        let answer = carry_out(&order, settings, status)?;
        Ok((order, answer))
    });
    match done {
        Ok((order, answer)) => (Some(order), format!("{answer}\n")),
        Err(reason) => (None, format!("error: {reason}\n")),
    }
}

/// Records an order that was carried out and changes something: who gave it, and where.
pub fn tell(listeners: &Listeners, order: &Order, giver: &Giver, status: &Status) {
    if let Some(words) = order.in_words() {
        tracing::info!(order = words, given_by = giver.name, door = %giver.door, "order");
        let news = News::of(Event::Order, status.clone());
        listeners.tell(News { reason: Some(words), giver: Some(giver.clone()), ..news });
    }
}

/// Notes an order that was carried out and changes something.
///
/// # Errors
/// Why the journal may not have it.
pub async fn note(
    steering: &Steering,
    order: &Order,
    giver: &Giver,
    answer: &str,
    status: &Status,
) -> Result<(), String> {
    let Some(words) = order.in_words() else { return Ok(()) };
    let answer = match order {
        // The status is the answer; it is no part of the record.
        Order::Set(..) => String::new(),
        _ => answer.trim_end().to_owned(),
    };
    let answer = OrderAnswer { is_done: true, answer };
    steering.recorder.note(words, giver, answer, !status.run_id.is_empty()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::socket::connections::Connections;
    use altergeist::Door;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    fn steering() -> Steering {
        let status = watch::Sender::new(Status { table: "shop.t".into(), ..Status::default() });
        let settings = Arc::new(watch::Sender::new(Settings::default()));
        Steering {
            settings,
            status: status.subscribe(),
            listeners: Listeners::default(),
            recorder: Recorder::default(),
        }
    }

    fn giver() -> Giver {
        Giver::new("a test", Door::Socket)
    }

    /// Sends all of it at once, as `nc` does, and returns all answers.
    async fn answers(sent: &[u8], closes: bool) -> String {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let place = Arc::new(Connections::default()).place().expect("there is room");
        client.write_all(sent).await.expect("the pipe is open");
        if closes {
            client.shutdown().await.expect("the pipe is open");
        }
        converse(&mut BufReader::new(server), &steering(), &place, &giver()).await;
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.expect("answers are text");
        answers
    }

    #[test]
    fn an_order_is_answered_and_a_wrong_one_is_an_error() {
        let steering = steering();
        let say = |line: &str| answer(line, &steering.settings, &steering.status.borrow());
        assert_eq!(say("workers=?"), (Some(Order::Get("workers".into())), "4\n".into()));
        assert!(say("workers=2").1.contains("chunk"), "a change shows the status");
        assert_eq!(say("workers=0").0, None);
        assert!(say("workers=0").1.starts_with("error: workers must be"));
        assert!(say("panic").1.starts_with("stopping at once"));
        assert!(say("status --json").1.starts_with('{'));
    }

    /// Random lines, most of them nearly orders.
    #[test]
    fn no_line_makes_the_run_panic() {
        const WORDS: [&str; 16] = [
            "throttle",
            "cut-over",
            "panic",
            "overrule",
            "approve",
            "window=",
            "workers=",
            "max-load=",
            "deadline=",
            "effort=",
            "chunk-time=",
            "=?",
            " ",
            "22:00-04:00",
            "9e99",
            "\u{e9}\u{1f600}",
        ];
        let steering = steering();
        let until = std::time::Instant::now() + Duration::from_millis(500);
        for seed in 0.. {
            if std::time::Instant::now() > until {
                break;
            }
            let mut random = SmallRng::seed_from_u64(seed);
            let mut line = String::new();
            for _ in 0..random.random_range(0..6) {
                match random.random_bool(0.7) {
                    true => line += WORDS[random.random_range(0..WORDS.len())],
                    false => line.push(random.random()),
                }
            }
            let (order, said) = answer(&line, &steering.settings, &steering.status.borrow());
            assert_eq!(order.is_none(), said.starts_with("error: "), "{line:?}: {said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn several_lines_are_answered_in_order() {
        let said = answers(b"workers=?\r\n\nnonsense\nnice=?\nchunk-rows=?", true).await;
        assert_eq!(said, "4\nerror: unknown command \"nonsense\"; help lists them\n0\n0\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_closed_soon_after_its_answer() {
        let begun = Instant::now();
        assert_eq!(answers(b"workers=?\n", false).await, "4\n");
        assert!(begun.elapsed() <= OF_A_SCRIPT, "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(answers(b"", false).await, "");
        assert!(begun.elapsed() <= OF_A_PERSON, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_never_ends_is_refused_and_is_not_kept() {
        let endless = vec![b'x'; 10 * LINE_BYTES_MAX];
        let said = answers(&endless, false).await;
        assert_eq!(said, "error: an order has at most 4096 bytes of text\n");
        let longest = format!("{}workers=?\n", " ".repeat(LINE_BYTES_MAX - 9));
        assert_eq!(answers(longest.as_bytes(), true).await, "4\n");
        assert!(answers(b"workers=\xff\n", true).await.starts_with("error:"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answer_is_left_alone() {
        let (mut client, server) = tokio::io::duplex(64);
        let place = Arc::new(Connections::default()).place().expect("there is room");
        client.write_all(b"help\n").await.expect("the pipe is open");
        let begun = Instant::now();
        converse(&mut BufReader::new(server), &steering(), &place, &giver()).await;
        assert!(begun.elapsed() <= TO_TAKE, "{:?}", begun.elapsed());
    }
}
