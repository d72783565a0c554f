//! The end of every help text: examples, then the exit status.

const EXIT_STATUS: &str = "\
Exit status:
   0  the plugin did it
   1  the plugin said no: its error is on stderr, and as JSON on stdout
   2  no valid answer: it could not be started, was killed, or answered nonsense
  64  wrong usage; no plugin was started";

const EXEC_STATUS: &str = "\
Exit status:
  that of the command, once it has run (255 if it is above 255 or negative); else
   1  the plugin said no: its error is on stderr, and as JSON on stdout
   2  no valid answer: it could not be started, was killed, or answered nonsense
  64  wrong usage; no plugin was started
A command may end with 1, 2 or 64 itself. \"--output json\" tells them apart: only a command that
has run leaves a response with \"_status\":\"ok\" and its \"exit_code\" on stdout.";

/// What stands in the manual of `message`; the empty name is the program itself.
fn examples(message: &str) -> &'static [&'static str] {
    match message {
        "" => &[
            "shellrt-driver wasm img_pull ghcr.io/example/hello:1",
            "shellrt-driver wasm create wasm web ghcr.io/example/hello:1 -e COLOR=red",
            "shellrt-driver wasm start web",
            "shellrt-driver ./my-plugin status web",
            "shellrt-driver --timeout 5 wasm list --output json | jq .modules",
        ],
        "img_pull" => &[
            "shellrt-driver wasm img_pull ghcr.io/example/hello:1",
            "shellrt-driver wasm img_pull file:/srv/hello.wasm",
            "shellrt-driver wasm img_pull -u me --password-stdin registry.example.org/app < password",
            "shellrt-driver wasm img_pull --policy if_reachable ghcr.io/example/hello:1",
        ],
        "img_remove" => &["shellrt-driver wasm img_remove ghcr.io/example/hello:1"],
        "img_list" => &["shellrt-driver wasm img_list"],
        "create" => &[
            "shellrt-driver wasm create wasm web ghcr.io/example/hello:1",
            "shellrt-driver wasm create wasm job file:/srv/job.wasm --mount /srv/data:/data:ro -- --fast",
            "shellrt-driver wasm create wasm web IMAGE --listen 127.0.0.1:8080 --restart on-failure:3",
            "shellrt-driver wasm create wasm web --config web.json --memory 64m --dry-run",
            "shellrt-driver containerd create containerd db redis:7 --volume data:/data -m 64m --user 999",
            "shellrt-driver containerd create containerd web nginx:1 --publish 8080:80",
            "shellrt-driver containerd create docker web nginx:1 --config create-options.json",
            "shellrt-driver ./my-plugin create my-type web --config - < config.json",
        ],
        "start" => &["shellrt-driver wasm start web"],
        "stop" => &[
            "shellrt-driver wasm stop web",
            "shellrt-driver wasm stop web 30",
            "shellrt-driver wasm stop web -1",
        ],
        "restart" => &["shellrt-driver wasm restart web"],
        "remove" => &[
            "shellrt-driver wasm remove web",
            "shellrt-driver wasm remove --force web",
        ],
        "list" => &[
            "shellrt-driver wasm list",
            "shellrt-driver wasm list --details",
        ],
        "status" => &[
            "shellrt-driver wasm status web",
            "shellrt-driver wasm status web --output json | jq -r .status",
        ],
        "logs" => &[
            "shellrt-driver wasm logs web",
            "shellrt-driver wasm logs -f -n 10 web",
            "shellrt-driver wasm logs web --since 1700000000 --stream stderr --timestamps",
        ],
        "attach" => &[
            "shellrt-driver wasm attach web",
            "shellrt-driver wasm attach -i web < input",
            "shellrt-driver wasm attach -i --close-stdin=false web < input",
        ],
        "wait" => &[
            "shellrt-driver wasm wait job",
            "shellrt-driver wasm wait job --timeout 5m",
        ],
        "top" => &["shellrt-driver wasm top web"],
        "exec" => &[
            "shellrt-driver containerd exec web ls -l /srv",
            "shellrt-driver containerd exec -e LANG=C --timeout 10 web -- env",
        ],
        "health" => &["shellrt-driver containerd health web"],
        "events" => &[
            "shellrt-driver wasm events",
            "shellrt-driver wasm events --follow | jq .event",
        ],
        "prune" => &[
            "shellrt-driver wasm prune",
            "shellrt-driver wasm prune --images --older-than 24h",
        ],
        "sys_info" => &["shellrt-driver wasm sys_info"],
        "version" => &["shellrt-driver wasm version"],
        "raw" => &["shellrt-driver wasm raw < list.request.json"],
        "completions" => &["shellrt-driver completions bash > /etc/bash_completion.d/shellrt-driver"],
        _ => &[],
    }
}

/// `command` with examples and the exit status at the end of every help text.
pub fn with_examples(command: clap::Command) -> clap::Command {
    let after = after_help("");
    command
        .disable_help_subcommand(true)
        .after_help(after)
        .mut_subcommands(|message| {
            let after = after_help(message.get_name());
            message.after_help(after)
        })
}

fn after_help(message: &str) -> String {
    let mut text = String::from("Examples:\n");
    for example in examples(message) {
        text.push_str("  ");
        text.push_str(example);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(if message == "exec" {
        EXEC_STATUS
    } else {
        EXIT_STATUS
    });
    text
}

#[cfg(test)]
mod tests {
    use super::super::{command_line, parse};
    use super::examples;

    #[test]
    fn every_help_text_ends_with_examples_and_exit_status() {
        let mut command = command_line();
        let mut names = vec![String::new()];
        names.extend(
            command
                .get_subcommands()
                .map(|sub| sub.get_name().to_owned()),
        );
        for name in names {
            assert!(!examples(&name).is_empty(), "{name}");
            let sub = match name.as_str() {
                "" => &mut command,
                name => command.find_subcommand_mut(name).unwrap(),
            };
            for text in [sub.render_help(), sub.render_long_help()] {
                let text = text.to_string();
                let place = text.find("Examples:\n  shellrt-driver").unwrap();
                assert!(text[place..].contains("Exit status:"), "{text}");
            }
        }
    }

    #[test]
    fn every_example_can_be_typed() {
        let mut names = vec![String::new()];
        names.extend(
            command_line()
                .get_subcommands()
                .map(|sub| sub.get_name().to_owned()),
        );
        for name in names {
            for example in examples(&name) {
                // What a shell would do with the rest is not ours.
                let ends = [" | ", " < ", " > "].map(|mark| example.find(mark));
                let end = ends.into_iter().flatten().min().unwrap_or(example.len());
                let words = example[..end].split_whitespace().map(Into::into).collect();
                parse(words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}
