//! TLS: the router's certificate is always verified, against the machine's authorities or an own one.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;

use super::{Error, Settings};
use crate::link::wamp::address::Address;

/// Encrypts the connection to `address`.
pub async fn encrypt(
    tcp: TcpStream,
    address: &Address,
    settings: &Settings,
) -> Result<TlsStream<TcpStream>, Error> {
    let failed = |source| Error::Tls {
        address: address.to_string(),
        source,
    };
    let name = ServerName::try_from(address.host.clone());
    let name = name.map_err(|error| failed(io::Error::other(error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(io::Error::other(error)))?
        .with_root_certificates(roots(settings)?)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, tcp).await.map_err(failed)
}

/// What to do about a failure.
pub fn advice(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            " (an authority of your own is named by \"--ca\")"
        }
        _ => "",
    }
}

fn roots(settings: &Settings) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &settings.ca {
        Some(path) => {
            let wrong = |why: String| Error::Ca {
                path: path.clone(),
                why,
            };
            let read = CertificateDer::pem_file_iter(path);
            for certificate in read.map_err(|error| wrong(error.to_string()))? {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                let added = roots.add(certificate);
                added.map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            for error in &native.errors {
                log::warn!("some of the machine's certificates can't be read: {error}");
            }
            roots.add_parsable_certificates(native.certs);
        }
    }
    Ok(roots)
}
