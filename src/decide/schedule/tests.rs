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
    let cases = [
        ("0 2 * * *", "Every day at 02:00"),
        ("30 3 * * 1-5", "Monday to Friday at 03:30"),
        ("0 2 * * 1", "Every Monday at 02:00"),
        ("0 2,14 * * *", "Every day at 02:00 and 14:00"),
        ("0 2 * * 0,6", "Saturday and Sunday at 02:00"),
        ("0 2 * * 1,3,5", "Monday, Wednesday and Friday at 02:00"),
        ("15 * * * *", "Every hour at minute 15"),
        ("0 * * * *", "Every hour"),
        ("@daily", "Every day at 00:00"),
        ("@hourly", "Every hour"),
        ("@yearly", "On 1 January at 00:00"),
        ("@every 1h30m", "Every 1h 30m"),
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        (
            "*/7 3 * * MON-FRI",
            "Monday to Friday, every 7 minutes from 03:00 to 03:56",
        ),
        ("0 */6 * * *", "Every 6 hours"),
        ("20 */6 * * *", "Every 6 hours, at 00:20, 06:20, 12:20 and 18:20"),
        ("0 0-6 * * *", "Every day, every hour from 00:00 to 06:00"),
        (
            "0 9-17/2 * * 1-5",
            "Monday to Friday, every 2 hours from 09:00 to 17:00",
        ),
        ("0,30 * * * *", "Every 30 minutes"),
        ("0,15 * * * *", "Every hour at minutes 0 and 15"),
        (
            "*/10 8-18 * * *",
            "Every day, every 10 minutes from 08:00 to 18:50",
        ),
        ("5/20 ? * * ?", "Every hour at minutes 5, 25 and 45"),
        ("0 2 1 * *", "On the 1st of every month at 02:00"),
        ("0 2 1,15 * *", "On the 1st and 15th of every month at 02:00"),
        ("0 2 1-7 * *", "On the 1st to 7th of every month at 02:00"),
        ("0 2 31 12 *", "On 31 December at 02:00"),
        (
            "0 2 1 */3 *",
            "On the 1st of January, April, July and October at 02:00",
        ),
        (
            "0 2 13 * 5",
            "On the 13th of every month and every Friday at 02:00",
        ),
        ("0 2 * 6-8 *", "Every day in June to August at 02:00"),
        ("0 2 * 1 1", "Every Monday in January at 02:00"),
        ("* 3 * * *", "Every day, every minute from 03:00 to 03:59"),
        ("0,20,50 4 * * *", "Every day at 04:00, 04:20 and 04:50"),
        ("*/40 * * * *", "Every hour at minutes 0 and 40"),
        (
            "1,2,3,7,9 1,2,5 * * *",
            "Every day in the hours 1, 2 and 5, at minutes 1, 2, 3, 7 and 9",
        ),
    ];
    for (text, words) in cases {
        assert_eq!(Schedule::parse(text).unwrap().describe(), words, "{text}");
    }
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
