//! What each command asks, and which columns of the answer people see.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::ask::{Answer, Api};
use super::table::{list, table};
use super::{events, notifications, runs, schedules, webhooks, work};
use crate::cli::client::{
    AuditCommand, Client, ClientCommand, FlagCommand, InviteCommand, KeyCommand, MemberCommand, OrgCommand,
    SessionCommand, UserCommand,
};
use crate::failure::{Exit, Failure};

/// A question: how, where, with what, and the columns of a list.
pub(super) struct Question {
    method: Method,
    path: String,
    body: Option<Value>,
    columns: &'static [&'static str],
}

pub(super) fn get(path: impl Into<String>, columns: &'static [&'static str]) -> Question {
    Question { method: Method::GET, path: path.into(), body: None, columns }
}

pub(super) fn act(method: Method, path: impl Into<String>, body: Option<Value>) -> Question {
    Question { method, path: path.into(), body, columns: &[] }
}

/// Asks what a command says, and prints the answer.
pub(super) fn run(command: &ClientCommand) -> Result<Exit, Failure> {
    let client = command.client();
    let question = match command {
        ClientCommand::Org { what, .. } => org(what),
        ClientCommand::User { what, .. } => user(what),
        ClientCommand::Member { what, .. } => member(what),
        ClientCommand::Invite { what, .. } => invite(what),
        ClientCommand::Key { what, .. } => key(what),
        ClientCommand::Session { what, .. } => session(what),
        ClientCommand::Flag { what, .. } => flag(what),
        ClientCommand::Audit { what, .. } => audit(what),
        ClientCommand::Job { what, .. } => work::job(what)?,
        ClientCommand::Dlq { what, .. } => work::dlq(what)?,
        ClientCommand::Queue { what, .. } => work::queue(what),
        ClientCommand::Notification { what, .. } => notifications::notification(what),
        ClientCommand::Event { what, .. } => match events::event(what) {
            Some(question) => question,
            None => return events::follow(client, what),
        },
        ClientCommand::Webhook { what, .. } => webhooks::webhook(what)?,
        ClientCommand::Run { what, .. } => runs::run(what)?,
        ClientCommand::Schedule { what, .. } => schedules::schedule(what)?,
        ClientCommand::Login { .. } | ClientCommand::Logout { .. } => return Ok(Exit::Clean),
    };
    let mut api = Api::open(client)?;
    let answer = all(&mut api, client, &question)?;
    show(client, &question, &answer)
}

/// Asks page by page, where the answer is a list.
fn all(api: &mut Api, client: &Client, question: &Question) -> Result<Answer, Failure> {
    let mut answer = api.ask(client, &question.method, &question.path, question.body.as_ref())?;
    let more = |body: &Value| {
        let has_more = body.get("hasMore").and_then(Value::as_bool).unwrap_or(false);
        body.get("nextCursor").and_then(Value::as_str).filter(|_| has_more).map(str::to_owned)
    };
    let mut next = more(&answer.body);
    while let Some(cursor) = next {
        let separator = if question.path.contains('?') { '&' } else { '?' };
        let page =
            api.ask(client, &question.method, &format!("{}{separator}cursor={cursor}", question.path), None)?;
        next = more(&page.body);
        let items = page.body.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(Value::Array(all)) = answer.body.get_mut("items") {
            all.extend(items);
        }
    }
    Ok(answer)
}

fn show(client: &Client, question: &Question, answer: &Answer) -> Result<Exit, Failure> {
    let is_proof = answer.body.get("intact").and_then(Value::as_bool);
    let text = if client.json {
        match answer.body.get("items") {
            Some(items) => format!("{items}\n"),
            None if answer.body.is_null() && !answer.text.is_empty() => answer.text.clone(),
            None if answer.body.is_null() => "{}\n".to_owned(),
            None => format!("{}\n", answer.body),
        }
    } else {
        match answer.body.get("items").and_then(Value::as_array) {
            Some(items) => table(items, question.columns),
            None if answer.body.is_object() => list(&answer.body),
            None if answer.text.is_empty() => "Done.\n".to_owned(),
            None => answer.text.clone(),
        }
    };
    crate::print(&text)?;
    Ok(if is_proof == Some(false) { Exit::Failed } else { Exit::Clean })
}

