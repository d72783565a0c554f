//! Token services: who may pull gets a token from another server than the registry.

use oci_distribution::token_cache::RegistryToken;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};
use shellrt_api::v0::Secret;

use super::credentials::Login;
use super::failure;
use super::hosts::is_loopback;
use super::retry::retry_after;
use super::transport::{place, Host};
use super::Error;

/// A request to a token service, as the distribution specification documents it.
pub(super) struct Token<'a> {
    pub(super) host: &'a Host,
    /// The service's address.
    pub(super) realm: String,
    /// What the service calls the registry.
    pub(super) service: Option<String>,
    /// What is asked for; by default to pull the repository.
    pub(super) scope: Option<String>,
}

impl Token<'_> {
    /// Fetches a token for what `login` may do.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] where the service refuses the login, and those of any request.
    pub(super) async fn fetch(&self, repository: &str, login: &Login) -> Result<Secret, Error> {
        let host = self.host;
        let mut url = Url::parse(&self.realm)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| host.protocol("its token service is no web address"))?;
        let in_the_open = url.scheme() == "http" && !is_loopback(&url);
        if in_the_open && *login != Login::Anonymous && host.endpoint.api.scheme() == "https" {
            return Err(host.protocol("it wants credentials sent without encryption"));
        }
        let own_scope = format!("repository:{repository}:pull");
        let scope = self.scope.as_deref().filter(|scope| !scope.is_empty());
        let scope = scope.unwrap_or(&own_scope);
        let place = place(&url);
        let client = host.client(&url)?;
        let request = match login {
            Login::Identity(token) => {
                let form = self.form(scope, token);
                let client = client.post(url);
                let kind = "application/x-www-form-urlencoded";
                client.header(CONTENT_TYPE, kind).body(form)
            }
            Login::Password { username, password } => {
                self.query(&mut url, scope, Some(username));
                let secret = Some(password.expose());
                client.get(url).basic_auth(username, secret)
            }
            Login::Anonymous | Login::Token(_) => {
                self.query(&mut url, scope, None);
                client.get(url)
            }
        };
        let sent = request.send().await;
        let response =
            sent.map_err(|error| failure::connection(place.clone(), &host.hosts_file, error))?;
        self.read(repository, login, place, response).await
    }

    fn query(&self, url: &mut Url, scope: &str, account: Option<&str>) {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        for scope in scope.split_whitespace() {
            query.append_pair("scope", scope);
        }
        if let Some(account) = account {
            query.append_pair("account", account);
        }
        query.append_pair("client_id", CLIENT);
    }

    /// The body of OAuth 2's exchange of a refresh token.
    fn form(&self, scope: &str, token: &Secret) -> String {
        let Ok(mut url) = Url::parse("http://form/") else {
            // The text above is a URL.
            return String::new();
        };
        url.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("client_id", CLIENT)
            .append_pair("scope", scope)
            .append_pair("refresh_token", token.expose());
        url.query().unwrap_or_default().to_owned()
    }

    async fn read(
        &self,
        repository: &str,
        login: &Login,
        place: String,
        response: Response,
    ) -> Result<Secret, Error> {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let personal = *login != Login::Anonymous;
        if !status.is_success() {
            let (_, says) = failure::words(response).await;
            return Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    self.host.refused(repository, says, personal)
                }
                StatusCode::BAD_REQUEST if matches!(login, Login::Identity(_)) => {
                    self.host.refused(repository, says, personal)
                }
                StatusCode::TOO_MANY_REQUESTS => Error::RateLimited {
                    registry: place,
                    retry_after,
                    says,
                },
                _ => Error::Status {
                    registry: place,
                    status: status.as_u16(),
                    retry_after,
                    says,
                },
            });
        }
        let body = failure::limited(response, TOKEN_MAX).await;
        let body =
            body.map_err(|error| failure::connection(place.clone(), &self.host.hosts_file, error))?;
        let token = body.and_then(|body| serde_json::from_slice::<RegistryToken>(&body).ok());
        match token {
            Some(token) if !token.token().is_empty() => Ok(token.token().into()),
            _ => Err(Error::Protocol {
                registry: place,
                reason: "its token service sent no token".to_owned(),
            }),
        }
    }
}

/// What token services are told about who asks.
const CLIENT: &str = "shellrt";

/// No token is longer, even with hundreds of groups in it.
const TOKEN_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::hosts::upstream;
    use super::super::{credentials, Settings};
    use super::*;

    #[tokio::test]
    async fn a_password_does_not_go_to_a_token_service_in_the_open() {
        let settings = Settings::from_env(&Default::default()).unwrap();
        let host = Host::new(upstream("example.com").unwrap(), &settings, "example.com");
        let token = Token {
            host: &host,
            realm: "http://tokens.example.com/token".to_owned(),
            service: None,
            scope: None,
        };
        let login = credentials::password("me", "hunter2");
        let error = token.fetch("a", &login).await.unwrap_err();
        assert!(error.to_string().contains("without encryption"), "{error}");
    }
}
