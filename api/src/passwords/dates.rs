//! Detection of dates as passwords: `01.02.1990`, `19900201x`, `1feb1990`, `010290 020391`.

use chrono::NaiveDate;

/// Maximum number of dates in a password that is nothing but dates.
const MAX_DATES: usize = 3;

/// Maximum number of letters beside dates.
const MAX_LETTERS: usize = 1;

/// Years of four digits in dates.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2099;

/// The months, which the first three letters stand for, too.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Returns whether a text in lower case consists of one to three dates, and otherwise of signs and at most one letter. A date has day,
/// month and year in any usual order. Day and year are in ASCII digits, the month is in digits or an English name, and a year has two or four
/// digits. Numbers without a separator between them have two digits for day and month.
pub(super) fn are_dates(text: &str) -> bool {
    let mut text = text.to_owned();
    for (number, month) in (1..).zip(MONTHS) {
        let digits = format!(" {number:02} ");
        text = text.replace(month, &digits).replace(&month[..3], &digits);
    }
    let groups: Vec<_> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .collect();
    !groups.is_empty()
        && text.matches(char::is_alphabetic).count() <= MAX_LETTERS
        && consist_of_dates(&groups, MAX_DATES)
}

/// Returns whether groups of digits consist of at most `most` dates.
fn consist_of_dates(groups: &[&str], most: usize) -> bool {
    let [first, rest @ ..] = groups else {
        return true;
    };
    if most == 0 {
        return false;
    }
    let is_separated = groups.first_chunk().is_some_and(|date| is_date(*date));
    let is_half_separated = groups
        .first_chunk()
        .is_some_and(|date| is_date_of_two(*date));
    (is_separated && consist_of_dates(&groups[3..], most - 1))
        || (is_half_separated && consist_of_dates(&groups[2..], most - 1))
        || [(4, 6, 8), (2, 4, 8), (2, 4, 6)]
            .into_iter()
            .any(|(a, b, end)| {
                first.split_at_checked(end).is_some_and(|(date, left)| {
                    let others: Vec<_> =
                        [left].into_iter().filter(|left| !left.is_empty()).collect();
                    is_date([&date[..a], &date[a..b], &date[b..]])
                        && consist_of_dates(&[&others, rest].concat(), most - 1)
                })
            })
}

/// Returns whether two numbers of two or four digits for each part are a date with one separator, or with the name of its month at one
/// end: `Nov 231987`, `2311.1987`.
fn is_date_of_two([one, other]: [&str; 2]) -> bool {
    let is_complete = one.len() + other.len() >= 6;
    is_complete
        && [2, 4].into_iter().any(|middle| {
            let first = one.split_at_checked(middle).map(|(a, b)| [a, b, other]);
            let second = other.split_at_checked(middle).map(|(b, c)| [one, b, c]);
            first.into_iter().chain(second).any(is_date)
        })
}

/// Returns whether three numbers are day, month and year, in an order that starts or ends with the year.
fn is_date(parts: [&str; 3]) -> bool {
    let [a, b, c] = parts;
    [[a, b, c], [a, c, b], [c, b, a], [c, a, b]]
        .into_iter()
        .any(|[year, month, day]| {
            let year = match (year.len(), year.parse()) {
                (2, Ok(year)) => Some(2000 + year),
                (4, Ok(year)) => Some(year).filter(|year| YEARS.contains(year)),
                _ => None,
            };
            let (month, day) = (month.parse().unwrap_or(0), day.parse().unwrap_or(0));
            year.is_some_and(|year| NaiveDate::from_ymd_opt(year, month, day).is_some())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P3
    #[test]
    fn one_to_three_dates_are_dates() {
        for yes in [
            "01.02.1990",
            "1.2.1990",
            "1990-02-01",
            "19900201",
            "19901302",
            "02281990",
            "28021990",
            "28/02/90",
            "!!28021990",
            "010290020391",
            "01021990-02031991",
            "1.2.1990 2.3.1991",
            "1990020119910302",
            "29022000",
            "1feb1990",
            "1. february 1990",
            "1990-feb-01",
            "feb 28 1990",
            "010290020391040592",
            "1.2.1990 2.3.1991 4.5.1992",
            "19900201x",
            "x1feb1990",
            "nov231987",
            "november231987",
            "nov2387x",
            "198723nov",
            "2311.1987",
            "1987-1123",
            "nov231987 nov241988",
        ] {
            assert!(are_dates(yes), "{yes}");
        }
        for no in [
            "",
            "!!!!!!!!",
            "47193028",
            "31022000",
            "18900201",
            "32011990",
            "19900201xy",
            "199002011",
            "010290020391040592050693",
            "1.2.1990.3",
            "30feb1990",
            "1market1990",
            "nov311987",
            "4719-0285",
            "decade1990",
            "4719302856471",
        ] {
            assert!(!are_dates(no), "{no}");
        }
    }
}
