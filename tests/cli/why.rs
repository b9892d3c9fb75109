//! `why`.

use serde_json::json;

use super::world::{configuration, world};

#[test]
fn the_broken_link_is_found_and_mended() {
    let world = world();
    world.namespace("why");
    let mut broken = configuration("why", "sample");
    broken["status"] = json!({"phase": "NotReady", "targetFound": true});
    world.create(&broken);
    let run = world.run(&["why", "bc/sample", "-n", "why"]);
    assert_eq!(run.code, 0, "{}", run.all());
    assert!(
        run.out
            .starts_with("BackupConfiguration why/sample is not all right\n"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("Cause: no KubeStash operator is installed")
            && run.out.contains("Fix:   `kubectl kubestash install` installs it"),
        "{}",
        run.out
    );
    for words in [&["why", "bc", "sample"][..], &["why", "sample"]] {
        let args: Vec<&str> = words.iter().copied().chain(["-n", "why", "-o", "json"]).collect();
        let json = world.run(&args);
        let answer = &world.valid("why", &json.out)[0];
        assert_eq!(answer["health"], "broken");
        assert_eq!(answer["chain"][0]["object"]["name"], "sample");
    }
}

#[test]
fn every_kind_has_an_answer_and_what_is_missing_is_said() {
    let world = world();
    world.namespace("why-kinds");
    world.create(
        &json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": "keep", "namespace": "why-kinds"}, "spec": {"maxRetentionPeriod": "1d"}}),
    );
    world.create(&configuration("why-kinds", "sample"));
    let run = world.run(&["why", "retentionpolicy/keep", "-n", "why-kinds"]);
    assert!(
        run.out.contains("is all right") && run.out.contains("used by BackupConfiguration why-kinds/sample"),
        "{}",
        run.all()
    );
    let run = world.run(&["why", "nobody", "-n", "why-kinds"]);
    assert_eq!(run.code, 6, "{}", run.all());
    assert!(
        run.err.contains("hint: `kubectl get kubestash -n why-kinds`"),
        "{}",
        run.err
    );
    let run = world.run(&["why", "pod/x", "-n", "why-kinds"]);
    assert_eq!(run.code, 2, "{}", run.all());
    let run = world.run(&["why", "bc/sample", "-n", "why-kinds", "--as", "nobody"]);
    assert_eq!(run.code, 8, "{}", run.all());
}
