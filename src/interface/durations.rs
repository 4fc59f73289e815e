//! Times as people say them.

use altergeist::contract::Span;

/// A time with its range: "about 35 min (20 min to 1 h 10 min)".
pub fn span(span: Span) -> String {
    let (low, high) = (time(span.low_seconds), time(span.high_seconds));
    format!("about {} ({low} to {high})", time(span.likely_seconds))
}

/// A time as people say it: "41 s", "35 min", "1 h 10 min", "2 d 3 h".
pub fn time(seconds: u64) -> String {
    let two = |one: u64, of_one: &str, two: u64, of_two: &str| match two {
        0 => format!("{one} {of_one}"),
        _ => format!("{one} {of_one} {two} {of_two}"),
    };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A shorter time: "200 ms", "2 s", "1.5 s".
pub fn millis(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        _ if millis.is_multiple_of(1000) => time(millis / 1000),
        _ => format!("{:.1} s", millis as f64 / 1000.0),
    }
}

/// A moment as people read it, in UTC.
pub fn moment(seconds: u64) -> String {
    let second = i64::try_from(seconds).unwrap_or_default();
    let moment = jiff::Timestamp::from_second(second).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_at_most_two_units() {
        let said: Vec<String> =
            [0, 119, 120, 3599, 3600, 4200, 90_000].into_iter().map(time).collect();
        assert_eq!(said, ["0 s", "119 s", "2 min", "59 min", "1 h", "1 h 10 min", "1 d 1 h"]);
        assert_eq!([millis(40), millis(1500), millis(61_000)], ["40 ms", "1.5 s", "61 s"]);
    }
}
