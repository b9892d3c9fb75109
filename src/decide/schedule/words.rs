//! A schedule in plain English. Everything is told from the values that a field permits, so different spellings of one
//! schedule read the same.

use super::{Field, Rule};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// So many times of a day are listed one by one; more are told by their fields.
const LISTED: usize = 6;

/// The rule in words, with a capital letter and without a full stop.
pub(super) fn describe(rule: &Rule) -> String {
    let (minute, hour, day, month, weekday) = match rule {
        Rule::Every(period) => return format!("Every {period:#}"),
        Rule::Fields {
            minute,
            hour,
            day,
            month,
            weekday,
        } => (minute, hour, day, month, weekday),
    };
    let day = days(day, month, weekday);
    let every_day = || "every day".to_owned();
    let text = match times(&values(minute), &values(hour)) {
        Times::Whole(text) => day.map_or(text.clone(), |day| format!("{day}, {text}")),
        Times::Span(text) => format!("{}, {text}", day.unwrap_or_else(every_day)),
        Times::At(text) => format!("{} {text}", day.unwrap_or_else(every_day)),
    };
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The permitted values in order.
fn values(field: &Field) -> Vec<usize> {
    (0..64).filter(|value| field.bits >> value & 1 == 1).collect()
}

/// The days; `None` where every day counts.
fn days(day: &Field, month: &Field, weekday: &Field) -> Option<String> {
    let (all_days, all_weekdays) = (values(day).len() == 31, values(weekday).len() == 7);
    let months = values(month);
    let names: Vec<String> = months
        .iter()
        .filter_map(|m| MONTHS.get(m.checked_sub(1)?))
        .map(ToString::to_string)
        .collect();
    let every_month = names.len() == 12;
    let months_of = |numbers: &[usize]| ranged(numbers, &names);
    let week = week(&values(weekday));
    if all_days && all_weekdays {
        return (!every_month).then(|| format!("every day in {}", months_of(&months)));
    }
    if all_days {
        return Some(if every_month {
            week
        } else {
            format!("{week} in {}", months_of(&months))
        });
    }
    let numbers = values(day);
    let ordinals: Vec<String> = numbers.iter().map(|n| ordinal(*n)).collect();
    let of_month = match (numbers.as_slice(), names.as_slice()) {
        ([number], [name]) => format!("on {number} {name}"),
        _ if every_month => format!("on the {} of every month", ranged(&numbers, &ordinals)),
        _ => format!("on the {} of {}", ranged(&numbers, &ordinals), months_of(&months)),
    };
    if all_weekdays {
        return Some(of_month);
    }
    // Where both are restricted, either is enough; with a star in one of them both must fit.
    let either = !day.star && !weekday.star;
    Some(if either {
        format!("{of_month} and {week}")
    } else {
        format!("{of_month} if that is {}", week.trim_start_matches("every "))
    })
}

fn week(numbers: &[usize]) -> String {
    // People's weeks begin on Monday.
    let order = |n: &usize| (*n + 6) % 7;
    let mut numbers = numbers.to_vec();
    numbers.sort_by_key(order);
    let names: Vec<String> = numbers
        .iter()
        .filter_map(|n| DAYS.get(*n))
        .map(ToString::to_string)
        .collect();
    let places: Vec<usize> = numbers.iter().map(order).collect();
    match names.as_slice() {
        [only] => format!("every {only}"),
        _ => ranged(&places, &names),
    }
}

/// The times of a day, by how they follow the name of a day.
enum Times {
    /// The whole day through: `every 5 minutes`.
    Whole(String),
    /// A part of the day: `every hour from 09:00 to 17:00`.
    Span(String),
    /// Single times: `at 02:00`.
    At(String),
}

fn times(minutes: &[usize], hours: &[usize]) -> Times {
    let all_hours = hours.len() == 24;
    let (first, last) = (
        hours.first().copied().unwrap_or(0),
        hours.last().copied().unwrap_or(0),
    );
    if let [minute] = minutes {
        if let Some(told) = one_minute(*minute, hours) {
            return told;
        }
    } else if let Some(step) = step(minutes)
        .filter(|step| minutes.first() == Some(&0) && minutes.last().is_some_and(|last| last + step >= 60))
    {
        let every = counted(step, "minute");
        if all_hours && 60 % step == 0 {
            return Times::Whole(every);
        }
        if minutes.len() > 3 && hours.len() == last + 1 - first && !all_hours {
            let end = clock(last, minutes.last().copied().unwrap_or(0));
            return Times::Span(format!("{every} from {} to {end}", clock(first, 0)));
        }
    }
    if all_hours {
        return Times::Whole(format!("every hour at minutes {}", joined(&numbers(minutes))));
    }
    let all: Vec<String> = hours
        .iter()
        .flat_map(|hour| minutes.iter().map(|minute| clock(*hour, *minute)))
        .collect();
    Times::At(if all.len() <= LISTED {
        format!("at {}", joined(&all))
    } else {
        format!(
            "in the hours {}, at minutes {}",
            joined(&numbers(hours)),
            joined(&numbers(minutes))
        )
    })
}

/// One minute of several hours that are evenly spaced; `None` where they are better listed.
fn one_minute(minute: usize, hours: &[usize]) -> Option<Times> {
    let (first, last) = (*hours.first()?, *hours.last()?);
    let step = step(hours)?;
    let every = counted(step, "hour");
    if first == 0 && last + step == 24 {
        return Some(Times::Whole(match minute {
            0 => every,
            _ if step == 1 => format!("{every} at minute {minute}"),
            _ if hours.len() <= LISTED => {
                let listed: Vec<String> = hours.iter().map(|hour| clock(*hour, minute)).collect();
                format!("{every}, at {}", joined(&listed))
            }
            _ => format!("{every} at minute {minute}"),
        }));
    }
    (hours.len() > 3).then(|| {
        Times::Span(format!(
            "{every} from {} to {}",
            clock(first, minute),
            clock(last, minute)
        ))
    })
}

fn clock(hour: usize, minute: usize) -> String {
    format!("{hour:02}:{minute:02}")
}

/// The distance between neighbours, where it is always the same.
fn step(numbers: &[usize]) -> Option<usize> {
    let mut distances = numbers.windows(2).filter_map(|pair| match pair {
        [a, b] => Some(b - a),
        _ => None,
    });
    let first = distances.next()?;
    distances.all(|next| next == first).then_some(first)
}

fn counted(step: usize, unit: &str) -> String {
    match step {
        1 => format!("every {unit}"),
        _ => format!("every {step} {unit}s"),
    }
}

fn numbers(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(ToString::to_string).collect()
}

/// Names in a row: three and more neighbours as a range, anything else as a list.
fn ranged(places: &[usize], names: &[String]) -> String {
    match (names, step(places)) {
        ([first, .., last], Some(1)) if names.len() > 2 => format!("{first} to {last}"),
        _ => joined(names),
    }
}

fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
