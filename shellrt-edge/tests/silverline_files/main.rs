//! A program's files from real servers and folders, and from servers that mean no good.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod hostile;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};

use shellrt_api::v0::Secret;
use shellrt_edge::link::silverline::dialect::Dialect;
use shellrt_edge::link::silverline::files::{self, program_path, source, Error, Extent, Wanted};
use shellrt_edge::settings::silverline::Repository;

use servers::Server;

fn wanted(url: &str, file: &str, extent: Extent) -> Wanted {
    let path = program_path(Dialect::Manager, None, file).unwrap();
    Wanted {
        source: source(Dialect::Manager, url, &path).unwrap(),
        program: path.name().to_owned(),
        extent,
        repository: Repository {
            url: Some(url.to_owned()),
            ssl_verify: true,
            ca: None,
            username: None,
            password: None,
            max_bytes: 1 << 20,
            max_files: 100,
        },
        arena_mqtt_auth: None,
    }
}

/// Fetches into a new folder, and answers what is there: the paths of files with their texts. After an error
/// nothing is left.
async fn fetched(wanted: &Wanted) -> Result<BTreeMap<String, String>, Error> {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("files").join("m");
    let result = files::fetch(wanted, &dir).await;
    let left: Vec<PathBuf> = fs::read_dir(state.path().join("files"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    match result {
        Ok(()) => {
            assert_eq!(left, std::slice::from_ref(&dir));
            Ok(texts(&dir))
        }
        Err(error) => {
            assert_eq!(left, Vec::<PathBuf>::new());
            Err(error)
        }
    }
}

fn texts(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// A repository with a program whose names are not all simple.
fn repository() -> (tempfile::TempDir, BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("user").join("dir");
    let files = [
        ("prog.py", "print(1)\n"),
        ("requirements.txt", "x\n"),
        (".hidden", "h"),
        ("empty", ""),
        ("lib/a.py", "a"),
        ("lib/deep/b c&d?#%41.py", "b"),
        ("lib/deep/ä.txt", "ä"),
    ];
    for (name, text) in files {
        let path = program.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(
        folder.path().join("user").join("secret"),
        "not for the program",
    )
    .unwrap();
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    (folder, files.into())
}

#[tokio::test]
async fn a_folder_comes_whole_from_a_server() {
    let (folder, expected) = repository();
    let server = Server::start(folder.path());
    let wanted = wanted(&server.url, "user/dir/prog.py", Extent::Folder);
    assert_eq!(fetched(&wanted).await.unwrap(), expected);
}

#[tokio::test]
async fn a_folder_comes_whole_from_this_machine() {
    let (folder, expected) = repository();
    for url in [
        folder.path().display().to_string(),
        format!("file://{}", folder.path().display()),
    ] {
        let wanted = wanted(&url, "user/dir/prog.py", Extent::Folder);
        assert_eq!(fetched(&wanted).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_program_comes_alone_where_that_is_enough() {
    let (folder, _) = repository();
    let server = Server::start(folder.path());
    let expected = BTreeMap::from([("prog.py".to_owned(), "print(1)\n".to_owned())]);
    for url in [server.url.clone(), folder.path().display().to_string()] {
        let wanted = wanted(&url, "user/dir/prog.py", Extent::File);
        assert_eq!(fetched(&wanted).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn what_is_not_there_is_an_error_that_says_where() {
    let (folder, _) = repository();
    let server = Server::start(folder.path());
    for extent in [Extent::File, Extent::Folder] {
        let error = fetched(&wanted(&server.url, "user/none/x.py", extent))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Status { status, .. } if *status == 404),
            "{error}"
        );
        assert!(error.to_string().contains("/user/none/"), "{error}");
        let here = folder.path().display().to_string();
        let error = fetched(&wanted(&here, "user/none/x.py", extent))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Disk { what: "found", .. }),
            "{error}"
        );
    }
    let error = fetched(&wanted(&server.url, "user/dir/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoProgram { .. }), "{error}");
    fs::create_dir(folder.path().join("nothing")).unwrap();
    let error = fetched(&wanted(&server.url, "nothing/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Empty(_)), "{error}");
    let unreachable = wanted("http://127.0.0.1:9", "x.py", Extent::Folder);
    let error = fetched(&unreachable).await.unwrap_err();
    assert!(matches!(error, Error::Request { .. }), "{error}");
}

#[tokio::test]
async fn limits_hold_for_servers_and_folders() {
    let (folder, expected) = repository();
    let server = Server::start(folder.path());
    let bytes: usize = expected.values().map(String::len).sum();
    // Seven files and two folders.
    let exact = |url: &str| {
        let mut wanted = wanted(url, "user/dir/prog.py", Extent::Folder);
        wanted.repository.max_bytes = bytes as u64;
        wanted.repository.max_files = 9;
        wanted
    };
    for url in [server.url.clone(), folder.path().display().to_string()] {
        assert_eq!(fetched(&exact(&url)).await.unwrap(), expected);
        let mut less = exact(&url);
        less.repository.max_bytes -= 1;
        let error = fetched(&less).await.unwrap_err();
        assert!(matches!(error, Error::TooBig(_)), "{error}");
        let mut fewer = exact(&url);
        fewer.repository.max_files -= 1;
        let error = fetched(&fewer).await.unwrap_err();
        assert!(matches!(error, Error::TooMany(8)), "{error}");
    }
}

#[tokio::test]
async fn files_can_be_read_by_the_program_and_the_password_by_nobody_else() {
    let (folder, _) = repository();
    let script = folder.path().join("user/dir/run");
    fs::write(&script, "#!/bin/sh").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.path().join("user/dir/.arena_mqtt_auth"), "theirs").unwrap();
    let mut wanted = wanted(
        &folder.path().display().to_string(),
        "user/dir/prog.py",
        Extent::Folder,
    );
    wanted.arena_mqtt_auth = Some(("me".to_owned(), Secret::new("hunter2")));
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("m");
    // What an earlier module has left is not there any more.
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("old"), "").unwrap();
    files::fetch(&wanted, &dir).await.unwrap();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    let modes = [
        mode(""),
        mode("lib"),
        mode("prog.py"),
        mode("run"),
        mode(".arena_mqtt_auth"),
    ];
    assert_eq!(modes, [0o755, 0o755, 0o644, 0o755, 0o600]);
    let auth = fs::read_to_string(dir.join(".arena_mqtt_auth")).unwrap();
    assert_eq!(auth, r#"{"token":"hunter2","username":"me"}"#);
    assert!(!dir.join("old").exists());
    files::remove(&dir).unwrap();
    files::remove(&dir).unwrap();
    assert!(!dir.exists());
}

#[tokio::test]
async fn links_lead_to_files_of_the_repository_only() {
    let (folder, mut expected) = repository();
    let dir = folder.path().join("user/dir");
    symlink("../secret", dir.join("inside")).unwrap();
    expected.insert("inside".to_owned(), "not for the program".to_owned());
    let wanted = wanted(
        &folder.path().display().to_string(),
        "user/dir/prog.py",
        Extent::Folder,
    );
    assert_eq!(fetched(&wanted).await.unwrap(), expected);
    symlink("/etc/passwd", dir.join("outside")).unwrap();
    let error = fetched(&wanted).await.unwrap_err();
    assert!(matches!(error, Error::LeadsOut(_)), "{error}");
    fs::remove_file(dir.join("outside")).unwrap();
    symlink(".", dir.join("circle")).unwrap();
    let error = fetched(&wanted).await.unwrap_err();
    assert!(matches!(error, Error::Strange(_)), "{error}");
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("x.py"), "").unwrap();
    symlink(out.path(), folder.path().join("out")).unwrap();
    let url = folder.path().display().to_string();
    let error = fetched(&self::wanted(&url, "out/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LeadsOut(_)), "{error}");
}
