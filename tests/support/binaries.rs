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

/// Tests lie in `deps` there, and programs beside that.
fn profile_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    let dir = own.parent().expect("it lies in target/HOST/PROFILE");
    match dir.ends_with("deps") {
        true => dir.parent().expect("a profile").to_owned(),
        false => dir.to_owned(),
    }
}
