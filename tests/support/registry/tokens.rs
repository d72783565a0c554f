//! A token service as the distribution specification documents it ("Token Authentication
//! Specification" and "Oauth2 Token Authentication"), for a registry that trusts its certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::certificates::{openssl, self_signed, Pair};
use super::http::{Message, Server};
use super::{PASSWORD, USER};

/// The registry's name towards the service.
pub const SERVICE: &str = "registry.test";
/// The service's name towards the registry.
pub const ISSUER: &str = "tokens.test";
/// The refresh token that the service takes.
pub const REFRESH: &str = "refresh me";

/// What a registry must know of a service.
#[derive(Clone)]
pub struct Trust {
    /// The address of the service.
    pub realm: String,
    /// The certificate of the tokens.
    pub certificate: PathBuf,
}

/// A running token service. Repositories that begin with `public/` are open to everybody.
pub struct Tokens {
    server: Server,
    pair: Pair,
    requests: Arc<Mutex<Vec<Message>>>,
    _folder: TempDir,
}

impl Tokens {
    /// Starts one.
    ///
    /// # Panics
    /// Where `openssl` fails.
    pub fn start() -> Tokens {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pair = self_signed(folder.path(), "tokens");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, own) = (requests.clone(), pair.clone());
        let server = Server::answering(move |request| {
            seen.lock().expect("requests").push(request.clone());
            answer(request, &own)
        });
        Tokens {
            server,
            pair,
            requests,
            _folder: folder,
        }
    }

    /// What the registry must know.
    pub fn trust(&self) -> Trust {
        Trust {
            realm: format!("http://{}/token", self.server.host()),
            certificate: self.pair.certificate.clone(),
        }
    }

    /// A token for pulling a repository, made without any request.
    pub fn token(&self, repository: &str) -> String {
        sign(&self.pair, repository)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().expect("requests").clone()
    }
}

fn answer(request: &Message, pair: &Pair) -> Message {
    let post = request.method == "POST";
    let query = match post {
        true => String::from_utf8_lossy(&request.body).into_owned(),
        false => request
            .path
            .split_once('?')
            .unwrap_or_default()
            .1
            .to_owned(),
    };
    let get = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decoded(value))
            .unwrap_or_default()
    };
    let refused = || {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#;
        Message::response(401, &[], body)
    };
    let scope = get("scope");
    let repository = match scope.split(':').collect::<Vec<_>>().as_slice() {
        ["repository", name, "pull"] => (*name).to_owned(),
        _ => return Message::response(400, &[], format!("strange scope {scope}")),
    };
    if get("service") != SERVICE {
        return Message::response(400, &[], "strange service");
    }
    let basic = format!(
        "Basic {}",
        base64(format!("{USER}:{PASSWORD}").as_bytes(), STANDARD)
    );
    let known = match request.header("authorization") {
        _ if post => get("grant_type") == "refresh_token" && get("refresh_token") == REFRESH,
        Some(authorization) if authorization != basic => return refused(),
        Some(_) => true,
        None => repository.starts_with("public/"),
    };
    if !known {
        return refused();
    }
    let token = sign(pair, &repository);
    let key = if post { "access_token" } else { "token" };
    let body = serde_json::json!({ key: token, "expires_in": 300 });
    Message::response(
        200,
        &[("content-type", "application/json")],
        body.to_string(),
    )
}

/// A JSON Web Token with RS256.
fn sign(pair: &Pair, repository: &str) -> String {
    let der = openssl(&["x509", "-outform", "DER"], &[("-in", &pair.certificate)]);
    let header = serde_json::json!({"typ": "JWT", "alg": "RS256", "x5c": [base64(&der, STANDARD)]});
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    let claims = serde_json::json!({
        "iss": ISSUER, "sub": USER, "aud": SERVICE, "jti": format!("{repository}{now}"),
        "iat": now - 10, "nbf": now - 10, "exp": now + 300,
        "access": [{"type": "repository", "name": repository, "actions": ["pull"]}],
    });
    let part = |json: serde_json::Value| base64(json.to_string().as_bytes(), URL);
    let text = format!("{}.{}", part(header), part(claims));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file: &Path = &folder.path().join("text");
    std::fs::write(file, &text).expect("the text to sign");
    let key = pair.key.to_str().expect("a path that is text");
    let file = file.to_str().expect("a path that is text");
    let signature = openssl(&["dgst", "-sha256", "-sign", key, file], &[]);
    format!("{text}.{}", base64(&signature, URL))
}

const STANDARD: (&[u8; 2], bool) = (b"+/", true);
const URL: (&[u8; 2], bool) = (b"-_", false);

/// Base64 with these last two digits, and with padding or without.
fn base64(bytes: &[u8], (last, padded): (&[u8; 2], bool)) -> String {
    let digits: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*last)
        .collect();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(digits[(bits >> (18 - 6 * place) & 63) as usize]));
            } else if padded {
                text.push('=');
            }
        }
    }
    text
}

/// The text of a form or a query.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).unwrap_or_default();
                u8::from_str_radix(hex, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
