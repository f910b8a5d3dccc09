//! Every operation, called by everybody: the table of rules, seen from outside.

use serde_json::{Value, json};
use stoa_api::access::{RULES, Rule, Who};
use stoa_identity::access::{Permission, Permissions, Role};

use crate::app::{Answer, App, TOKEN};
use crate::on_both;
use crate::people::Person;

on_both! {
    every_operation_is_for_those_whom_the_table_names
}

/// What would end the test for whoever is let in: it comes last.
fn is_final(rule: &Rule) -> bool {
    rule.path.ends_with("/leave") || rule.path.ends_with("/archive")
}

/// The address of an operation: of this organization, and of things that there are not.
fn address(rule: &Rule, organization: &str) -> String {
    let parts = rule.path.split('/').map(|part| match part {
        "{organization}" => organization.to_owned(),
        "{session}" => "ses_0000000000001".to_owned(),
        "{passkey}" => "fct_0000000000001".to_owned(),
        "{link}" => "lnk_0000000000001".to_owned(),
        "{member}" => "mem_0000000000001".to_owned(),
        "{invitation}" => "inv_0000000000001".to_owned(),
        "{key}" => "key_0000000000001".to_owned(),
        "{hook}" => "hok_0000000000001".to_owned(),
        "{notification}" => "ntf_0000000000001".to_owned(),
        "{template}" => "role_changed".to_owned(),
        "{channel}" => "email".to_owned(),
        "{webhook}" => "whe_0000000000001".to_owned(),
        "{delivery}" => "whd_0000000000001".to_owned(),
        "{source}" => "hks_0000000000001".to_owned(),
        "{run}" => "run_0000000000001".to_owned(),
        "{schedule}" => "sch_0000000000001".to_owned(),
        "{provider}" => "idp_0000000000001".to_owned(),
        "{user}" => "usr_0000000000001".to_owned(),
        "{flag}" => "nothing".to_owned(),
        "{role}" => "owner".to_owned(),
        "{permission}" => "audit:read".to_owned(),
        "{signal}" => "nothing".to_owned(),
        other => other.to_owned(),
    });
    let path = parts.collect::<Vec<_>>().join("/");
    // A parameter that nobody knows, so that nothing is done by those who are let in.
    match (rule.method, rule.path) {
        ("DELETE", "/v1/me/sessions") | ("GET", "/v1/events/stream" | "/v1/notifications/stream") => {
            format!("{path}?nothing=1")
        }
        _ => path,
    }
}

fn call(app: &App, rule: &Rule, token: &str, organization: &str, named: bool) -> Answer {
    let bearer = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
    let header = if named { organization } else { "" };
    let headers = [("Authorization", bearer.as_str()), ("Stoa-Organization", header)];
    app.with(
        rule.method,
        &address(rule, organization),
        &headers,
        if rule.method == "GET" { "" } else { "[]" },
    )
}

fn code(answer: &Answer) -> String {
    if answer.status < 400 { String::new() } else { answer.problem() }
}

/// Whether the rule let somebody in: whatever the operation itself then said.
fn is_in(answer: &Answer) -> bool {
    !["not_authenticated", "forbidden", "mfa_pending", "organization_not_found", "organization_required"]
        .contains(&code(answer).as_str())
}

fn has(role: Role, rule: &Rule) -> bool {
    rule.who.permission().is_some_and(|permission| Permissions::of(role, []).has(permission))
}

fn rules() -> Vec<&'static Rule> {
    let mut rules: Vec<_> = RULES.iter().collect();
    rules.sort_by_key(|rule| is_final(rule));
    rules
}