const ORGS: &[&str] = &["organizationId", "slug", "name", "state", "role"];
const ALL_ORGS: &[&str] = &["id", "slug", "name", "state", "plan", "createdAt"];
const USERS: &[&str] = &["id", "email", "name", "state", "isOwner", "createdAt"];
const MEMBERS: &[&str] = &["id", "email", "name", "role", "createdAt"];
const INVITATIONS: &[&str] = &["id", "email", "role", "state", "usesLeft", "expiresAt"];
const KEYS: &[&str] = &["id", "prefix", "name", "scopes", "lastUsed", "expiresAt", "revokedAt"];
const SESSIONS: &[&str] = &["id", "client", "methods", "isCurrent", "lastUsed"];
const FLAGS: &[&str] = &["name", "enabled", "percentage", "on", "about"];
const ENTRIES: &[&str] = &["sequence", "time", "actor", "action", "target"];

fn org(what: &OrgCommand) -> Question {
    match what {
        OrgCommand::List { all: false } => get("/v1/me/organizations", ORGS),
        OrgCommand::List { all: true } => get("/v1/organizations?limit=100", ALL_ORGS),
        OrgCommand::Create { slug, name } => {
            let name = name.as_ref().unwrap_or(slug);
            act(Method::POST, "/v1/organizations", Some(json!({"slug": slug, "name": name})))
        }
        OrgCommand::Show { organization } => get(format!("/v1/organizations/{organization}"), &[]),
        OrgCommand::Suspend { organization } => {
            act(Method::POST, format!("/v1/organizations/{organization}/suspend"), None)
        }
        OrgCommand::Resume { organization } => {
            act(Method::POST, format!("/v1/organizations/{organization}/resume"), None)
        }
        OrgCommand::Archive { organization } => {
            act(Method::POST, format!("/v1/organizations/{organization}/archive"), None)
        }
        OrgCommand::Purge { organization, confirm } => act(
            Method::POST,
            format!("/v1/organizations/{organization}/purge"),
            Some(json!({"confirmation": confirm})),
        ),
        OrgCommand::Plan { organization, plan } => {
            act(Method::PUT, format!("/v1/organizations/{organization}/plan"), Some(json!({"plan": plan})))
        }
        OrgCommand::Leave { organization } => {
            act(Method::POST, format!("/v1/organizations/{organization}/leave"), None)
        }
    }
}

fn user(what: &UserCommand) -> Question {
    match what {
        UserCommand::Me => get("/v1/me", &[]),
        UserCommand::List => get("/v1/admin/users?limit=100", USERS),
        UserCommand::Show { user } => get(format!("/v1/admin/users/{user}"), &[]),
        UserCommand::Suspend { user } => act(Method::POST, format!("/v1/admin/users/{user}/suspend"), None),
        UserCommand::Resume { user } => act(Method::POST, format!("/v1/admin/users/{user}/resume"), None),
        UserCommand::ResetFactors { user } => {
            act(Method::POST, format!("/v1/admin/users/{user}/reset-factors"), None)
        }
        UserCommand::Invite { email } => {
            act(Method::POST, "/v1/admin/invitations", Some(json!({"email": email, "role": "guest"})))
        }
    }
}

fn member(what: &MemberCommand) -> Question {
    match what {
        MemberCommand::List => get("/v1/members?limit=100", MEMBERS),
        MemberCommand::Role { member, role } => {
            act(Method::PATCH, format!("/v1/members/{member}"), Some(json!({"role": role})))
        }
        MemberCommand::Remove { member } => act(Method::DELETE, format!("/v1/members/{member}"), None),
        MemberCommand::SignOut { member } => {
            act(Method::DELETE, format!("/v1/members/{member}/sessions"), None)
        }
    }
}

