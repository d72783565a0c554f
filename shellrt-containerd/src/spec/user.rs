//! Whom a process runs as: names looked up in the image's own tables, as runc and docker read them.

use containerd_client::types::Mount;
use shellrt_api::v0::config::containerd::Config;
use shellrt_api::v0::config::invalid;
use shellrt_api::v0::Error;

use super::layers::Layers;
use super::{ImageConfig, User};

/// Whom the first process runs as: the config's user, else the image's, as `user`, `uid`,
/// `user:group` or `uid:gid`, empty for root; with the groups of `group_add`.
///
/// The tables are those of the image, in `layers`; numbers need none, so they work where the layers
/// can't be seen. A number is never a name. Without a group the user's own one is taken, and those
/// that list it by its name; with a group these do not count.
///
/// # Errors
/// Error 4 at `/user` or `/group_add`: no such name.
pub fn resolve(
    config: &Config,
    image: &ImageConfig,
    layers: Option<&Layers>,
) -> Result<User, Error> {
    let table = |path: &str| -> Result<String, Error> {
        let content = layers.map_or(Ok(None), |layers| layers.read(path));
        let content = content.map_err(|error| {
            invalid(
                "/user",
                &format!("can't read {path:?} of the image: {error}"),
            )
        })?;
        Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
    };
    let text = config.user.as_ref().or(image.user.as_ref());
    let known = if layers.is_some() {
        "is not in the image"
    } else {
        "can't be looked up with this snapshotter; use a number"
    };
    look_up(
        &table("/etc/passwd")?,
        &table("/etc/group")?,
        text.map_or("", String::as_str),
        &config.group_add,
    )
    .map_err(|(path, name)| invalid(&path, &format!("{name:?} {known}")))
}

/// The directories of a snapshot, from the mounts that the snapshotter gives. `None` where it is of a
/// kind whose files can't be seen without mounting it.
pub fn layers(mounts: &[Mount]) -> Option<Layers> {
    match mounts {
        [mount] => Layers::of_mount(&mount.r#type, &mount.source, &mount.options),
        _ => None,
    }
}

/// From the content of the tables. An error is the place of the name, and the name.
fn look_up(
    passwd: &str,
    group: &str,
    text: &str,
    group_add: &[String],
) -> Result<User, (String, String)> {
    let (user_text, group_text) = text.split_once(':').unwrap_or((text, ""));
    let unknown = |name: &str| ("/user".to_owned(), name.to_owned());
    let wanted = if user_text.is_empty() { "0" } else { user_text };
    let number = id(wanted);
    let mut users = passwd.lines().filter_map(Passwd::parse);
    let entry = users.find(|entry| match number {
        Some(uid) => entry.uid == uid,
        None => entry.name == wanted,
    });
    let mut user = match (&entry, number) {
        (Some(entry), _) => User {
            uid: entry.uid,
            gid: entry.gid,
            additional_gids: Vec::new(),
            home: entry.home.to_owned(),
        },
        (None, Some(uid)) => User {
            uid,
            gid: 0,
            additional_gids: Vec::new(),
            home: "/".to_owned(),
        },
        (None, None) => return Err(unknown(user_text)),
    };
    if !group_text.is_empty() {
        user.gid = gid(group, group_text).ok_or_else(|| unknown(group_text))?;
    } else if let Some(entry) = entry {
        let groups = group.lines().filter_map(Group::parse);
        let has_user = |group: &Group| group.members.split(',').any(|name| name == entry.name);
        user.additional_gids = groups.filter(has_user).map(|group| group.gid).collect();
    }
    for (index, name) in group_add.iter().enumerate() {
        let gid = gid(group, name);
        let gid = gid.ok_or_else(|| (format!("/group_add/{index}"), name.clone()))?;
        if !user.additional_gids.contains(&gid) {
            user.additional_gids.push(gid);
        }
    }
    Ok(user)
}

/// The group that `text` names; a number is one whether the table has it or not.
fn gid(group: &str, text: &str) -> Option<u32> {
    if let Some(gid) = id(text) {
        return Some(gid);
    }
    let mut groups = group.lines().filter_map(Group::parse);
    groups
        .find(|group| group.name == text)
        .map(|group| group.gid)
}

/// The number of a user or a group. The kernel has them up to 2^32-2, runc up to 2^31-1.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&id| id <= 0x7fff_ffff)
}

