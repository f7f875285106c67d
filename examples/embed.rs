//! A mount inside a program: serves a directory for as long as a command runs, and tells what that asked of it.
//!
//!     cargo run --example embed -- SOURCE MOUNTPOINT COMMAND [ARGUMENT...]

use std::process::{Command, ExitCode};
use std::time::Duration;

use ptfs::Mount;
use ptfs::core::config::Config;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, mountpoint, command, rest @ ..] = &arguments[..] else {
        eprintln!("usage: embed SOURCE MOUNTPOINT COMMAND [ARGUMENT...]");
        return ExitCode::from(2);
    };
    // Nobody else writes to the source meanwhile, so that the kernel may keep names for a minute.
    let config = Config { entry_timeout: Duration::from_secs(60), ..Config::default() };
    let mount = match Mount::builder(source, mountpoint).config(config).mount() {
        Ok(mount) => mount,
        Err(error) => {
            eprintln!("embed: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{} is served over {}", mount.path().display(), mount.started().transport);

    // No shell and no working directory in the mount is left when it has ended.
    let ended = Command::new(command).args(rest).status();
    println!("{}", mount.stats());
    match mount.unmount() {
        Ok(ptfs::Unmount::Done) => {}
        Ok(ptfs::Unmount::Busy) => eprintln!("embed: still in use; dropping it takes it out of sight"),
        Err(error) => eprintln!("embed: {error}"),
    }
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("embed: cannot run {command}: {error}");
            ExitCode::FAILURE
        }
    }
}
