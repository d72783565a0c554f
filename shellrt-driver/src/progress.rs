//! `img_pull` with progress: a bar per layer on a terminal, the lines themselves as JSON.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shellrt_api::v0::img_pull::{Phase, Progress, Request};
use shellrt_api::v0::{self, client};

use crate::call::{self, Call};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, text};
use crate::stream::{malformed_line, Lines};

/// Pulls and shows how it goes on; `request` asks for progress.
pub fn pull(call: &Call, request: &Request) -> Result<Exit, Failure> {
    let Some((object, stream)) = call.exchange(request)? else {
        return Ok(Exit::Ok);
    };
    if !stream.is_open() {
        // A plugin that is older than progress has pulled, and says so in the old way.
        let response = call::typed(&object)?;
        if call.is_json() {
            call.print_object(&object)?;
        } else {
            output::write(text::pulled(&request.image, &response).as_bytes())?;
        }
        return Ok(Exit::Ok);
    }
    let mut bars = Bars::default();
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next()? {
        let progress = serde_json::from_slice(&line)
            .map_err(|error| malformed_line("the progress of a pull", &error, &line))?;
        if call.is_json() {
            output::write(&line)?;
        }
        match progress {
            Progress::Layer {
                digest,
                current,
                total,
                phase,
            } if !call.is_json() => bars.show(&digest, current, total, phase),
            Progress::Layer { .. } | Progress::Other => {}
            Progress::Done(response) => {
                drop(bars);
                if !call.is_json() {
                    output::write(text::pulled(&request.image, &response).as_bytes())?;
                }
                return Ok(Exit::Ok);
            }
            Progress::Error(error) => {
                drop(bars);
                return Err(refused(call, error));
            }
        }
    }
    drop(bars);
    call.check_time()?;
    Err(client::Error::CutOff.into())
}

fn refused(call: &Call, error: v0::Error) -> Failure {
    Failure::Refused {
        error,
        printed: call.is_json(),
    }
}

const TEMPLATE: &str = "{prefix:12} {msg:8} [{bar:30}] {bytes}/{total_bytes}";

/// One bar per layer, gone when it is dropped: the result says more than full bars.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_digest: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, digest: &str, current: u64, total: u64, phase: Phase) {
        let bar = self.by_digest.entry(digest.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total));
            bar.set_style(style());
            bar.set_prefix(output::visible(&text::short(digest)));
            bar
        });
        bar.set_message(match phase {
            Phase::Download => "download",
            Phase::Unpack => "unpack",
            Phase::Exists => "exists",
            Phase::Other => "",
        });
        bar.set_length(total);
        bar.set_position(current);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // Bars that can't be removed only look odd.
        let _ = self.all.clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE)
        // The template is right, which a test proves; a plain bar would do as well.
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_right() {
        assert!(indicatif::ProgressStyle::with_template(super::TEMPLATE).is_ok());
    }
}
