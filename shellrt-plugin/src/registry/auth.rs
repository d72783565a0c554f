//! Authentication: the registry's challenge, the token for it, and what it has granted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::Response;
use shellrt_api::v0::Secret;

use super::credentials::{self, Login};
use super::failure;
use super::token::Token;
use super::transport::{place, Ask, Host};
use super::{Error, Settings};

/// What a host has granted so far, by repository.
#[derive(Default)]
pub(super) struct Grants {
    known: Mutex<HashMap<String, Grant>>,
    /// Held while a token is fetched, so that parallel downloads share one.
    fetching: tokio::sync::Mutex<()>,
}

/// The value of an `Authorization` header.
#[derive(Clone, PartialEq)]
pub(super) struct Grant {
    /// Marked as sensitive, so that nothing prints it.
    pub(super) header: HeaderValue,
    /// Whether credentials stand behind it.
    personal: bool,
}

impl Grants {
    pub(super) fn get(&self, repository: &str) -> Option<Grant> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(repository).cloned()
    }

    fn set(&self, repository: &str, grant: Grant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(repository.to_owned(), grant);
    }
}

impl Host {
    /// Answers a challenge. `refused` is the grant that was sent with the request, if any.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] where there is no way to answer it.
    pub(super) async fn authorize(
        &self,
        ask: &Ask<'_>,
        response: Response,
        refused: Option<Grant>,
        settings: &Settings,
    ) -> Result<Grant, Error> {
        let challenge = Challenge::of(response.headers());
        let (_, says) = failure::words(response).await;
        let _fetching = self.grants.fetching.lock().await;
        let known = self.grants.get(ask.repository);
        if let Some(known) = known.filter(|known| Some(known) != refused.as_ref()) {
            // Another download has just got a new one.
            return Ok(known);
        }
        let login = self.login(ask.repository, settings).await?;
        let personal = login != Login::Anonymous;
        let header = match (challenge, login) {
            (Some(Challenge::Bearer { .. }), Login::Token(token)) => bearer(&token),
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                login,
            ) => {
                let token = Token {
                    host: self,
                    realm,
                    service,
                    scope,
                };
                let token = token.fetch(ask.repository, &login).await?;
                bearer(&token)
            }
            (Some(Challenge::Basic), Login::Password { username, password }) => {
                basic(&username, &password)
            }
            (Some(Challenge::Basic), Login::Anonymous) => {
                return Err(self.refused(ask.repository, says, false));
            }
            (Some(Challenge::Basic), Login::Token(_) | Login::Identity(_)) => {
                let says = format!("{says}, it wants a user name and a password, not a token");
                return Err(self.refused(ask.repository, says, true));
            }
            (None, _) => {
                let says = format!("{says}, and does not say how to log in");
                return Err(self.refused(ask.repository, says, personal));
            }
        };
        let header = header.ok_or_else(|| self.protocol("its token is no header's text"))?;
        let grant = Grant { header, personal };
        self.grants.set(ask.repository, grant.clone());
        Ok(grant)
    }

    /// 401 or 403 to a request that was sent with what the host has granted.
    pub(super) fn unauthorized(&self, repository: &str, says: String) -> Error {
        let personal = self
            .grants
            .get(repository)
            .is_some_and(|grant| grant.personal);
        self.refused(repository, says, personal)
    }

    /// A refusal; `personal` says whether credentials were shown.
    pub(super) fn refused(&self, repository: &str, says: String, personal: bool) -> Error {
        let name = self.name();
        let mut hint = match personal {
            true => {
                "the credentials are wrong or may not pull it: check user and password".to_owned()
            }
            false => format!(
                "no credentials are known for it: give -u and --password-stdin, or log in with \
                 \"docker login {name}\" or \"podman login {name}\""
            ),
        };
        if name == "docker.io" {
            hint.push_str("; Docker Hub answers so for missing repositories too: check the name");
        }
        Error::Unauthorized {
            registry: name,
            repository: repository.to_owned(),
            says,
            hint,
        }
    }

    /// The request's credentials are for the registry itself; a mirror gets its own from the files.
    async fn login(&self, repository: &str, settings: &Settings) -> Result<Login, Error> {
        match settings.given.login() {
            Some(login) if self.endpoint.upstream => Ok(login.clone()),
            _ => credentials::look_up(&settings.credential_files, &self.name(), repository).await,
        }
    }

    /// The name under which credentials for this host are kept.
    fn name(&self) -> String {
        match place(&self.endpoint.api).as_str() {
            "registry-1.docker.io" | "index.docker.io" => "docker.io".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// How a host wants to be told who asks.
enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The challenge of a response; Bearer where there is a choice.
    fn of(headers: &HeaderMap) -> Option<Challenge> {
        let mut basic = None;
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(challenges) = header.to_str().map(http_auth::parse_challenges) else {
                continue;
            };
            for challenge in challenges.unwrap_or_default() {
                let get = |name: &str| {
                    let mut params = challenge.params.iter();
                    let found = params.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    if let Some(realm) = get("realm") {
                        let (service, scope) = (get("service"), get("scope"));
                        return Some(Challenge::Bearer {
                            realm,
                            service,
                            scope,
                        });
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Challenge::Basic);
                }
            }
        }
        basic
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.expose()))
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
    sensitive(format!("Basic {pair}"))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::super::hosts::upstream;
    use super::*;

    fn host(registry: &str) -> Host {
        let settings = Settings::from_env(&Default::default()).unwrap();
        Host::new(upstream(registry).unwrap(), &settings, registry)
    }

    #[test]
    fn docker_hubs_refusal_may_mean_a_missing_repository() {
        let error = host("docker.io").unauthorized("library/nope", String::new());
        assert_eq!(error.code(), shellrt_api::v0::Code::REGISTRY_UNAUTHORIZED);
        let text = error.to_string();
        assert!(
            text.contains("check the name") && text.contains("docker login docker.io"),
            "{text}"
        );
        let text = host("example.com")
            .unauthorized("a", String::new())
            .to_string();
        assert!(!text.contains("check the name"), "{text}");
    }

    #[test]
    fn challenges_are_those_of_the_specifications() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
            }
            match Challenge::of(&headers) {
                Some(Challenge::Basic) => "basic".to_owned(),
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }) => {
                    format!(
                        "{realm} {} {}",
                        service.unwrap_or_default(),
                        scope.unwrap_or_default()
                    )
                }
                None => "none".to_owned(),
            }
        };
        // The first is the example of the token authentication specification.
        let example = "Bearer realm=\"https://auth.docker.io/token\",\
            service=\"registry.docker.io\",scope=\"repository:samalba/my-app:pull,push\"";
        let parsed =
            "https://auth.docker.io/token registry.docker.io repository:samalba/my-app:pull,push";
        assert_eq!(of(&[example]), parsed);
        assert_eq!(of(&["Basic realm=\"x\"", example]), parsed);
        assert_eq!(
            of(&["Basic realm=\"x\", bearer realm=\"https://t\""]),
            "https://t  "
        );
        assert_eq!(of(&["Basic realm=\"x\""]), "basic");
        assert_eq!(of(&["Negotiate"]), "none");
        assert_eq!(of(&["Bearer service=\"x\""]), "none");
        assert_eq!(of(&[]), "none");
    }
}
