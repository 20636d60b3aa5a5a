//! `shardline completion`: the script that teaches a shell our verbs and flags.

use super::arguments::{Cli, CompletionArguments};
use crate::exit::Failure;
use clap::CommandFactory;

/// Prints the script.
pub(super) fn run(arguments: &CompletionArguments) -> Result<(), Failure> {
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "shardline",
        &mut std::io::stdout(),
    );
    Ok(())
}
