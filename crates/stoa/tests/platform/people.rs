//! People, as tests need them.

use serde_json::{Value, json};
use totp_rs::{Builder, Totp};

use crate::app::{Answer, App, looks};

pub(crate) const PASSWORD: &str = "tUq7-vanille";

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
    pub(crate) organization: String,
}

impl Person {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let json = answer.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self {
            user: text("userId"),
            session: text("sessionId"),
            token: text("accessToken"),
            refresh: text("refreshToken"),
            organization: text("organizationId"),
        }
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// What everything here is about: an installation with its owner.
impl App {
    /// A request with a token, or of nobody.
    pub(crate) fn by(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.with(method, path, &[("Authorization", &bearer)], &body)
    }

    /// A request of a person.
    pub(crate) fn as_person(&self, person: &Person, method: &str, path: &str, body: &Value) -> Answer {
        self.by(&person.token, method, path, body)
    }

    /// A request of nobody.
    pub(crate) fn nobody(&self, path: &str, body: &Value) -> Answer {
        self.by("", "POST", path, body)
    }

    /// Opens the setup link.
    pub(crate) fn owner(&self) -> Person {
        let link = std::fs::read_to_string(self.data().join("setup.link")).unwrap();
        let secret = link.trim().split_once('#').unwrap().1;
        let body = json!({
            "token": secret, "email": "owner@example.org", "password": PASSWORD, "name": "Olga Owner",
            "organizationName": "North Wind", "organizationSlug": "north-wind"
        });
        Person::of(&self.nobody("/v1/auth/setup", &body))
    }

    /// The secret of a new invitation.
    pub(crate) fn invitation(&self, by: &Person, body: &Value) -> String {
        let made = self.as_person(by, "POST", "/v1/invitations", body);
        assert_eq!(made.status, 201, "{}", made.text);
        match (body["email"].as_str(), made.json()["link"].as_str()) {
            (None, Some(link)) => link.split_once('#').unwrap().1.to_owned(),
            (Some(email), None) => self.letter(email, "invitation"),
            _ => panic!("whoever invites by letter is not shown its link: {}", made.text),
        }
    }

    /// Somebody new, invited by somebody who is there.
    pub(crate) fn invited(&self, by: &Person, email: &str, role: &str) -> Person {
        let secret = self.invitation(by, &json!({"email": email, "role": role}));
        let body = json!({"email": email, "password": PASSWORD, "name": "Somebody", "invitation": secret});
        Person::of(&self.nobody("/v1/auth/register", &body))
    }

    /// An organization of somebody's own.
    pub(crate) fn founded(&self, by: &Person, slug: &str) -> String {
        let made =
            self.as_person(by, "POST", "/v1/organizations", &json!({"slug": slug, "name": "Somebody's"}));
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn sign_in(&self, email: &str) -> Answer {
        self.nobody("/v1/auth/sign-in", &json!({"email": email, "password": PASSWORD}))
    }

    /// The secret of the newest letter with a link to a page.
    pub(crate) fn letter(&self, to: &str, page: &str) -> String {
        let mark = format!("/{page}#");
        for () in looks() {
            let found = std::fs::read_dir(self.data().join("outbox")).into_iter().flatten().flatten();
            let mut letters: Vec<_> = found
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|end| end == "eml"))
                .collect();
            letters.sort();
            for path in letters.iter().rev() {
                let text = std::fs::read_to_string(path)
                    .unwrap_or_default()
                    .replace("=\r\n", "")
                    .replace("=3D", "=");
                if let Some((_, rest)) =
                    text.split_once(&mark).filter(|_| text.contains(&format!("To: {to}")))
                {
                    return rest.split_whitespace().next().unwrap().to_owned();
                }
            }
            self.get("/health/live");
        }
        panic!("no letter to {to} with {mark}\n{}", self.log());
    }

    /// Whether a letter about something has come to somebody.
    pub(crate) fn has_letter(&self, to: &str, subject: &str) -> bool {
        let found = std::fs::read_dir(self.data().join("outbox")).into_iter().flatten().flatten();
        found
            .map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default())
            .any(|text| text.contains(&format!("To: {to}")) && text.contains(&format!("Subject: {subject}")))
    }

    /// Enrols an authenticator app; the app, and the recovery codes.
    pub(crate) fn enrolled(&self, person: &Person) -> (Totp, Vec<String>) {
        let begun = self.as_person(person, "POST", "/v1/me/totp", &json!({}));
        assert_eq!(begun.status, 200, "{}", begun.text);
        let secret = totp_rs::Secret::try_from_base32(begun.json()["secret"].as_str().unwrap()).unwrap();
        let app = Builder::new().with_secret(secret).with_skew(0).with_account_name("a").build().unwrap();
        // The code of the step before, so that the one of this step is left.
        let confirmed =
            self.as_person(person, "POST", "/v1/me/totp/confirm", &json!({"code": code(&app, -1)}));
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        let codes = confirmed.json()["recoveryCodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        (app, codes)
    }
}

/// The code of an app, so many steps from now.
pub(crate) fn code(app: &Totp, steps: i64) -> String {
    use stoa_kernel::clock::Clock as _;
    let now = stoa_runtime::clock::SystemClock.now().0 / 1_000_000 + steps * 30;
    app.generate(now.try_into().unwrap()).to_string()
}
