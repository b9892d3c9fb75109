use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn candidate(name: &str, phase: SnapshotPhase, time: &str) -> Candidate {
    Candidate {
        name: name.into(),
        session: "s".into(),
        phase,
        time: at(time),
        incremental: false,
        protected: None,
    }
}

fn kept(candidates: &[Candidate], rules: &Rules, now: &str) -> Vec<String> {
    apply(candidates, rules, at(now))
        .into_iter()
        .filter(|d| d.keep)
        .map(|d| d.name)
        .collect()
}

const OK: SnapshotPhase = SnapshotPhase::Succeeded;
const BAD: SnapshotPhase = SnapshotPhase::Failed;

#[test]
fn periods() {
    for (text, minutes) in [
        ("30d", 43_200),
        ("1y2mo3w", 525_600 + 86_400 + 30_240),
        (" 2h30m ", 150),
        ("-1d", 1440),
        ("1d2d", 2880),
        ("5mo", 216_000),
        ("5m", 5),
    ] {
        assert_eq!(parse_period(text).unwrap().as_mins(), minutes, "{text}");
    }
    for text in [
        "",
        "  ",
        "30",
        "d",
        "3 months",
        "1x",
        "1d30",
        "99999999999999999y",
    ] {
        assert!(parse_period(text).is_err(), "{text}");
    }
}

#[test]
fn counts_keep_the_union_with_reasons() {
    let days: Vec<Candidate> = (1..=9)
        .map(|day| candidate(&format!("d{day}"), OK, &format!("2026-01-0{day}T02:00:00Z")))
        .collect();
    let rules = Rules {
        last: Some(2),
        weekly: Some(2),
        ..Rules::default()
    };
    // 2026-01-05 is a Monday: d4 is the newest of the week before.
    assert_eq!(kept(&days, &rules, "2026-01-09T03:00:00Z"), ["d9", "d8", "d4"]);
    let decisions = apply(&days, &rules, at("2026-01-09T03:00:00Z"));
    assert_eq!(
        decisions[0].reasons,
        ["newest success of its session", "last 1 of 2", "weekly 1 of 2"]
    );
    assert_eq!(decisions[8].reasons, ["kept by no rule"]);
}

#[test]
fn age_overrules_counts_but_never_takes_the_newest_success() {
    let all = [
        candidate("new", OK, "2026-01-01T00:00:00Z"),
        candidate("old", OK, "2025-12-01T00:00:00Z"),
    ];
    let rules = Rules {
        last: Some(5),
        max_age: Some(parse_period("1d").unwrap()),
        ..Rules::default()
    };
    assert_eq!(kept(&all, &rules, "2026-03-01T00:00:00Z"), ["new"]);
    let age_only = Rules {
        max_age: Some(parse_period("45d").unwrap()),
        ..Rules::default()
    };
    assert_eq!(kept(&all, &age_only, "2026-01-02T00:00:00Z"), ["new", "old"]);
}

#[test]
fn a_policy_without_rules_deletes_no_success() {
    let all = [
        candidate("b", OK, "2026-01-02T00:00:00Z"),
        candidate("a", OK, "2020-01-01T00:00:00Z"),
    ];
    assert_eq!(kept(&all, &Rules::default(), "2026-03-01T00:00:00Z").len(), 2);
}

#[test]
fn failures_have_their_own_count_and_never_push_successes_out() {
    let all = [
        candidate("f3", BAD, "2026-01-04T00:00:00Z"),
        candidate("f2", BAD, "2026-01-03T00:00:00Z"),
        candidate("ok", OK, "2026-01-02T00:00:00Z"),
        candidate("f1", BAD, "2026-01-01T00:00:00Z"),
    ];
    let rules = Rules {
        last: Some(1),
        ..Rules::default()
    };
    assert_eq!(kept(&all, &rules, "2026-01-05T00:00:00Z"), ["f3", "ok"]);
    assert_eq!(
        kept(
            &all,
            &Rules {
                failed_last: Some(0),
                ..rules
            },
            "2026-01-05T00:00:00Z"
        ),
        ["ok"]
    );
}

