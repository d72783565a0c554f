//! Every case under `cases/` against every plugin under `plugins/`.
//!
//! `cases/README.md` says what a case and a plugin file are, and how a plugin that is not in this
//! workspace joins. The suite knows the protocol and no crate of this project: it starts the
//! plugins' executables as any client would.

use libtest_mimic::{Arguments, Completion, Trial};

#[path = "conformance/engine.rs"]
mod engine;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let plugins = match std::env::var_os("SHELLRT_PLUGINS_DIR") {
        Some(folder) => folder.into(),
        None => engine::folder("plugins"),
    };
    let trials = engine::plan(&plugins, &engine::folder("cases"))?
        .into_iter()
        .map(|planned| {
            Trial::ignorable_test(planned.name.clone(), move || match planned.run() {
                engine::Outcome::Passed => Ok(Completion::Completed),
                engine::Outcome::LeftOut(why) => Ok(Completion::ignored_with(why)),
                engine::Outcome::Failed(why) => Err(why.into()),
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit()
}
