//! The times of series: which ones can be compared, and how.

use std::cmp::Ordering;

/// The dates that are read: a digit stands for any digit.
const DATES: [&str; 3] = ["0000-00", "0000-00-00", "0000/00/00"];

/// A date with a clock, as numbers that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment<'a> {
    /// Minutes from a day long ago, in universal time where the offset from it is written.
    minutes: i64,
    seconds: i64,
    /// The digits of the fraction of a second; moments that are compared have as many.
    fraction: &'a str,
}

/// The number that a time is, if it is one.
pub(super) fn number(time: &str) -> Option<f64> {
    time.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads a date with the year first, perhaps with a clock behind a `T` or a space: hours and minutes, perhaps
/// seconds with a fraction, then perhaps `Z` or an offset as `+02:00`.
pub(super) fn moment(time: &str) -> Option<Moment<'_>> {
    let (date, clock) = match time.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (time, None),
    };
    if !DATES.contains(&form(date).as_str()) {
        return None;
    }
    let part = |from, to| date.get(from..to);
    let (year, month) = (digits(part(0, 4)?, 0, 9999)?, digits(part(5, 7)?, 1, 12)?);
    let day = part(8, 10).map_or(Some(1), |day| digits(day, 1, 31))?;
    let mut moment = Moment { minutes: 1440 * days(year, month, day), seconds: 0, fraction: "" };
    let Some(clock) = clock else { return Some(moment) };
    let (clock, offset) = offset(clock)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) if !fraction.is_empty() && clock.len() == 8 => (clock, fraction),
        Some(_) => return None,
        None => (clock, ""),
    };
    let mut fields = clock.split(':');
    let (hours, minutes) = (digits(fields.next()?, 0, 23)?, digits(fields.next()?, 0, 59)?);
    let seconds = fields.next().map_or(Some(0), |seconds| digits(seconds, 0, 60))?;
    if fields.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    moment.minutes += 60 * hours + minutes - offset;
    (moment.seconds, moment.fraction) = (seconds, fraction);
    Some(moment)
}

/// How two times that are written alike follow each other; `None` where one cannot be read.
pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    Some(moment(one)?.cmp(&moment(other)?))
}

/// The text with `0` for every digit and `-` for either sign of an offset.
pub(super) fn form(time: &str) -> String {
    let sign = |c: char| if c == '+' { '-' } else { c };
    time.chars().map(|c| if c.is_ascii_digit() { '0' } else { sign(c) }).collect()
}

/// A clock without its offset, and the offset in minutes.
fn offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else { return Some((clock, 0)) };
    let (clock, offset) = clock.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    Some((clock, sign * (60 * digits(hours, 0, 23)? + digits(minutes, 0, 59)?)))
}

/// Two or four digits as a number within limits.
fn digits(text: &str, least: i64, most: i64) -> Option<i64> {
    let is_number = matches!(text.len(), 2 | 4) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok())??;
    (least..=most).contains(&number).then_some(number)
}

/// Days from the first of March of the year 0, in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins with March has its leap day at the end.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::{compare, days, moment};

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
            assert_eq!(compare(one, other), Some(expected), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        let none = [
            "7/1/2016 0:00",
            "01/07/2016",
            "2016-7-1",
            "2016-13-01",
            "2016-07-32",
            "2016-07-00",
            "2016-07-01 24:00",
            "2016-07-01 9:00",
            "2016-07-01 09",
            "2016-07-01 09:00:00.",
            "2016-07-01 09:00.5",
            "2016-07-01 09:00:00:00",
            "2016-07-01 09:00+2",
            "2016-07-01 ",
            "2016-07-01 09:00+02:00Z",
            "2016/07",
            "Monday",
            "",
        ];
        for time in none {
            assert_eq!(moment(time), None, "{time}");
        }
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        let known = [(1970, 1, 1), (1970, 1, 2), (2000, 3, 1), (2016, 7, 1)];
        let from_1970 = known.map(|(year, month, day)| days(year, month, day) - days(1970, 1, 1));
        assert_eq!(from_1970, [0, 1, 11_017, 16_983]);
    }
}
