//! Signing in: by a code that is typed into a browser, or with a password that is piped in.

use std::io::BufRead as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{Api, Kept, failure, file, keep};
use crate::cli::client::Client;
use crate::failure::{Exit, Failure};

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Signs in, and keeps it.
pub(super) fn login(client: &Client, address: Option<&str>) -> Result<Exit, Failure> {
    // Whoever was signed in before is nobody to this.
    let anonymous = Client { token: Some(String::new()), ..client.clone() };
    let mut api = Api::open(&anonymous)?;
    let issued = match address {
        Some(address) => by_password(&mut api, &anonymous, address)?,
        None => by_code(&mut api, &anonymous)?,
    };
    let mut kept = Kept {
        url: api.url().to_owned(),
        refresh_token: text(&issued, "refreshToken"),
        access_token: text(&issued, "accessToken"),
    };
    if let Some(organization) = &client.organization {
        let own = Client { token: Some(kept.access_token.clone()), ..anonymous.clone() };
        let body = json!({"organization": organization});
        let there = Api::open(&own)?.ask(&own, &Method::POST, "/v1/me/organization", Some(&body))?.body;
        kept.access_token = text(&there, "accessToken");
    }
    keep(client, &kept)?;
    let me = Api::open(&Client { token: Some(kept.access_token.clone()), ..client.clone() })?.ask(
        &anonymous,
        &Method::GET,
        "/v1/me",
        None,
    )?;
    if client.json {
        return crate::print(&format!("{}\n", me.body));
    }
    crate::print(&format!("Signed in to {} as {}.\n", kept.url, text(&me.body, "email")))
}

fn by_password(api: &mut Api, client: &Client, address: &str) -> Result<Value, Failure> {
    let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
    let password =
        lines.next().ok_or_else(|| Failure::new("usage", "the first line of the input is the password"))?;
    let body = json!({"email": address, "password": password});
    let issued = api.ask(client, &Method::POST, "/v1/auth/sign-in", Some(&body))?.body;
    if issued.get("mfaPending") != Some(&Value::Bool(true)) {
        return Ok(issued);
    }
    let code = lines.next().ok_or_else(|| {
        Failure::new("mfa_pending", "there is a second factor; the second line of the input is its code")
    })?;
    let pending = Client { token: Some(text(&issued, "accessToken")), ..client.clone() };
    let answer = Api::open(&pending)?.ask(
        &pending,
        &Method::POST,
        "/v1/auth/mfa/code",
        Some(&json!({"code": code})),
    )?;
    Ok(answer.body)
}

fn by_code(api: &mut Api, client: &Client) -> Result<Value, Failure> {
    let begun = api.ask(client, &Method::POST, "/v1/auth/device", None)?.body;
    eprintln!("Open {} and type {}", text(&begun, "verificationUri"), text(&begun, "userCode"));
    let body = json!({"deviceCode": text(&begun, "deviceCode")});
    let interval = begun.get("interval").and_then(Value::as_u64).unwrap_or(5);
    loop {
        wait(interval);
        let answer = api.raw(client, &Method::POST, "/v1/auth/device/token", Some(&body))?;
        match answer.body.get("code").and_then(Value::as_str) {
            None if answer.status == 200 => return Ok(answer.body),
            Some("authorization_pending" | "rate_limited") => {}
            _ => return Err(failure(&answer)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the platform says how often it may be asked")]
fn wait(seconds: u64) {
    std::thread::sleep(std::time::Duration::from_secs(seconds));
}

/// Signs out, and keeps nothing.
pub(super) fn logout(client: &Client) -> Result<Exit, Failure> {
    let Some(kept) = super::ask::kept(client) else { return crate::print("Nobody was signed in.\n") };
    let anonymous = Client { token: Some(String::new()), url: Some(kept.url.clone()), ..client.clone() };
    let body = json!({"refreshToken": kept.refresh_token});
    let ended = Api::open(&anonymous)?.raw(&anonymous, &Method::POST, "/v1/auth/sign-out", Some(&body));
    let path = file(client);
    std::fs::remove_file(&path)
        .map_err(|error| Failure::io("output_unwritable", &path.display().to_string(), &error))?;
    ended?;
    crate::print("Signed out.\n")
}
