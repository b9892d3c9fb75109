//! Schedules in Kubernetes' grammar: five fields, `?` for `*`, `a/b` for "from a on, every b", names of months and
//! days, `@daily` and its kin, and `@every 1h30m`. croner does the arithmetic.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The highest values of the five fields.
const LAST: [&str; 5] = ["59", "23", "31", "12", "6"];

/// When something is to happen.
#[derive(Debug, Clone)]
pub(super) enum Schedule {
    /// At the times a pattern names, in a time zone.
    At(Box<Cron>, TimeZone),
    /// Again and again after this pause.
    Every(Duration),
}

/// What is wrong with the text of a schedule, in words; `None` when it can be followed.
pub(crate) fn problem(text: &str) -> Option<String> {
    parse(text, None).err()
}

/// Reads a schedule. The error is a sentence that names what is wrong.
pub(super) fn parse(text: &str, zone: Option<&str>) -> Result<Schedule, String> {
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?,
    };
    let text = text.trim();
    if let Some(pause) = text.strip_prefix("@every ") {
        let pause: jiff::SignedDuration = pause
            .trim()
            .parse()
            .map_err(|_| format!("failed to parse duration {text}"))?;
        let pause = Duration::try_from(pause).unwrap_or_default();
        return Ok(Schedule::Every(pause.max(Duration::from_secs(1))));
    }
    let fields = five_fields(text)?;
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(&fields)
        .map_err(|error| format!("{text}: {error}"))?;
    Ok(Schedule::At(Box::new(cron), zone))
}

fn five_fields(text: &str) -> Result<String, String> {
    let text = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != LAST.len() {
        return Err(format!(
            "expected exactly 5 fields, found {}: {text:?}",
            fields.len()
        ));
    }
    let field = |(field, last): (&&str, &str)| {
        let part = |part: &str| match part.split_once('/') {
            _ if part == "?" => "*".to_owned(),
            Some((first, step)) if first.parse::<u8>().is_ok() => format!("{first}-{last}/{step}"),
            Some(("?", step)) => format!("*/{step}"),
            _ => part.to_owned(),
        };
        field.split(',').map(part).collect::<Vec<_>>().join(",")
    };
    Ok(fields.iter().zip(LAST).map(field).collect::<Vec<_>>().join(" "))
}

impl Schedule {
    /// The first time after `after`.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(cron, zone) => {
                let found = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false);
                found.ok().map(|time| time.timestamp())
            }
            Self::Every(pause) => Some(after + *pause),
        }
    }

    /// The last time that is later than `after` and not later than `now`, and whether more than a hundred passed.
    pub(super) fn due(&self, after: Timestamp, now: Timestamp) -> Option<(Timestamp, bool)> {
        let first = self.next(after).filter(|first| *first <= now)?;
        match self {
            Self::At(cron, zone) => {
                let found = cron.find_previous_occurrence(&now.to_zoned(zone.clone()), true);
                let last = found.map_or(first, |time| time.timestamp()).max(first);
                let mut time = first;
                let many = (0..100).all(|_| match self.next(time).filter(|next| *next <= now) {
                    Some(next) => {
                        time = next;
                        true
                    }
                    None => false,
                });
                Some((last, many))
            }
            Self::Every(pause) => {
                let passed = now.duration_since(after).as_secs();
                let pause = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX).max(1);
                let last = after + jiff::SignedDuration::from_secs(passed / pause * pause);
                Some((last, passed / pause > 100))
            }
        }
    }

    /// The time as it is written into the Job's annotation: RFC 3339 with the zone's offset.
    pub(super) fn written(&self, time: Timestamp) -> String {
        match self {
            Self::At(_, zone) if *zone != TimeZone::UTC => {
                let offset = zone.to_offset(time);
                time.display_with_offset(offset).to_string()
            }
            _ => time.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(schedule: &str, zone: Option<&str>, after: &str) -> String {
        parse(schedule, zone)
            .unwrap()
            .next(at(after))
            .unwrap()
            .to_string()
    }

    #[test]
    fn kubernetes_grammar_is_understood() {
        let after = "2026-03-02T10:07:30Z"; // a Monday
        assert_eq!(next("*/5 * * * *", None, after), "2026-03-02T10:10:00Z");
        assert_eq!(next("3/20 * * * ?", None, after), "2026-03-02T10:23:00Z");
        assert_eq!(next("0 2 * * SUN", None, after), "2026-03-08T02:00:00Z");
        assert_eq!(
            next("0 0 1,15 * 3", None, after),
            "2026-03-04T00:00:00Z",
            "day of month or of week"
        );
        assert_eq!(next("@daily", None, after), "2026-03-03T00:00:00Z");
        assert_eq!(next("@every 90m", None, after), "2026-03-02T11:37:30Z");
        for wrong in ["", "* * * *", "* * * * * *", "61 * * * *", "@every x"] {
            assert!(parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_zone_moves_the_times_and_is_written_with_its_offset() {
        assert_eq!(
            next("0 2 * * *", Some("America/New_York"), "2026-01-01T00:00:00Z"),
            "2026-01-01T07:00:00Z"
        );
        let schedule = parse("0 2 * * *", Some("America/New_York")).unwrap();
        assert_eq!(
            schedule.written(at("2026-01-01T07:00:00Z")),
            "2026-01-01T02:00:00-05:00"
        );
        assert!(
            parse("0 2 * * *", Some("Mars/Base"))
                .unwrap_err()
                .contains("unknown time zone")
        );
    }

    #[test]
    fn only_the_last_missed_time_counts() {
        let schedule = parse("*/10 * * * *", None).unwrap();
        let (last, many) = schedule
            .due(at("2026-01-01T00:00:00Z"), at("2026-01-01T01:05:00Z"))
            .unwrap();
        assert_eq!((last.to_string().as_str(), many), ("2026-01-01T01:00:00Z", false));
        assert!(
            schedule
                .due(at("2026-01-01T00:00:00Z"), at("2026-01-03T00:00:00Z"))
                .unwrap()
                .1
        );
        assert_eq!(
            schedule.due(at("2026-01-01T01:00:00Z"), at("2026-01-01T01:09:59Z")),
            None
        );
        let every = parse("@every 10s", None).unwrap();
        let (last, _) = every
            .due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:35Z"))
            .unwrap();
        assert_eq!(last.to_string(), "2026-01-01T00:00:30Z");
    }
}
