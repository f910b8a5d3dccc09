//! An issuer of OpenID Connect that says whatever it is told to.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) struct Issuer {
    pub(crate) url: String,
    key: EcdsaKeyPair,
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Issuer {
    /// One at `/realms/<name>` of a host of its own.
    pub(crate) fn start(realm: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}/realms/{realm}", listener.local_addr().unwrap().port());
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let (answers, asked) =
            (Arc::<Mutex<HashMap<String, (u16, String)>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (own, seen) = (Arc::clone(&answers), Arc::clone(&asked));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    request.extend(&buffer[..count]);
                    let text = String::from_utf8_lossy(&request);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .to_lowercase()
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
                    if body.len() >= length {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().unwrap().push((
                    path.clone(),
                    text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()),
                ));
                let (status, body) = own.lock().unwrap().get(&path).cloned().unwrap_or((404, String::new()));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        let issuer = Self { url, key, answers, asked };
        issuer.discovered(&json!({}));
        issuer.says("/jwks", &json!({"keys": [issuer.jwk()]}));
        issuer
    }

    fn path(&self, path: &str) -> String {
        format!("/realms/{}{path}", self.url.rsplit('/').next().unwrap())
    }

    pub(crate) fn says(&self, path: &str, body: &Value) {
        self.answers.lock().unwrap().insert(self.path(path), (200, body.to_string()));
    }

    /// What it says about itself, with changes.
    pub(crate) fn discovered(&self, changes: &Value) {
        let url = &self.url;
        let mut metadata = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks")
        });
        for (name, value) in changes.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        self.says("/.well-known/openid-configuration", &metadata);
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65])})
    }

    /// A token that it signs.
    pub(crate) fn sign(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }

    /// The bodies that it was asked a path with.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let path = self.path(path);
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(own, _)| *own == path)
            .map(|(_, body)| body.clone())
            .collect()
    }
}
