//! Registering, and showing that an address is one's own.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;
use stoa_identity::organization::Slug;
use stoa_identity::password::{NewPassword, Password};
use stoa_identity::register::{Registering, Setup};
use stoa_identity::user::Name;
use stoa_identity::{Email, organization};

use super::{Keeping, SignedIn, own_page, sent, signed_in};
use crate::body::body;
use crate::call::Call;
use crate::platform::Platform;
use crate::render::{invalid, problem};

body! {
    /// Who sets the installation up.
    SetupBody as SetupRequest {
        /// The secret of the setup link, which `stoa serve` prints.
        required token("token"): String as String [max_length = 200],
        /// Where the owner gets mail.
        required email("email"): Email as String [example = "ada@example.org", format = "email", max_length = 254],
        /// The password of the owner.
        required password("password"): NewPassword as String [min_length = 8, max_length = 256],
        /// What the owner is called.
        optional name("name"): Option<Name> as Option<String> [max_length = 120, nullable = false],
        /// The first organization's name for people.
        required organization_name("organizationName"): String as String [example = "North Wind Trading", min_length = 1, max_length = 120],
        /// The first organization's name in addresses.
        required organization_slug("organizationSlug"): Slug as String [example = "north-wind", pattern = "^[a-z](?:-?[a-z0-9]){1,39}$"],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Set the installation up
///
/// Makes the first user, who owns the installation, and the first organization. It works once, with the link that `stoa serve` prints.
#[utoipa::path(
    post, path = "/v1/auth/setup", tag = "auth", operation_id = "setUp", request_body = SetupBody,
    responses((status = 200, description = "The owner is signed in.", body = SignedIn), (status = 410, description = "The link is over, or there is an owner."))
)]
pub(crate) async fn setup(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SetupBody::read(&call)?;
    let wrong = organization::wrong(Some(&body.organization_name), None);
    if !wrong.is_empty() {
        return Err(invalid(&[(
            "/organizationName",
            "a name has 1 to 120 characters, not only blanks".to_owned(),
        )]));
    }
    let keeping = own_page(&platform, &call, body.session)?;
    let setup = Setup {
        email: body.email,
        password: body.password.0,
        name: body.name,
        organization: (body.organization_slug, body.organization_name),
    };
    let issued = platform.identity.set_up(&call.caller.cx, &body.token, setup, &call.client()).await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, keeping).await
}

body! {
    /// Who registers.
    RegisterBody as RegisterRequest {
        /// Where they get mail.
        required email("email"): Email as String [example = "ada@example.org", format = "email", max_length = 254],
        /// The password: 8 to 256 characters, none of those that everybody tries first.
        required password("password"): NewPassword as String [min_length = 8, max_length = 256],
        /// What they are called.
        optional name("name"): Option<Name> as Option<String> [max_length = 120, nullable = false],
        /// The secret of an invitation.
        optional invitation("invitation"): Option<String> as Option<String> [max_length = 200, nullable = false],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Register
///
/// Whoever holds an invitation to this very address is signed in at once. Everybody else gets a letter to confirm the address, and the
/// same answer whether somebody has registered with it before or not.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", operation_id = "register", request_body = RegisterBody,
    responses(
        (status = 200, description = "The address is that of the invitation: signed in.", body = SignedIn),
        (status = 202, description = "A letter is on its way.", body = super::Sent),
        (status = 410, description = "The invitation is over."),
    )
)]
pub(crate) async fn register(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = RegisterBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    call.attempt(&platform, "register", &body.email.to_string().to_lowercase()).await?;
    let asked = Registering {
        email: body.email,
        password: body.password.0,
        name: body.name,
        invitation: body.invitation,
    };
    let issued = platform.identity.register(&call.caller.cx, asked, &call.client()).await;
    match issued.map_err(|error| problem(&error))? {
        Some(issued) => signed_in(&platform, issued, keeping).await,
        None => sent(),
    }
}

body! {
    /// Shows that an address is one's own.
    VerifyBody as VerifyEmailRequest {
        /// The secret of the letter.
        required token("token"): String as String [max_length = 200],
        /// The password that was chosen.
        required password("password"): Password as String [max_length = 1024],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Confirm an address
#[utoipa::path(
    post, path = "/v1/auth/verify-email", tag = "auth", operation_id = "verifyEmail", request_body = VerifyBody,
    responses((status = 200, description = "It is confirmed, and its user signed in.", body = SignedIn), (status = 410, description = "The link is over."))
)]
pub(crate) async fn verify(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = VerifyBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    call.attempt(&platform, "verify", &body.token).await?;
    let issued =
        platform.identity.verify_email(&call.caller.cx, &body.token, &body.password, &call.client()).await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, keeping).await
}

body! {
    /// Whose letter is to be sent again.
    AddressBody as AddressRequest {
        /// The address.
        required email("email"): Email as String [example = "ada@example.org", format = "email", max_length = 254],
    }
}

/// Send the letter that confirms an address again
#[utoipa::path(
    post, path = "/v1/auth/verify-email/resend", tag = "auth", operation_id = "resendVerification", request_body = AddressBody,
    responses((status = 202, description = "A letter is on its way, if there is somebody to get it.", body = super::Sent))
)]
pub(crate) async fn resend(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = AddressBody::read(&call)?;
    call.attempt(&platform, "letters", &body.email.to_string().to_lowercase()).await?;
    platform
        .identity
        .resend_verification(&call.caller.cx, &body.email)
        .await
        .map_err(|error| problem(&error))?;
    sent()
}
