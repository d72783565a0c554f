//! `shellrt-edged wamp`: what the user typed, with the flags and variables of the Autobahn-Python runners.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::serializer::Serializer;
use crate::logging::{BadLevel, LogLevel};

const SECRETS: &str = "\
Secrets never stand on the command line. WAMP_TICKET, WAMP_SECRET (of WAMP-CRA) and WAMP_PRIVATE_KEY (of
cryptosign, 64 hexadecimal digits) have them, or the files that the settings name.

Exit status:
  0  SIGTERM or SIGINT has ended it
  1  components have ended and are not revived, or it could not start
  2  the command line is wrong

Examples:
  shellrt-edged wamp -c wasm:./sensor.wasm -u ws://127.0.0.1:8080/ws -r realm1 -e extra.json
  shellrt-edged wamp -c app.Sensor -c wasm:./logger.wasm --config wamp.yaml -u ws://127.0.0.1:8080/ws \\
      -r realm1 -e extras.json -n --necromancy-sleep 5";

/// Launches components and connects each to a WAMP router.
#[derive(Debug, Clone, Args)]
#[command(after_help = SECRETS)]
pub struct Wamp {
    /// A component: PLUGIN:REFERENCE, as in wasm:./sensor.wasm or containerd:registry/app:1, or a name of the
    /// settings. Can be repeated
    #[arg(
        short,
        long = "component",
        value_name = "COMPONENT",
        required = true,
        env = "WAMP_COMPONENT"
    )]
    pub components: Vec<String>,

    /// The router: ws://, wss://, rs:// or rss:// (RawSocket)
    #[arg(short, long, env = "WAMP_URL")]
    pub url: Option<String>,

    /// The realm
    #[arg(short, long, env = "WAMP_REALM")]
    pub realm: Option<String>,

    /// A JSON file with what components are started with: for one component all of it, for several an object
    /// with what each is called after -c
    #[arg(short, long, value_name = "FILE", env = "WAMP_EXTRAS_FILE")]
    pub extra_file: Option<PathBuf>,

    /// Use TLS whatever the URL says
    #[arg(
        short = 's',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        default_value = "false",
        hide_default_value = true,
        env = "WAMP_USE_SSL"
    )]
    pub use_ssl: Switch,

    /// How much to log: critical, error, warning or warn, info, debug or trace
    #[arg(short, long = "loglevel", value_name = "LEVEL", value_parser = level, env = "WAMP_LOG_LEVEL")]
    pub loglevel: Option<LogLevel>,

    /// What is offered to the router, the best first: json, msgpack, cbor, or Autobahn's classes for them.
    /// Default: all three
    #[arg(long, value_name = "SERIALIZER", num_args = 1.., value_delimiter = ',')]
    pub serializers: Vec<Serializer>,

    /// Revive what has ended: a lost connection, an aborted session, a component that is over. Each time a
    /// new instance begins, with the same extra
    #[arg(short, long)]
    pub necromancy: bool,

    /// How long to wait before something is revived, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub necromancy_sleep: u64,

    /// A settings file (YAML) with named components and what is not said here
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A file of certificates in PEM: the authorities that are trusted instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Who the components are for the router
    #[arg(long, env = "WAMP_AUTHID")]
    pub authid: Option<String>,

    /// What this daemon is called, where several of the same components run on one machine
    #[arg(long)]
    pub name: Option<String>,
}

/// Yes or no, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Switch(true)),
            "false" | "0" | "no" | "off" | "" => Ok(Switch(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

/// The names of the runners, which have two more.
fn level(text: &str) -> Result<LogLevel, BadLevel> {
    match text {
        "none" => "critical".parse(),
        other => other.parse(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        wamp: Wamp,
    }

    fn parse(line: &str) -> Wamp {
        Line::try_parse_from(line.split(' ')).unwrap().wamp
    }

    #[test]
    fn the_definition_holds() {
        Line::command().debug_assert();
    }

    /// The examples of the runners' README.
    #[test]
    fn lines_for_the_runners_work() {
        let one =
            parse("wamp -c app.Sensor -u ws://127.0.0.1:8080/ws -r realm1 -e extra.json -l debug");
        assert_eq!(one.components, ["app.Sensor"]);
        assert_eq!(one.extra_file, Some("extra.json".into()));
        assert_eq!(one.loglevel, Some("debug".parse().unwrap()));
        assert!(!one.necromancy && one.necromancy_sleep == 10 && !one.use_ssl.0);
        let many = parse(
            "wamp -c app.Sensor -c app.Logger -u ws://127.0.0.1:8080/ws -r realm1 -e extras.json -n --necromancy-sleep 5",
        );
        assert_eq!(many.components, ["app.Sensor", "app.Logger"]);
        assert!(many.necromancy && many.necromancy_sleep == 5);
    }

    #[test]
    fn no_means_no() {
        assert!(parse("wamp -c a -s").use_ssl.0);
        assert!(parse("wamp -c a -s true -n").use_ssl.0);
        assert!(!parse("wamp -c a -s false").use_ssl.0);
        assert!(!parse("wamp -c a").use_ssl.0);
    }

    #[test]
    fn serializers_are_a_list() {
        let wamp =
            parse("wamp -c a --serializers msgpack autobahn.wamp.serializer.JsonSerializer -n");
        assert_eq!(wamp.serializers, [Serializer::MsgPack, Serializer::Json]);
        assert_eq!(
            parse("wamp -c a --serializers cbor").serializers,
            [Serializer::Cbor]
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for line in [
            "wamp",
            "wamp -c a --necromancy-sleep 0",
            "wamp -c a -l loud",
            "wamp -c a --serializers ubjson",
            "wamp -c a -s maybe",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert_eq!(
            parse("wamp -c a -l warning").loglevel,
            parse("wamp -c a -l warn").loglevel
        );
    }
}
