//! `mayfly`: arguments → command → exit code.

use std::io::Write;
use std::process::ExitCode;

/// A tenth of the CPU of an issuance goes to the allocator; this one is quicker than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match mayfly::cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who closed stderr does not want to know; the exit code still says it.
            let _ = write!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
