//! Settings are read as they are written, and nonsense changes nothing.

use super::*;

#[test]
fn what_is_read_can_be_set_and_nonsense_changes_nothing() {
    for setting in SETTINGS {
        let mut settings = Settings::default();
        let was = setting.read(&settings);
        assert_eq!(setting.write(&mut settings, &was), Ok(()), "{:?}", setting.names);
        assert_eq!(settings, Settings::default(), "{:?}", setting.names);
    }
    let mut settings = Settings::default();
    for (name, wrong) in [
        ("workers", "0"),
        ("workers", "many"),
        ("chunk-rows", "1.5"),
        ("lock-timeout", "0"),
        ("lock-timeout", "11min"),
        ("max-load", "many"),
        ("throttle-http", "freno"),
        ("nice", "-1"),
        ("effort", "0"),
        ("effort", "11"),
        ("effort", "own"),
        ("kill-blockers", "maybe"),
        ("window", "at night"),
        ("deadline", "soon"),
        ("replica", "mysql://h2"),
        ("max-lock-waiters", "-1"),
        ("max-lock-waiters", "0.5"),
        ("max-history-list", "1e6"),
        ("min-free-disk", "20"),
        ("min-free-disk", "20%"),
    ] {
        let setting = Setting::named(name).unwrap();
        assert!(setting.write(&mut settings, wrong).is_err(), "{name}={wrong}");
    }
    assert_eq!(settings, Settings::default());
}

#[test]
fn times_are_read_with_a_unit_or_in_milliseconds() {
    let mut settings = Settings::default();
    let lag = Setting::named("max-lag").unwrap();
    lag.write(&mut settings, "2s").unwrap();
    assert_eq!(Setting::named("max-lag-millis").unwrap().read(&settings), "2000");
    Setting::named("max-lag-millis").unwrap().write(&mut settings, "1500").unwrap();
    assert_eq!(lag.read(&settings), "1s500ms");
}

#[test]
fn a_replica_of_the_start_keeps_its_login_and_an_order_holds_none() {
    let first = NamedReplica { address: "h1:3306".into(), url: Some("mysql://me@h1".into()) };
    let mut settings = Settings {
        replicas: vec![first.clone()],
        replicas_at_start: vec![first.clone()],
        ..Settings::default()
    };
    let setting = Setting::named("throttle-control-replicas").unwrap();
    setting.write(&mut settings, "h2:3307").unwrap();
    assert_eq!(setting.read(&settings), "h2:3307");
    assert_eq!(settings.replicas[0].url, None);
    setting.write(&mut settings, "h1:3306, h2:3307").unwrap();
    assert_eq!(settings.replicas[0], first);
    setting.write(&mut settings, "").unwrap();
    assert_eq!(settings.replicas, Vec::new());
}

#[test]
fn no_two_settings_share_a_name() {
    let names: Vec<&str> = SETTINGS.iter().flat_map(|setting| setting.names).copied().collect();
    let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
}
