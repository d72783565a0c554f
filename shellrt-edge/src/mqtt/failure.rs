//! Why there is no connection, in words that say what to do, and how often that is said.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::mqttbytes::Error as MqttError;
use rumqttc::{ConnectionError, StateError};
use rustls::{AlertDescription, InvalidMessage};

/// After how long the same is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// It takes too long.
const LATE: &str = "it did not answer in time";

/// Why a connection could not be made, or was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words.
    pub(super) text: String,
    /// Whether it is the fault of something that was published.
    pub(super) is_of_message: bool,
}

impl Failure {
    /// One that is nobody's fault.
    pub(super) fn new(text: impl Into<String>) -> Failure {
        Failure {
            text: text.into(),
            is_of_message: false,
        }
    }

    /// What rumqttc's error means. `client_id` is ours; `is_accepted` says whether the broker had accepted
    /// the connection.
    pub(super) fn of(error: &ConnectionError, client_id: &str, is_accepted: bool) -> Failure {
        let io = match error {
            ConnectionError::MqttState(StateError::Deserialization(MqttError::Io(io))) => Some(io),
            other => find::<io::Error>(other),
        };
        let tls = match io {
            Some(io) => find::<rustls::Error>(io),
            None => find::<rustls::Error>(error),
        };
        match (error, tls, io) {
            (_, Some(tls), _) => Failure::new(of_tls(tls)),
            (_, _, Some(io)) => Failure::new(of_io(io, is_accepted)),
            (ConnectionError::ConnectionRefused(code), ..) => {
                Failure::new(of_refusal(code, client_id))
            }
            (ConnectionError::Timeout(_), ..) => Failure::new(LATE),
            (ConnectionError::MqttState(StateError::ConnectionAborted), ..) => {
                Failure::new(closed(is_accepted))
            }
            (ConnectionError::MqttState(state), ..) => of_state(state, client_id),
            (other, ..) => Failure::new(lower(&other.to_string())),
        }
    }
}

fn of_tls(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    match error {
        InvalidCertificate(why) => format!(
            "its certificate is not trusted ({why}): set \"mqtt.ca\" to the certificate of the authority \
             that has signed it, or \"mqtt.ssl_verify\" to false to trust anybody"
        ),
        AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure,
        ) => format!(
            "it does not take the client's certificate ({error}): set \"mqtt.cert\" and \"mqtt.key\" to \
             one that it trusts"
        ),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS at this port: check \"mqtt.ssl\" and \"mqtt.port\"".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

fn of_refusal(code: &ConnectReturnCode, client_id: &str) -> String {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized => {
            "it refuses the name or the password: check \"mqtt.username\" and \"mqtt.password\""
                .to_owned()
        }
        Code::BadClientId | Code::ClientIdentifierNotValid => {
            format!("it does not take the client id {client_id:?}")
        }
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
            "it does not speak MQTT 5".to_owned()
        }
        other => format!("it refuses the connection: {}", words(other)),
    }
}

fn of_state(error: &StateError, client_id: &str) -> Failure {
    use DisconnectReasonCode as Code;
    match error {
        StateError::AwaitPingResp => Failure::new("it does not answer any more"),
        StateError::ServerDisconnect {
            reason_code: Code::SessionTakenOver,
            ..
        } => Failure::new(format!(
            "another client with the client id {client_id:?} has taken the connection over"
        )),
        StateError::ServerDisconnect {
            reason_code,
            reason_string,
        } => {
            let why = reason_string.clone().unwrap_or_else(|| words(reason_code));
            Failure {
                text: format!("it has ended the connection: {why}"),
                is_of_message: matches!(
                    reason_code,
                    Code::MalformedPacket
                        | Code::ProtocolError
                        | Code::ImplementationSpecificError
                        | Code::NotAuthorized
                        | Code::TopicNameInvalid
                        | Code::PacketTooLarge
                        | Code::QuotaExceeded
                        | Code::PayloadFormatInvalid
                        | Code::QoSNotSupported
                ),
            }
        }
        // rumqttc does not know all reasons for which a message can be refused: "packet too large" (0x95).
        StateError::Deserialization(
            MqttError::InvalidReason(code) | MqttError::InvalidConnectReturnCode(code),
        ) => Failure {
            text: format!("it refuses something with the code {code:#04x}"),
            is_of_message: true,
        },
        StateError::OutgoingPacketTooLarge { .. } => Failure {
            text: lower(&error.to_string()),
            is_of_message: true,
        },
        other => Failure::new(lower(&other.to_string())),
    }
}

