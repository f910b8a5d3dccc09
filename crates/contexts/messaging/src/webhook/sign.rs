//! Signatures by the Standard Webhooks specification, version 1.0.0: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use stoa_kernel::entropy::{Entropy, NoEntropy};

/// How far the timestamp of a webhook may be from now, in seconds.
pub const WINDOW_S: i64 = 300;
/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// The secret of an endpoint: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl std::str::FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
        match bytes {
            Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(Self(text.to_owned())),
            _ => Err("a secret is whsec_ and 24 to 64 bytes in base64".to_owned()),
        }
    }
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn mint(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(entropy.bytes::<32>()?))))
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn key(&self) -> hmac::Key {
        let bytes = STANDARD.decode(self.0.trim_start_matches(PREFIX)).unwrap_or_default();
        hmac::Key::new(hmac::HMAC_SHA256, &bytes)
    }
}

fn signed(id: &str, timestamp_s: i64, body: &[u8]) -> Vec<u8> {
    let mut signed = format!("{id}.{timestamp_s}.").into_bytes();
    signed.extend_from_slice(body);
    signed
}

/// The header `webhook-signature`: one signature of each secret, separated by spaces.
#[must_use]
pub fn signature<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> String {
    let signed = signed(id, timestamp_s, body);
    let one = |secret: &Secret| format!("v1,{}", STANDARD.encode(hmac::sign(&secret.key(), &signed)));
    secrets.into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Whether a header `webhook-signature` holds a signature of the secret. In a time that does not depend on where it differs.
pub(crate) fn is_signed(secret: &Secret, header: &str, id: &str, timestamp_s: i64, body: &[u8]) -> bool {
    let signed = signed(id, timestamp_s, body);
    header.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|one| {
        let given = STANDARD.decode(one).unwrap_or_default();
        hmac::verify(&secret.key(), &signed, &given).is_ok()
    })
}

/// Whether a hexadecimal HMAC-SHA256 is that of a key over some bytes.
pub(crate) fn is_hmac(key: &[u8], bytes: &[u8], hex: &str) -> bool {
    let pair = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let given: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(pair).collect();
    given.is_some_and(|given| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes, &given).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the specification and of its reference libraries.
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let header = signature([&secret], id, 1_614_265_330, body);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(is_signed(&secret, &format!("v1,AAAA v2,x {header}"), id, 1_614_265_330, body));
        for (id, time, body) in
            [("msg_x", 1_614_265_330, &body[..]), (id, 1_614_265_331, body), (id, 1_614_265_330, b"{}")]
        {
            assert!(!is_signed(&secret, &header, id, time, body));
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
            assert!(text.parse::<Secret>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hexadecimal_signature_is_compared_whole() {
        // RFC 4231, test case 2.
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_hmac(b"Jefe", b"what do ya want for nothing?", hex));
        for wrong in ["", "5b", &hex[2..], &hex.replace("5b", "5c"), &format!("{hex}00"), "zz", "é"] {
            assert!(!is_hmac(b"Jefe", b"what do ya want for nothing?", wrong), "{wrong}");
        }
    }
}