/// Somebody with each role, and a key of theirs with everything that an admin may do: made before the role was given.
fn cast(app: &App, owner: &Person) -> Vec<(Role, Person, String)> {
    let scopes: Vec<&str> = Permission::ALL
        .iter()
        .filter(|one| Permissions::of(Role::Admin, []).has(**one))
        .map(|one| one.name())
        .collect();
    let made = Role::ALL.into_iter().map(|role| {
        let email = format!("the-{role}@example.org");
        let person = app.invited(owner, &email, "admin");
        let key = app.as_person(&person, "POST", "/v1/api-keys", &json!({"name": "key", "scopes": scopes}));
        let key = key.json()["key"].as_str().unwrap_or_else(|| panic!("{}", key.text)).to_owned();
        let members = app.as_person(owner, "GET", "/v1/members?limit=100", &Value::Null).json();
        let member = members["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["userId"] == person.user.as_str())
            .unwrap()["id"]
            .clone();
        let path = format!("/v1/members/{}", member.as_str().unwrap());
        let changed = app.as_person(owner, "PATCH", &path, &json!({"role": role.name()}));
        assert_eq!(changed.status, 200, "{}", changed.text);
        (role, person, key)
    });
    made.collect()
}

fn every_operation_is_for_those_whom_the_table_names(app: &App) {
    let owner = app.owner();
    let organization = owner.organization.clone();
    let cast = cast(app, &owner);
    let stranger = app.invited(&owner, "stranger@example.org", "guest");
    let members = app.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let of = |user: &str| {
        members["items"].as_array().unwrap().iter().find(|one| one["userId"] == user).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        app.as_person(&owner, "DELETE", &format!("/v1/members/{}", of(&stranger.user)), &Value::Null).status,
        204
    );
    app.founded(&stranger, "elsewhere");
    let pending = app.invited(&owner, "pending@example.org", "admin");
    app.enrolled(&pending);
    let pending = Person::of(&app.sign_in("pending@example.org"));

    let mut wrong = Vec::new();
    let mut expect = |who: &str, rule: &Rule, answer: &Answer, holds: bool| {
        if !holds {
            wrong.push(format!(
                "{who}: {} {} answered {} {}",
                rule.method,
                rule.path,
                answer.status,
                code(answer)
            ));
        }
    };
    for rule in rules() {
        let answer = call(app, rule, "", &organization, true);
        let holds = if rule.who == Who::Anyone {
            is_in(&answer) || rule.path.contains("/auth/")
        } else {
            code(&answer) == "not_authenticated"
        };
        expect("nobody", rule, &answer, holds);
        for forged in ["stoa_00000000_x", "a.b.c", "Bearer"] {
            let answer = call(app, rule, forged, &organization, true);
            expect(forged, rule, &answer, rule.who == Who::Anyone || code(&answer) == "not_authenticated");
        }
        if rule.who == Who::Anyone || is_final(rule) {
            continue;
        }
        let answer = call(app, rule, &pending.token, &organization, true);
        let holds = if rule.who == Who::Pending { is_in(&answer) } else { code(&answer) == "mfa_pending" };
        expect("a pending session", rule, &answer, holds);

        let answer = call(app, rule, &stranger.token, &organization, true);
        let holds = match rule.who {
            Who::Member(_) | Who::MemberOrInstallation(_) => code(&answer) == "organization_not_found",
            Who::Installation => code(&answer) == "forbidden",
            _ => is_in(&answer),
        };
        expect("a member of another organization", rule, &answer, holds);

        let answer = call(app, rule, TOKEN, "org_0000000000001", false);
        let holds = match rule.who {
            Who::Person | Who::Pending => code(&answer) == "forbidden",
            Who::Member(_) => {
                ["organization_required", "organization_not_found"].contains(&code(&answer).as_str())
            }
            // What it is let in to may not be there, or not be named.
            _ => {
                is_in(&answer)
                    || ["organization_not_found", "organization_required"].contains(&code(&answer).as_str())
            }
        };
        expect("the operator", rule, &answer, holds);
    }
    for rule in rules() {
        for (role, person, key) in &cast {
            if rule.who == Who::Anyone || (is_final(rule) && *role != Role::Guest && has(*role, rule)) {
                continue;
            }
            for (kind, token) in [("key", key), ("person", &person.token)] {
                let is_key = kind == "key";
                let answer = call(app, rule, token, &organization, false);
                let holds = match rule.who {
                    Who::Known => is_in(&answer),
                    Who::Installation => code(&answer) == "forbidden",
                    Who::Person | Who::Pending | Who::PersonOrInstallation => is_in(&answer) != is_key,
                    // A key has no more than an admin had when it was made, and no more than its maker has now.
                    _ if is_key && !has(Role::Admin, rule) => code(&answer) == "forbidden",
                    _ if !has(*role, rule) => code(&answer) == "forbidden",
                    _ if is_key && rule.is_fresh => code(&answer) == "forbidden",
                    // Some of what is allowed is for people all the same.
                    _ => is_in(&answer) || (is_key && answer.text.contains("people")),
                };
                expect(&format!("{kind} of a {role}"), rule, &answer, holds);
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are not those of the table:\n{}", wrong.len(), wrong.join("\n"));
}
