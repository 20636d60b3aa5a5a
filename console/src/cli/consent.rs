//! Asks a person before something is done that cannot be taken back, or takes long to.

use super::operator_arguments::ConsentArguments;
use crate::exit::{Failure, Reason};
use std::io::{IsTerminal, Write};

/// Whether a person agrees: by `--yes`, or by typing `word`.
///
/// # Errors
/// Nobody is there to ask, or the answer is another one.
pub(super) fn ask(what: &str, word: &str, consent: ConsentArguments) -> Result<(), Failure> {
    if consent.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Reason::Usage, format!("nobody is there to agree to {what}"))
            .hint("say --yes"));
    }
    eprint!("This will {what}. Type {word} to go on: ");
    std::io::stderr().flush().ok();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(Reason::Failed, format!("reading the answer: {error}")))?;
    match answer.trim() == word {
        true => Ok(()),
        false => Err(Failure::new(Reason::Usage, "not agreed to; nothing was done")),
    }
}
