//! Results as reports show them: blocks of one workload under one load, with a row for each target.

use serde::Serialize;

use super::human;
use super::stats::{self, Distribution, Interval, Measure, bootstrap, median, ratios};
use crate::bench::result::{Cell, Load, Results, Round, Usage};

/// One workload under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// The workload's name.
    pub workload: String,
    /// How requests were made.
    pub load: Load,
    /// The same in words.
    pub how: String,
    /// What `Row::ratio` is of.
    pub measure: Measure,
    /// In the order of the results.
    pub rows: Vec<Row>,
}

/// One cell. What was not measured is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The target's name.
    pub target: String,
    /// Rounds measured, and the median of their seconds.
    pub rounds: usize,
    /// See `rounds`.
    pub seconds: Option<f64>,
    /// Operations a second: the median of the rounds.
    pub rate: Option<f64>,
    /// Bytes of file data a second: the median of the rounds.
    pub throughput: Option<f64>,
    /// Nanoseconds.
    pub p50: Option<u64>,
    /// Nanoseconds.
    pub p99: Option<u64>,
    /// Nanoseconds.
    pub p999: Option<u64>,
    /// Nanoseconds.
    pub max: Option<u64>,
    /// [`Block::measure`] as part of the base's in the same round: the median, and its interval where there are two or
    /// more. The base has none.
    pub ratio: Option<f64>,
    /// See `ratio`.
    pub interval: Option<Interval>,
    /// Microseconds of CPU an operation.
    pub client_cpu: Option<f64>,
    /// Microseconds of CPU an operation.
    pub server_cpu: Option<f64>,
    /// Context switches an operation, of clients and server.
    pub switches: Option<f64>,
    /// Bytes resident: the most of the rounds.
    pub memory: Option<u64>,
    /// Descriptors: the most of the rounds.
    pub fds: Option<u64>,
    /// Requests that reached the server an operation.
    pub requests: Option<f64>,
    /// The percentile curve: (part of the samples that took longer, nanoseconds), and at last the longest of all.
    pub curve: Vec<(f64, u64)>,
}

/// The blocks of `results`, in their order.
pub fn blocks(results: &Results) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for cell in &results.cells {
        let row = row(cell, base_of(results, cell));
        match blocks.iter_mut().find(|block| block.workload == cell.workload && block.load == cell.load) {
            Some(block) => block.rows.push(row),
            None => blocks.push(Block {
                workload: cell.workload.clone(),
                load: cell.load,
                how: how(&cell.load),
                measure: Measure::of(&cell.load),
                rows: vec![row],
            }),
        }
    }
    blocks
}

/// The cell of the base under the same workload and load; the base itself has none.
pub fn base_of<'a>(results: &'a Results, cell: &Cell) -> Option<&'a Cell> {
    let same = |other: &&Cell| other.workload == cell.workload && other.load == cell.load;
    let base = results.cells.iter().filter(same).find(|other| other.target == results.base)?;
    (cell.target != results.base).then_some(base)
}

/// `closed loop, 4 clients`.
pub fn how(load: &Load) -> String {
    let clients = |n: u32| if n == 1 { "1 client".to_owned() } else { format!("{n} clients") };
    match *load {
        Load::Closed { clients: n } => format!("closed loop, {}", clients(n)),
        Load::Open { clients: n, rate } => format!("open loop, {}/s, {}", human::chosen(rate), clients(n)),
        Load::Depth { depth } => format!("io_uring, {depth} in flight"),
        Load::Job => "whole job".to_owned(),
    }
}

/// When and where it ran, as far as known.
pub fn facts(results: &Results) -> Vec<String> {
    let machine = &results.machine;
    let mut facts = vec![
        human::date(results.started),
        machine.kernel.clone(),
        machine.arch.clone(),
        format!("{} CPUs ({})", machine.cpus, machine.cpu),
        format!("{}iB of memory", human::bytes(machine.memory as f64)),
    ];
    facts.retain(|fact| !fact.is_empty());
    facts
}

fn row(cell: &Cell, base: Option<&Cell>) -> Row {
    let rounds = &cell.rounds;
    let all = Distribution::of(rounds);
    let operations: u64 = rounds.iter().map(|round| round.operations).sum();
    let per_operation = |total: f64| (operations > 0).then(|| total / operations as f64);
    let cpu = |usage: &Usage| (usage.user + usage.system) * 1e6;
    let switches = |usage: &Usage| (usage.voluntary + usage.involuntary) as f64;
    let servers = || rounds.iter().filter_map(|round| round.server.as_ref());
    let served = servers().next().is_some();
    let ratios = base.map(|base| ratios(Measure::of(&cell.load), rounds, &base.rounds)).unwrap_or_default();
    Row {
        target: cell.target.clone(),
        rounds: rounds.len(),
        seconds: median_of(rounds, |round| Some(round.seconds)),
        rate: median_of(rounds, stats::rate),
        throughput: median_of(rounds, |round| (round.bytes > 0).then(|| round.bytes as f64 / round.seconds)),
        p50: all.quantile(0.5),
        p99: all.quantile(0.99),
        p999: all.quantile(0.999),
        max: all.max(),
        ratio: median(&ratios),
        interval: bootstrap(&ratios, seed(cell)),
        client_cpu: per_operation(rounds.iter().map(|round| cpu(&round.client)).sum()),
        server_cpu: per_operation(servers().map(|server| cpu(&server.usage)).sum()).filter(|_| served),
        switches: per_operation(
            rounds.iter().map(|round| switches(&round.client)).sum::<f64>()
                + servers().map(|server| switches(&server.usage)).sum::<f64>(),
        ),
        memory: servers().map(|server| server.memory).max(),
        fds: servers().map(|server| server.fds).max(),
        requests: requests(rounds),
        curve: curve(&all),
    }
}

