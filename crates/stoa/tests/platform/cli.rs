//! The commands that ask a running platform.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::app::{App, TOKEN, looks, stoa};
use crate::people::{PASSWORD, Person};

fn run(app: &App, words: &[&str], input: &str) -> Output {
    let mut command = stoa(app.folder.path());
    command
        .args(words)
        .arg("--credentials")
        .arg(app.folder.path().join("login.json"))
        .env("STOA_URL", format!("http://{}", app.address()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(app: &App, words: &[&str]) -> Value {
    let output = run(app, &[words, &["--json"]].concat(), "");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn failed(app: &App, words: &[&str], input: &str) -> (i32, String) {
    let output = run(app, words, input);
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_organization_is_run_from_the_command_line() {
    let app = App::embedded();
    app.owner();
    let (status, said) = failed(&app, &["org", "list"], "");
    assert!(status == 1 && said.contains("stoa login"), "{said}");
    let (status, said) = failed(&app, &["login", "--password-stdin", "owner@example.org"], "wrong\n");
    assert!(status == 1 && said.contains("invalid_credentials"), "{said}");
    let signed_in = run(&app, &["login", "--password-stdin", "owner@example.org"], &format!("{PASSWORD}\n"));
    assert!(String::from_utf8_lossy(&signed_in.stdout).contains("as owner@example.org"), "{signed_in:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(app.folder.path().join("login.json")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "the login is for its user alone");
    assert_eq!(out(&app, &["user", "me"])["email"], "owner@example.org");
    let made = out(&app, &["org", "create", "south-wind", "--name", "South Wind"]);
    assert_eq!(out(&app, &["org", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(out(&app, &["org", "show", "south-wind"])["name"], "South Wind");
    let invited =
        out(&app, &["invite", "create", "ann@example.org", "--role", "viewer", "--org", "south-wind"]);
    assert_eq!(invited["link"], Value::Null);
    let secret = app.letter("ann@example.org", "invitation");
    let body = json!({"email": "ann@example.org", "password": PASSWORD, "invitation": secret});
    let ann = Person::of(&app.nobody("/v1/auth/register", &body));
    let members = out(&app, &["member", "list", "--org", "south-wind"]);
    let member =
        members.as_array().unwrap().iter().find(|one| one["userId"] == ann.user.as_str()).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
    assert_eq!(out(&app, &["member", "role", &member, "admin", "--org", "south-wind"])["role"], "admin");
    let key = out(&app, &["key", "create", "nightly", "--scope", "members:read", "--org", "south-wind"]);
    assert_eq!(
        out(&app, &["member", "list", "--token", key["key"].as_str().unwrap()]).as_array().unwrap().len(),
        2
    );
    let id = key["id"].as_str().unwrap();
    assert_ne!(out(&app, &["key", "rotate", id, "--org", "south-wind"])["key"], key["key"]);
    assert!(out(&app, &["key", "revoke", id, "--org", "south-wind"])["revokedAt"].is_string());
    assert_eq!(
        out(&app, &["flag", "set", "x", "--on", "--percentage", "100", "--org", "south-wind"])["on"],
        true
    );
    assert_eq!(out(&app, &["flag", "list", "--org", "south-wind"]).as_array().unwrap().len(), 1);
    assert_eq!(out(&app, &["audit", "verify", "--org", "south-wind"])["intact"], true);
    let entries = out(&app, &["audit", "list", "--action", "flag.", "--org", "south-wind"]);
    assert_eq!(entries.as_array().unwrap().len(), 1);
    let exported = run(&app, &["audit", "export", "--csv", "--org", "south-wind"], "");
    assert!(String::from_utf8_lossy(&exported.stdout).starts_with("sequence,time"));
    let table = run(&app, &["session", "list"], "");
    assert!(String::from_utf8_lossy(&table.stdout).contains("Stoa command line on Linux"), "{table:?}");
    assert_eq!(out(&app, &["user", "list", "--token", TOKEN]).as_array().unwrap().len(), 2);
    assert_eq!(
        out(&app, &["org", "plan", made["id"].as_str().unwrap(), "team", "--token", TOKEN])["plan"],
        "team"
    );
    let (status, said) =
        failed(&app, &["key", "create", "x", "--scope", "nothing", "--org", "south-wind"], "");
    assert!(status == 1 && said.contains("/scopes") && said.contains("no permission"), "{said}");
    let (status, said) = failed(&app, &["org", "list", "--url", "http://127.0.0.1:9"], "");
    assert!(status == 1 && said.contains("does not answer") && said.contains("stoa serve"), "{said}");
    assert!(run(&app, &["logout"], "").status.success());
    assert_eq!(failed(&app, &["org", "list"], "").0, 1);
    assert!(!app.folder.path().join("login.json").exists());
}

#[test]
fn notifications_are_read_and_chosen_from_the_command_line() {
    let app = App::embedded();
    let owner = app.owner();
    app.invited(&owner, "ada@example.org", "member");
    let with = |words: &[&str]| out(&app, &[words, &["--token", owner.token.as_str()]].concat());
    let told = looks()
        .map(|()| with(&["notification", "list", "--unread"]))
        .find(|told| told[0]["id"].is_string())
        .unwrap();
    assert_eq!(
        (&told[0]["template"], &with(&["notification", "count"])["unread"]),
        (&json!("member_joined"), &json!(1))
    );
    with(&["notification", "read", told[0]["id"].as_str().unwrap()]);
    assert_eq!(with(&["notification", "read"])["count"], 0);
    assert_eq!(with(&["notification", "digest", "hourly"])["digest"], "hourly");
    assert!(with(&["notification", "mute", &app.later()])["muteUntil"].is_string());
    assert_eq!(with(&["notification", "unmute"]), json!({"muteUntil": null, "digest": "hourly"}));
    with(&["notification", "prefer", "member_joined", "email", "on"]);
    let chosen = with(&["notification", "preferences"]);
    let own = |one: &&Value| one["template"] == "member_joined" && one["channel"] == "email";
    assert_eq!(chosen.as_array().unwrap().iter().find(own).unwrap()["on"], true);
    assert_eq!(out(&app, &["notification", "letters", "--token", TOKEN]), json!([]));
}

#[test]
fn webhooks_and_events_are_looked_after_from_the_command_line() {
    let app = App::with_settings(None, &[("STOA_OUTBOUND__ALLOWED_NETWORKS", "127.0.0.1/32")]);
    app.organization("acme");
    let with = |words: &[&str]| out(&app, &[words, &["--token", TOKEN, "--org", "acme"]].concat());
    let made = with(&[
        "webhook",
        "create",
        "http://127.0.0.1:9/stoa",
        "--event",
        "member.*",
        "--header",
        "X-Token=t",
    ]);
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["events"], &made["headers"]), (&json!(["member.*"]), &json!(["X-Token"])));
    assert_ne!(with(&["webhook", "rotate", id])["secret"], made["secret"]);
    assert_eq!(with(&["webhook", "set", id, "--description", "ERP", "--timeout-s", "9"])["timeoutS"], 9);
    assert_eq!(with(&["webhook", "disable", id])["disabledReason"], "manual");
    assert_eq!(with(&["webhook", "enable", id])["isActive"], true);
    assert_eq!(with(&["webhook", "list"]).as_array().unwrap().len(), 1);
    let sent = with(&["webhook", "test", id]);
    assert_eq!(with(&["webhook", "delivery", sent["id"].as_str().unwrap()])["type"], "webhook.test");
    assert_eq!(with(&["webhook", "deliveries", id]).as_array().unwrap().len(), 1);
    let source = with(&["webhook", "add-source", "shop", "--kind", "github"]);
    assert_eq!(with(&["webhook", "sources"])[0]["id"], source["id"]);
    with(&["webhook", "remove-source", source["id"].as_str().unwrap()]);
    with(&["webhook", "remove", id]);
    let told = with(&["event", "list", "--type", "webhook.created,webhook.removed"]);
    assert_eq!(told.as_array().unwrap().len(), 2);
    assert!(with(&["event", "types"]).as_array().unwrap().iter().any(|kind| kind["type"] == "hook.received"));
    let consumers = out(&app, &["event", "consumers", "--token", TOKEN]);
    assert!(consumers.as_array().unwrap().iter().any(|one| one["name"] == "webhooks"), "{consumers}");
    let first = with(&["event", "list"])[0]["eventId"].as_str().unwrap().to_owned();
    let follow = ["event", "follow", "--after", &first, "--count", "2", "--token", TOKEN, "--org", "acme"];
    let followed = run(&app, &follow, "");
    let lines = String::from_utf8(followed.stdout).unwrap();
    assert!(lines.lines().count() == 2 && lines.contains("  webhook.created  webhook/"), "{lines}");
    let rebuilt = out(&app, &["events", "rebuild", "activity", "--token", TOKEN]);
    assert_eq!(rebuilt["name"], "activity");
    let projections = out(&app, &["event", "projections", "--token", TOKEN]);
    assert_eq!(projections[0]["name"], "activity");
    let mut counted = looks().map(|()| with(&["event", "activity", "--type", "webhook.removed"]));
    assert_eq!(counted.find(|rows| rows != &json!([])).unwrap()[0]["events"], 1);
    let (code, said) =
        failed(&app, &["event", "follow", "--after", "nothing", "--token", TOKEN, "--org", "acme"], "");
    assert!(code == 2 && said.contains("--after"), "{code} {said}");
    let (code, said) =
        failed(&app, &["webhook", "create", "http://127.0.0.1:9/", "--header", "bad", "--token", TOKEN], "");
    assert!(code == 2 && said.contains("NAME=VALUE"), "{code} {said}");
}

#[test]
fn runs_are_started_and_steered_from_the_command_line() {
    let app = App::embedded();
    app.organization("acme");
    let with = |words: &[&str]| out(&app, &[words, &["--token", TOKEN, "--org", "acme"]].concat());
    assert!(with(&["run", "workflows"]).as_array().unwrap().iter().any(|one| one["name"] == "probe"));
    let started =
        with(&["run", "start", "probe", "--input", r#"{"steps": 2, "approval": true}"#, "--key", "k"]);
    let id = started["id"].as_str().unwrap();
    with(&["run", "signal", id, "approve", "--payload", r#"{"by": "Ada"}"#]);
    let done = looks().map(|()| with(&["run", "show", id])).find(|run| run["state"] == "completed");
    assert_eq!(done.unwrap()["output"], json!({"signal": {"by": "Ada"}}));
    let fork = with(&["run", "fork", id, "step-2"]);
    with(&["run", "cancel", fork["id"].as_str().unwrap()]);
    assert_eq!(with(&["run", "list", "--workflow", "probe"]).as_array().unwrap().len(), 2);
    let (code, said) = failed(&app, &["run", "retry", id, "--token", TOKEN, "--org", "acme"], "");
    assert!(code != 0 && said.contains("wrong_state"), "{code} {said}");
}

#[test]
fn schedules_are_made_and_looked_after_from_the_command_line() {
    let app = App::embedded();
    app.organization("acme");
    let with = |words: &[&str]| out(&app, &[words, &["--token", TOKEN, "--org", "acme"]].concat());
    let preview = with(&["schedule", "preview", "--cron", "0 9 * * MON-FRI", "--time-zone", "Europe/Berlin"]);
    assert_eq!(preview["fires"].as_array().unwrap().len(), 10);
    let made = with(&[
        "schedule",
        "create",
        "close",
        "probe",
        "--every-s",
        "3600",
        "--payload",
        r#"{"result": 1}"#,
        "--overlap",
        "queue",
    ]);
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["everyS"], &made["overlap"]), (&json!(3_600), &json!("queue")));
    assert_eq!(with(&["schedule", "set", id, "--cron", "@daily", "--misfire", "skip"])["cron"], "@daily");
    assert!(with(&["schedule", "pause", id])["pausedAt"].is_string());
    assert!(with(&["schedule", "resume", id])["nextAt"].is_string());
    let job = with(&["schedule", "run", id]);
    assert!(job["id"].as_str().unwrap().starts_with("job_"));
    assert_eq!(with(&["schedule", "show", id])["lastJobId"], job["id"]);
    assert_eq!(with(&["schedule", "preview", id])["fires"].as_array().unwrap().len(), 10);
    assert_eq!(with(&["schedule", "list"]).as_array().unwrap().len(), 1);
    with(&["schedule", "remove", id]);
    assert_eq!(with(&["schedule", "list"]), json!([]));
    let (code, said) = failed(
        &app,
        &["schedule", "create", "x", "probe", "--cron", "@daily", "--every-s", "5", "--token", TOKEN],
        "",
    );
    assert_eq!(code, 2, "{said}");
}

#[test]
fn jobs_are_asked_for_and_looked_after_from_the_command_line() {
    let app = App::embedded();
    app.organization("acme");
    let with = |words: &[&str]| out(&app, &[words, &["--token", TOKEN, "--org", "acme"]].concat());
    let kinds = with(&["job", "kinds"]);
    assert!(kinds.as_array().unwrap().iter().any(|kind| kind["name"] == "probe"));
    for payload in [r#"{"result": 1}"#, r#"{"fail": "for_good"}"#] {
        let asked = with(&[
            "job",
            "submit",
            "probe",
            "--payload",
            payload,
            "--batch-key",
            "a b",
            "--priority",
            "high",
        ]);
        assert_eq!((&asked["state"], &asked["priority"]), (&json!("queued"), &json!("high")));
    }
    let batch = with(&["job", "batch", "a b", "--wait-s", "20"]);
    assert_eq!((&batch["completed"], &batch["failed"]), (&json!(1), &json!(1)));
    let letters = with(&["dlq", "list", "--reason", "refused"]);
    let id = letters[0]["id"].as_str().unwrap();
    assert_eq!(with(&["dlq", "show", id])["reason"], "refused");
    with(&["dlq", "replay", id, "--payload", r#"{"result": 2}"#]);
    assert_eq!(with(&["job", "batch", "a b", "--wait-s", "20"])["completed"], 2);
    assert_eq!(with(&["job", "show", id])["result"], 2);
    assert_eq!(
        with(&["job", "list", "--state", "completed", "--kind", "probe"]).as_array().unwrap().len(),
        2
    );
    let run_at = app.later();
    let later =
        with(&["job", "submit", "probe", "--run-at", &run_at, "--order-key", "a", "--dedupe-key", "b"]);
    with(&["job", "cancel", later["id"].as_str().unwrap()]);
    assert_eq!(with(&["dlq", "replay"])["count"], 0);
    assert_eq!(with(&["dlq", "discard", "--kind", "probe"])["count"], 0);
    let operator = |words: &[&str]| out(&app, &[words, &["--token", TOKEN]].concat());
    assert!(operator(&["queue", "pause", "default"])["pausedAt"].is_string());
    assert_eq!(operator(&["queue", "limit", "default", "5"])["concurrencyMax"], 5);
    assert_eq!(operator(&["queue", "limit", "default"])["concurrencyMax"], json!(null));
    assert_eq!(operator(&["queue", "resume", "default"])["pausedAt"], json!(null));
    assert_eq!(operator(&["queue", "drain", "default"])["count"], 0);
    assert_eq!(operator(&["queue", "list"])[0]["name"], "default");
    let (status, said) = failed(&app, &["job", "submit", "probe", "--payload", "{", "--token", TOKEN], "");
    assert!(status == 2 && said.contains("not JSON"), "{status} {said}");
}
