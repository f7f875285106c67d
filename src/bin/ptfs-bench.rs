//! The `ptfs-bench` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptfs::bench::main()
}
