//! The hours in which the tables may be swapped.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Zoned};
use std::fmt;
use std::str::FromStr;

/// Days, hours and a time zone: `Mon-Fri 02:00-05:00 Europe/Berlin`.
///
/// The hours are those of the wall clock. On the night the clock is put forward, a beginning or an
/// end that does not exist is moved forward by the same time; on the night it is put back, the
/// window reaches from the first 02:00 to the first 05:00 after it.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// As the operator wrote it.
    text: String,
    /// The days on which it begins.
    days: Vec<Weekday>,
    from: Time,
    until: Time,
    zone: TimeZone,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// How far ahead the next opening is looked for: every weekday, and a night without one.
const DAYS_AHEAD: i64 = 9;

impl Window {
    /// Returns why it is closed at `now`, or None while it is open.
    pub fn closed_at(&self, now: &Zoned) -> Option<String> {
        let now = now.with_time_zone(self.zone.clone());
        let mut next: Option<Zoned> = None;
        for ahead in -1..DAYS_AHEAD {
            let Some((from, until)) = self.of_day(&now, ahead.days()) else { continue };
            if from <= now && now < until {
                return None;
            }
            if from > now && from < until && next.is_none() {
                next = Some(from);
            }
        }
        let opens = next.map_or_else(String::new, |next| {
            format!(", opens {}", next.strftime("%a %Y-%m-%d %H:%M %Z"))
        });
        Some(format!("time {} outside of {}{opens}", now.strftime("%H:%M"), self.text))
    }

    /// Beginning and end of the window that begins on a day.
    fn of_day(&self, now: &Zoned, ahead: Span) -> Option<(Zoned, Zoned)> {
        let date = now.date().checked_add(ahead).ok()?;
        if !self.days.contains(&date.weekday()) {
            return None;
        }
        let last = if self.until > self.from { date } else { date.tomorrow().ok()? };
        let at = |date: jiff::civil::Date, time: Time| {
            date.to_datetime(time).to_zoned(self.zone.clone()).ok()
        };
        Some((at(date, self.from)?, at(last, self.until)?))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        const FORM: &str = "write it as '02:00-05:00 Europe/Berlin' or 'Mon-Fri 22:00-04:00 UTC'";
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_hours = |word: &&str| word.contains(':');
        let at = words.iter().position(is_hours).ok_or(FORM)?;
        let (days, hours, zone) = match (at, &words[..]) {
            (0, [hours, rest @ ..]) => (None, hours, rest),
            (1, [days, hours, rest @ ..]) => (Some(*days), hours, rest),
            _ => return Err(FORM.into()),
        };
        let (from, until) = hours.split_once('-').ok_or(FORM)?;
        let (from, until) = (clock(from)?, clock(until)?);
        if from == until && hours != &"00:00-24:00" {
            return Err(format!(
                "{hours} is a window without a length; write 00:00-24:00 for the whole day"
            ));
        }
        let zone = match zone {
            [] => TimeZone::system(),
            [zone] => TimeZone::get(zone)
                .map_err(|_| format!("no time zone is called {zone:?}; {FORM}"))?,
            _ => return Err(FORM.into()),
        };
        let days = days.map_or_else(|| Ok(DAYS.map(|(_, day)| day).to_vec()), days_of)?;
        Ok(Window { text: words.join(" "), days, from, until, zone })
    }
}

