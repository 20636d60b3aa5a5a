//! The `shardline` binary.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    shardline_console::cli::main(std::env::args_os().collect())
}
