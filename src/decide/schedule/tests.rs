use super::*;
use proptest::prelude::*;

fn runs(schedule: &str, after: &str, zone: &str, count: usize) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    Schedule::parse(schedule)
        .unwrap()
        .next_runs(after.parse().unwrap(), &zone, count)
        .into_iter()
        .map(|at| at.to_zoned(zone.clone()).strftime("%F %H:%M").to_string())
        .collect()
}

#[test]
fn the_grammar_of_cron_jobs_and_nothing_else() {
    for good in [
        "*/5 * * * *",
        "0 0 1,15 * MON-fri",
        "? 1 ? * ?",
        "5/20 * * * *",
        "@hourly",
        "@every 1h30m",
        " 0 2 * * 0 ",
    ] {
        assert!(Schedule::parse(good).is_ok(), "{good}");
    }
    for (bad, cause) in [
        ("* * * *", "has 4"),
        ("0 0 * * * *", "has 6"),
        ("60 * * * *", "minute 60"),
        ("* * * * 7", "Sunday is 0"),
        ("* * L * *", "`L`"),
        ("* * * * 1#2", "`1#2`"),
        ("*/0 * * * *", "must not be 0"),
        ("5-1 * * * *", "ends before"),
        ("@fortnightly", "@yearly"),
        ("@every soon", "not a duration"),
        ("CRON_TZ=UTC 0 0 * * *", "time zone"),
        ("", "empty"),
        ("-1 * * * *", "not a number"),
    ] {
        let error = Schedule::parse(bad).unwrap_err().to_string();
        assert!(error.contains(cause), "{bad}: {error}");
    }
}

#[test]
fn next_times() {
    assert_eq!(
        runs("*/20 * * * *", "2026-01-01T00:00:00Z", "UTC", 3),
        ["2026-01-01 00:20", "2026-01-01 00:40", "2026-01-01 01:00"]
    );
    // Either day field is enough when neither is a star.
    assert_eq!(
        runs("0 0 13 * 5", "2026-02-01T00:00:00Z", "UTC", 3),
        ["2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00"]
    );
    assert_eq!(
        runs("0 0 29 2 *", "2026-01-01T00:00:00Z", "UTC", 1),
        ["2028-02-29 00:00"]
    );
    assert!(runs("0 0 31 2 *", "2026-01-01T00:00:00Z", "UTC", 1).is_empty());
    assert_eq!(
        runs("@every 90m", "2026-01-01T00:00:30Z", "UTC", 1),
        ["2026-01-01 01:30"]
    );
}

#[test]
fn a_skipped_hour_does_not_fire() {
    let found = runs("30 2 * * *", "2026-03-28T03:00:00Z", "Europe/Paris", 2);
    assert_eq!(found, ["2026-03-30 02:30", "2026-03-31 02:30"]);
}

#[test]
fn in_words() {
    assert!(
        Schedule::parse("0 2 * * 1")
            .unwrap()
            .describe()
            .contains("Monday")
    );
    assert_eq!(
        Schedule::parse("@every 1h30m").unwrap().describe(),
        "Every 1h 30m"
    );
    assert!(!Schedule::parse("@daily").unwrap().describe().contains('@'));
    assert!(
        !Schedule::parse("5/20 ? * * ?")
            .unwrap()
            .describe()
            .contains("On the schedule")
    );
}

proptest! {
    #[test]
    fn times_only_grow_and_match(minute in 0u8..60, hour in 0u8..24, start in 0i64..2_000_000_000) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).unwrap();
        let after = Timestamp::from_second(start).unwrap();
        let next = schedule.next_after(after, &TimeZone::UTC).unwrap();
        prop_assert!(next > after && next.as_second() - start <= 86_400);
        let zoned = next.to_zoned(TimeZone::UTC);
        prop_assert_eq!((zoned.hour(), zoned.minute()), (i8::try_from(hour).unwrap(), i8::try_from(minute).unwrap()));
    }

    #[test]
    fn any_text_is_answered(text in "[@*?/, 0-9a-zA-Z-]{0,20}") {
        if let Ok(schedule) = Schedule::parse(&text) {
            let _ = schedule.describe();
        }
    }
}
