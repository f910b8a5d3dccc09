//! The pages of the flows that need a browser: small, without inline script or style, readable without either. They call the API as any
//! other client does; the session is in a cookie that no script reads.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

use crate::platform::Platform;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page: where it is, what it is called, and what is on it.
struct Page {
    path: &'static str,
    title: &'static str,
    body: &'static str,
}

macro_rules! pages {
    ($($path:literal $title:literal $file:literal;)*) => {
        const PAGES: &[Page] = &[$(Page { path: $path, title: $title, body: include_str!(concat!("pages/", $file, ".html")) }),*];
    };
}

pages! {
    "/setup" "Set up Stoa" "setup";
    "/sign-in" "Sign in" "sign-in";
    "/mfa" "Show a second factor" "mfa";
    "/register" "Register" "register";
    "/invitation" "You are invited" "invitation";
    "/verify-email" "Confirm your address" "verify-email";
    "/change-email" "Confirm your new address" "change-email";
    "/magic-link" "Sign in with a link" "magic-link";
    "/reset-password" "Set a new password" "reset-password";
    "/device" "Let a program in" "device";
    "/account" "Your account" "account";
}

fn render(page: &Page) -> Response {
    let Page { path, title, body } = page;
    let name = path.trim_start_matches('/');
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · Stoa</title>\n<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/assets/tokens.css\">\n\
         <link rel=\"stylesheet\" href=\"/assets/pages.css\">\n<script type=\"module\" src=\"/assets/pages.js\"></script>\n</head>\n\
         <body data-page=\"{name}\">\n<header><a href=\"/account\">Stoa</a></header>\n<main>\n<h1>{title}</h1>\n\
         <p id=\"message\" role=\"status\" aria-live=\"polite\" hidden></p>\n{body}</main>\n\
         <noscript><p>This page needs JavaScript: it talks to the API, and a passkey needs the browser.</p></noscript>\n</body>\n</html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, html).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

pub(crate) fn router() -> Router<Arc<Platform>> {
    let router = Router::new()
        .route("/", get(async || Redirect::to("/account")))
        .route("/assets/tokens.css", get(async || asset("text/css", include_str!("pages/tokens.css"))))
        .route("/assets/pages.css", get(async || asset("text/css", include_str!("pages/pages.css"))))
        .route("/assets/pages.js", get(async || asset("text/javascript", include_str!("pages/pages.js"))));
    PAGES.iter().fold(router, |router, page| router.route(page.path, get(async || render(page))))
}