/// Reads `02:00`; `24:00` is the end of the day.
fn clock(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is no time of day; write it as 02:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (i8, i8) =
        (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    match (hour, minute) {
        (24, 0) => Ok(Time::midnight()),
        _ => Time::new(hour, minute, 0, 0).map_err(|_| wrong()),
    }
}

/// Reads `Sat`, `Sat,Sun`, `Mon-Fri`, and `Fri-Mon` over the end of the week.
fn days_of(text: &str) -> Result<Vec<Weekday>, String> {
    let number = |name: &str| {
        let name = name.to_ascii_lowercase();
        let found = DAYS.iter().position(|(short, _)| name == *short);
        found.ok_or_else(|| format!("no day is called {name:?}; write Mon, Tue, … Sun"))
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let count = (last + DAYS.len() - first) % DAYS.len();
        days.extend((0..=count).map(|ahead| DAYS[(first + ahead) % DAYS.len()].1));
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(window: &str, at: &str) -> bool {
        let window: Window = window.parse().unwrap();
        window.closed_at(&at.parse().unwrap()).is_none()
    }

    #[test]
    fn it_is_open_between_its_hours_in_its_own_zone() {
        let berlin = "02:00-05:00 Europe/Berlin";
        assert!(is_open(berlin, "2026-11-30T01:00:00+00:00[UTC]"));
        assert!(is_open(berlin, "2026-11-30T03:59:59+00:00[UTC]"));
        assert!(!is_open(berlin, "2026-11-30T04:00:00+00:00[UTC]"));
        assert!(!is_open(berlin, "2026-11-30T00:59:59+00:00[UTC]"));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = "Fri 22:00-04:00 UTC";
        assert!(is_open(night, "2026-11-27T23:00:00+00:00[UTC]"), "Friday night");
        assert!(is_open(night, "2026-11-28T03:00:00+00:00[UTC]"), "Saturday morning");
        assert!(!is_open(night, "2026-11-28T23:00:00+00:00[UTC]"), "Saturday night");
        assert!(!is_open(night, "2026-11-27T03:00:00+00:00[UTC]"), "Friday morning");
        assert!(is_open("00:00-24:00 UTC", "2026-11-27T12:00:00+00:00[UTC]"), "always");
    }

    #[test]
    fn days_may_be_lists_and_ranges() {
        assert_eq!(days_of("Fri-Mon").unwrap().len(), 4);
        assert_eq!(days_of("Sat,sun").unwrap(), [Weekday::Saturday, Weekday::Sunday]);
        assert!(days_of("Someday").is_err());
    }

    /// In Berlin 2026-03-29 has no 02:00 to 03:00, and 2026-10-25 has that hour twice.
    #[test]
    fn the_nights_the_clock_changes_have_a_window_too() {
        let berlin = "02:00-05:00 Europe/Berlin";
        assert!(!is_open(berlin, "2026-03-29T00:59:59+00:00[UTC]"));
        assert!(is_open(berlin, "2026-03-29T01:00:00+00:00[UTC]"), "03:00 in Berlin");
        assert!(!is_open(berlin, "2026-03-29T03:00:00+00:00[UTC]"), "05:00 in Berlin");
        assert!(is_open(berlin, "2026-10-25T00:00:00+00:00[UTC]"), "the first 02:00");
        assert!(is_open(berlin, "2026-10-25T01:30:00+00:00[UTC]"), "the second 02:30");
        assert!(!is_open(berlin, "2026-10-25T04:00:00+00:00[UTC]"), "05:00 in Berlin");
        // A window inside the missing hour is moved forward with its beginning and its end.
        let short = "02:10-02:40 Europe/Berlin";
        assert!(is_open(short, "2026-03-29T01:20:00+00:00[UTC]"), "03:20 in Berlin");
    }

    #[test]
    fn a_closed_window_says_when_it_opens() {
        let window: Window = "Sat 02:00-05:00 Europe/Berlin".parse().unwrap();
        let now: Zoned = "2026-11-30T12:00:00+00:00[UTC]".parse().unwrap();
        assert_eq!(
            window.closed_at(&now).unwrap(),
            "time 13:00 outside of Sat 02:00-05:00 Europe/Berlin, opens Sat 2026-12-05 02:00 CET"
        );
    }

    #[test]
    fn nonsense_is_no_window() {
        for text in ["", "night", "02:00", "25:00-26:00", "02:00-05:00 Europe/Nowhere", "a b c"] {
            assert!(text.parse::<Window>().is_err(), "{text:?}");
        }
    }
}
