//! Where the programs are that the tests run.

use std::path::PathBuf;

/// The built program `name`: in `SHELLRT_BIN_DIR`, else beside the test itself.
///
/// # Panics
/// Where it was not built.
pub fn program(name: &str) -> PathBuf {
    let dir = match std::env::var_os("SHELLRT_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => profile_dir(),
    };
    let program = dir.join(name);
    assert!(
        program.exists(),
        "{} is not there: cargo build --release -p {name}",
        program.display()
    );
    program
}

/// The directory that cargo builds in.
///
/// # Panics
/// Where the test does not lie in it.
pub fn target_dir() -> PathBuf {
    let test = profile_dir();
    let marked = test
        .ancestors()
        .filter(|dir| dir.join("CACHEDIR.TAG").exists());
    let target = marked
        .last()
        .expect("cargo marks the directory that it builds in");
    target.to_owned()
}

fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("a test lies in target/HOST/PROFILE/deps");
    profile.to_owned()
}