fn invite(what: &InviteCommand) -> Question {
    match what {
        InviteCommand::List => get("/v1/invitations?limit=100", INVITATIONS),
        InviteCommand::Create { email, role, days, uses } => {
            let mut body = Map::new();
            let mut put =
                |name: &str, value: Option<Value>| value.map(|value| body.insert(name.to_owned(), value));
            put("email", email.clone().map(Value::from));
            put("role", Some(role.clone().into()));
            put("days", days.map(Value::from));
            put("uses", uses.map(Value::from));
            act(Method::POST, "/v1/invitations", Some(body.into()))
        }
        InviteCommand::Resend { invitation } => {
            act(Method::POST, format!("/v1/invitations/{invitation}/resend"), None)
        }
        InviteCommand::Revoke { invitation } => {
            act(Method::DELETE, format!("/v1/invitations/{invitation}"), None)
        }
    }
}

fn key(what: &KeyCommand) -> Question {
    match what {
        KeyCommand::List => get("/v1/api-keys?limit=100", KEYS),
        KeyCommand::Create { name, scope, network, rate_per_minute, days } => {
            let mut body = json!({"name": name, "scopes": scope, "networks": network});
            if let Some(body) = body.as_object_mut() {
                rate_per_minute.map(|rate| body.insert("ratePerMinute".to_owned(), rate.into()));
                days.map(|days| body.insert("days".to_owned(), days.into()));
            }
            act(Method::POST, "/v1/api-keys", Some(body))
        }
        KeyCommand::Rotate { key, grace_seconds } => act(
            Method::POST,
            format!("/v1/api-keys/{key}/rotate"),
            Some(json!({"graceSeconds": grace_seconds})),
        ),
        KeyCommand::Revoke { key } => act(Method::DELETE, format!("/v1/api-keys/{key}"), None),
    }
}

fn session(what: &SessionCommand) -> Question {
    match what {
        SessionCommand::List => get("/v1/me/sessions", SESSIONS),
        SessionCommand::Revoke { session } => act(Method::DELETE, format!("/v1/me/sessions/{session}"), None),
        SessionCommand::RevokeAll => act(Method::DELETE, "/v1/me/sessions?keepCurrent=true", None),
    }
}

fn flag(what: &FlagCommand) -> Question {
    match what {
        FlagCommand::List => get("/v1/flags", FLAGS),
        FlagCommand::Set { flag, on, off, percentage, about } => {
            let mut body = Map::new();
            if *on || *off {
                body.insert("enabled".to_owned(), (*on).into());
            }
            percentage.map(|percentage| body.insert("percentage".to_owned(), percentage.into()));
            about.as_ref().map(|about| body.insert("about".to_owned(), about.clone().into()));
            act(Method::PUT, format!("/v1/flags/{flag}"), Some(body.into()))
        }
        FlagCommand::Remove { flag } => act(Method::DELETE, format!("/v1/flags/{flag}"), None),
    }
}

fn audit(what: &AuditCommand) -> Question {
    let query = |target: &Option<String>, actor: &Option<String>, action: &Option<String>| {
        let pairs = [("target", target), ("actor", actor), ("action", action)];
        let pairs = pairs.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    match what {
        AuditCommand::List { target, actor, action, installation } => {
            let base = if *installation { "/v1/admin/audit" } else { "/v1/audit" };
            get(format!("{base}?limit=100&{}", query(target, actor, action)).trim_end_matches('&'), ENTRIES)
        }
        AuditCommand::Mine => get("/v1/me/audit?limit=100", ENTRIES),
        AuditCommand::Export { csv } => {
            get(format!("/v1/audit/export?format={}", if *csv { "csv" } else { "ndjson" }), &[])
        }
        AuditCommand::Verify { installation } => {
            get(if *installation { "/v1/admin/audit/verify" } else { "/v1/audit/verify" }, &[])
        }
    }
}
