//! The cycles of the calendar as numbers.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::data::moment;
use crate::error::{Error, Result};

/// A cycle that a time stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calendar {
    /// The time of day.
    Hour,
    /// The day of the week.
    Weekday,
    /// The month of the year.
    Month,
}

/// Sine and cosine of a time's place in each cycle.
///
/// The time is written with the year first, as in [`crate::data::TimeOrder::Dates`]; for another, `refuse` makes the
/// error of what is expected and got.
pub(super) fn encode(
    cycles: &[Calendar],
    time: &str,
    refuse: impl Fn(String, String) -> Error,
) -> Result<Vec<f32>> {
    let mut numbers = Vec::with_capacity(2 * cycles.len());
    for cycle in cycles {
        let place = place(*cycle, time).ok_or_else(|| {
            let cycle = format!("{cycle:?}").to_lowercase();
            refuse(format!("a date from which to tell the {cycle}"), format!("`{time}`"))
        })?;
        let (sine, cosine) = (TAU * place).sin_cos();
        numbers.extend([sine as f32, cosine as f32]);
    }
    Ok(numbers)
}

/// The place in the cycle, from 0 to below 1.
fn place(cycle: Calendar, time: &str) -> Option<f64> {
    let moment = moment(time)?;
    let written = moment.written;
    match cycle {
        Calendar::Hour => {
            let hours = f64::from(written.hour()) + f64::from(written.minute()) / 60.0;
            moment.has_clock.then_some(hours / 24.0)
        }
        Calendar::Weekday => {
            let day = f64::from(written.weekday().to_sunday_zero_offset());
            moment.has_day.then_some(day / 7.0)
        }
        Calendar::Month => Some(f64::from(written.month() - 1) / 12.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, encode, place};
    use crate::error::{Error, Result};

    fn encoded(cycles: &[Calendar], time: &str) -> Result<Vec<f32>> {
        encode(cycles, time, |expected, got| Error::Invalid { op: "test", expected, got })
    }

    #[test]
    fn weekdays_are_those_of_known_dates() {
        // Thursday, Friday, Tuesday, Monday, Saturday.
        let known = [
            ("1970-01-01", 4.0),
            ("2016-07-01", 5.0),
            ("2000-02-29", 2.0),
            ("1900-01-01", 1.0),
            ("0000-01-01", 6.0),
        ];
        for (date, expected) in known {
            assert_eq!(place(Calendar::Weekday, date), Some(expected / 7.0), "{date}");
        }
    }

    #[test]
    fn places_are_parts_of_the_cycle() {
        let time = "2016-07-01 18:30:00";
        assert_eq!(place(Calendar::Hour, time), Some(18.5 / 24.0));
        assert_eq!(place(Calendar::Weekday, time), Some(5.0 / 7.0));
        assert_eq!(place(Calendar::Month, "1949-10"), Some(0.75));
        let quarter = encoded(&[Calendar::Hour, Calendar::Month], "2016/01/01T06:00Z").unwrap();
        for (got, expected) in quarter.iter().zip([1.0, 0.0, 0.0, 1.0]) {
            assert!((got - expected).abs() < 1e-6, "{quarter:?}");
        }
    }

    #[test]
    fn what_is_no_such_date_is_refused() {
        let refused = [
            (Calendar::Hour, "2016-07-01"),
            (Calendar::Hour, "2016-07-01 24:00"),
            (Calendar::Weekday, "1949-10"),
            (Calendar::Weekday, "2016-07-32"),
            (Calendar::Month, "2016-13-01"),
            (Calendar::Month, "17"),
            (Calendar::Month, "2016-+7-01"),
        ];
        for (cycle, time) in refused {
            let error = encoded(&[cycle], time).unwrap_err().to_string();
            assert!(error.contains(time), "{error}");
        }
    }
}
