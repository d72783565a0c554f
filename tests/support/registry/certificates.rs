//! Certificates for one test, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A certificate and its key, as PEM files.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// An own authority.
pub struct Authority {
    folder: TempDir,
    own: Pair,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Panics
    /// Where `openssl` fails.
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = self_signed(folder.path(), "authority");
        Authority { folder, own }
    }

    /// The certificate to trust.
    pub fn certificate(&self) -> &Path {
        &self.own.certificate
    }

    /// A certificate for a server on 127.0.0.1 and `localhost`, or for a client.
    pub fn issue(&self, name: &str) -> Pair {
        let at = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let pair = Pair {
            certificate: at("pem"),
            key: at("key"),
        };
        let extensions = at("ext");
        let text = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n\
                    extendedKeyUsage=serverAuth,clientAuth\n";
        std::fs::write(&extensions, text).expect("the extensions");
        let request = at("csr");
        openssl(
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                CURVE,
                "-nodes",
                "-subj",
                "/CN=127.0.0.1",
            ],
            &[("-keyout", &pair.key), ("-out", &request)],
        );
        openssl(
            &["x509", "-req", "-days", "2", "-CAcreateserial"],
            &[
                ("-in", &request),
                ("-CA", &self.own.certificate),
                ("-CAkey", &self.own.key),
                ("-extfile", &extensions),
                ("-out", &pair.certificate),
            ],
        );
        pair
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// A certificate that signs itself.
pub fn self_signed(folder: &Path, name: &str) -> Pair {
    let pair = Pair {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
    };
    let kind = if name == "tokens" {
        // RS256 needs RSA.
        vec!["-newkey", "rsa:2048"]
    } else {
        vec!["-newkey", "ec", "-pkeyopt", CURVE]
    };
    let mut arguments = vec![
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=shellrt test",
    ];
    arguments.extend(kind);
    openssl(
        &arguments,
        &[("-keyout", &pair.key), ("-out", &pair.certificate)],
    );
    pair
}

const CURVE: &str = "ec_paramgen_curve:prime256v1";

/// Runs `openssl` and gives back its stdout.
///
/// # Panics
/// Where it fails.
pub fn openssl(arguments: &[&str], files: &[(&str, &Path)]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    let output = command.output().expect("openssl");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    output.stdout
}
