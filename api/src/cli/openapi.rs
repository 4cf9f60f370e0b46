//! `latchkey-api openapi`

use std::path::PathBuf;

use clap::Args;
use latchkey_shared::output::print;

use crate::{openapi::Installation, server::calls::description};

/// The arguments of `openapi`.
#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// Print YAML instead of JSON
    #[arg(long)]
    yaml: bool,
    /// Write openapi.json and openapi.yaml to this folder instead of printing
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Prints or writes the document.
pub(super) fn run(arguments: &Openapi) -> anyhow::Result<()> {
    let (description, installation) = (description(), Installation::default());
    match &arguments.write {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join("openapi.json"), description.json(&installation))?;
            std::fs::write(folder.join("openapi.yaml"), description.yaml(&installation))?;
        }
        None if arguments.yaml => print(description.yaml(&installation))?,
        None => print(description.json(&installation))?,
    }
    Ok(())
}
