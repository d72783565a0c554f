//! Calls of CNI's plugins, as versions 0.3 to 1.0 of its specification have them.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde_json::{json, Map, Value};

use super::error::{Error, Words};
use super::list::{can, kind, Cni, List};
use super::port::Mapping;

/// The device in the container.
const DEVICE: &str = "eth0";

/// How long a plugin may take: nobody else's network is changed meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where plugins find their tools, beside what `PATH` says already: a daemon's is often too short.
const TOOLS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whom the plugins are called for.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Where they are.
    pub cni: &'a Cni,
    /// The container's id, of the whole machine.
    pub id: &'a str,
    /// Its network namespace, where it has one.
    pub namespace: Option<&'a Path>,
    /// What is published.
    pub ports: &'a [Mapping],
    /// When all of it must be over.
    pub deadline: Option<Instant>,
}

impl Caller<'_> {
    /// Joins the container to a network; `keep` gets the result after each plugin, so that whatever
    /// happens to us, it can be taken back.
    ///
    /// # Errors
    /// [`Error::Refused`] with the plugin's own words.
    pub fn add(
        &self,
        list: &List,
        mut keep: impl FnMut(&Value) -> Result<(), Error>,
    ) -> Result<Value, Error> {
        let mut result = Value::Null;
        for plugin in &list.plugins {
            result = self.call("ADD", list, plugin, Some(&result))?;
            keep(&result)?;
        }
        Ok(result)
    }

    /// Takes it off again: every plugin is asked, whatever the others say.
    ///
    /// # Errors
    /// The first one.
    pub fn delete(&self, list: &List, result: Option<&Value>) -> Result<(), Error> {
        let mut first = Ok(());
        // Plugins that are older than 0.4.0 don't know of results here.
        let is_old = ["0.1", "0.2", "0.3"]
            .iter()
            .any(|old| list.version.starts_with(old));
        for plugin in list.plugins.iter().rev() {
            let answer = self.call("DEL", list, plugin, result.filter(|_| !is_old));
            first = first.and(answer.map(drop));
        }
        first
    }

    fn call(
        &self,
        command: &str,
        list: &List,
        plugin: &Map<String, Value>,
        result: Option<&Value>,
    ) -> Result<Value, Error> {
        let name = kind(plugin);
        let refused = |words: String| Error::Refused {
            plugin: name.to_owned(),
            network: list.name.clone(),
            source: Words(words),
        };
        let program = self.cni.plugin(name).ok_or_else(|| Error::NoPlugin {
            plugin: name.to_owned(),
            dirs: self.cni.plugin_dirs(),
        })?;
        let paths = std::env::join_paths(&self.cni.plugins)
            .map_err(|_| refused("a directory of CNI_PATH has a \":\"".to_owned()))?;
        let mut child = Command::new(program)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.id)
            .env("CNI_NETNS", self.namespace.unwrap_or(Path::new("")))
            .env("CNI_IFNAME", DEVICE)
            .env("CNI_ARGS", "IgnoreUnknown=1")
            .env("CNI_PATH", paths)
            .env("PATH", tools())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| refused(source.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that does not read it says so, in its answer.
            let _ = stdin.write_all(self.input(list, plugin, result).to_string().as_bytes());
        }
        let patience = Instant::now() + PATIENCE;
        let limit = self.deadline.map_or(patience, |it| it.min(patience));
        let begun = Instant::now();
        let Some([said, complained]) = output(&mut child, limit)? else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Slow {
                plugin: name.to_owned(),
                network: list.name.clone(),
                seconds: begun.elapsed().as_secs(),
            });
        };
        let status = child
            .wait()
            .map_err(|source| Error::system("wait for a plugin", source))?;
        let answer = serde_json::from_slice::<Value>(&said);
        if !status.success() {
            let words = answer.ok().and_then(|answer| words(&answer));
            let complained = String::from_utf8_lossy(&complained).trim().to_owned();
            let other = || match complained.is_empty() {
                true => format!("it ended with {status}"),
                false => complained,
            };
            return Err(refused(words.unwrap_or_else(other)));
        }
        match answer {
            Ok(answer) => Ok(answer),
            // The first plugin has to make a result, the others may leave it as it is.
            Err(_) if command == "DEL" => Ok(Value::Null),
            Err(_) => Err(refused("its answer is no JSON".to_owned())),
        }
    }

    /// What a plugin reads.
    fn input(&self, list: &List, plugin: &Map<String, Value>, result: Option<&Value>) -> Value {
        let mut input = plugin.clone();
        input.insert("name".to_owned(), json!(list.name));
        input.insert("cniVersion".to_owned(), json!(list.version));
        if can(plugin, "portMappings") && !self.ports.is_empty() {
            let ports: Vec<Value> = self.ports.iter().map(Mapping::for_plugin).collect();
            input.insert("runtimeConfig".to_owned(), json!({ "portMappings": ports }));
        }
        if let Some(result) = result.filter(|result| !result.is_null()) {
            input.insert("prevResult".to_owned(), result.clone());
        }
        Value::Object(input)
    }
}

/// A `PATH` in which the tools of the machine are found.
pub fn tools() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{TOOLS}"),
        _ => TOOLS.to_owned(),
    }
}

/// A plugin's own words, from the object that it answers with where it fails.
fn words(answer: &Value) -> Option<String> {
    let text = |key: &str| {
        let text = answer.get(key).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty())
    };
    match (text("msg"), text("details")) {
        (Some(message), Some(details)) => Some(format!("{message}; {details}")),
        (message, details) => message.or(details).map(str::to_owned),
    }
}

/// All that a process writes to stdout and stderr; `None` at the limit.
fn output(child: &mut Child, limit: Instant) -> Result<Option<[Vec<u8>; 2]>, Error> {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Ok(None);
    };
    let failed = |errno| Error::system("listen to a plugin", errno);
    let sources = [stdout.as_fd(), stderr.as_fd()];
    let (mut texts, mut open) = ([Vec::new(), Vec::new()], vec![0, 1]);
    let mut chunk = vec![0; 16 << 10];
    while !open.is_empty() {
        let left = limit.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut inputs: Vec<PollFd> = open
            .iter()
            .map(|&index: &usize| PollFd::from_borrowed_fd(sources[index], PollFlags::IN))
            .collect();
        match poll(&mut inputs, left.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno)),
        }
        let ready: Vec<bool> = inputs.iter().map(|it| !it.revents().is_empty()).collect();
        for (index, _) in open
            .clone()
            .into_iter()
            .zip(ready)
            .filter(|(_, is_ready)| *is_ready)
        {
            let read = rustix::io::retry_on_intr(|| rustix::io::read(sources[index], &mut *chunk));
            match read.map_err(failed)? {
                0 => open.retain(|other| *other != index),
                length => texts[index].extend_from_slice(&chunk[..length]),
            }
        }
    }
    Ok(Some(texts))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::words;

    #[test]
    fn a_plugin_says_what_is_wrong() {
        let said = |value| words(&value);
        assert_eq!(
            said(
                json!({"cniVersion": "1.0.0", "code": 11, "msg": "no address", "details": "pool"})
            ),
            Some("no address; pool".to_owned())
        );
        assert_eq!(
            said(json!({"code": 7, "msg": " a\n", "details": ""})),
            Some("a".to_owned())
        );
        assert_eq!(said(json!({"code": 7})), None);
    }
}
