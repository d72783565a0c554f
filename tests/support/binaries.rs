//! Where the programs are that the tests run.

use std::path::PathBuf;

/// The built program `name`: in `SHELLRT_BIN_DIR`, else beside the test itself.
///
/// # Panics
/// Where it was not built.
pub fn program(name: &str) -> PathBuf {
    let dir = match std::env::var_os("SHELLRT_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let test = std::env::current_exe().expect("a test knows where it is");
            let profile = test.parent().and_then(|deps| deps.parent());
            profile
                .expect("a test lies in target/PROFILE/deps")
                .to_owned()
        }
    };
    let program = dir.join(name);
    assert!(
        program.exists(),
        "{} is not there: cargo build --release -p {name}",
        program.display()
    );
    program
}
