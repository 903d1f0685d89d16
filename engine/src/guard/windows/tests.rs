use super::*;
use jiff::{ToSpan, Zoned};
use proptest::prelude::*;
use serde_json::{Value, json};

fn compile(windows: Value) -> Result<Windows, Vec<String>> {
    let windows: Vec<Window> = serde_json::from_value(windows).unwrap();
    let mut flaws = Vec::new();
    let compiled = Windows::compile(&windows, &["gpu", "cpu"], &mut flaws);
    if flaws.is_empty() { Ok(compiled) } else { Err(flaws.iter().map(ToString::to_string).collect()) }
}

fn windows(windows: Value) -> Windows {
    compile(windows).unwrap()
}

fn freeze(schedule: &str, duration: &str, zone: &str) -> Value {
    json!({"name": "frozen", "kind": "Freeze", "schedule": schedule, "duration": duration, "timeZone": zone})
}

fn maintenance(schedule: &str, duration: &str) -> Value {
    json!({"name": "service", "kind": "Maintenance", "schedule": schedule, "duration": duration})
}

fn rule() -> ObjectName {
    ObjectName::new("monitoring", "cordon")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn held(windows: &Windows, now: &str) -> Option<WindowHold> {
    windows.standing(&rule(), Some("gpu"), at(now))
}

#[test]
fn nothing_holds_without_a_window() {
    assert_eq!(held(&Windows::default(), "2026-11-22T12:00:00Z"), None);
}

#[test]
fn a_freeze_holds_from_its_opening_until_its_end() {
    let windows = windows(json!([freeze("0 22 * * *", "8h", "UTC")]));
    let cases = [
        ("2026-11-22T21:59:59.999Z", None, "just before"),
        ("2026-11-22T22:00:00Z", Some("2026-11-23T06:00:00Z"), "the first moment"),
        ("2026-11-22T22:00:00.5Z", Some("2026-11-23T06:00:00Z"), "within its first second"),
        ("2026-11-23T05:59:59.999Z", Some("2026-11-23T06:00:00Z"), "the last moment"),
        ("2026-11-23T06:00:00Z", None, "it has ended"),
    ];
    for (now, until, why) in cases {
        assert_eq!(held(&windows, now).map(|hold| hold.until), until.map(at), "{why}");
    }
    let hold = held(&windows, "2026-11-22T22:00:00Z").unwrap();
    assert!(hold.frozen && hold.window == "frozen");
    assert_eq!(hold.message, "freeze window \"frozen\" is open; actions may begin again at 2026-11-23T06:00:00Z");
}

#[test]
fn days_of_the_week_are_those_of_the_usual_cron() {
    // 22 November 2026 is a Sunday.
    let cases = [
        ("0", "2026-11-22"),
        ("7", "2026-11-22"),
        ("SUN", "2026-11-22"),
        ("sun", "2026-11-22"),
        ("1", "2026-11-23"),
        ("Mon", "2026-11-23"),
        ("5", "2026-11-27"),
        ("FRI", "2026-11-27"),
        ("6", "2026-11-28"),
        ("SUN#1", "2026-12-06"),
        ("FRI#L", "2026-11-27"),
    ];
    for (day, date) in cases {
        let windows = windows(json!([freeze(&format!("0 12 * * {day}"), "1h", "UTC")]));
        for offset in 0..7 {
            let noon: Zoned = format!("{date}T12:00:00Z[UTC]").parse().unwrap();
            let tried = noon.checked_sub(offset.days()).unwrap().timestamp();
            let held = windows.standing(&rule(), None, tried).is_some();
            assert_eq!(held, offset == 0, "{day} at {tried}");
        }
    }
    let weekdays = windows(json!([freeze("0 8 * * 1-5", "1h", "UTC")]));
    let weekend = windows(json!([freeze("0 8 * * 6-7", "1h", "UTC")]));
    for (day, working) in [("2026-11-21", false), ("2026-11-22", false), ("2026-11-23", true), ("2026-11-27", true)] {
        let morning = format!("{day}T08:30:00Z");
        assert_eq!(held(&weekdays, &morning).is_some(), working, "{day}");
        assert_eq!(held(&weekend, &morning).is_some(), !working, "{day}");
    }
}

#[test]
fn with_both_days_given_either_will_do() {
    let windows = windows(json!([freeze("0 12 13 * FRI", "1h", "UTC")]));
    let cases = [("2026-11-13", true), ("2026-11-27", true), ("2026-12-13", true), ("2026-11-26", false)];
    for (day, open) in cases {
        assert_eq!(held(&windows, &format!("{day}T12:30:00Z")).is_some(), open, "{day}");
    }
}

#[test]
fn a_window_opens_by_the_clock_of_its_time_zone() {
    let windows = windows(json!([freeze("0 22 * * *", "1h", "Asia/Shanghai")]));
    let hold = held(&windows, "2026-11-22T14:30:00Z").unwrap();
    assert_eq!(hold.until, at("2026-11-22T15:00:00Z"), "Shanghai is eight hours ahead all year");
    assert_eq!(held(&windows, "2026-07-22T14:30:00Z").map(|hold| hold.until), Some(at("2026-07-22T15:00:00Z")));
    assert_eq!(held(&windows, "2026-11-22T22:30:00Z"), None);
}

#[test]
fn clocks_that_change_move_the_opening_and_not_the_length() {
    let daily = windows(json!([freeze("0 22 * * *", "8h", "America/New_York")]));
    let cases = [
        ("2026-07-02T01:59:00Z", None, "21:59 in summer"),
        ("2026-07-02T02:00:00Z", Some("2026-07-02T10:00:00Z"), "22:00 in summer"),
        ("2026-12-02T02:00:00Z", None, "21:00 in winter"),
        ("2026-12-02T03:00:00Z", Some("2026-12-02T11:00:00Z"), "22:00 in winter"),
        ("2026-03-08T07:30:00Z", Some("2026-03-08T11:00:00Z"), "the night in which the clock goes forward"),
        ("2026-11-01T09:59:00Z", Some("2026-11-01T10:00:00Z"), "the night in which it goes back"),
    ];
    for (now, until, why) in cases {
        assert_eq!(held(&daily, now).map(|hold| hold.until), until.map(at), "{why}");
    }
}

#[test]
fn a_time_that_the_clock_leaps_over_is_the_first_moment_after_the_leap() {
    // On 8 March 2026 New York goes from 01:59 straight to 03:00, which is 07:00 in UTC.
    let windows = windows(json!([freeze("30 2 * * *", "1h", "America/New_York")]));
    let cases = [
        ("2026-03-08T06:59:59Z", None),
        ("2026-03-08T07:00:00Z", Some("2026-03-08T08:00:00Z")),
        ("2026-03-08T07:59:59Z", Some("2026-03-08T08:00:00Z")),
        ("2026-03-08T08:00:00Z", None),
        ("2026-03-09T06:30:00Z", Some("2026-03-09T07:30:00Z")),
    ];
    for (now, until) in cases {
        assert_eq!(held(&windows, now).map(|hold| hold.until), until.map(at), "{now}");
    }
}

#[test]
fn a_time_that_the_clock_shows_twice_counts_the_first_time() {
    // On 1 November 2026 New York shows 01:30 at 05:30 and again at 06:30 in UTC.
    let windows = windows(json!([freeze("30 1 * * *", "30m", "America/New_York")]));
    let cases = [
        ("2026-11-01T05:29:59Z", None),
        ("2026-11-01T05:30:00Z", Some("2026-11-01T06:00:00Z")),
        ("2026-11-01T06:00:00Z", None),
        ("2026-11-01T06:30:00Z", None),
        ("2026-11-02T06:30:00Z", Some("2026-11-02T07:00:00Z")),
    ];
    for (now, until) in cases {
        assert_eq!(held(&windows, now).map(|hold| hold.until), until.map(at), "{now}");
    }
}

#[test]
fn with_a_maintenance_window_actions_begin_within_one_alone() {
    let windows = windows(json!([maintenance("0 2 * * SAT", "4h"), {
        "name": "lunch", "kind": "Maintenance", "schedule": "0 12 * * *", "duration": "30m", "rules": ["cordon"],
    }]));
    let cases = [
        ("2026-11-27T12:15:00Z", None, "lunch"),
        ("2026-11-28T05:00:00Z", None, "the night of Saturday"),
        ("2026-11-27T13:00:00Z", Some(("service", "2026-11-28T02:00:00Z")), "in between"),
        ("2026-11-28T06:00:00Z", Some(("lunch", "2026-11-28T12:00:00Z")), "the night is over"),
    ];
    for (now, want, why) in cases {
        let hold = held(&windows, now);
        let got = hold.as_ref().map(|hold| (hold.window.as_str(), hold.until));
        assert_eq!(got, want.map(|(window, until)| (window, at(until))), "{why}");
        assert!(hold.is_none_or(|hold| !hold.frozen), "{why}");
    }
    let hold = held(&windows, "2026-11-27T13:00:00Z").unwrap();
    assert_eq!(hold.message, "no maintenance window is open; the next, \"service\", opens at 2026-11-28T02:00:00Z");
}

#[test]
fn a_freeze_beats_maintenance_and_its_end_is_when_something_may_begin_again() {
    let windows = windows(json!([
        maintenance("0 2 * * *", "4h"),
        freeze("0 3 27 11 *", "2h", "UTC"),
        {"name": "launch", "kind": "Freeze", "schedule": "0 4 27 11 *", "duration": "12h"},
    ]));
    assert_eq!(held(&windows, "2026-11-27T02:30:00Z"), None, "maintenance, before the freeze");
    let hold = held(&windows, "2026-11-27T03:30:00Z").unwrap();
    assert_eq!((hold.window.as_str(), hold.frozen), ("frozen", true));
    assert_eq!(
        hold.until,
        at("2026-11-28T02:00:00Z"),
        "one freeze leads into another, and after that maintenance is waited for"
    );
}

#[test]
fn a_window_is_for_the_rules_and_pools_that_it_names() {
    let open = |rules: Value, pools: Value, pool: Option<&str>| {
        let mut window = freeze("0 0 * * *", "23h", "UTC");
        window["rules"] = rules;
        window["pools"] = pools;
        windows(json!([window])).standing(&rule(), pool, at("2026-11-22T12:00:00Z")).is_some()
    };
    let cases = [
        (json!([]), json!([]), None, true, "all"),
        (json!(["cordon"]), json!([]), None, true, "the rule's name"),
        (json!(["monitoring/cordon"]), json!([]), None, true, "with its namespace"),
        (json!(["sops/cordon"]), json!([]), None, false, "a rule elsewhere"),
        (json!(["drain", "cordon"]), json!([]), None, true, "one of two"),
        (json!([]), json!(["gpu"]), Some("gpu"), true, "the node's pool"),
        (json!([]), json!(["gpu"]), Some("cpu"), false, "another pool"),
        (json!([]), json!(["gpu"]), None, false, "about no node"),
        (json!(["drain"]), json!(["gpu"]), Some("gpu"), false, "the pool, but another rule"),
    ];
    for (rules, pools, pool, want, why) in cases {
        assert_eq!(open(rules, pools, pool), want, "{why}");
    }
}

#[test]
fn a_window_that_cannot_be_is_refused_with_its_field() {
    let with = |field: &str, value: Value| {
        let mut window = freeze("0 22 * * *", "8h", "UTC");
        window[field] = value;
        json!([window])
    };
    let cases = [
        ("schedule", json!("0 22 * *"), "which has 4 fields"),
        ("schedule", json!("0 0 22 * * *"), "which has 6 fields"),
        ("schedule", json!("@daily"), "which has 1 fields"),
        ("schedule", json!("60 22 * * *"), "found \"60\" for the minute"),
        ("schedule", json!("0 24 * * *"), "found \"24\" for the hour"),
        ("schedule", json!("0 MON * * *"), "found \"MON\" for the hour"),
        ("schedule", json!("0 22 0 * *"), "found \"0\" for the day of month"),
        ("schedule", json!("0 22 * 13 *"), "found \"13\" for the month"),
        ("schedule", json!("0 22 * * 8"), "found \"8\" for the day of week"),
        ("schedule", json!("0 22 * * FRIDAY"), "found \"FRIDAY\" for the day of week"),
        ("schedule", json!("0 22 * * 1,,2"), "found \"1,,2\" for the day of week"),
        ("schedule", json!("0 5-1 * * *"), "found \"5-1\" for the hour"),
        ("schedule", json!("*/0 * * * *"), "found \"*/0\" for the minute"),
        ("schedule", json!("0 0 30 2 *"), "never opens"),
        ("schedule", json!("0 0 31 4,6,9,11 *"), "never opens"),
        ("schedule", json!("0 * * * *"), "stays open for more than"),
        ("duration", json!("0s"), "found \"0s\""),
        ("duration", json!("-1h"), "found \"-1h\""),
        ("duration", json!("745h"), "at most 744h"),
        ("timeZone", json!("Mars/Olympus"), "found \"Mars/Olympus\""),
        ("timeZone", json!(""), "found \"\""),
        ("timeZone", json!("../etc/passwd"), "found \"../etc/passwd\""),
        ("pools[0]", json!(null), "one of the pools of spec.pools or \"default\": gpu, cpu, default"),
        ("rules[0]", json!(null), "found \"a/b/c\""),
        ("name", json!(" "), "expected a name"),
    ];
    for (field, value, part) in cases {
        let written = match field {
            "pools[0]" => with("pools", json!(["tpu"])),
            "rules[0]" => with("rules", json!(["a/b/c"])),
            _ => with(field, value.clone()),
        };
        let flaws = compile(written).expect_err(part);
        assert_eq!(flaws.len(), 1, "{value}: {flaws:?}");
        assert!(flaws[0].starts_with(&format!("spec.windows[0].{field}: ")), "{flaws:?}");
        assert!(flaws[0].contains(part), "{part}: {flaws:?}");
    }
    let twice = compile(json!([freeze("0 1 * * *", "1h", "UTC"), freeze("0 2 * * *", "1h", "UTC")])).unwrap_err();
    assert_eq!(twice, ["spec.windows[1].name: found \"frozen\", expected a name that no window before it has"]);
}

#[test]
fn a_leap_day_comes() {
    let windows = windows(json!([freeze("0 0 29 2 *", "24h", "UTC")]));
    assert_eq!(held(&windows, "2028-02-29T12:00:00Z").map(|hold| hold.until), Some(at("2028-03-01T00:00:00Z")));
    assert_eq!(held(&windows, "2026-02-28T12:00:00Z"), None);
}

#[test]
fn a_maintenance_window_that_a_freeze_covers_is_refused() {
    let pair = |freeze: Value, service: Value| compile(json!([freeze, service]));
    let covered = pair(freeze("0 2  * * sat", "4h", "UTC"), {
        let mut service = maintenance("0 2 * * SAT", "4h");
        service["timeZone"] = json!("UTC");
        service
    });
    let flaws = covered.unwrap_err();
    assert!(flaws[0].starts_with("spec.windows[1].schedule: found \"0 2 * * SAT\""), "{flaws:?}");
    assert!(flaws[0].contains("outside of freeze window \"frozen\""), "{flaws:?}");

    let with = |field: &str, value: Value| {
        let mut freeze = json!({"name": "frozen", "kind": "Freeze", "schedule": "0 2 * * SAT", "duration": "4h"});
        freeze[field] = value;
        freeze
    };
    let service = || maintenance("0 2 * * SAT", "4h");
    assert!(pair(with("duration", json!("5h")), service()).is_err(), "a longer freeze");
    assert!(pair(with("duration", json!("3h")), service()).is_ok(), "a shorter freeze leaves an hour");
    assert!(pair(with("rules", json!(["cordon"])), service()).is_ok(), "a freeze of one rule");
    assert!(pair(with("timeZone", json!("Asia/Tokyo")), service()).is_ok(), "a freeze elsewhere");
}

proptest! {
    #[test]
    fn no_schedule_is_too_odd_to_be_read_or_refused(
        schedule in "[0-9*/,#LW?+ -]{0,20}|(\\PC{0,3} ){4}\\PC{0,3}|([0-9*/,LW#-]{1,4} ){4}([0-9*/,L#-]|MON|SUN){1,4}",
        seconds in 0i64..4_000_000_000,
    ) {
        if let Ok(windows) = compile(json!([freeze(&schedule, "1h", "America/New_York")])) {
            let now = Timestamp::from_second(seconds).unwrap();
            if let Some(hold) = windows.standing(&rule(), None, now) {
                prop_assert!(hold.frozen && hold.until > now);
            }
        }
    }

    #[test]
    fn at_the_end_of_a_hold_nothing_holds_and_right_before_it_something_does(
        hour in 0u8..24,
        days in "\\*|[1-5]|1-5|SAT,SUN|2#1",
        hours in 1u8..20,
        other in 0u8..24,
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"]),
        service: bool,
        second in 1_700_000_000i64..1_900_000_000,
    ) {
        let mut all = vec![freeze(&format!("0 {hour} * * {days}"), &format!("{hours}h"), zone), {
            let mut second = freeze(&format!("30 {other} * * *"), "90m", zone);
            second["name"] = json!("second");
            second
        }];
        if service {
            all.push(maintenance(&format!("15 {other} * * *"), "20h"));
        }
        let windows = windows(json!(all));
        let now = Timestamp::from_second(second).unwrap();
        if let Some(hold) = windows.standing(&rule(), None, now) {
            prop_assert!(hold.until > now);
            prop_assert_eq!(windows.standing(&rule(), None, hold.until), None);
            let before = hold.until - jiff::SignedDuration::from_secs(1);
            prop_assert!(windows.standing(&rule(), None, before).is_some());
            prop_assert_eq!(windows.standing(&rule(), None, before).unwrap().until, hold.until);
        }
    }
}
