//! The times of series: which ones can be compared, and how.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The dates that are read: a digit stands for any digit.
const DATES: [&str; 3] = ["0000-00", "0000-00-00", "0000/00/00"];

/// A date, perhaps with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// As it is written; what is not is the first of the month, or midnight.
    pub(crate) written: DateTime,
    /// With the offset from universal time, which is taken to be none where it is not written.
    pub(super) at: Timestamp,
    pub(crate) has_day: bool,
    pub(crate) has_clock: bool,
}

/// The number that a time is, if it is one.
pub(super) fn number(time: &str) -> Option<f64> {
    time.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads a date with the year first, perhaps with a clock behind a `T` or a space: hours and minutes, perhaps
/// seconds with a fraction of up to nine digits, then perhaps `Z` or an offset as `+02:00`.
pub(crate) fn moment(time: &str) -> Option<Moment> {
    let (date, clock) = match time.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (time, None),
    };
    let has_day = date.len() > DATES[0].len();
    let is_date = DATES.contains(&digits(date).as_str());
    let is_clock = clock.is_none_or(|clock| digits(clock).starts_with("00:00"));
    if !is_date || !is_clock {
        return None;
    }
    let date = date.replace('/', "-") + if has_day { "" } else { "-01" };
    let text = format!("{date}T{}", clock.unwrap_or("00:00"));
    let written: DateTime = text.strip_suffix('Z').unwrap_or(&text).parse().ok()?;
    let at = match text.parse() {
        Ok(at) => at,
        Err(_) if text.ends_with('Z') => return None,
        // There is no offset.
        Err(_) => written.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    Some(Moment { written, at, has_day, has_clock: clock.is_some() })
}

/// The text with `0` for every digit and `-` for either sign of an offset.
pub(super) fn form(time: &str) -> String {
    digits(time).replace('+', "-")
}

fn digits(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::moment;

    #[test]
    fn moments_follow_each_other_as_time_does() {
        let cases = [
            ("1949-12", "1950-01", Less),
            ("2016/07/01", "2016/06/30", Greater),
            ("2016-02-29 23:59", "2016-03-01 00:00", Less),
            ("2016-07-01T00:00:00.25", "2016-07-01T00:00:00.3", Less),
            ("2016-07-01 00:00:59.999", "2016-07-01 00:01:00.000", Less),
            ("2016-07-01 01:00+02:00", "2016-06-30 23:00Z", Equal),
            // The clock goes back in autumn.
            ("2016-10-30 02:30+02:00", "2016-10-30 02:00+01:00", Less),
            ("2016-10-30 00:30:00-01:00", "2016-10-30 00:00:00+00:00", Greater),
        ];
        for (one, other, expected) in cases {
            let at = |time| moment(time).unwrap().at;
            assert_eq!(at(one).cmp(&at(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        let none = [
            "7/1/2016 0:00",
            "01/07/2016",
            "2016-7-1",
            "2016+07-01",
            "2016-13-01",
            "2016-07-32",
            "2016-02-30",
            "2016-07-00",
            "2016-07-01 24:00",
            "2016-07-01 9:00",
            "2016-07-01 0009:00",
            "2016-07-01 09",
            "2016-07-01 09:00:00.",
            "2016-07-01 09:00.5",
            "2016-07-01 09:00:00:00",
            "2016-07-01 09:00+2",
            "2016-07-01 ",
            "2016-07-01 09:00+02:00Z",
            "2016-07-01 09:00ZZ",
            "2016/07",
            "Monday",
            "",
        ];
        for time in none {
            assert_eq!(moment(time), None, "{time}");
        }
    }
}
