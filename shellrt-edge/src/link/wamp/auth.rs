//! How a session proves who it is: ticket, WAMP-CRA and cryptosign, or not at all.

use std::num::NonZeroU32;

use base64::prelude::{Engine, BASE64_STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{hmac, pbkdf2};
use serde_json::Value;
use shellrt_api::v0::Secret;

use super::message::Dict;

/// What WAMP-CRA takes where the router does not say how often to iterate.
const ITERATIONS: u32 = 1000;

/// The most iterations that are done for a router: about a second.
const MOST_ITERATIONS: u64 = 5_000_000;

/// How long WAMP-CRA's derived key is where the router does not say, in bytes.
const KEY_LENGTH: usize = 32;

/// The longest derived key, in bytes.
const LONGEST_KEY: usize = 1024;

/// How long a cryptosign key and its challenge are, in bytes.
const ED25519_LENGTH: usize = 32;

/// Who a component is, and how it proves that.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The name.
    pub authid: Option<String>,
    /// The ticket.
    pub ticket: Option<Secret>,
    /// The secret of WAMP-CRA.
    pub wampcra: Option<Secret>,
    /// The private key of cryptosign: 32 bytes in hexadecimal digits.
    pub cryptosign: Option<Secret>,
}

/// Why a challenge can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is set for the method.
    #[error("the router wants to be answered by {0:?}, for which nothing is set")]
    NotOffered(String),
    /// A part of the challenge is not as it must be.
    #[error("the router's challenge has no usable {0:?}")]
    Challenge(&'static str),
    /// The private key is none.
    #[error("a key for cryptosign must be 64 hexadecimal digits")]
    Key,
    /// The router asks for a binding that is not offered.
    #[error(
        "the router wants the signature bound to the channel by {0:?}, which is not supported"
    )]
    Binding(String),
}

impl Credentials {
    /// The methods, the strongest first.
    pub fn methods(&self) -> Vec<&'static str> {
        let mut methods = Vec::new();
        if self.cryptosign.is_some() {
            methods.push("cryptosign");
        }
        if self.wampcra.is_some() {
            methods.push("wampcra");
        }
        if self.ticket.is_some() {
            methods.push("ticket");
        }
        if methods.is_empty() {
            methods.push("anonymous");
        }
        methods
    }

    /// What HELLO says of them.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn introduce(&self, details: &mut Dict) -> Result<(), Error> {
        let methods = self.methods().into_iter().map(Value::from).collect();
        details.insert("authmethods".to_owned(), Value::Array(methods));
        if let Some(authid) = &self.authid {
            details.insert("authid".to_owned(), authid.as_str().into());
        }
        if let Some(key) = &self.cryptosign {
            let public = hex(key_pair(key)?.public_key().as_ref());
            let mut extra = Dict::new();
            extra.insert("pubkey".to_owned(), public.into());
            details.insert("authextra".to_owned(), Value::Object(extra));
        }
        Ok(())
    }

    /// The answer to a challenge.
    ///
    /// # Errors
    /// [`Error`].
    pub fn answer(&self, method: &str, extra: &Dict) -> Result<String, Error> {
        let not_offered = || Error::NotOffered(method.to_owned());
        match method {
            "ticket" => {
                let ticket = self.ticket.as_ref().ok_or_else(not_offered)?;
                Ok(ticket.expose().to_owned())
            }
            "wampcra" => wampcra(self.wampcra.as_ref().ok_or_else(not_offered)?, extra),
            "cryptosign" => cryptosign(self.cryptosign.as_ref().ok_or_else(not_offered)?, extra),
            _ => Err(not_offered()),
        }
    }
}

fn wampcra(secret: &Secret, extra: &Dict) -> Result<String, Error> {
    let challenge = extra.get("challenge").and_then(Value::as_str);
    let challenge = challenge.ok_or(Error::Challenge("challenge"))?;
    let salt = match extra.get("salt") {
        None | Some(Value::Null) => None,
        Some(Value::String(salt)) => Some(salt),
        Some(_) => return Err(Error::Challenge("salt")),
    };
    let key = match salt {
        None => secret.expose().as_bytes().to_vec(),
        Some(salt) => derived(secret, salt, extra)?.into_bytes(),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    Ok(BASE64_STANDARD.encode(hmac::sign(&key, challenge.as_bytes())))
}

fn derived(secret: &Secret, salt: &str, extra: &Dict) -> Result<String, Error> {
    let number = |name: &'static str, default: u64, most: u64| match extra.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let number = value.as_u64().filter(|number| (1..=most).contains(number));
            number.ok_or(Error::Challenge(name))
        }
    };
    let iterations = number("iterations", u64::from(ITERATIONS), MOST_ITERATIONS)?;
    let length = number("keylen", KEY_LENGTH as u64, LONGEST_KEY as u64)?;
    let iterations = u32::try_from(iterations).ok().and_then(NonZeroU32::new);
    let iterations = iterations.ok_or(Error::Challenge("iterations"))?;
    let mut key = vec![0; usize::try_from(length).map_err(|_| Error::Challenge("keylen"))?];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt.as_bytes(),
        secret.expose().as_bytes(),
        &mut key,
    );
    Ok(BASE64_STANDARD.encode(key))
}

/// The signature of the challenge, followed by the challenge.
fn cryptosign(key: &Secret, extra: &Dict) -> Result<String, Error> {
    if let Some(binding) = extra.get("channel_binding").and_then(Value::as_str) {
        return Err(Error::Binding(binding.to_owned()));
    }
    let challenge = extra.get("challenge").and_then(Value::as_str);
    let challenge = challenge.and_then(unhex);
    let challenge = challenge
        .filter(|bytes| bytes.len() == ED25519_LENGTH)
        .ok_or(Error::Challenge("challenge"))?;
    let signature = key_pair(key)?.sign(&challenge);
    Ok(hex(signature.as_ref()) + &hex(&challenge))
}

