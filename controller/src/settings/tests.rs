//! The promises of the settings: precedence, and errors that name key, found and expected.

use super::*;

fn load(arguments: &[&str], file: &str) -> Result<Settings, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, file).unwrap();
    let config = format!("--config={}", path.display());
    Settings::from_arguments(["aegis-controller", &config].into_iter().chain(arguments.iter().copied()))
}

#[test]
fn the_defaults_are_those_of_the_compatible_system() {
    let settings = Settings::default();
    assert_eq!(settings.listen().port(), 8080);
    assert_eq!(settings.alert.publish_namespace, "monitoring");
    assert_eq!(settings.alert.ttl_after_success.as_secs(), 172_800);
    assert_eq!(settings.alert.ttl_after_failure.as_secs(), 345_600);
    assert_eq!(settings.alert.ttl_after_no_ops.as_secs(), 86_400);
    assert_eq!(settings.alert.stale_after.as_secs(), 24 * 3600);
    assert_eq!(settings.http.body_limit, 4 << 20);
    assert!(!settings.dry_run);
}

#[test]
fn a_flag_comes_before_the_file_and_the_file_before_the_default() {
    let file = "alert:\n  stale-after: 3h\n  settle-window: 90\nrule-namespaces: [a, b]\ndry-run: true\n";
    let settings = load(&["--alert.stale-after=5h"], file).unwrap();
    assert_eq!(settings.alert.stale_after, Duration::from_secs(5 * 3600));
    assert_eq!(settings.alert.settle_window, Duration::from_secs(90));
    assert_eq!(settings.alert.repeat_window, Duration::from_secs(60));
    assert_eq!(settings.rule_namespaces, ["a", "b"]);
    assert!(settings.dry_run);
}

#[test]
fn a_list_given_by_flag_replaces_that_of_the_file() {
    let settings = load(&["--rule-namespaces=c"], "rule-namespaces: [a, b]").unwrap();
    assert_eq!(settings.rule_namespaces, ["c"]);
}

#[test]
fn dotted_and_nested_keys_and_old_names_mean_the_same() {
    for file in ["alert.ttl-after-success: 60", "alert: {ttl-after-success: 60}", "alert:\n  ttl-after-succeed: 1m"] {
        assert_eq!(load(&[], file).unwrap().alert.ttl_after_success.as_secs(), 60, "{file}");
    }
}

