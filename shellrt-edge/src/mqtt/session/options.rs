//! Settings as rumqttc has them.

use std::time::Duration;

use rumqttc::mqttbytes::v5::LastWill;
use rumqttc::mqttbytes::QoS;
use rumqttc::{AckMode, Broker, MqttOptions, TlsConfiguration, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::lookup;
use crate::mqtt::socket::Socket;
use crate::mqtt::{tls, Error, Message, Settings, MAX_INCOMING};

/// How many messages the broker sends without an acknowledgement, so that it keeps the others for us.
const RECEIVE_MAXIMUM: u16 = 16;

/// What a packet may be larger than its payload: its topic, and what MQTT adds.
const MAX_HEADER: usize = 128 * 1024;

/// How long a connection may take to be made, with all of the host's addresses.
const CONNECTING: Duration = Duration::from_secs(20);

/// The longest text that MQTT has room for.
const MAX_TEXT: usize = u16::MAX as usize;

/// What a connection with these settings begins with. Sockets come `back` when they are not used any more.
pub(super) fn of(
    settings: &Settings,
    will: Option<Message>,
    back: mpsc::UnboundedSender<TcpStream>,
) -> Result<MqttOptions, Error> {
    let password = settings.password.as_ref().map(|password| password.expose());
    let texts = [
        ("mqtt.host", Some(settings.host.as_str())),
        ("mqtt.username", settings.username.as_deref()),
        ("mqtt.password", password),
        ("the client id", Some(settings.client_id.as_str())),
    ];
    for (name, text) in texts {
        if text.is_some_and(|text| text.len() > MAX_TEXT) {
            return Err(Error::TooLong(name));
        }
    }
    if settings.host.is_empty() {
        return Err(Error::Missing("mqtt.host"));
    }
    // The broker would make one up, and another one for each connection.
    if settings.client_id.is_empty() {
        return Err(Error::Missing("the client id"));
    }
    let keep_alive = u16::try_from(settings.keep_alive.as_secs()).ok();
    let keep_alive = keep_alive.filter(|_| settings.keep_alive.subsec_nanos() == 0);

    let broker = Broker::tcp(settings.host.clone(), settings.port);
    let mut options = MqttOptions::new(settings.client_id.clone(), broker);
    options
        .set_keep_alive(keep_alive.ok_or(Error::KeepAlive)?)
        .set_clean_start(true)
        .set_ack_mode(AckMode::Manual)
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(u32::try_from(MAX_INCOMING + MAX_HEADER).ok())
        .set_connect_timeout(CONNECTING);
    match (&settings.username, password) {
        (Some(username), Some(password)) => {
            options.set_credentials(username.clone(), password.to_owned());
        }
        (Some(username), None) => {
            options.set_username(username.clone());
        }
        (None, Some(password)) => {
            options.set_password(password.to_owned());
        }
        (None, None) => {}
    }
    if let Some(tls) = &settings.tls {
        let config = TlsConfiguration::from(tls::config(tls)?);
        options.set_transport(Transport::tls_with_config(config));
    }
    if let Some(will) = will {
        if will.payload.len() > MAX_TEXT {
            return Err(Error::TooLong("the will"));
        }
        if will.topic.is_empty() || will.topic.len() > MAX_TEXT || will.topic.contains(['+', '#']) {
            return Err(Error::Topic(will.topic));
        }
        let will = LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, false, None);
        options.set_last_will(will);
    }
    let (host, port) = (settings.host.clone(), settings.port);
    options.set_socket_connector(move |_, _| {
        let (host, back) = (host.clone(), back.clone());
        async move {
            let stream = lookup::connect(&host, port).await?;
            // What is said is mostly short, and somebody waits for it.
            stream.set_nodelay(true)?;
            Ok(Socket::new(stream, back))
        }
    });
    Ok(options)
}
