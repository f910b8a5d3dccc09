//! The first screen: where it listens, where the data is, what to try next.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;

/// What the screen says.
pub(crate) struct Screen<'s> {
    pub(crate) api: Option<SocketAddr>,
    /// The origin that browsers are to use.
    pub(crate) public: &'s str,
    pub(crate) ops: Option<SocketAddr>,
    pub(crate) data: &'s str,
    /// Where letters lie; none when a server takes them.
    pub(crate) letters: Option<&'s Path>,
    pub(crate) operator_token: &'s str,
    pub(crate) operator_file: Option<&'s Path>,
    /// The link by which the first user becomes the owner, and the file that it is kept in; none when there is one.
    pub(crate) setup: Option<(&'s str, &'s Path)>,
    pub(crate) ready_ms: i64,
}

/// An address that can be put into a browser.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() }
}

impl Screen<'_> {
    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            format!("Stoa {} is ready ({} ms)", env!("CARGO_PKG_VERSION"), self.ready_ms),
            String::new(),
        ];
        if let Some(address) = self.api {
            let base = format!("http://{}", reachable(address));
            lines.push(format!("  API        {base}/v1"));
            lines.push(format!("  Docs       {base}/docs"));
            lines.push(format!("  Health     {base}/health"));
        }
        if let Some(address) = self.ops {
            lines.push(format!("  Operations http://{}/health", reachable(address)));
        }
        lines.push(format!("  Data       {}", self.data));
        if let Some(folder) = self.letters {
            lines.push(format!(
                "  Letters    files in {}: no mail server is set (mail.smtp_url)",
                folder.display()
            ));
        }
        let token = match self.operator_file {
            Some(file) => {
                // What is not a terminal may be kept for ever.
                lines.push(if std::io::stdout().is_terminal() {
                    format!("  Operator   {}   (kept in {})", self.operator_token, file.display())
                } else {
                    format!("  Operator   the token in {}", file.display())
                });
                format!("$(cat {})", file.display())
            }
            None => {
                lines.push("  Operator   the token in secrets.operator_token".to_owned());
                "$STOA_SECRETS__OPERATOR_TOKEN".to_owned()
            }
        };
        if let Some((link, file)) = self.setup {
            lines.push(if std::io::stdout().is_terminal() {
                format!(
                    "  Setup      {link}\n             open it once to become the owner (kept in {})",
                    file.display()
                )
            } else {
                format!("  Setup      the link in {}: open it once to become the owner", file.display())
            });
        } else if self.api.is_some() {
            lines.push(format!("  Sign in    {}/sign-in", self.public));
        }
        lines.extend([String::new(), "Try next".to_owned()]);
        if let (Some(address), None) = (self.api, self.setup) {
            lines.push(format!(
                "  curl -H \"Authorization: Bearer {token}\" -H 'Content-Type: application/json' \\\n    -d '{{\"slug\":\"north-wind\",\"name\":\"North Wind\"}}' http://{}/v1/organizations",
                reachable(address)
            ));
        }
        lines.push(
            "  make demo                  reconcile the bundled bank statement with the bundled ledger"
                .to_owned(),
        );
        lines.push("  stoa reconcile LEFT RIGHT  reconcile your own files".to_owned());
        lines.push("  stoa doctor                see whether everything is as it should be".to_owned());
        lines.extend([
            String::new(),
            "Ctrl-C ends it; nothing that was answered is lost.".to_owned(),
            String::new(),
        ]);
        lines.join("\n")
    }
}