#[test]
fn system_parameters_are_read_in_the_old_form_and_as_a_mapping() {
    let want: SystemParameters =
        [("cluster", "c1"), ("url", "http://x:1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
    let by_flag = load(&["--alert.system-parameters=cluster:c1;url:http://x:1"], "").unwrap();
    assert_eq!(by_flag.alert.system_parameters, want);
    let by_file = load(&[], "alert: {system-parameters: {cluster: c1, url: 'http://x:1'}}").unwrap();
    assert_eq!(by_file.alert.system_parameters, want);
}

#[test]
fn the_list_of_models_of_an_old_config_file_is_no_error() {
    load(&[], "ai:\n  providers:\n  - {name: openai, model: m, password: p, baseUrl: http://x}").unwrap();
}

#[test]
fn a_wrong_file_is_refused_with_key_found_and_expected() {
    let cases = [
        ("alert: {stale-aftr: 1h}", "unknown key alert.stale-aftr"),
        ("alert: {stale-after: soon}", "alert.stale-after: found \"soon\"; expected a duration"),
        ("alert: {stale-after: -1h}", "alert.stale-after: found \"-1h\"; expected a duration"),
        ("http: {body-limit: 4 MB}", "http.body-limit: found \"4 MB\"; expected a size"),
        ("http: {listen: 8080}", "http.listen: found 8080; expected an IP address and a port"),
        ("http: {prefix: aegis}", "http.prefix: found \"aegis\"; expected a path"),
        ("alert: {publish-namespace: A_b}", "alert.publish-namespace: found \"A_b\"; expected a namespace's name"),
        ("alert: {system-parameters: x}", "alert.system-parameters: found \"x\"; expected key:value"),
        ("alert: {system-parameters: {a: [1]}}", "alert.system-parameters: found"),
        ("rule-namespaces: [a, B]", "rule-namespaces: found [\"a\",\"B\"]; expected a namespace's name"),
        ("log: {format: xml}", "log.format: found \"xml\"; expected one of: text, json"),
        ("log: {level: loud=7}", "log.level: found"),
        ("dry-run: perhaps", "dry-run: found \"perhaps\"; expected one of: true, false"),
        ("workers: 0", "workers: found 0; expected a number from 1"),
        ("config: other.yaml", "unknown key config"),
        ("workers:", "workers: found null; expected a single value"),
        ("- a", "is not a YAML mapping"),
        ("a: b: c", "is not a YAML mapping"),
        ("lease: {renew-deadline: 20s}", "lease.renew-deadline is 20s; expected less than lease.duration"),
        ("lease: {retry-period: 10s}", "lease.retry-period is 10s; expected more than 0 and less than"),
    ];
    for (file, want) in cases {
        let error = load(&[], file).expect_err(file).to_string();
        assert!(error.contains(want), "{file:?} says {error:?}, wanted {want:?}");
    }
}

#[test]
fn a_wrong_flag_is_refused_by_name_with_what_is_expected() {
    let cases = [
        (vec!["--alert.stale-after=x"], "--alert.stale-after"),
        (vec!["--http.tls-cert-file=a"], "--http.tls-key-file"),
        (vec!["--no-such-flag"], "--no-such-flag"),
    ];
    for (arguments, want) in cases {
        let error = load(&arguments, "").unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_config_file_that_is_missing_is_an_error() {
    let error = Settings::from_arguments(["aegis-controller", "--config=/nonexistent/x.yaml"]).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.yaml"), "{error}");
}

#[test]
fn every_setting_has_a_variable_that_is_its_name_in_capitals() {
    for argument in Settings::command().get_arguments().filter(|argument| argument.get_id() != "help") {
        let Some(long) = argument.get_long().filter(|long| *long != "version") else { continue };
        let variable = format!("AEGIS_{}", long.to_uppercase().replace(['.', '-'], "_"));
        assert_eq!(argument.get_env().and_then(|env| env.to_str()), Some(variable.as_str()));
        assert!(argument.get_help().is_some(), "{long} is explained");
    }
}

#[test]
fn only_the_publish_namespace_and_those_listed_are_trusted() {
    let plain = Settings::default();
    assert!(plain.trusts("monitoring") && !plain.trusts("team-a"));
    let some = load(&["--rule-namespaces=team-a"], "").unwrap();
    assert!(some.trusts("monitoring") && some.trusts("team-a") && !some.trusts("team-b"));
    assert!(load(&["--rule-namespaces=*"], "").unwrap().trusts("team-b"));
}

#[test]
fn who_asks_for_another_controller_gives_file_and_flags_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "rule-namespaces: [a, b]\nalert: {repeat-window: 5m}\n").unwrap();
    let config = format!("--config={}", path.display());
    let settings = Settings::from_arguments_alone(["aegis-controller", &config, "--rule-namespaces=c"]).unwrap();
    assert_eq!(settings.rule_namespaces, ["c"]);
    assert_eq!(settings.alert.repeat_window, Duration::from_secs(300));
    std::fs::write(&path, "rule-namespaces: [A]").unwrap();
    let wrong = Settings::from_arguments_alone(["aegis-controller", &config]).unwrap_err().to_string();
    assert!(wrong.contains("rule-namespaces") && wrong.contains("a-z"), "{wrong}");
}

#[test]
fn the_lease_of_an_earlier_version_is_another_one() {
    let error = load(&["--lease.name=x", "--lease.predecessor=x"], "").unwrap_err().to_string();
    assert!(error.starts_with("lease.predecessor is x; expected another Lease than lease.name"), "{error}");
    assert_eq!(load(&[], "lease: {predecessor: old}").unwrap().lease.predecessor.as_deref(), Some("old"));
}
