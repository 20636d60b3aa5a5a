//! Instruction budgets: what the hot paths cost in instructions, against a record that a
//! check compares. Instructions are counted and not timed, so that a busy machine finds
//! the same as an idle one.

pub mod cases;
mod count;
mod record;
pub mod routing;
pub mod rows;

use anyhow::Context;
use cases::CASES;
use clap::Args as ClapArgs;
use record::{Record, Verdict};
use std::{path::PathBuf, process::Command, process::ExitCode};

/// What to do with the budgets.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Record what is counted now as the budgets
    #[arg(long, conflicts_with = "check")]
    record: bool,
    /// Fail if a case needs more instructions than its budget and its margin (the default)
    #[arg(long)]
    check: bool,
    /// The record
    #[arg(long, default_value = "benchmarks/budgets.json")]
    file: PathBuf,
    /// Only run this case; what counts instructions starts this
    #[arg(long, hide = true, requires = "rounds")]
    case: Option<String>,
    /// How often
    #[arg(long, hide = true)]
    rounds: Option<usize>,
}

/// Checks or records the budgets.
///
/// # Errors
/// Nothing can be counted, or the record cannot be read or written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let (Some(case), Some(rounds)) = (&args.case, args.rounds) {
        return cases::run(case, rounds).map(|()| ExitCode::SUCCESS);
    }
    let compiler = compiler()?;
    if args.record { record(&args, compiler) } else { check(&args, &compiler) }
}

/// The compiler's version.
fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("asking rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn record(args: &Args, compiler: String) -> anyhow::Result<ExitCode> {
    let mut record = Record { compiler, ..Record::default() };
    for case in CASES {
        let count = count::instructions(case)?;
        println!("{:>26} {count:>9}  {}", case.name, case.about);
        record.instructions.insert(case.name.to_owned(), count);
    }
    record.write(&args.file)?;
    println!("recorded in {}", args.file.display());
    Ok(ExitCode::SUCCESS)
}

fn check(args: &Args, compiler: &str) -> anyhow::Result<ExitCode> {
    let again = "shardline-bench budget --record";
    let record = Record::read(&args.file)?;
    let margin = record.margin_percent(compiler);
    if compiler != record.compiler {
        println!(
            "warning: recorded with {}, this is {compiler}: margin {margin} %",
            record.compiler
        );
    }
    let (mut failed, mut stale) = (false, false);
    println!("{:>26} {:>9} {:>9}", "instructions of", "now", "budget");
    for case in CASES {
        let count = count::instructions(case)?;
        let verdict = record.verdict(case.name, count, margin);
        let budget = record.instructions.get(case.name).copied().unwrap_or_default();
        let remark = match verdict {
            Verdict::Kept => "",
            Verdict::Better => "  better",
            Verdict::Unknown => "  has no budget",
            Verdict::Exceeded => "  EXCEEDED",
        };
        failed |= matches!(verdict, Verdict::Exceeded | Verdict::Unknown);
        stale |= verdict == Verdict::Better;
        println!("{:>26} {count:>9} {budget:>9}{remark}", case.name);
    }
    if stale {
        println!("much better than the record: keep it so with `{again}`");
    }
    if failed {
        println!(
            "more than {margin} % above the budget: find out why; if the cost is wanted, `{again}` \
             and say in the commit what it buys"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