#[test]
fn sessions_are_counted_apart() {
    let mut other = candidate("weekly", OK, "2026-01-01T00:00:00Z");
    other.session = "weekly".into();
    let all = [
        other,
        candidate("daily", OK, "2026-01-02T00:00:00Z"),
        candidate("daily-old", OK, "2025-12-30T00:00:00Z"),
    ];
    let rules = Rules {
        last: Some(1),
        ..Rules::default()
    };
    assert_eq!(kept(&all, &rules, "2026-01-05T00:00:00Z"), ["daily", "weekly"]);
}

#[test]
fn incrementals_live_and_die_with_their_full_backup() {
    let incremental = |name: &str, time: &str| Candidate {
        incremental: true,
        ..candidate(name, OK, time)
    };
    let all = [
        incremental("i3", "2026-01-06T00:00:00Z"),
        candidate("full2", OK, "2026-01-05T00:00:00Z"),
        incremental("i1", "2026-01-02T00:00:00Z"),
        candidate("full1", OK, "2026-01-01T00:00:00Z"),
    ];
    let rules = Rules {
        last: Some(1),
        ..Rules::default()
    };
    assert_eq!(kept(&all, &rules, "2026-01-07T00:00:00Z"), ["i3", "full2"]);
    let mut in_use = all;
    in_use[2].protected = Some("in use by RestoreSession r".into());
    assert_eq!(kept(&in_use, &rules, "2026-01-07T00:00:00Z").len(), 4);
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        0u8..4,
        0i64..20_000_000,
        0u8..3,
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(one, 0..40).prop_map(|list| {
        list.into_iter()
            .enumerate()
            .map(
                |(index, (phase, second, session, _, incremental, protected))| Candidate {
                    name: format!("snapshot-{index}"),
                    session: format!("session-{session}"),
                    phase: SnapshotPhase::ALL[usize::from(phase)],
                    time: Timestamp::from_second(1_760_000_000 + second).unwrap(),
                    incremental,
                    protected: protected.then(|| "in use".to_owned()),
                },
            )
            .collect()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let count = || prop::option::of(-1i32..5);
    (
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
        prop::option::of(0i64..400),
    )
        .prop_map(
            |(last, hourly, daily, weekly, monthly, yearly, failed_last, days)| Rules {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                failed_last,
                max_age: days.map(|days| SignedDuration::from_hours(days * 24)),
            },
        )
}

proptest! {
    #[test]
    fn what_must_stay_stays(all in any_candidates(), rules in any_rules()) {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let decisions = apply(&all, &rules, now);
        prop_assert_eq!(decisions.len(), all.len());
        for candidate in &all {
            let decision = decisions.iter().find(|d| d.name == candidate.name).unwrap();
            prop_assert!(!decision.reasons.is_empty());
            let unfinished = matches!(candidate.phase, SnapshotPhase::Pending | SnapshotPhase::Running);
            if unfinished || candidate.protected.is_some() {
                prop_assert!(decision.keep, "{:?}", decision);
            }
        }
        for session in ["session-0", "session-1", "session-2"] {
            let newest = all.iter().filter(|c| c.session == session && c.phase == OK).max_by_key(|c| (c.time, c.name.clone()));
            if let Some(newest) = newest {
                prop_assert!(decisions.iter().any(|d| d.name == newest.name && d.keep));
            }
        }
    }

    #[test]
    fn applying_again_to_what_was_kept_keeps_it_all(all in any_candidates(), rules in any_rules()) {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let kept: Vec<Candidate> = {
            let names: BTreeSet<String> = apply(&all, &rules, now).into_iter().filter(|d| d.keep).map(|d| d.name).collect();
            all.into_iter().filter(|c| names.contains(&c.name)).collect()
        };
        prop_assert!(apply(&kept, &rules, now).iter().all(|d| d.keep));
    }

    #[test]
    fn order_of_the_input_does_not_matter(all in any_candidates(), rules in any_rules()) {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let mut turned = all.clone();
        turned.reverse();
        prop_assert_eq!(apply(&all, &rules, now), apply(&turned, &rules, now));
    }
}