fn median_of(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let figures: Vec<f64> = rounds.iter().filter_map(figure).filter(|figure| figure.is_finite()).collect();
    median(&figures)
}

/// Requests an operation, over the rounds for which the server told.
fn requests(rounds: &[Round]) -> Option<f64> {
    let told = rounds.iter().filter_map(|round| {
        let requests = round.server.as_ref()?.requests.as_ref()?;
        Some((requests.values().sum::<u64>(), round.operations))
    });
    let (requests, operations) = told.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (operations > 0).then(|| requests as f64 / operations as f64)
}

/// A report made twice draws the same, and each cell draws for itself.
fn seed(cell: &Cell) -> u64 {
    let name = format!("{}\0{}\0{:?}", cell.workload, cell.target, cell.load);
    // FNV-1a.
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Points of a plot whose horizontal axis is the logarithm of the part that took longer: what lies closer than a
/// hundredth of a decade cannot be told apart there.
fn curve(all: &Distribution) -> Vec<(f64, u64)> {
    const STEP: f64 = 0.977;
    let count = all.count() as f64;
    let mut points: Vec<(f64, u64)> = Vec::new();
    let (mut below, mut last) = (0, f64::INFINITY);
    for (value, samples) in all.buckets() {
        below += samples;
        // Half a sample stands for the end, which a logarithm does not reach.
        let above = (1.0 - below as f64 / count).max(0.5 / count);
        let ends = below as f64 == count;
        if above <= last * STEP || ends {
            points.push((above, value));
            last = above;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn cells_of_one_workload_and_load_stand_together() {
        let blocks = blocks(&fixture::results());
        let names: Vec<_> = blocks.iter().map(|block| (block.workload.as_str(), block.rows.len())).collect();
        assert_eq!(names, [("getattr", 2), ("getattr", 2), ("monorepo", 2)]);
        assert_eq!(blocks[0].how, "closed loop, 1 client");
        assert_eq!(blocks[1].how, "open loop, 10k/s, 2 clients");
        assert_eq!((blocks[0].measure, blocks[1].measure), (Measure::Rate, Measure::Latency));
    }

    #[test]
    fn a_row_says_what_the_rounds_did() {
        let row = &blocks(&fixture::results())[0].rows[1];
        assert_eq!((row.target.as_str(), row.rounds), ("ptfs", 3));
        assert_eq!((row.rate, row.ratio), (Some(20_000.0), Some(0.26)));
        let interval = row.interval.unwrap();
        assert!(interval.low == 0.25 && interval.mid == 0.26 && interval.high > 0.26);
        assert_eq!((row.p50, row.max), (Some(40_000), Some(90_000)));
        // 0.9 s of clients, 0.6 s of the server, 3 x 25,000 switches and 66,000 requests, for 66,000 operations.
        let close = |value: Option<f64>, exact: f64| (value.unwrap() - exact).abs() < 1e-6;
        assert!(close(row.client_cpu, 0.9e6 / 66_000.0) && close(row.server_cpu, 0.6e6 / 66_000.0), "{row:?}");
        assert!(close(row.switches, 75_000.0 / 66_000.0) && close(row.requests, 1.0), "{row:?}");
        assert_eq!((row.memory, row.fds), (Some(9 << 20), Some(12)));
    }

    #[test]
    fn the_base_and_what_failed_have_no_ratio() {
        let blocks = blocks(&fixture::results());
        assert_eq!(blocks[0].rows[0].ratio, None);
        assert_eq!(blocks[0].rows[0].server_cpu, None);
        let failed = &blocks[2].rows[1];
        assert_eq!((failed.rounds, failed.rate, failed.p50, failed.ratio), (0, None, None, None));
        assert!(failed.curve.is_empty());
    }

    #[test]
    fn the_curve_falls_to_the_longest_and_stays_small() {
        let latency: Vec<(u64, u64)> = (1..20_000).map(|n| (n, 1)).collect();
        let points = curve(&Distribution::of(&[Round { latency, ..Round::default() }]));
        assert!(points.len() < 500, "{}", points.len());
        assert!(points.is_sorted_by(|a, b| a.0 > b.0 && a.1 < b.1));
        assert_eq!(points.last(), Some(&(0.5 / 19_999.0, 19_999)));
    }
}
