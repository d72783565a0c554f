//! What a plugin answers on its command line, where it was given arguments: it takes none.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Answers `--help` and `--version`; every other argument gets the help too, on stderr and with the
/// exit status 64.
pub fn answer(arguments: &[OsString], help: &str, plugin: &str, version: &str) -> ExitCode {
    let is_one_of = |names: [&str; 2]| match arguments {
        [argument] => names.iter().any(|name| argument == name),
        _ => false,
    };
    let (asked, told) = (is_one_of(["--help", "-h"]), is_one_of(["--version", "-V"]));
    // A reader that is gone needs no help.
    let _ = match (asked, told) {
        (true, _) => std::io::stdout().write_all(help.as_bytes()),
        (_, true) => writeln!(std::io::stdout(), "{plugin} {version}"),
        _ => std::io::stderr().write_all(help.as_bytes()),
    };
    match asked || told {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(64),
    }
}
