//! Questions to the API, with the credentials that `stoa login` keeps.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::{Client as Http, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::client::Client;
use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(35);
/// How long a stream is followed before it is opened anew where it was: one that has gone silent is noticed by then.
const STREAM: Duration = Duration::from_secs(300);

/// What is kept of a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) url: String,
    pub(super) refresh_token: String,
    pub(super) access_token: String,
}

/// A way to ask.
pub(super) struct Api {
    http: Http,
    url: String,
    token: String,
    kept: Option<Kept>,
    organization: Option<String>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) text: String,
}

/// Why a stream was not opened.
pub(super) struct Unopened {
    pub(super) failure: Failure,
    /// Whether it may be later.
    pub(super) is_passing: bool,
}

/// The file with the login: for its user alone.
pub(super) fn file(client: &Client) -> PathBuf {
    client.credentials.clone().unwrap_or_else(|| {
        let variable = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let base = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        base.unwrap_or_default().join("stoa").join("credentials.json")
    })
}

pub(super) fn kept(client: &Client) -> Option<Kept> {
    serde_json::from_str(&std::fs::read_to_string(file(client)).ok()?).ok()
}

/// Keeps a login: whole, or not at all.
pub(super) fn keep(client: &Client, kept: &Kept) -> Result<(), Failure> {
    let path = file(client);
    let fail = |error: std::io::Error| Failure::io("output_unwritable", &path.display().to_string(), &error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let draft = path.with_extension("draft");
    std::fs::write(&draft, serde_json::to_string(kept).unwrap_or_default()).map_err(fail)?;
    std::fs::rename(&draft, &path).map_err(fail)
}

fn unreachable(url: &str, error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::new("usage", format!("{url} is no address"))
            .way_out("write it as http://localhost:8080 or https://stoa.example.org");
    }
    let why = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "there is no connection"
    } else {
        "the answer broke off"
    };
    Failure::new("not_ready", format!("{url} does not answer: {why}"))
        .way_out("start it with `stoa serve`, or name another one with --url")
}

/// What the program calls itself.
fn agent() -> String {
    let system = match std::env::consts::OS {
        "macos" => "Mac OS X",
        "windows" => "Windows",
        _ => "Linux",
    };
    format!("stoa-cli/{} ({system})", env!("CARGO_PKG_VERSION"))
}

impl Api {
    /// A way to ask as whoever the flags or the login say; as nobody, where neither does.
    pub(super) fn open(client: &Client) -> Result<Self, Failure> {
        let http = Http::builder()
            .timeout(TIMEOUT)
            .user_agent(agent())
            .no_proxy()
            .build()
            .map_err(|error| Failure::new("internal", error.to_string()))?;
        let kept = if client.token.is_some() { None } else { kept(client) };
        let url = client
            .url
            .clone()
            .or_else(|| kept.as_ref().map(|kept| kept.url.clone()))
            .unwrap_or_else(|| "http://localhost:8080".to_owned());
        let url = url.trim_end_matches('/').to_owned();
        // A login is good where it was made.
        let kept = kept.filter(|kept| kept.url == url);
        let token = client.token.clone().or_else(|| kept.as_ref().map(|kept| kept.access_token.clone()));
        let organization = client.organization.clone();
        Ok(Self { http, url, token: token.unwrap_or_default(), kept, organization })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if let Some(organization) = &self.organization {
            request = request.header("stoa-organization", organization);
        }
        request
    }

    fn once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().map_err(|error| unreachable(&self.url, &error))?;
        let status = answer.status().as_u16();
        let text = answer.text().map_err(|error| unreachable(&self.url, &error))?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or_default(), text })
    }

    /// The next access token, kept for the next command.
    fn refresh(&mut self, client: &Client) -> Result<bool, Failure> {
        let Some(own) = self.kept.clone() else { return Ok(false) };
        // Another command may have had the next token meanwhile: this one is good once.
        let kept = kept(client).filter(|kept| kept.url == own.url).unwrap_or(own);
        let body = serde_json::json!({"refreshToken": kept.refresh_token});
        self.token.clear();
        let answer = self.once(&Method::POST, "/v1/auth/refresh", Some(&body))?;
        let text = |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match answer.status {
            200 => {}
            400 | 401 => return Ok(false),
            _ => return Err(failure(&answer)),
        }
        let next = Kept { refresh_token: text("refreshToken"), access_token: text("accessToken"), ..kept };
        keep(client, &next)?;
        self.token.clone_from(&next.access_token);
        self.kept = Some(next);
        Ok(true)
    }

    /// Asks, and once more with a new access token where the one at hand is over.
    pub(super) fn raw(
        &mut self,
        client: &Client,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let answer = self.once(method, path, body)?;
        if answer.status == 401 && client.token.is_none() && self.refresh(client)? {
            return self.once(method, path, body);
        }
        Ok(answer)
    }

    /// Opens a stream of events, after the one that was seen last.
    pub(super) fn stream(
        &mut self,
        client: &Client,
        path: &str,
        last: Option<&str>,
    ) -> Result<Response, Unopened> {
        let passing = |failure| Unopened { failure, is_passing: true };
        let mut opened = self.opened(path, last).map_err(passing)?;
        if opened.status() == 401 && client.token.is_none() {
            let refreshed = self.refresh(client).map_err(passing)?;
            if refreshed {
                opened = self.opened(path, last).map_err(passing)?;
            }
        }
        let status = opened.status().as_u16();
        if status < 400 {
            return Ok(opened);
        }
        let text = opened.text().unwrap_or_default();
        let answer = Answer { status, body: serde_json::from_str(&text).unwrap_or_default(), text };
        Err(Unopened { failure: failure(&answer), is_passing: status == 429 || status >= 500 })
    }

    fn opened(&self, path: &str, last: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.request(&Method::GET, path).timeout(STREAM);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().map_err(|error| unreachable(&self.url, &error))
    }

    /// Asks; what is not well is a failure with the code and the words of the problem.
    pub(super) fn ask(
        &mut self,
        client: &Client,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let answer = self.raw(client, method, path, body)?;
        if answer.status < 400 { Ok(answer) } else { Err(failure(&answer)) }
    }
}

/// A problem document as a failure.
pub(super) fn failure(answer: &Answer) -> Failure {
    let text = |name: &str| answer.body.get(name).and_then(Value::as_str);
    let code = text("code").and_then(stoa_kernel::error::find).map_or("internal", |row| row.code);
    let mut message = text("detail").unwrap_or("the answer cannot be read").to_owned();
    for wrong in answer.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| wrong.get(name).and_then(Value::as_str).unwrap_or_default();
        message.push_str(&format!("\n  {}: {}", part("pointer"), part("message")));
    }
    let failure = Failure::new(code, message);
    match code {
        "not_authenticated" => failure.way_out("sign in with `stoa login`, or give an API key with --token"),
        "reauthentication_required" => {
            failure.way_out("sign in again with `stoa login --password-stdin ADDRESS`")
        }
        "organization_required" => failure.way_out("name it with --org"),
        _ => failure,
    }
}
