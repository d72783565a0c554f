//! Which files have the settings, and what stands in them.
//!
//! `settings.yaml`, `.secrets.yaml` and `.appsettings.yaml`, in this order, from one folder; behind them
//! the ones with `.local` before their ending. What dynaconf's own variables say about that holds here too.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;

/// The files of a folder.
const NAMES: [&str; 3] = ["settings.yaml", ".secrets.yaml", ".appsettings.yaml"];

/// Where the files may lie below a folder.
const FOLDERS: [&str; 3] = ["", "conf", "config"];

/// The variable that names the folder.
const FOLDER: &str = "ROOT_PATH_FOR_DYNACONF";

/// The variables that name the files, with semicolons or commas between them.
const FILES: [&str; 2] = ["SETTINGS_FILE_FOR_DYNACONF", "SETTINGS_FILES_FOR_DYNACONF"];

/// The files that there are. Beside them comes what was asked for and is not there.
///
/// # Errors
/// Where there is none.
pub fn find(
    folder: Option<&Path>,
    variables: &BTreeMap<String, String>,
) -> Result<(Vec<PathBuf>, Vec<String>), Error> {
    let folder = match (folder, variables.get(FOLDER)) {
        (Some(folder), _) => folder,
        (None, Some(folder)) => Path::new(folder),
        (None, None) => Path::new(""),
    };
    let folders = FOLDERS.map(|below| folder.join(below));
    let asked = FILES.iter().find_map(|name| variables.get(*name));
    let mut missing = Vec::new();
    let mut files: Vec<PathBuf> = match asked {
        None => {
            let all = folders
                .iter()
                .map(|folder| NAMES.map(|name| folder.join(name)));
            let mut there = all.map(|files| files.into_iter().filter(|it| it.exists()));
            there
                .find_map(|files| {
                    let files: Vec<PathBuf> = files.collect();
                    (!files.is_empty()).then_some(files)
                })
                .unwrap_or_default()
        }
        Some(names) => {
            let names = names.split([';', ',']).map(str::trim);
            let names = names.filter(|name| !name.is_empty());
            let found = names.filter_map(|name| {
                let mut places = folders.iter().map(|folder| folder.join(name));
                let place = places.find(|place| place.exists());
                if place.is_none() {
                    missing.push(name.to_owned());
                }
                place
            });
            found.collect()
        }
    };
    if files.is_empty() {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        return Err(Error::NoFiles(folder.to_owned()));
    }
    let local: Vec<PathBuf> = files.iter().filter_map(|file| local(file)).collect();
    files.extend(local.into_iter().filter(|file| file.exists()));
    Ok((files, missing))
}

/// `settings.local.yaml` for `settings.yaml`.
fn local(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let (stem, ending) = name.rsplit_once('.')?;
    let is_local = name.contains(".local.");
    (!is_local).then(|| file.with_file_name(format!("{stem}.local.{ending}")))
}

/// Whether a file is meant for secrets.
pub fn is_for_secrets(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy()
        .trim_start_matches('.')
        .starts_with("secrets")
}

/// Whether others than its owner can read a file.
pub fn is_open(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|it| it.permissions().mode() & 0o077 != 0)
}

/// What stands in a file.
///
/// # Errors
/// Where it can't be read, or is not YAML with keys at its top.
pub fn read(file: &Path) -> Result<Map<String, Value>, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| Error::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    parse(&text).map_err(|message| Error::NotYaml {
        file: file.to_owned(),
        message,
    })
}

/// What stands in YAML text, whose form is known. The message of an error is one line, and has no part of the
/// text in it but the values that are wrong: there may be secrets beside them.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn typed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let read = serde_saphyr::from_str(text);
    read.map_err(|error: serde_saphyr::Error| error.without_snippet().to_string())
}

/// What stands in YAML text. The message of an error has no part of the text in it, which may be secret.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Map::new());
    }
    let mut options = serde_saphyr::Options::default();
    // As dynaconf's reader of YAML 1.2 does: "on", "no" and "y" are words.
    options.strict_booleans = true;
    let read: Result<Value, _> = serde_saphyr::from_str_with_options(text, options);
    match read {
        Ok(Value::Object(tree)) => Ok(tree),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("it has no keys at its top".to_owned()),
        Err(error) => Err(match error.location() {
            Some(at) => format!("line {}, column {}", at.line(), at.column()),
            None => "it can't be read".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, given: bool, variables: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let variables = variables.iter();
        let variables = variables.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let (files, missing) = find(given.then_some(folder), &variables.collect()).unwrap();
        let names = files.iter().map(|file| file.strip_prefix(folder).unwrap());
        (
            names.map(|name| name.display().to_string()).collect(),
            missing,
        )
    }

    #[test]
    fn one_folder_has_all_files() {
        let both = folder(&[
            "conf/settings.yaml",
            "config/settings.yaml",
            "config/.secrets.yaml",
        ]);
        assert_eq!(found(both.path(), true, &[]).0, ["conf/settings.yaml"]);
        let all = folder(&[
            ".appsettings.yaml",
            "settings.yaml",
            ".secrets.yaml",
            "settings.local.yaml",
            "conf/settings.yaml",
        ]);
        let names = [
            "settings.yaml",
            ".secrets.yaml",
            ".appsettings.yaml",
            "settings.local.yaml",
        ];
        assert_eq!(found(all.path(), true, &[]).0, names);
        let root = all.path().display().to_string();
        assert_eq!(found(all.path(), false, &[(FOLDER, &root)]).0, names);
    }

    #[test]
    fn files_can_be_named() {
        let folder = folder(&[
            "config/dev/settings.yaml",
            "config/dev/.secrets.yaml",
            "x.yaml",
        ]);
        let names = "dev/settings.yaml; x.yaml,none.yaml";
        let (files, missing) = found(folder.path(), true, &[(FILES[0], names)]);
        assert_eq!(files, ["config/dev/settings.yaml", "x.yaml"]);
        assert_eq!(missing, ["none.yaml"]);
    }

    #[test]
    fn no_file_is_an_error() {
        let empty = folder(&[]);
        let error = find(Some(empty.path()), &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, Error::NoFiles(folder) if folder == empty.path()));
    }

    /// What dynaconf 3.3.5 reads; a date is text here, and 010 is 10.0.
    #[test]
    fn yaml_is_read_as_dynaconf_does() {
        let text = "a: yes\nb: on\nc: 010\nd: 0o10\ne: 0x10\nf: 1e3\nh: 12:30\ni: 2020-01-01\n\
                    j: ~\nk: True\nl: TRUE\nn: \"5\"\np: y\nr: Null\ns: !!str 5\nw: 5 5\n\
                    x: &x {z: 1}\nu: {<<: *x, y: 2}\n";
        let expected = json!({
            "a": "yes", "b": "on", "c": 10.0, "d": 8, "e": 16, "f": 1000.0, "h": "12:30",
            "i": "2020-01-01", "j": null, "k": true, "l": true, "n": "5", "p": "y", "r": null,
            "s": "5", "w": "5 5", "x": {"z": 1}, "u": {"z": 1, "y": 2},
        });
        assert_eq!(parse(text).map(Value::Object), Ok(expected));
        assert_eq!(parse("# nothing\n\n"), Ok(Map::new()));
    }

    #[test]
    fn an_error_says_where_and_not_what() {
        for (text, expected) in [
            ("a: 1\npassword: 'hunter2\n", "line"),
            ("a: hunter2\na: hunter2\n", "line 2"),
            ("[hunter2]", "no keys"),
            ("hunter2", "no keys"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
