//! Until when a ticket sleeps, as people write it.

use jiff::civil::{Date, Weekday, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::language::commands::{Word, fold, word};
use super::mistake::Mistake;

/// The longest that a member can snooze a ticket by mail.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The hour of a day that only its name or date was given of, in UTC: nobody's time zone is known
/// here.
const MORNING: i8 = 8;

/// `3h`, `2d`, `1w`, `2 jours`, `tomorrow`, `lundi`, `2026-12-24`; from `now` on, to the second.
///
/// # Errors
/// [`Mistake`] for what is no time, is over, or is more than a year away.
pub fn until(text: &str, now: Timestamp) -> Result<Timestamp, Mistake> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let text = fold(text);
    let text = text.strip_prefix("until ").or_else(|| text.strip_prefix("jusqu'a ")).unwrap_or(&text);
    let at = match word(text) {
        Some(Word::Tomorrow) => today.tomorrow().ok().and_then(morning),
        Some(Word::Weekday(day)) => next(day, today).and_then(morning),
        _ => match text.parse::<Date>() {
            Ok(date) if text.len() == 10 => morning(date),
            _ => Some(after(text, now)?),
        },
    };
    let at = at.ok_or(Mistake::TooFar)?;
    if at <= now {
        return Err(Mistake::Past);
    }
    if at.duration_since(now) > LONGEST {
        return Err(Mistake::TooFar);
    }
    Ok(at)
}

fn morning(date: Date) -> Option<Timestamp> {
    Some(date.to_datetime(time(MORNING, 0, 0, 0)).to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The next day of that name, today excepted.
fn next(day: Weekday, today: Date) -> Option<Date> {
    let days = i64::from(today.weekday().until(day));
    today.checked_add(if days == 0 { 7.days() } else { days.days() }).ok()
}

/// A number and a unit.
fn after(text: &str, now: Timestamp) -> Result<Timestamp, Mistake> {
    const UNITS: [(&[&str], i64); 4] = [
        (&["min", "mins", "minute", "minutes"], 60),
        (&["h", "hour", "hours", "heure", "heures"], 3_600),
        (&["d", "day", "days", "j", "jour", "jours"], 86_400),
        (&["w", "week", "weeks", "s", "sem", "semaine", "semaines"], 604_800),
    ];
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = UNITS.iter().find(|(names, _)| names.contains(&unit.trim())).map(|(_, seconds)| *seconds);
    let seconds = seconds.filter(|_| !number.is_empty()).ok_or(Mistake::NoTime)?;
    // A number that is too large to be read is too far away.
    let seconds = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or(Mistake::TooFar)?;
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    now.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| Mistake::TooFar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        // A Wednesday.
        let now: Timestamp = "2026-11-25T09:30:15.5Z".parse().unwrap();
        for (text, at) in [
            ("30min", "2026-11-25T10:00:15Z"),
            ("3h", "2026-11-25T12:30:15Z"),
            ("2d", "2026-11-27T09:30:15Z"),
            ("2J", "2026-11-27T09:30:15Z"),
            ("2 jours", "2026-11-27T09:30:15Z"),
            ("1w", "2026-12-02T09:30:15Z"),
            ("1s", "2026-12-02T09:30:15Z"),
            ("1 semaine", "2026-12-02T09:30:15Z"),
            ("Tomorrow", "2026-11-26T08:00:00Z"),
            ("demain", "2026-11-26T08:00:00Z"),
            ("friday", "2026-11-27T08:00:00Z"),
            ("Vendredi", "2026-11-27T08:00:00Z"),
            ("wednesday", "2026-12-02T08:00:00Z"),
            ("mardi", "2026-12-01T08:00:00Z"),
            ("2026-12-24", "2026-12-24T08:00:00Z"),
            ("until 2026-12-24", "2026-12-24T08:00:00Z"),
            ("366d", "2027-11-26T09:30:15Z"),
        ] {
            assert_eq!(until(text, now), Ok(at.parse().unwrap()), "{text}");
        }
        for (text, mistake) in [
            ("0h", Mistake::Past),
            ("2026-11-25", Mistake::Past),
            ("2020-01-01", Mistake::Past),
            ("367d", Mistake::TooFar),
            ("99999999999999999999d", Mistake::TooFar),
            ("999999999999d", Mistake::TooFar),
            ("9999-12-31", Mistake::TooFar),
            ("2026-02-30", Mistake::NoTime),
            ("20261224", Mistake::NoTime),
            ("24/12/2026", Mistake::NoTime),
            ("-2d", Mistake::NoTime),
            ("d", Mistake::NoTime),
            ("2", Mistake::NoTime),
            ("2 fortnights", Mistake::NoTime),
            ("", Mistake::NoTime),
            ("soon", Mistake::NoTime),
        ] {
            assert_eq!(until(text, now), Err(mistake), "{text}");
        }
    }
}
