//! A letter as an internet message (RFC 5322, RFC 2045).

use lettre::Message;
use lettre::message::{Mailbox, MultiPart, header};
use stoa_runtime::mail::{Letter, Unsent};

/// Writes a letter. Its identity is that of the letter, so that a repetition is recognised; nothing answers it automatically
/// (RFC 3834).
pub(crate) fn message(from: &Mailbox, letter: &Letter) -> Result<Message, Unsent> {
    let never = |error: &dyn std::fmt::Display| Unsent::Never(error.to_string());
    let to: lettre::Address = letter.to.parse().map_err(|error| never(&error))?;
    let mut builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(letter.subject.clone())
        .message_id(Some(format!("<{}@{}>", letter.id, from.email.domain())))
        .raw_header(header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(url) = &letter.unsubscribe {
        builder = builder.raw_header(header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("List-Unsubscribe"),
            format!("<{url}>"),
        ));
    }
    builder
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(|error| never(&error))
}