fn key_pair(key: &Secret) -> Result<Ed25519KeyPair, Error> {
    let seed = unhex(key.expose().trim()).ok_or(Error::Key)?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Error::Key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || digits.len() % 2 == 1 {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dict(value: Value) -> Dict {
        value.as_object().unwrap().clone()
    }

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    #[test]
    fn what_is_offered_is_what_is_set() {
        let mut hello = Dict::new();
        Credentials::default().introduce(&mut hello).unwrap();
        assert_eq!(Value::Object(hello), json!({"authmethods": ["anonymous"]}));
        let credentials = Credentials {
            authid: Some("joe".to_owned()),
            ticket: secret("secret!"),
            wampcra: secret("other"),
            cryptosign: None,
        };
        let mut hello = Dict::new();
        credentials.introduce(&mut hello).unwrap();
        let expected = json!({"authmethods": ["wampcra", "ticket"], "authid": "joe"});
        assert_eq!(Value::Object(hello), expected);
    }

    #[test]
    fn a_ticket_is_shown() {
        let credentials = Credentials {
            ticket: secret("secret!"),
            ..Credentials::default()
        };
        let answer = credentials.answer("ticket", &Dict::new());
        assert_eq!(answer.as_deref(), Ok("secret!"));
        let other = credentials.answer("wampcra", &Dict::new());
        assert_eq!(other, Err(Error::NotOffered("wampcra".to_owned())));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn wampcra_is_an_hmac() {
        let credentials = Credentials {
            wampcra: secret("Jefe"),
            ..Credentials::default()
        };
        let extra = dict(json!({"challenge": "what do ya want for nothing?"}));
        let answer = credentials.answer("wampcra", &extra);
        let expected = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert_eq!(answer.as_deref(), Ok(expected));
    }

    /// PBKDF2-HMAC-SHA256 of "password" and "salt" is 120fb6cf...70be17b after one iteration; its base64
    /// is the key. The second value is Python's hashlib's, with the defaults.
    #[test]
    fn wampcra_derives_its_key_where_there_is_a_salt() {
        for (password, extra, expected) in [
            (
                "password",
                json!({"challenge": "what do ya want for nothing?", "salt": "salt", "iterations": 1, "keylen": 32}),
                "XVTxgUU1SWzZnq5aIsPLGthHCFtTHOTR46blAz3AhR8=",
            ),
            (
                "secret1",
                json!({"challenge": "{\"nonce\":\"x\"}", "salt": "salt123"}),
                "Db7BqF/1vmWJS8u3waqC9LpGxJkvpTBOa9h3ovrb65g=",
            ),
        ] {
            let credentials = Credentials {
                wampcra: secret(password),
                ..Credentials::default()
            };
            let answer = credentials.answer("wampcra", &dict(extra));
            assert_eq!(answer.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_hostile_challenge_is_refused() {
        let credentials = Credentials {
            wampcra: secret("x"),
            cryptosign: secret(&"0".repeat(64)),
            ..Credentials::default()
        };
        for (method, extra) in [
            ("wampcra", json!({})),
            ("wampcra", json!({"challenge": 1})),
            ("wampcra", json!({"challenge": "", "salt": 1})),
            (
                "wampcra",
                json!({"challenge": "", "salt": "", "iterations": 4_000_000_000_u64}),
            ),
            (
                "wampcra",
                json!({"challenge": "", "salt": "", "iterations": 0}),
            ),
            (
                "wampcra",
                json!({"challenge": "", "salt": "", "keylen": 1_000_000_000}),
            ),
            ("cryptosign", json!({"challenge": "ff"})),
            ("cryptosign", json!({"challenge": "é".repeat(32)})),
            (
                "cryptosign",
                json!({"challenge": "f".repeat(64), "channel_binding": "tls-unique"}),
            ),
        ] {
            let answer = credentials.answer(method, &dict(extra.clone()));
            assert!(answer.is_err(), "{method} {extra}");
        }
    }

    /// The vectors of Autobahn's own tests, without channel binding.
    #[test]
    fn cryptosign_signs() {
        for (key, challenge, signature) in [
            (
                "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0c\
                 ae80a357331bfc5cc9fb71081464e6e75013517c2cf067ad566a6b7b728e5d03",
            ),
            (
                "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
                "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
                "d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372\
                 190374886a70207b042294af5bd64ce725cd8dceb344e6d11c09d1aaaf4d660f",
            ),
        ] {
            let credentials = Credentials {
                cryptosign: secret(key),
                ..Credentials::default()
            };
            let extra = dict(json!({"challenge": challenge, "channel_binding": null}));
            let answer = credentials.answer("cryptosign", &extra);
            assert_eq!(answer.unwrap(), format!("{signature}{challenge}"));
        }
    }

    /// RFC 8032, test 1: the public key that belongs to a private one.
    #[test]
    fn cryptosign_shows_its_public_key() {
        let credentials = Credentials {
            cryptosign: secret(
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n",
            ),
            ..Credentials::default()
        };
        let mut hello = Dict::new();
        credentials.introduce(&mut hello).unwrap();
        assert_eq!(
            hello["authextra"],
            json!({"pubkey": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"})
        );
        let bad = Credentials {
            cryptosign: secret("not a key"),
            ..Credentials::default()
        };
        assert_eq!(bad.introduce(&mut Dict::new()), Err(Error::Key));
    }

    #[test]
    fn nothing_prints_a_secret() {
        let credentials = Credentials {
            ticket: secret("hunter2"),
            ..Credentials::default()
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
