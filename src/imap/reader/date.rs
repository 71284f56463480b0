//! Dates and times (RFC 3501 §9, date and date-time).

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use super::cursor::{Cursor, Read, Stop, wrong};

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const NO_DATE: &str = "a date is missing, as 5-Feb-2026";
const NO_TIME: &str = "a date and time are missing, as \" 5-Feb-2026 14:05:00 +0100\"";

/// A day, with quotes or without.
pub(super) fn date(cursor: &mut Cursor<'_>) -> Read<Date> {
    let quoted = cursor.eat(b'"');
    let date = day(cursor, NO_DATE)?;
    if quoted {
        cursor.expect(b'"', NO_DATE)?;
    }
    Ok(date)
}

/// A point in time, in quotes. A second 60 is the 59th.
pub(super) fn date_time(cursor: &mut Cursor<'_>) -> Read<Timestamp> {
    cursor.expect(b'"', NO_TIME)?;
    cursor.blanks();
    let date = day(cursor, NO_TIME)?;
    cursor.expect(b' ', NO_TIME)?;
    let hour = digits(cursor, 2..=2, NO_TIME)?;
    cursor.expect(b':', NO_TIME)?;
    let minute = digits(cursor, 2..=2, NO_TIME)?;
    cursor.expect(b':', NO_TIME)?;
    let second = digits(cursor, 2..=2, NO_TIME)?;
    cursor.expect(b' ', NO_TIME)?;
    let west = match cursor.peek()? {
        b'-' => true,
        b'+' => false,
        _ => return wrong(NO_TIME),
    };
    cursor.eat(if west { b'-' } else { b'+' });
    let zone = i32::from(digits(cursor, 4..=4, NO_TIME)?);
    cursor.expect(b'"', NO_TIME)?;
    let seconds = (zone / 100 * 60 + zone % 100) * 60;
    moment(date, [hour, minute, second], if west { -seconds } else { seconds }).ok_or(Stop::Wrong(NO_TIME))
}

fn moment(date: Date, time: [i16; 3], offset: i32) -> Option<Timestamp> {
    let [hour, minute, second] = time.map(|number| i8::try_from(number).unwrap_or(i8::MAX));
    let second = if second == 60 { 59 } else { second };
    let time = Time::new(hour, minute, second, 0).ok()?;
    Offset::from_seconds(offset).ok()?.to_timestamp(date.to_datetime(time)).ok()
}

/// `5-Feb-2026`.
fn day(cursor: &mut Cursor<'_>, missing: &'static str) -> Read<Date> {
    let day = digits(cursor, 1..=2, missing)?;
    cursor.expect(b'-', missing)?;
    let name = cursor.some(|octet| octet.is_ascii_alphabetic(), missing)?;
    let month = MONTHS.iter().zip(1..).find(|(month, _)| name.eq_ignore_ascii_case(month));
    cursor.expect(b'-', missing)?;
    let year = digits(cursor, 4..=4, missing)?;
    let date = month.and_then(|(_, month)| Date::new(year, month, i8::try_from(day).ok()?).ok());
    date.ok_or(Stop::Wrong("there is no such day"))
}

fn digits(cursor: &mut Cursor<'_>, count: std::ops::RangeInclusive<usize>, missing: &'static str) -> Read<i16> {
    let digits = cursor.some(|octet| octet.is_ascii_digit(), missing)?;
    match digits.parse() {
        Ok(number) if count.contains(&digits.len()) => Ok(number),
        _ => wrong(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for (text, day) in [
            ("5-Feb-2026\r\n", Some("2026-02-05")),
            ("05-feb-2026\r\n", Some("2026-02-05")),
            ("\"29-FEB-2024\"\r\n", Some("2024-02-29")),
            ("29-Feb-2026\r\n", None),
            ("0-Jan-2026\r\n", None),
            ("32-Jan-2026\r\n", None),
            ("100-Jan-2026\r\n", None),
            ("1-January-2026\r\n", None),
            ("1-Jan-26\r\n", None),
            ("1-Jan-20260\r\n", None),
            ("\"1-Jan-2026\r\n", None),
            ("2026-01-01\r\n", None),
        ] {
            let found = date(&mut Cursor::new(text.as_bytes(), false)).ok().map(|day| day.to_string());
            assert_eq!(found.as_deref(), day, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, time) in [
            ("\" 5-Feb-2026 14:05:06 +0100\"\r\n", Some("2026-02-05T13:05:06Z")),
            ("\"05-Feb-2026 14:05:06 +0100\"\r\n", Some("2026-02-05T13:05:06Z")),
            ("\"5-Feb-2026 14:05:06 -0330\"\r\n", Some("2026-02-05T17:35:06Z")),
            ("\"31-Dec-2016 23:59:60 +0000\"\r\n", Some("2016-12-31T23:59:59Z")),
            ("\"05-Feb-2026 24:00:00 +0000\"\r\n", None),
            ("\"05-Feb-2026 14:60:00 +0000\"\r\n", None),
            ("\"05-Feb-2026 14:05:00 +9999\"\r\n", None),
            ("\"05-Feb-2026 14:05:00 0100\"\r\n", None),
            ("\"05-Feb-2026 14:05 +0100\"\r\n", None),
            ("\"05-Feb-2026\"\r\n", None),
            ("\"31-Dec-9999 23:59:59 -2359\"\r\n", None),
            ("05-Feb-2026 14:05:06 +0100\r\n", None),
        ] {
            let found = date_time(&mut Cursor::new(text.as_bytes(), false)).ok().map(|time| time.to_string());
            assert_eq!(found.as_deref(), time, "{text}");
        }
    }
}
