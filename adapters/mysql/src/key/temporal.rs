//! Dates and times as the log packs them, spelled as the server prints them. The forms are those of
//! the server's `my_time.cc`: big-endian, fractions of a second in half as many bytes as they have
//! digits, rounded up. Pure.

/// A date in three bytes: fifteen bits of year, four of month, five of day, little-endian.
pub(crate) fn date(value: &[u8]) -> Option<Vec<u8>> {
    let [low, middle, high] = *value else { return None };
    let packed = u32::from_le_bytes([low, middle, high, 0]);
    Some(format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31).into_bytes())
}

/// A DATETIME: five bytes of years and months counted together, days, hours, minutes and seconds,
/// above an offset that makes them sort as bytes; then the fraction.
pub(crate) fn date_time(value: &[u8], digits: usize) -> Option<Vec<u8>> {
    let (whole, fraction) = value.split_at_checked(5)?;
    let packed = big_endian(whole).checked_sub(0x80_0000_0000)?;
    let (days, time) = (packed >> 17, packed & 0x1_ffff);
    let (months, day) = (days >> 5, days & 31);
    let date = format!("{:04}-{:02}-{day:02}", months / 13, months % 13);
    let time = format!("{:02}:{:02}:{:02}", time >> 12, time >> 6 & 63, time & 63);
    Some(format!("{date} {time}{}", decimals(microseconds(fraction, digits)?, digits)).into_bytes())
}

/// A TIMESTAMP as seconds since 1970 in UTC, with its fraction; 0 is the zero date.
pub(crate) fn timestamp(value: &[u8], digits: usize) -> Option<Vec<u8>> {
    let (whole, fraction) = value.split_at_checked(4)?;
    Some(
        format!("{}{}", big_endian(whole), decimals(microseconds(fraction, digits)?, digits))
            .into_bytes(),
    )
}

/// A TIME: three bytes of hours, minutes and seconds above an offset, then the fraction. Below zero
/// the whole is a two's complement, so the fraction counts upwards from the next lower second.
pub(crate) fn time(value: &[u8], digits: usize) -> Option<Vec<u8>> {
    let bytes = 3 + digits.div_ceil(2);
    if value.len() != bytes || digits > 6 {
        return None;
    }
    let (unit, micros_of_unit) = match bytes {
        3 => (1, 0),
        4 => (1_i64 << 8, 10_000),
        5 => (1 << 16, 100),
        _ => (1 << 24, 1),
    };
    let packed = big_endian(value) as i64 - 0x80_0000 * unit;
    let (sign, packed) = (if packed < 0 { "-" } else { "" }, packed.unsigned_abs());
    let (whole, fraction) = (packed / unit as u64, packed % unit as u64);
    let time = format!("{sign}{:02}:{:02}:{:02}", whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63);
    Some(format!("{time}{}", decimals(fraction * micros_of_unit, digits)).into_bytes())
}

/// Whether a text can be nothing but a date, a time, or both.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b' '))
}

fn microseconds(fraction: &[u8], digits: usize) -> Option<u64> {
    if fraction.len() != digits.div_ceil(2) {
        return None;
    }
    let unit = [0, 10_000, 100, 1];
    Some(big_endian(fraction) * unit.get(fraction.len())?)
}

fn decimals(microseconds: u64, digits: usize) -> String {
    match digits {
        0 => String::new(),
        _ => format!(".{}", &format!("{microseconds:06}")[..digits.min(6)]),
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spelled: Option<Vec<u8>>) -> String {
        String::from_utf8(spelled.expect("a value of the type")).expect("text")
    }

    #[test]
    fn dates_are_read_from_the_log() {
        let packed = (2024_u32 << 9 | 2 << 5 | 29).to_le_bytes();
        assert_eq!(text(date(&packed[..3])), "2024-02-29");
        assert_eq!(text(date(&[0, 0, 0])), "0000-00-00");
    }

    #[test]
    fn moments_are_read_from_the_log_with_all_their_digits() {
        let whole = 0x80_0000_0000_u64
            + ((2024 * 13 + 12) << 5 | 31) * 0x2_0000
            + (23 << 12 | 59 << 6 | 58);
        let bytes = whole.to_be_bytes()[3..].to_vec();
        assert_eq!(text(date_time(&bytes, 0)), "2024-12-31 23:59:58");
        assert_eq!(
            text(date_time(&[bytes.clone(), vec![7]].concat(), 2)),
            "2024-12-31 23:59:58.07"
        );
        assert_eq!(
            text(date_time(&[bytes.clone(), vec![0x1e, 0x61]].concat(), 3)),
            "2024-12-31 23:59:58.777"
        );
        assert_eq!(
            text(date_time(&[bytes.clone(), vec![0, 0, 1]].concat(), 6)),
            "2024-12-31 23:59:58.000001"
        );
        assert_eq!(text(date_time(&[0x80, 0, 0, 0, 0], 0)), "0000-00-00 00:00:00");
        assert_eq!(date_time(&bytes, 6), None);
        assert_eq!(text(timestamp(&[0x65, 0x53, 0xf1, 0], 0)), "1700000000");
        assert_eq!(text(timestamp(&[0x65, 0x53, 0xf1, 0, 0x04, 0xd2], 3)), "1700000000.123");
    }

    #[test]
    fn times_below_zero_are_read_from_the_log() {
        let packed = |whole: i64| (0x80_0000 + whole).to_be_bytes()[5..].to_vec();
        assert_eq!(text(time(&packed(12 << 12 | 34 << 6 | 56), 0)), "12:34:56");
        assert_eq!(text(time(&packed(-(838 << 12 | 59 << 6 | 59)), 0)), "-838:59:59");
        // -00:00:01.50 and -00:00:00.000001, as the server packs them.
        assert_eq!(text(time(&[0x7f, 0xff, 0xfe, 0xce], 2)), "-00:00:01.50");
        assert_eq!(text(time(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], 6)), "-00:00:00.000001");
        assert_eq!(time(&[0x80, 0, 0], 6), None);
    }
}
