//! `mayfly`: arguments → command → exit code.

use std::process::ExitCode;

/// A tenth of the CPU of an issuance goes to the allocator; this one is quicker than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match mayfly::cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            mayfly::cli::out::aside(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
