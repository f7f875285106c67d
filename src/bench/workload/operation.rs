//! What a load asks for, whatever it is.

use super::prepared::Prepared;
use super::spec::Call;
use super::{blocks, cache, names, whole};
use crate::protocol::Errno;

/// One client's side of a workload. Only [`Operation::run`] is timed.
pub trait Operation: Send {
    /// Chooses and readies what comes next. False if there is nothing left to ask for.
    fn next(&mut self) -> bool {
        true
    }

    /// Asks, and waits for the answer: bytes of file data.
    fn run(&mut self) -> Result<u64, Errno>;

    /// Says what is wrong with the answer.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// After the round: says what is wrong with what it has written, and takes away what it has made.
    fn finish(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Where clients come from.
pub trait Clients {
    /// Client `number` (from 0) of `of`. Called for each before any of them begins.
    fn client(&self, number: u32, of: u32) -> Result<Box<dyn Operation>, String>;
}

impl Clients for Prepared {
    fn client(&self, number: u32, of: u32) -> Result<Box<dyn Operation>, String> {
        let Some(operation) = &self.spec.operation else {
            return Err("a job has no clients".to_owned());
        };
        let who = Who { number, of };
        match operation.get_ref().call() {
            Call::Getattr => names::getattr(self),
            Call::Stat => names::stat(self, who),
            Call::LookupNegative => names::lookup_negative(self, who),
            Call::Readdir => names::readdir(self, who, false),
            Call::Readdirplus => names::readdir(self, who, true),
            Call::OpenClose => whole::open_close(self, who),
            Call::ReadFile => whole::read_file(self, who),
            Call::CreateWriteUnlink => whole::create_write_unlink(self, who),
            Call::MkdirRenameRmdir => names::mkdir_rename_rmdir(self, who),
            Call::Read => blocks::read(self, who),
            Call::Write => blocks::write(self, who),
            Call::BuildCache => cache::client(self, who),
        }
        .map_err(|why| format!("client {} of {of}: {why}", number + 1))
    }
}

/// One client among others.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// From 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Who {
    /// Its part of `total` things that lie in a row.
    pub fn part(self, total: u64) -> std::ops::Range<u64> {
        let edge = |n: u32| (u128::from(total) * u128::from(n) / u128::from(self.of.max(1))) as u64;
        edge(self.number)..edge(self.number + 1)
    }
}

/// Of answers whose every part could be looked at, one in so many is.
pub const SAMPLE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole() {
        for (total, of) in [(100, 3), (2, 5), (0, 4), (1 << 40, 7)] {
            let mut end = 0;
            for number in 0..of {
                let part = Who { number, of }.part(total);
                assert_eq!(part.start, end);
                end = part.end;
            }
            assert_eq!(end, total);
        }
    }
}