/// A line of /etc/passwd.
struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Passwd<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Passwd {
            name: fields.first().filter(|name| !name.is_empty())?,
            uid: id(fields.get(2)?)?,
            gid: id(fields.get(3)?)?,
            home: fields
                .get(5)
                .filter(|home| !home.is_empty())
                .unwrap_or(&"/"),
        })
    }
}

/// A line of /etc/group.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Group {
            name: fields.first().filter(|name| !name.is_empty())?,
            gid: id(fields.get(2)?)?,
            members: fields.get(3).unwrap_or(&""),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::look_up;
    use crate::spec::User;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        app:x:1000:1001:,,,:/home/app:/bin/sh\n\
        7:x:1007:1007::/seven:\n\
        bare:x:2000:2000\n\n\
        app:x:9:9::/second:\n";
    const GROUP: &str =
        "root:x:0:\naudio:x:29:app,other\nvideo:x:44:other\nplugdev:x:46:app\nstaff:x:50\n";

    fn user(uid: u32, gid: u32, additional_gids: &[u32], home: &str) -> User {
        User {
            uid,
            gid,
            additional_gids: additional_gids.to_vec(),
            home: home.to_owned(),
        }
    }

    fn resolved(text: &str) -> User {
        look_up(PASSWD, GROUP, text, &[]).unwrap()
    }

    /// The forms of runc's and docker's `--user`.
    #[test]
    fn names_and_numbers() {
        assert_eq!(resolved(""), user(0, 0, &[], "/root"));
        assert_eq!(resolved("app"), user(1000, 1001, &[29, 46], "/home/app"));
        assert_eq!(resolved("1000"), user(1000, 1001, &[29, 46], "/home/app"));
        assert_eq!(resolved("app:video"), user(1000, 44, &[], "/home/app"));
        assert_eq!(resolved("app:12"), user(1000, 12, &[], "/home/app"));
        assert_eq!(resolved("4242"), user(4242, 0, &[], "/"));
        assert_eq!(resolved("4242:staff"), user(4242, 50, &[], "/"));
        // A number is no name, even where a user has it as one.
        assert_eq!(resolved("7"), user(7, 0, &[], "/"));
        assert_eq!(resolved("bare"), user(2000, 2000, &[], "/"));
    }

    #[test]
    fn more_groups() {
        let more = ["video".to_owned(), "audio".to_owned(), "1234".to_owned()];
        let found = look_up(PASSWD, GROUP, "app", &more).unwrap();
        assert_eq!(found.additional_gids, [29, 46, 44, 1234]);
        let missing = ["audio".to_owned(), "nobodys".to_owned()];
        let error = look_up(PASSWD, GROUP, "app", &missing).unwrap_err();
        assert_eq!(error, ("/group_add/1".to_owned(), "nobodys".to_owned()));
    }

    #[test]
    fn unknown_names() {
        for (text, name) in [("nobody", "nobody"), ("app:none", "none"), ("-1", "-1")] {
            let error = look_up(PASSWD, GROUP, text, &[]).unwrap_err();
            assert_eq!(error, ("/user".to_owned(), name.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_work_without_tables() {
        let found = look_up("", "", "1000:1000", &["44".to_owned()]).unwrap();
        assert_eq!(found, user(1000, 1000, &[44], "/"));
        assert_eq!(look_up("", "", "", &[]).unwrap(), user(0, 0, &[], "/"));
    }
}
