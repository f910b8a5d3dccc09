//! Letters from templates: text and HTML from one source.
//!
//! ```text
//! Subject: what the letter is about
//!
//! A paragraph. Values are {{ named }}.
//!
//! => {{ link }} What the link does
//! ```

use minijinja::{AutoEscape, Environment};
use serde_json::{Map, Value};
use stoa_runtime::mail::{Letter, Wanted};

/// Why a letter cannot be written: a defect, or a name that no template has.
#[derive(Debug, thiserror::Error)]
#[error("the letter \"{template}\" cannot be written: {reason}")]
pub struct TemplateError {
    template: String,
    reason: String,
}

macro_rules! templates {
    ($($name:literal)*) => {
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../templates/", $name, ".txt")))),*];
    };
}

templates! {
    "already_registered" "change_email" "email_change_requested" "email_changed" "factors_changed" "invitation" "magic_link"
    "password_changed" "reset_password" "session_reuse" "verify_email"
    "dead_letter" "digest" "member_joined" "role_changed" "run_stopped" "webhook_disabled"
}

/// Writes letters.
#[derive(Debug)]
pub struct Letters {
    text: Environment<'static>,
    html: Environment<'static>,
    /// Where Stoa is, as people know it.
    site: String,
}

impl Letters {
    /// Letters of the installation at `site`.
    ///
    /// # Errors
    /// [`TemplateError`] when a template is wrong in itself.
    pub fn new(site: &str) -> Result<Self, TemplateError> {
        let environment = |escape: AutoEscape| -> Result<Environment<'static>, TemplateError> {
            let mut environment = Environment::new();
            environment.set_auto_escape_callback(move |_| escape.clone());
            environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
            for (name, source) in TEMPLATES {
                environment.add_template(name, source).map_err(|error| wrong(name, &error))?;
            }
            Ok(environment)
        };
        Ok(Self {
            text: environment(AutoEscape::None)?,
            html: environment(AutoEscape::Html)?,
            site: site.to_owned(),
        })
    }

    /// Writes the letter that is wanted. `id` makes it recognisable.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn write(&self, wanted: &Wanted, id: &str) -> Result<Letter, TemplateError> {
        let mut variables: Map<String, Value> =
            wanted.variables.iter().map(|(name, value)| (name.clone(), one_line(value))).collect();
        variables.insert("site".to_owned(), self.site.clone().into());
        let render = |environment: &Environment<'_>| {
            environment
                .get_template(&wanted.template)
                .and_then(|template| template.render(shown(&variables)))
                .map_err(|error| wrong(&wanted.template, &error))
        };
        let text = render(&self.text)?;
        let (subject, text) = split(&text);
        let html = render(&self.html)?;
        let (_, html) = split(&html);
        Ok(Letter {
            to: wanted.to.clone(),
            subject: subject.to_owned(),
            text: plain(text),
            html: page(subject, html),
            id: id.to_owned(),
            unsubscribe: None,
        })
    }

    /// The same letter, which says where whoever gets it chooses not to.
    #[must_use]
    pub fn unsubscribable(&self, letter: Letter) -> Letter {
        Letter { unsubscribe: Some(format!("{}/account", self.site)), ..letter }
    }
}

fn shown(variables: &Map<String, Value>) -> minijinja::Value {
    let text = |value: &Value| minijinja::Value::from(value.as_str().unwrap_or_default());
    minijinja::Value::from_pairs(variables.iter().map(|(name, value)| (name.clone(), text(value))))
}

fn wrong(template: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError { template: template.to_owned(), reason: error.to_string() }
}

/// A value without line breaks: nothing that somebody is called begins a paragraph, a link or a header of its own.
fn one_line(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect::<String>().into()
        }
        other => other.clone(),
    }
}

fn split(text: &str) -> (&str, &str) {
    let (subject, body) = text.split_once('\n').unwrap_or((text, ""));
    (subject.trim_start_matches("Subject:").trim(), body.trim())
}

/// The link of a paragraph that is one: where it leads, and what it does.
fn link(paragraph: &str) -> Option<(&str, &str)> {
    paragraph.strip_prefix("=> ")?.split_once(' ')
}

fn plain(body: &str) -> String {
    let paragraphs = body.split("\n\n").map(|paragraph| match link(paragraph) {
        Some((target, label)) => format!("{label}:\n{target}"),
        None => paragraph.to_owned(),
    });
    paragraphs.collect::<Vec<_>>().join("\n\n") + "\n"
}

fn page(subject: &str, body: &str) -> String {
    let title = subject.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let paragraphs: String = body
        .split("\n\n")
        .map(|paragraph| match link(paragraph) {
            Some((target, label)) => format!(
                "<p style=\"margin:24px 0\"><a href=\"{target}\" style=\"background:#1f4b99;color:#fff;padding:12px 20px;border-radius:6px;text-decoration:none\">{label}</a></p>"
            ),
            None => format!("<p style=\"margin:16px 0\">{paragraph}</p>"),
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body style=\"font:16px/1.5 system-ui,sans-serif;color:#1a1f29;max-width:560px;margin:32px auto;padding:0 16px\">{paragraphs}</body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(template: &str, variables: &[(&str, &str)]) -> Wanted {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Wanted { template: template.to_owned(), to: "ada@example.org".to_owned(), variables }
    }

    #[test]
    fn every_template_can_be_written() {
        let letters = Letters::new("https://stoa.example").unwrap();
        let all = [
            ("link", "https://stoa.example/x#y"),
            ("organization", "North"),
            ("role", "member"),
            ("what", "passkey"),
            ("client", "curl"),
            ("kind", "probe"),
            ("queue", "default"),
            ("reason", "refused"),
            ("job", "job_1"),
            ("workflow", "probe"),
            ("run", "run_1"),
            ("endpoint", "whe_1"),
            ("count", "3"),
            ("titles", "one, two"),
        ];
        for (name, _) in TEMPLATES {
            let letter = letters.write(&wanted(name, &all), "1").unwrap();
            assert!(
                !letter.subject.is_empty() && letter.text.len() > 40 && letter.html.contains("<p "),
                "{name}"
            );
            assert!(letter.text.contains("stoa.example"), "{name} says where it is from");
        }
        assert!(letters.write(&wanted("nothing", &all), "1").is_err());
        assert!(
            letters.write(&wanted("invitation", &[]), "1").is_err(),
            "a value that is missing is a defect, not a blank"
        );
    }

    #[test]
    fn what_somebody_is_called_is_only_text() {
        let letters = Letters::new("https://stoa.example").unwrap();
        let name = "<b onclick=x>Evil</b>\n\n=> https://evil.example Click\r\nBcc: all@example.org";
        let letter = letters
            .write(
                &wanted(
                    "invitation",
                    &[("link", "https://stoa.example/i#s"), ("organization", name), ("role", "member")],
                ),
                "1",
            )
            .unwrap();
        assert!(
            !letter.html.contains("<b ") && !letter.html.contains("href=\"https://evil"),
            "{}",
            letter.html
        );
        assert!(!letter.subject.contains('\n') && !letter.subject.contains('\r'));
        assert_eq!(letter.text.matches("=>").count(), 1, "what was typed stays where it was typed");
    }
}
