//! What can go wrong between a reference and its verified bytes.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use shellrt_api::v0::Code;

use super::Digest;

/// Why a registry request failed.
///
/// The text never holds a secret, nor a URL's query, because signed URLs are secrets too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image reference can't be parsed.
    #[error("invalid image reference \"{reference}\": {reason}; a reference is \"[registry/]repository[:tag][@digest]\"")]
    Reference {
        /// The text as given, shortened.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A digest in a request or a document can't be parsed.
    #[error("invalid digest \"{digest}\": {reason}")]
    Digest {
        /// The text as given, shortened.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A platform can't be parsed.
    #[error("invalid platform \"{platform}\": {reason}; a platform is \"os/architecture[/variant]\", for example \"linux/arm64/v8\"")]
    Platform {
        /// The text as given, shortened.
        platform: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The request's `credentials` are not what this client understands.
    #[error("invalid credentials: {reason}; give \"username\" and \"password\", or \"token\", or nothing")]
    Credentials {
        /// What is wrong; names keys, never values.
        reason: String,
    },
    /// A file with credentials can't be read or parsed.
    #[error("cannot use the credentials in \"{path}\"; mend or remove that file")]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said; a parser's text never quotes the file.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A `docker-credential-*` program failed.
    #[error("the credential helper \"{helper}\" gave no credentials for \"{server}\": {reason}; run it by hand, or remove it from \"credHelpers\" and \"credsStore\"")]
    CredentialHelper {
        /// The program's name.
        helper: String,
        /// What was asked for.
        server: String,
        /// What went wrong; never the program's output.
        reason: String,
    },
    /// A `hosts.toml` or a certificate that it names can't be used.
    #[error("cannot use \"{path}\": {reason}")]
    HostsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry wants other credentials, or denies what these may do.
    #[error("registry \"{registry}\" refused access to \"{repository}\"{says}; {hint}")]
    Unauthorized {
        /// The host that refused.
        registry: String,
        /// The repository.
        repository: String,
        /// The registry's own words, with a colon before them, or nothing.
        says: String,
        /// What to do.
        hint: String,
    },
    /// The registry does not have it.
    #[error("registry \"{registry}\" has no {what}{says}; check the name and the tag")]
    NotFound {
        /// The host that answered.
        registry: String,
        /// What was asked for, with its kind: `manifest "library/alpine:latest"`.
        what: String,
        /// The registry's own words, with a colon before them, or nothing.
        says: String,
    },
    /// No connection, or none that stayed.
    #[error("registry \"{registry}\" is unreachable: {reason}; check the network, the name and the proxy variables, or set a mirror in {hosts}")]
    Unreachable {
        /// The host.
        registry: String,
        /// In a few words.
        reason: String,
        /// The `hosts.toml` that configures this registry, or would.
        hosts: String,
        /// What the HTTP client said.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The certificate or the handshake was refused.
    #[error("no trusted TLS connection to registry \"{registry}\"; if its certificate comes from an own authority, set \"ca\" for it in {hosts}, and \"client\" if it asks for a client certificate")]
    Tls {
        /// The host.
        registry: String,
        /// The `hosts.toml` that configures this registry, or would.
        hosts: String,
        /// What the TLS library said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// 429 after all retries.
    #[error("registry \"{registry}\" limits the rate of requests{says}; try again later, or log in: the limit is higher then")]
    RateLimited {
        /// The host.
        registry: String,
        /// When it wants to hear from us again, where it said so.
        retry_after: Option<Duration>,
        /// The registry's own words, with a colon before them, or nothing.
        says: String,
    },
    /// A status that is none of the above, after the retries where those make sense.
    #[error("registry \"{registry}\" answered {status}{says}")]
    Status {
        /// The host.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// When it wants to hear from us again, where it said so.
        retry_after: Option<Duration>,
        /// The registry's own words, with a colon before them, or nothing.
        says: String,
    },
    /// The host does not speak the protocol as it should.
    #[error("registry \"{registry}\" does not answer as a registry does: {reason}")]
    Protocol {
        /// The host.
        registry: String,
        /// What it did.
        reason: String,
    },
    /// Bytes that are not what their digest says. Whoever keeps them must delete them.
    #[error("\"{expected}\" arrived with the digest \"{actual}\": the registry or something on the way changes it; pull again, or from another registry")]
    DigestMismatch {
        /// What the descriptor says.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// A size that is not what the descriptor says. Whoever keeps the bytes must delete them.
    #[error("\"{digest}\" should have {expected} bytes and has {actual}; the image is broken, push it again")]
    SizeMismatch {
        /// The blob or manifest.
        digest: Digest,
        /// What the descriptor says, in bytes.
        expected: u64,
        /// What the registry says or sent, in bytes.
        actual: u64,
    },
    /// A manifest or index that can't be used.
    #[error("the manifest \"{manifest}\" cannot be used: {reason}")]
    Manifest {
        /// Its reference or digest.
        manifest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index has no image for the platform.
    #[error("\"{reference}\" has no image for {wanted}; it has {available}; name one of these as the platform, or have the image built for yours")]
    PlatformUnavailable {
        /// The reference.
        reference: String,
        /// The platform that was wanted.
        wanted: String,
        /// What there is, separated by commas.
        available: String,
    },
    /// A file of the download can't be written or read.
    #[error("cannot {action} \"{path}\"")]
    File {
        /// `write`, `open`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The HTTP client can't be set up.
    #[error("cannot set up the connection to registry \"{registry}\"; check the proxy variables and that the machine has certificate authorities (package \"ca-certificates\")")]
    Setup {
        /// The host.
        registry: String,
        /// What the HTTP client said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// The code that a plugin answers with.
    pub fn code(&self) -> Code {
        match self {
            Error::Platform { .. } | Error::Credentials { .. } => Code::INVALID_REQUEST,
            Error::Reference { .. } => Code::INVALID_REFERENCE,
            Error::Unauthorized { .. }
            | Error::CredentialFile { .. }
            | Error::CredentialHelper { .. } => Code::REGISTRY_UNAUTHORIZED,
            Error::NotFound { .. } => Code::REGISTRY_NOT_FOUND,
            Error::HostsFile { .. }
            | Error::Unreachable { .. }
            | Error::Tls { .. }
            | Error::RateLimited { .. }
            | Error::Status { .. }
            | Error::Protocol { .. }
            | Error::Setup { .. } => Code::REGISTRY_UNREACHABLE,
            Error::Digest { .. }
            | Error::DigestMismatch { .. }
            | Error::SizeMismatch { .. }
            | Error::Manifest { .. } => Code::IMAGE_INVALID,
            Error::PlatformUnavailable { .. } => Code::PLATFORM_UNAVAILABLE,
            Error::File { source, .. } => crate::os::code(source),
        }
    }

    /// The error as a plugin answers it: with its code, its causes, and what is known of trying
    /// again.
    pub fn answer(&self) -> shellrt_api::v0::Error {
        let answer = shellrt_api::v0::Error::new(self.code(), self);
        let answer = answer.with("retryable", self.retryable());
        match self.retry_after_ms() {
            Some(wait) => answer.with("retry_after_ms", wait),
            None => answer,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::RateLimited { .. } => true,
            Error::Status { status, .. } => is_passing(*status),
            Error::File { source, .. } => crate::os::code(source) == Code::OUT_OF_RESOURCES,
            Error::DigestMismatch { .. }
            | Error::Platform { .. }
            | Error::Credentials { .. }
            | Error::Reference { .. }
            | Error::Unauthorized { .. }
            | Error::CredentialFile { .. }
            | Error::CredentialHelper { .. }
            | Error::NotFound { .. }
            | Error::HostsFile { .. }
            | Error::Tls { .. }
            | Error::Protocol { .. }
            | Error::Setup { .. }
            | Error::Digest { .. }
            | Error::SizeMismatch { .. }
            | Error::Manifest { .. }
            | Error::PlatformUnavailable { .. } => false,
        }
    }

    /// When the registry wants to hear from us again, in milliseconds; only where it said so.
    pub fn retry_after_ms(&self) -> Option<u64> {
        u64::try_from(self.retry_after()?.as_millis()).ok()
    }

    /// When the registry wants to hear from us again; only where it said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::RateLimited { retry_after, .. } | Error::Status { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether the bytes received so far are wrong and must be deleted, not resumed.
    pub fn spoils_bytes(&self) -> bool {
        matches!(
            self,
            Error::DigestMismatch { .. } | Error::SizeMismatch { .. }
        )
    }

    /// Whether another host may still answer, so that trying a mirror or the upstream makes sense.
    pub(super) fn another_host_may_help(&self) -> bool {
        match self {
            Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Unreachable { .. }
            | Error::Tls { .. }
            | Error::RateLimited { .. }
            | Error::Status { .. }
            | Error::Protocol { .. }
            | Error::Setup { .. }
            | Error::CredentialFile { .. }
            | Error::CredentialHelper { .. }
            | Error::DigestMismatch { .. }
            | Error::SizeMismatch { .. } => true,
            Error::Platform { .. }
            | Error::Credentials { .. }
            | Error::Reference { .. }
            | Error::HostsFile { .. }
            | Error::Digest { .. }
            | Error::Manifest { .. }
            | Error::PlatformUnavailable { .. }
            | Error::File { .. } => false,
        }
    }

    /// An error about a file, for `map_err`.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File {
            action,
            path,
            source,
        }
    }
}

/// Statuses that a later request may not see again.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_and_missing_rights_have_their_codes() {
        for (errno, code) in [
            (rustix::io::Errno::NOSPC, Code::OUT_OF_RESOURCES),
            (rustix::io::Errno::DQUOT, Code::OUT_OF_RESOURCES),
            (rustix::io::Errno::MFILE, Code::OUT_OF_RESOURCES),
            (rustix::io::Errno::ACCESS, Code::PERMISSION_DENIED),
            (rustix::io::Errno::ROFS, Code::PERMISSION_DENIED),
            (rustix::io::Errno::IO, Code::INTERNAL),
        ] {
            let error = Error::file("write", "/x")(errno.into());
            assert_eq!(error.code(), code, "{errno}");
            assert_eq!(error.retryable(), code == Code::OUT_OF_RESOURCES);
        }
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let error = Error::RateLimited {
            registry: "r".into(),
            retry_after: Some(Duration::from_millis(1500)),
            says: String::new(),
        };
        assert_eq!(error.retry_after_ms(), Some(1500));
        assert!(error.retryable());
        assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
        assert_eq!(error.answer().detail["retry_after_ms"], 1500);
        let error = Error::HostsFile {
            path: "/x".into(),
            reason: String::new(),
        };
        assert!(!error.answer().retryable());
    }
}
