//! What the page says that a web server makes of a folder. Pure.
//!
//! Only what lies below the folder is an entry of it. Links to the folder itself (columns to sort by, say)
//! and to folders above it are what such pages have anyway; links elsewhere are not followed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use html5gum::{DefaultEmitter, Token, Tokenizer};
use reqwest::Url;

use super::path::is_name;

/// A file or a folder that a page lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Where it is.
    pub url: Url,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A name that no file may have, as it stands on the page.
#[derive(Debug, PartialEq, Eq)]
pub struct BadName(pub String);

/// The entries of the folder `index`, whose path ends with a slash, in the order of the page.
///
/// # Errors
/// [`BadName`]. A server that lists such a name is not to be trusted with the others.
pub fn entries(index: &Url, page: &str) -> Result<Vec<Entry>, BadName> {
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for link in links(page) {
        let Ok(url) = index.join(link.trim()) else {
            return Err(BadName(link));
        };
        let Some(below) = below(index, &url) else {
            continue;
        };
        let (name, is_folder) = match below.strip_suffix('/') {
            Some(name) => (name, true),
            None => (below, false),
        };
        let name = decoded(name);
        if !is_name(&name) {
            return Err(BadName(link));
        }
        let name = OsString::from_vec(name);
        if seen.insert(name.clone()) {
            entries.push(Entry {
                name,
                url,
                is_folder,
            });
        }
    }
    Ok(entries)
}

/// What the links of a page say.
fn links(page: &str) -> Vec<String> {
    let mut emitter = DefaultEmitter::<()>::default();
    // What stands in a script is no link.
    emitter.naively_switch_states(true);
    let tags = Tokenizer::new_with_emitter(page, emitter)
        .flatten()
        .filter_map(|token| match token {
            Token::StartTag(tag) if tag.name.as_slice() == b"a" => Some(tag),
            _ => None,
        });
    let links = tags.filter_map(|tag| {
        let link = tag.attributes.get(b"href".as_slice())?;
        Some(String::from_utf8_lossy(link).into_owned())
    });
    links.collect()
}

/// What of `url` is below the folder `index`; nothing for what is elsewhere.
fn below<'a>(index: &Url, url: &'a Url) -> Option<&'a str> {
    if url.origin() != index.origin() || !url.username().is_empty() || url.password().is_some() {
        log::debug!("a link of {index} leads elsewhere and is not followed");
        return None;
    }
    match url.path().strip_prefix(index.path()) {
        Some("") => None,
        Some(below) => Some(below),
        None => {
            if !index.path().starts_with(url.path()) {
                log::warn!(
                    "{index} has a link to {}, which is not below it",
                    url.path()
                );
            }
            None
        }
    }
}

/// The bytes that `%41` and its like stand for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = &after[2..];
            continue;
        }
        bytes.push(*first);
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(page: &str) -> Result<Vec<(String, bool)>, BadName> {
        let index = Url::parse("http://host:8000/store/user/").unwrap();
        let entries = entries(&index, page)?;
        let entries = entries
            .into_iter()
            .map(|it| (it.name.into_string().unwrap(), it.is_folder));
        Ok(entries.collect())
    }

    fn names(names: &[(&str, bool)]) -> Result<Vec<(String, bool)>, BadName> {
        Ok(names
            .iter()
            .map(|(name, is_folder)| ((*name).to_owned(), *is_folder))
            .collect())
    }

    /// The pages of nginx, Python, Apache and Caddy, as they are.
    #[test]
    fn the_pages_of_usual_servers_are_read() {
        let nginx = "<html><body><h1>Index of /store/user/</h1><hr><pre><a href=\"../\">../</a>\n\
            <a href=\"lib/\">lib/</a> 01-Jan-2024 10:00 -\n\
            <a href=\"a%20b.py\">a b.py</a> 01-Jan-2024 10:00 5\n</pre><hr></body></html>";
        assert_eq!(listed(nginx), names(&[("lib", true), ("a b.py", false)]));
        let python = "<!DOCTYPE HTML><ul>\n<li><a href=\"lib/\">lib/</a></li>\n\
            <li><a href=\"x%26y%3F.py\">x&amp;y?.py</a></li></ul>";
        assert_eq!(listed(python), names(&[("lib", true), ("x&y?.py", false)]));
        let apache = "<table><tr><th><a href=\"?C=N;O=D\">Name</a></th></tr>\n\
            <tr><td><a href=\"/store/\">Parent Directory</a></td></tr>\n\
            <tr><td><a href=\"main.py\">main.py</a></td></tr></table>\
            <address><a href=\"mailto:x@y\">admin</a></address>";
        assert_eq!(listed(apache), names(&[("main.py", false)]));
        let caddy =
            "<a href=\"/\">h</a><a href=\"./main.py\"><svg/></a><A HREF=./main.py>main.py</A>\
            <a href='./lib/'>lib</a><a href=\"https://caddyserver.com\">Caddy</a><a>none</a>";
        assert_eq!(listed(caddy), names(&[("main.py", false), ("lib", true)]));
    }

    #[test]
    fn entities_are_decoded_and_comments_are_not_read() {
        let page = "<!-- <a href=\"no.py\"> --><a href=\"a&amp;b.py\">x</a><script>'<a href=\"s\">'</script>";
        assert_eq!(listed(page), names(&[("a&b.py", false)]));
    }

    #[test]
    fn links_elsewhere_are_not_followed() {
        for link in [
            "../",
            "../../",
            "/",
            "http://host:8000/store/",
            "../other/x.py",
            "/etc/passwd",
            "%2e%2e/x.py",
            "..\\x.py",
            "http://other/store/user/x.py",
            "https://host:8000/store/user/x.py",
            "//other/store/user/x.py",
            "http://host:8001/store/user/x.py",
            "javascript:alert(1)",
            "file:///store/user/x.py",
            "http://me@host:8000/store/user/x.py",
            "#top",
            "?x=1",
            "",
            "data:text/plain,x",
        ] {
            assert_eq!(
                listed(&format!("<a href=\"{link}\">x</a>")),
                Ok(vec![]),
                "{link}"
            );
        }
    }

    #[test]
    fn names_that_are_paths_are_an_error() {
        for link in [
            "..%2fx.py",
            "%2fetc%2fpasswd",
            "a%2Fb",
            "x%00.py",
            "a/b.py",
            "a//",
            "%2e%2e%2f",
            "lib/x/",
        ] {
            let found = listed(&format!(
                "<a href=\"fine.py\">x</a><a href=\"{link}\">x</a>"
            ));
            assert_eq!(found, Err(BadName(link.to_owned())), "{link}");
        }
        let long = "a".repeat(256);
        assert_eq!(
            listed(&format!("<a href=\"{long}\">x</a>")),
            Err(BadName(long))
        );
    }
}