fn of_io(error: &io::Error, is_accepted: bool) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::NotFound => "nobody knows the host: check \"mqtt.host\"".to_owned(),
        io::ErrorKind::TimedOut => LATE.to_owned(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted => closed(is_accepted).to_owned(),
        _ => lower(&error.to_string()),
    }
}

fn closed(is_accepted: bool) -> &'static str {
    match is_accepted {
        true => "it has closed the connection",
        false => {
            "it has closed the connection without a word: check \"mqtt.ssl\" and \"mqtt.port\""
        }
    }
}

/// The error of this type among an error and its causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // What such an error wraps is not its source, but itself.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// `QuotaExceeded` as "quota exceeded".
pub(super) fn words(code: &impl std::fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// Without the capital letter at the beginning.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first
        .chain(letters)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// What was complained of, so that it is said at once, and then once in a minute.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    said: Vec<(String, Duration)>,
}

impl Complaints {
    /// Whether this has to be said at `now`, a time since any fixed moment.
    pub(super) fn is_due(&mut self, text: &str, now: Duration) -> bool {
        self.said.retain(|(_, at)| now.saturating_sub(*at) < AGAIN);
        if self.said.iter().any(|(said, _)| said == text) {
            return false;
        }
        self.said.push((text.to_owned(), now));
        true
    }

    /// All is well, so the next complaint is a new one.
    pub(super) fn clear(&mut self) {
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &ConnectionError) -> String {
        Failure::of(error, "me", true).text
    }

    #[test]
    fn what_to_do_about_certificates() {
        let wrap = |error: rustls::Error| {
            ConnectionError::Tls(rumqttc::TlsError::Io(io::Error::new(
                io::ErrorKind::InvalidData,
                error,
            )))
        };
        let untrusted = rustls::CertificateError::UnknownIssuer;
        let untrusted = text(&wrap(rustls::Error::InvalidCertificate(untrusted)));
        assert!(untrusted.contains("\"mqtt.ca\""), "{untrusted}");
        assert!(untrusted.contains("\"mqtt.ssl_verify\""), "{untrusted}");
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        // Such an alert comes with the first answer, after the handshake.
        let read = MqttError::Io(io::Error::new(io::ErrorKind::InvalidData, required));
        let read = ConnectionError::MqttState(StateError::Deserialization(read));
        let required = Failure::of(&read, "me", false);
        assert!(required.text.contains("\"mqtt.cert\""), "{required:?}");
        assert!(!required.is_of_message);
    }

    #[test]
    fn what_to_do_about_credentials_and_hosts() {
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert!(text(&refused).contains("\"mqtt.password\""));
        let unknown = ConnectionError::Io(io::ErrorKind::NotFound.into());
        assert!(text(&unknown).contains("\"mqtt.host\""));
        let busy = ConnectionError::ConnectionRefused(ConnectReturnCode::ServerBusy);
        assert_eq!(text(&busy), "it refuses the connection: server busy");
    }

    #[test]
    fn a_message_is_blamed_only_where_it_can_be() {
        let of = |reason_code| {
            let state = StateError::ServerDisconnect {
                reason_code,
                reason_string: None,
            };
            Failure::of(&ConnectionError::MqttState(state), "me", true)
        };
        let large = of(DisconnectReasonCode::PacketTooLarge);
        assert_eq!(
            (large.text.as_str(), large.is_of_message),
            ("it has ended the connection: packet too large", true)
        );
        assert!(!of(DisconnectReasonCode::ServerShuttingDown).is_of_message);
        let reset = MqttError::Io(io::ErrorKind::ConnectionReset.into());
        let reset = ConnectionError::MqttState(StateError::Deserialization(reset));
        assert!(!Failure::of(&reset, "me", true).is_of_message);
        // As rumqttc calls it.
        let unknown = MqttError::InvalidConnectReturnCode(0x95);
        let unknown = ConnectionError::MqttState(StateError::Deserialization(unknown));
        let unknown = Failure::of(&unknown, "me", true);
        assert_eq!(unknown.text, "it refuses something with the code 0x95");
        assert!(unknown.is_of_message);
        let taken = of(DisconnectReasonCode::SessionTakenOver);
        assert!(taken.text.contains("client id \"me\"") && !taken.is_of_message);
    }

    #[test]
    fn the_same_is_said_once_in_a_minute() {
        let seconds = Duration::from_secs;
        let mut complaints = Complaints::default();
        assert!(complaints.is_due("a", seconds(100)));
        assert!(complaints.is_due("b", seconds(101)));
        assert!(!complaints.is_due("a", seconds(159)));
        assert!(complaints.is_due("a", seconds(160)));
        assert!(!complaints.is_due("b", seconds(160)));
        complaints.clear();
        assert!(complaints.is_due("b", seconds(160)));
    }
}
