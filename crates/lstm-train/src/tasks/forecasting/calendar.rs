//! The cycles of the calendar as numbers.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

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
/// The time is written with the year first, as in [`crate::data::TimeOrder::Dates`].
pub(super) fn encode(cycles: &[Calendar], time: &str) -> Result<Vec<f32>> {
    let mut numbers = Vec::with_capacity(2 * cycles.len());
    for cycle in cycles {
        let place = place(*cycle, time).ok_or_else(|| Error::Invalid {
            op: "read calendar",
            expected: format!(
                "a date from which to tell the {}",
                format!("{cycle:?}").to_lowercase()
            ),
            got: format!("`{time}`"),
        })?;
        let (sine, cosine) = (TAU * place).sin_cos();
        numbers.extend([sine as f32, cosine as f32]);
    }
    Ok(numbers)
}

/// The place in the cycle, from 0 to below 1.
fn place(cycle: Calendar, time: &str) -> Option<f64> {
    let number = |from: usize, to: usize, least: u32, most: u32| {
        let digits = time.get(from..to)?;
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        (least..=most).contains(&number).then_some(number)
    };
    let (year, month) = (number(0, 4, 0, 9999)?, number(5, 7, 1, 12)?);
    match cycle {
        Calendar::Hour => {
            let (hour, minute) = (number(11, 13, 0, 23)?, number(14, 16, 0, 59)?);
            Some((f64::from(hour) + f64::from(minute) / 60.0) / 24.0)
        }
        Calendar::Weekday => Some(f64::from(weekday(year, month, number(8, 10, 1, 31)?)) / 7.0),
        Calendar::Month => Some(f64::from(month - 1) / 12.0),
    }
}

/// The day of the week, 0 for Sunday, in the Gregorian calendar (Sakamoto 1992).
fn weekday(year: u32, month: u32, day: u32) -> u32 {
    const SHIFTS: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    // 400 years are whole weeks.
    let year = year + 400 - u32::from(month < 3);
    let shift = SHIFTS.get(month as usize - 1).copied().unwrap_or(0);
    (year + year / 4 - year / 100 + year / 400 + shift + day) % 7
}

#[cfg(test)]
mod tests {
    use super::{Calendar, encode, place, weekday};

    #[test]
    fn weekdays_are_those_of_known_dates() {
        // Thursday, Friday, Tuesday, Monday, Saturday.
        let known =
            [(1970, 1, 1, 4), (2016, 7, 1, 5), (2000, 2, 29, 2), (1900, 1, 1, 1), (0, 1, 1, 6)];
        for (year, month, day, expected) in known {
            assert_eq!(weekday(year, month, day), expected, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn places_are_parts_of_the_cycle() {
        let time = "2016-07-01 18:30:00";
        assert_eq!(place(Calendar::Hour, time), Some(18.5 / 24.0));
        assert_eq!(place(Calendar::Weekday, time), Some(5.0 / 7.0));
        assert_eq!(place(Calendar::Month, "1949-10"), Some(0.75));
        let quarter = encode(&[Calendar::Hour, Calendar::Month], "2016/01/01T06:00Z").unwrap();
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
            let error = encode(&[cycle], time).unwrap_err().to_string();
            assert!(error.contains(time), "{error}");
        }
    }
}
