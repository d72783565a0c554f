//! What nobody can be faster than.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{finish, Side};

/// A program of C that does what `body` says, linked statically, and copied as the others are.
pub fn program(dir: &Path, name: &str, body: &str) -> PathBuf {
    let (source, program) = (dir.join(format!("{name}.c")), dir.join(name));
    let linked = dir.join(format!("{name}.linked"));
    std::fs::write(
        &source,
        format!("#include <stdio.h>\nint main(void) {{ {body} }}\n"),
    )
    .unwrap();
    let mut compile = Command::new("gcc");
    compile
        .args(["-O2", "-static", "-o"])
        .args([&linked, &source]);
    finish(&mut compile, "");
    std::fs::copy(&linked, &program).unwrap();
    program
}

/// A process that does nothing, started as all others are.
pub fn empty<'a>(program: &'a Path, did: &'a str) -> Side<'a> {
    Side::new("empty static process", move || {
        finish(&mut Command::new(program), "");
        did.to_owned()
    })
}
