//! What programs can do to files.

use serde_json::json;

use super::{exited, from_rust, mount, StartError, Trial};

/// Tries to do to files what its arguments say, and prints what came of it.
const FILES: &str = r#"
use std::fs;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    assert_eq!(args[0], "p");
    println!("{:?}", std::env::vars().collect::<Vec<_>>());
    println!("read {:?}", fs::read_to_string("/m/in").ok());
    println!("write {}", fs::write("/m/out", "x").is_ok());
    println!("change {}", fs::OpenOptions::new().append(true).open("/m/in").is_ok());
    println!("mkdir {}", fs::create_dir("/m/d").is_ok());
    println!("remove {}", fs::remove_file("/m/in").is_ok());
    println!("rename {}", fs::rename("/m/link", "/m/other").is_ok());
    println!("up {:?}", fs::read_to_string("/m/../secret").ok());
    println!("link {:?}", fs::read_to_string("/m/link").ok());
    println!("outside {:?}", fs::read_to_string(&args[1]).ok());
    std::process::exit(200);
}
"#;

#[test]
fn mounts_give_what_they_say_and_no_more() {
    for target in ["wasm32-wasip1", "wasm32-wasip2"] {
        let Some(wasm) = from_rust(FILES, target) else {
            return;
        };
        for read_only in [true, false] {
            let host = tempfile::tempdir().unwrap();
            let secret = host.path().join("secret");
            let given = host.path().join("given");
            std::fs::write(&secret, "secret").unwrap();
            std::fs::create_dir(&given).unwrap();
            std::fs::write(given.join("in"), "in").unwrap();
            std::os::unix::fs::symlink("../secret", given.join("link")).unwrap();
            let mut trial =
                Trial::new(&wasm, mount(&given, read_only)).args(&[secret.to_str().unwrap()]);
            trial.env.insert("A".to_owned(), "b c".to_owned());
            let end = trial.end();
            // A component has no way to say more than that it failed, but for a later addition that
            // Rust does not use.
            let code = if target == "wasm32-wasip1" { 200 } else { 1 };
            assert!(exited(code)(&end), "{end:?} {}", trial.stderr());
            let can = !read_only;
            let expected = format!(
                "[(\"A\", \"b c\")]\nread Some(\"in\")\nwrite {can}\nchange {can}\nmkdir {can}\nremove {can}\n\
                 rename {can}\nup None\nlink None\noutside None\n"
            );
            assert_eq!(trial.stdout(), expected, "{target} {read_only}");
            assert_eq!(given.join("out").exists(), can);
            assert_eq!(given.join("in").exists(), read_only);
        }
    }
}

#[test]
fn a_mount_that_is_gone() {
    let mut trial = Trial::of_text(
        "(module (memory (export \"memory\") 0) (func (export \"_start\")))",
        json!({}),
    );
    let gone = trial.folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    trial.config = serde_json::from_value({
        let mut config = mount(&gone, true);
        config["image"] = "i".into();
        config
    })
    .unwrap();
    assert!(exited(0)(&trial.end()));
    std::fs::remove_dir(&gone).unwrap();
    let error = trial.error();
    assert!(
        matches!(&error, StartError::Mount { source_path, .. } if *source_path == gone),
        "{error:?}"
    );
}

#[test]
fn closed_and_replaced_descriptors() {
    let Some(wasm) = from_rust(DESCRIPTORS, "wasm32-wasip1") else {
        return;
    };
    let host = tempfile::tempdir().unwrap();
    let mut trial = Trial::new(&wasm, mount(host.path(), false));
    let end = trial.end();
    assert!(exited(0)(&end), "{end:?} {}", trial.stderr());
    assert_eq!(trial.stdout(), "one\n");
    assert_eq!(
        std::fs::read_to_string(host.path().join("f")).unwrap(),
        "two"
    );
}

/// Writes to stdout, puts a file in its place and writes again, closes it and hears an error.
const DESCRIPTORS: &str = r#"
use std::os::fd::{AsRawFd, IntoRawFd};
#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(fd: i32, buffers: *const (usize, usize), count: usize, written: *mut usize) -> i32;
    fn fd_renumber(from: i32, to: i32) -> i32;
    fn fd_close(fd: i32) -> i32;
}
fn write(text: &str) -> i32 {
    let mut written = 0;
    unsafe { fd_write(1, &(text.as_ptr() as usize, text.len()), 1, &mut written) }
}
fn main() {
    println!("one");
    let file = std::fs::File::create("/m/f").unwrap();
    assert!(file.as_raw_fd() > 2);
    unsafe { assert_eq!(fd_renumber(file.into_raw_fd(), 1), 0) };
    assert_eq!(write("two"), 0);
    unsafe { assert_eq!(fd_close(1), 0) };
    assert_eq!(write("three"), 8);
}
"#;
