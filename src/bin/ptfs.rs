//! The `ptfs` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptfs::daemon::main()
}
