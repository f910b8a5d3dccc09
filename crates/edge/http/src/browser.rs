//! What browsers need: cookies, and protection against requests that another site makes them send (CSRF).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The header with what the page read from its cookie.
pub const CSRF: HeaderName = HeaderName::from_static("stoa-csrf");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How cookies are set.
#[derive(Debug, Clone)]
pub struct Cookies {
    is_secure: bool,
    /// The origins whose pages are ours.
    origins: Vec<String>,
}

/// One of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The refresh token: for `/v1/auth` alone, out of the reach of scripts.
    Refresh,
    /// What pages send back to show that they are ours: scripts read it.
    Csrf,
    /// What ties a sign-in elsewhere to the browser that began it.
    Flow,
}

impl Cookie {
    const fn parts(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Refresh => ("stoa_refresh", "/v1/auth", true),
            Self::Csrf => ("stoa_csrf", "/", false),
            Self::Flow => ("stoa_flow", "/", true),
        }
    }
}

impl Cookies {
    /// Cookies of the site at an origin; pages of `others` may use them too.
    #[must_use]
    pub fn new(origin: &str, others: &[String]) -> Self {
        let origins = std::iter::once(origin.to_owned()).chain(others.iter().cloned()).collect();
        Self { is_secure: origin.starts_with("https://"), origins }
    }

    /// Its name: with the prefix by which browsers hold us to how it was set (RFC 6265bis, section 4.1.3).
    #[must_use]
    pub fn name(&self, cookie: Cookie) -> String {
        let (name, path, _) = cookie.parts();
        match (self.is_secure, path) {
            (false, _) => name.to_owned(),
            (true, "/") => format!("__Host-{name}"),
            (true, _) => format!("__Secure-{name}"),
        }
    }

    /// Sets a cookie for so many seconds; ends it with 0.
    #[must_use]
    pub fn set(&self, cookie: Cookie, value: &str, seconds: i64) -> HeaderValue {
        let (_, path, is_hidden) = cookie.parts();
        let hidden = if is_hidden { "; HttpOnly" } else { "" };
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path={path}; Max-Age={seconds}; SameSite=Lax{hidden}{secure}",
            self.name(cookie)
        );
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The value of a cookie of a request. One that comes twice is none: somebody has put another beside ours.
    #[must_use]
    pub fn get(&self, headers: &HeaderMap, cookie: Cookie) -> Option<String> {
        let name = self.name(cookie);
        let mut values = headers
            .get_all(header::COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value.to_owned());
        let first = values.next().filter(|value| !value.is_empty());
        if values.next().is_some() { None } else { first }
    }

    /// Whether a page of ours has sent a request: by `Origin`, and by `Sec-Fetch-Site` where there is none.
    #[must_use]
    pub fn is_from_our_page(&self, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        match (text(&header::ORIGIN), text(&SEC_FETCH_SITE)) {
            (Some(origin), _) => self.origins.iter().any(|own| own == origin),
            (None, Some(site)) => site == "same-origin",
            (None, None) => false,
        }
    }

    /// Whether another site has sent it: what says nothing is a program.
    #[must_use]
    pub fn is_from_elsewhere(&self, headers: &HeaderMap) -> bool {
        let says = headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
        says && !self.is_from_our_page(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse =
            |(name, value): &(&str, &str)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        pairs.iter().map(parse).collect()
    }

    #[test]
    fn cookies_are_set_as_their_prefixes_demand() {
        let cookies = Cookies::new("https://stoa.example", &[]);
        let refresh = cookies.set(Cookie::Refresh, "x", 60);
        assert_eq!(
            refresh,
            "__Secure-stoa_refresh=x; Path=/v1/auth; Max-Age=60; SameSite=Lax; HttpOnly; Secure"
        );
        assert!(
            cookies.set(Cookie::Flow, "x", 60).to_str().unwrap().starts_with("__Host-stoa_flow=x; Path=/;")
        );
        let plain = Cookies::new("http://127.0.0.1:1", &[]);
        assert_eq!(plain.set(Cookie::Csrf, "", 0), "stoa_csrf=; Path=/; Max-Age=0; SameSite=Lax");
        assert_eq!(
            plain.get(&headers(&[("cookie", "a=b; stoa_csrf=y; c=d")]), Cookie::Csrf).as_deref(),
            Some("y")
        );
        assert_eq!(plain.get(&headers(&[("cookie", "stoa_csrf=y; stoa_csrf=z")]), Cookie::Csrf), None);
    }

    #[test]
    fn requests_of_other_sites_are_known() {
        let cookies = Cookies::new("https://stoa.example", &["https://app.example".to_owned()]);
        for (given, own) in [
            (vec![("origin", "https://stoa.example")], true),
            (vec![("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], true),
            (vec![("origin", "https://stoa.example.evil")], false),
            (vec![("origin", "http://stoa.example")], false),
            (vec![("origin", "https://stoa.example:444")], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![], false),
        ] {
            let given = headers(&given);
            assert_eq!(cookies.is_from_our_page(&given), own, "{given:?}");
        }
        assert!(!cookies.is_from_elsewhere(&HeaderMap::new()), "a program says nothing");
    }
}
