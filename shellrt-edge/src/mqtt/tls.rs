//! Who is trusted, and how the client shows who it is.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Error, Tls};

/// What rustls has to know.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Rustls)?;
    let builder = match tls.verify {
        true => builder.with_root_certificates(roots(tls.ca.as_deref())?),
        false => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    match (&tls.cert, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = certificates("mqtt.cert", cert)?;
            let key_file = PrivateKeyDer::from_pem_file(key);
            let key = key_file.map_err(|source| unreadable("mqtt.key", key, source))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(Error::Pair)
        }
        (Some(_), None) => Err(Error::Alone("mqtt.cert", "mqtt.key")),
        (None, Some(_)) => Err(Error::Alone("mqtt.key", "mqtt.cert")),
    }
}

fn roots(own: Option<&Path>) -> Result<RootCertStore, Error> {
    let found = match own {
        Some(path) => certificates("mqtt.ca", path)?,
        // Some files that can't be read leave the others.
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found);
    match (added, own) {
        (0, Some(path)) => Err(Error::Empty("mqtt.ca", path.to_owned())),
        (0, None) => Err(Error::NoRoots),
        _ => Ok(roots),
    }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|source| unreadable(setting, path, source))?;
    match found.is_empty() {
        true => Err(Error::Empty(setting, path.to_owned())),
        false => Ok(found),
    }
}

fn unreadable(setting: &'static str, path: &Path, source: rustls::pki_types::pem::Error) -> Error {
    Error::Unreadable {
        setting,
        path: path.to_owned(),
        source,
    }
}

/// Takes every certificate, and still wants that the broker has the key of what it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
