//! TLS, set up by the file that EDGELESS has for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// `tls_config.toml`. Paths are relative to the working folder.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// For who calls us.
    pub server: Server,
    /// For whom we call.
    pub client: Client,
}

/// For who calls us.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Our certificate, with the chain behind it, as PEM.
    pub server_cert_path: Option<PathBuf>,
    /// Its key, as PEM.
    pub server_key_path: Option<PathBuf>,
    /// Who has signed the clients' certificates; with it clients must have one.
    pub server_ca_path: Option<PathBuf>,
}

/// For whom we call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Who has signed the server's certificate, as PEM.
    pub client_ca_path: Option<PathBuf>,
    /// Our certificate, as PEM.
    pub client_cert_path: Option<PathBuf>,
    /// Its key, as PEM.
    pub client_key_path: Option<PathBuf>,
    /// The name that the server's certificate has. Default `www.example.com`.
    pub domain_name: Option<String>,
    /// A key in a TPM; not supported.
    pub tpm_handle: Option<toml::Value>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path:?} can't be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of settings is none.
    #[error("{path:?} is wrong")]
    Settings {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A file has not what it should have.
    #[error("there is no {what} in {path:?}, which must be PEM")]
    Pem {
        /// What.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// One does not go without the other.
    #[error("{0:?} needs {1:?} beside it")]
    Half(&'static str, &'static str),
    /// A key in a TPM.
    #[error("\"tpm_handle\" is not supported; give the key as \"client_key_path\"")]
    Tpm,
    /// They do not fit each other.
    #[error("the certificate and the key can't be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Tls {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(path: &Path) -> Result<Tls, TlsError> {
        let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
        toml::from_str(&text).map_err(|error| TlsError::Settings {
            path: path.to_owned(),
            source: Box::new(error),
        })
    }

    /// For who calls us; nothing where no certificate is set.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn acceptor(&self) -> Result<Option<TlsAcceptor>, TlsError> {
        let server = &self.server;
        let (certificate, key) = match (&server.server_cert_path, &server.server_key_path) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) if server.server_ca_path.is_none() => return Ok(None),
            (None, _) => return Err(TlsError::Half("server_key_path", "server_cert_path")),
            (Some(_), None) => return Err(TlsError::Half("server_cert_path", "server_key_path")),
        };
        let unusable = |error: rustls::Error| TlsError::Unusable(error.into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &server.server_ca_path {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).map_err(unusable)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| TlsError::Unusable(error.into()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let private = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|_| TlsError::Pem {
            what: "private key",
            path: key.clone(),
        })?;
        let mut config = builder
            .with_single_cert(certificates(certificate)?, private)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// For whom we call; nothing where no authority is set.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn connector(&self) -> Result<Option<ClientTlsConfig>, TlsError> {
        let client = &self.client;
        if client.tpm_handle.is_some() {
            return Err(TlsError::Tpm);
        }
        let Some(ca) = &client.client_ca_path else {
            return match client.client_cert_path {
                Some(_) => Err(TlsError::Half("client_cert_path", "client_ca_path")),
                None => Ok(None),
            };
        };
        let name = client.domain_name.as_deref().unwrap_or("www.example.com");
        let mut config = ClientTlsConfig::new()
            .domain_name(name)
            .ca_certificate(Certificate::from_pem(bytes(ca)?));
        match (&client.client_cert_path, &client.client_key_path) {
            (Some(certificate), Some(key)) => {
                config = config.identity(Identity::from_pem(bytes(certificate)?, bytes(key)?));
            }
            (None, None) => {}
            (None, Some(_)) => return Err(TlsError::Half("client_key_path", "client_cert_path")),
            (Some(_), None) => return Err(TlsError::Half("client_cert_path", "client_key_path")),
        }
        Ok(Some(config))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = bytes(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::Pem {
            what: "certificate",
            path: path.to_owned(),
        }),
    }
}
