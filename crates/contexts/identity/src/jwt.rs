//! Access tokens as JSON Web Tokens (RFC 7519, RFC 9068), and the tokens of others.
//!
//! The library parses and validates; signatures are made and checked by ring, which is in the program for TLS anyway.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, rand, signature as ring_signature};
use signature::{Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the cryptography of tokens. Safe to call more than once.
pub(crate) fn install() {
    let _ = PROVIDER.install_default();
}

fn unusable() -> Error {
    Error::from(ErrorKind::InvalidKeyFormat)
}

enum Signing {
    Hmac(hmac::Key),
    Ed25519(ring_signature::Ed25519KeyPair),
    Rsa(Box<ring_signature::RsaKeyPair>),
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if !key.family().algorithms().contains(algorithm) {
        return Err(unusable());
    }
    Ok(Box::new(match algorithm {
        Algorithm::HS256 => Signing::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())),
        Algorithm::EdDSA => Signing::Ed25519(
            ring_signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes())
                .map_err(|_| unusable())?,
        ),
        Algorithm::RS256 => Signing::Rsa(Box::new(
            ring_signature::RsaKeyPair::from_pkcs8(key.as_bytes()).map_err(|_| unusable())?,
        )),
        _ => return Err(unusable()),
    }))
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&ring_signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signed)
                    .map_err(|_| signature::Error::new())?;
                signed
            }
        })
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HS256,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}

enum Key {
    Hmac(hmac::Key),
    Rsa { n: Vec<u8>, e: Vec<u8>, with: &'static ring_signature::RsaParameters },
    Other { bytes: Vec<u8>, with: &'static dyn ring_signature::VerificationAlgorithm },
}

struct Verifying {
    algorithm: Algorithm,
    key: Key,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if !key.family().algorithms().contains(algorithm) {
        return Err(unusable());
    }
    let rsa = |with| match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => Ok(Key::Rsa { n: n.clone(), e: e.clone(), with }),
        _ => Err(unusable()),
    };
    let other = |with| Ok(Key::Other { bytes: key.try_get_as_bytes()?.to_vec(), with });
    let key = match algorithm {
        Algorithm::HS256 => Ok(Key::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))),
        Algorithm::RS256 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => other(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => other(&ring_signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => other(&ring_signature::ED25519),
        _ => Err(unusable()),
    }?;
    Ok(Box::new(Verifying { algorithm: *algorithm, key }))
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        match &self.key {
            Key::Hmac(key) => hmac::verify(key, message, given),
            Key::Rsa { n, e, with } => {
                ring_signature::RsaPublicKeyComponents { n, e }.verify(with, message, given)
            }
            Key::Other { bytes, with } => {
                ring_signature::UnparsedPublicKey::new(*with, bytes).verify(message, given)
            }
        }
        .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
