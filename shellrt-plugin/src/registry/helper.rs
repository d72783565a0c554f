//! Credential helpers: programs that keep passwords for docker and podman.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use shellrt_api::v0::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::credentials::{password, Login};
use super::Error;

/// What the helper `docker-credential-<name>` keeps for `server`; `None` where it has nothing.
///
/// It speaks the protocol of docker-credential-helpers: the server on its stdin, a JSON document or
/// a message on its stdout. The program is ended where it takes longer than half a minute or the
/// caller goes away.
///
/// # Errors
/// [`Error::CredentialHelper`].
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Login>, Error> {
    let program = format!("docker-credential-{name}");
    let failed = |reason: String| Error::CredentialHelper {
        helper: program.clone(),
        server: server.to_owned(),
        reason,
    };
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return Err(failed("its name is not a program's name".to_owned()));
    }
    let run = tokio::time::timeout(PATIENCE, run(&program, server)).await;
    let (success, output) = match run {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => {
            return Err(failed(format!(
                "it took longer than {} seconds",
                PATIENCE.as_secs()
            )))
        }
    };
    if !success {
        return match output.trim() {
            "credentials not found in native keychain" => Ok(None),
            _ => Err(failed("it ended with an error".to_owned())),
        };
    }
    let answer: Answer = serde_json::from_str(&output)
        .map_err(|_| failed("its answer is no JSON with \"Username\" and \"Secret\"".to_owned()))?;
    if answer.secret.expose().is_empty() {
        return Ok(None);
    }
    Ok(Some(password(&answer.username, answer.secret.expose())))
}

/// Some helpers ask a cloud service first, so they get time.
const PATIENCE: Duration = Duration::from_secs(30);

/// No real answer is longer.
const OUTPUT_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: Secret,
}

/// Whether it succeeded, and its stdout. Its stderr is dropped: nobody knows what it holds.
async fn run(program: &str, server: &str) -> std::io::Result<(bool, String)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read may have ended already; its answer says more than EPIPE.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_MAX).read_to_string(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}
