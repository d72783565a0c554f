//! Each message: from what was typed to the request, and from the response to what is printed.

use shellrt_api::v0::{
    attach, events, exec, health, img_list, img_pull, img_remove, list, logs, prune, remove,
    restart, start, status, stop, sys_info, top, version, wait,
};

use crate::args::{self, Credentials, Lazy, Message};
use crate::call::Call;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, text};
use crate::{config, credentials, environment, progress, raw, stream};

/// Sends `message` and prints the answer. `before` are the credentials that stood before it.
pub fn send(call: &mut Call, message: Message, before: &Credentials) -> Result<Exit, Failure> {
    if !before.is_empty() && !matches!(message, Message::ImgPull(_)) {
        return Err(Failure::usage(
            "only \"img_pull\" takes credentials; leave them out",
        ));
    }
    match message {
        Message::ImgPull(Lazy(arguments)) => return img_pull(call, arguments, before),
        Message::ImgRemove(Lazy(args::ImgRemove { image, force })) => {
            let image = &image;
            let request = img_remove::Request {
                image: image.clone(),
                force,
            };
            call.ask(&request, |_| text::done(image, "removed"))?;
        }
        Message::ImgList => {
            call.ask(&img_list::Request {}, text::img_list)?;
        }
        Message::Create(arguments) => {
            let request = config::request(&arguments.0)?;
            call.ask(&request, |response| text::created(&request.name, response))?;
        }
        Message::Start(Lazy(args::Name { name })) => {
            let request = start::Request { name };
            call.ask(&request, |_| text::done(&request.name, "started"))?;
        }
        Message::Stop(Lazy(args::Stop { name, seconds })) => {
            let request = stop::Request {
                name,
                timeout: Some(seconds),
            };
            call.ask(&request, |_| text::done(&request.name, "stopped"))?;
        }
        Message::Restart(Lazy(args::Name { name })) => {
            let request = restart::Request { name };
            call.ask(&request, |_| text::done(&request.name, "restarted"))?;
        }
        Message::Remove(Lazy(args::Remove { name, force })) => {
            let request = remove::Request { name, force };
            call.ask(&request, |_| text::done(&request.name, "removed"))?;
        }
        Message::List(Lazy(args::List { details })) => {
            call.ask(&list::Request { details }, text::list)?;
        }
        Message::Status(Lazy(args::Name { name })) => {
            let request = status::Request { name };
            call.ask(&request, |response| text::status(&request.name, response))?;
        }
        Message::Wait(Lazy(args::Wait { name, timeout })) => {
            stream::watch_reader();
            let request = wait::Request { name, timeout };
            call.ask(&request, |response| text::status(&request.name, response))?;
        }
        Message::Top(Lazy(args::Name { name })) => {
            call.ask(&top::Request { name }, text::top)?;
        }
        Message::Health(Lazy(args::Name { name })) => {
            call.ask(&health::Request { name }, text::health)?;
        }
        Message::Prune(Lazy(args::Prune { images, older_than })) => {
            call.ask(&prune::Request { images, older_than }, text::prune)?;
        }
        Message::SysInfo => {
            call.ask(&sys_info::Request {}, text::sys_info)?;
        }
        Message::Version => {
            call.ask(&version::Request {}, text::version)?;
        }
        Message::Logs(Lazy(arguments)) => logs(call, arguments)?,
        Message::Attach(Lazy(arguments)) => attach(call, arguments)?,
        Message::Events(Lazy(args::Events { follow, since })) => {
            if let Some(stream) = call.open(&events::Request { since, follow })? {
                stream::watch_reader();
                stream::print_events(call, stream)?;
            }
        }
        Message::Exec(Lazy(arguments)) => return exec(call, arguments),
        Message::Raw => return raw::send(call),
        // It is answered before a plugin is looked at.
        Message::Completions(_) => {}
    }
    Ok(Exit::Ok)
}

fn img_pull(
    call: &mut Call,
    arguments: args::ImgPull,
    before: &Credentials,
) -> Result<Exit, Failure> {
    let args::ImgPull {
        image,
        credentials: after,
        platform,
        policy,
        progress,
    } = arguments;
    if before.password.is_some() || after.password.is_some() {
        output::note(
            "warning: everybody on this machine can see a password in the list of processes; use \
             \"--password-stdin\" instead of \"-p\"",
        );
    }
    let credentials = credentials::collect(before, &after)?;
    let secrets = ["password", "token"].into_iter();
    call.hide(secrets.filter_map(|key| credentials.get(key).cloned()));
    if call.is_dry_run() && !credentials.is_empty() {
        output::note("warning: the payload contains the credentials");
    }
    let request = img_pull::Request {
        image,
        credentials,
        platform,
        policy: policy.into(),
        progress: progress || (!call.is_json() && output::is_watched()),
    };
    if request.progress {
        return progress::pull(call, &request);
    }
    call.ask(&request, |response| text::pulled(&request.image, response))?;
    Ok(Exit::Ok)
}

fn logs(call: &Call, arguments: args::Logs) -> Result<(), Failure> {
    let args::Logs {
        name,
        follow,
        tail,
        since,
        since_ns,
        until,
        timestamps,
        streams,
    } = arguments;
    let request = logs::Request {
        name,
        follow,
        tail,
        since,
        until,
        since_ns,
        timestamps,
        streams: these(&streams),
    };
    if let Some(stream) = call.open(&request)? {
        stream::watch_reader();
        stream::copy(call, stream)?;
    }
    Ok(())
}

fn attach(call: &Call, arguments: args::Attach) -> Result<(), Failure> {
    let args::Attach {
        name,
        stdin,
        close_stdin,
        streams,
    } = arguments;
    // Where a person types, the end of the input is how one leaves; a pipe that ends has said all.
    let close_stdin = close_stdin.unwrap_or_else(|| stdin && !stream::stdin_is_terminal());
    let request = attach::Request {
        name,
        stdin,
        streams: these(&streams),
        close_stdin,
    };
    let stream = if stdin {
        call.open_with_input(&request)?.map(|(input, stream)| {
            stream::feed(input);
            stream
        })
    } else {
        call.open(&request)?
    };
    if let Some(stream) = stream {
        stream::watch_reader();
        stream::copy(call, stream)?;
    }
    Ok(())
}

/// The streams that were asked for; none was = both.
fn these(streams: &[args::Stream]) -> Option<Vec<logs::Stream>> {
    (!streams.is_empty()).then(|| streams.iter().copied().map(Into::into).collect())
}

fn exec(call: &Call, arguments: args::Exec) -> Result<Exit, Failure> {
    let args::Exec {
        env,
        timeout,
        name,
        args,
    } = arguments;
    let request = exec::Request {
        name,
        args,
        env: environment::collect(&[] as &[&str], &env)?,
        timeout,
    };
    let Some(response) = call.ask(&request, |response| response.stdout.clone())? else {
        return Ok(Exit::Ok);
    };
    if !call.is_json() {
        output::write_stderr(&response.stderr);
        if response.truncated {
            output::note("warning: the output is longer than 1 MiB and was cut");
        }
    }
    Ok(Exit::Command(response.exit_code))
}
