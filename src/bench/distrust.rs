//! What makes a cell doubtful: reasons not to believe it, in words.

use super::result::{Cell, Load, Round};
use super::server;

/// The hypervisor took more than this part of all CPU time.
const STEAL: f64 = 0.02;
/// Others used more than this part of it.
const OTHERS: f64 = 0.15;
/// A round this many deviations from the median of all is an outlier (a modified z-score, as hyperfine has it) ...
const OUTLIER: f64 = 14.826;
/// ... if it is also this far away from it: rounds that are almost equal have no outliers.
const FAR: f64 = 0.1;
/// Median absolute deviations are made comparable with standard deviations by this.
const MAD: f64 = 1.4826;
/// A trend this strong (Kendall's tau) is no accident.
const TREND: f64 = 0.8;
/// Rounds that it takes to tell a trend or an outlier.
const ROUNDS: usize = 5;
/// Below this part of the operations, something else than the server has answered.
const SERVED: f64 = 0.95;
/// No server answers a request with less CPU than this.
const CHEAPEST: f64 = 1e-6;
/// Percentiles, and how many samples there must be for ten to lie beyond.
const SAMPLES: [(u64, &str); 2] = [(1_000, "p99"), (10_000, "p99.9")];

/// What a workload wants of the caches between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Each operation is to reach the server.
    Always,
    /// A cache may answer: that is what is measured.
    MayBeCached,
}

/// All that makes `cell` doubtful.
pub fn judge(cell: &Cell, served: Served) -> Vec<String> {
    let job = matches!(cell.load, Load::Job);
    let rates: Vec<f64> = cell.rounds.iter().map(rate).collect();
    let mut doubts = Vec::new();
    doubts.extend(too_few(cell).filter(|_| !job));
    doubts.extend(answered_by_a_cache(cell).filter(|_| served == Served::Always && !job));
    doubts.extend(outliers(&rates));
    doubts.extend(trend(&rates));
    doubts.extend(
        worst(cell, |round| round.steal)
            .filter(|part| *part > STEAL)
            .map(|part| format!("the hypervisor took up to {:.0} % of the CPUs' time", part * 100.0)),
    );
    doubts.extend(
        worst(cell, |round| round.others)
            .filter(|part| *part > OTHERS)
            .map(|part| format!("the machine was busy: others used up to {:.0} % of the CPUs' time", part * 100.0)),
    );
    doubts
}

/// Of an open loop in which so many arrivals were never made.
pub fn late(cell: &Cell, late: u64) -> Option<String> {
    let Load::Open { .. } = cell.load else { return None };
    let made: u64 = cell.rounds.iter().map(|round| round.operations).sum();
    (late > 0).then(|| {
        let part = late as f64 / (late + made) as f64 * 100.0;
        let part = if part < 0.5 { "less than 1".to_owned() } else { format!("{part:.0}") };
        format!("does not keep up with the rate: {part} % of the operations were due and never begun")
    })
}

fn rate(round: &Round) -> f64 {
    if round.seconds > 0.0 { round.operations as f64 / round.seconds } else { 0.0 }
}

fn worst(cell: &Cell, of: impl Fn(&Round) -> f64) -> Option<f64> {
    cell.rounds.iter().map(of).reduce(f64::max)
}

fn too_few(cell: &Cell) -> Option<String> {
    let samples: u64 = cell.rounds.iter().flat_map(|round| &round.latency).map(|(_, count)| count).sum();
    let (needed, percentile) = SAMPLES.into_iter().find(|(needed, _)| samples < *needed)?;
    Some(format!(
        "too short for its {percentile}: {samples} samples, and {needed} are needed; a longer --duration helps"
    ))
}

/// A lower bound: one request may carry a part of an operation only.
fn answered_by_a_cache(cell: &Cell) -> Option<String> {
    let served: Vec<(&Round, _)> =
        cell.rounds.iter().filter_map(|round| Some((round, round.server.as_ref()?))).collect();
    let operations: u64 = served.iter().map(|(round, _)| round.operations).sum();
    if operations == 0 {
        return None;
    }
    let requests: Option<u64> = served.iter().map(|(_, server)| Some(server::asked(server.requests.as_ref()?))).sum();
    if let Some(requests) = requests {
        let part = requests as f64 / operations as f64;
        return (part < SERVED).then(|| {
            let cached = (1.0 - part) * 100.0;
            format!(
                "a cache answered {cached:.0} %: {requests} requests reached the server for {operations} operations"
            )
        });
    }
    let cpu: f64 = served.iter().map(|(_, server)| server.usage.user + server.usage.system).sum();
    let each = cpu / operations as f64;
    (each < CHEAPEST)
        .then(|| format!("a cache seems to have answered: the server used {:.2} us of CPU an operation", each * 1e6))
}

fn outliers(rates: &[f64]) -> Option<String> {
    if rates.len() < ROUNDS {
        return None;
    }
    let middle = median(rates);
    let deviation = MAD * median(&rates.iter().map(|rate| (rate - middle).abs()).collect::<Vec<_>>());
    let far = |rate: f64| {
        let distance = (rate - middle).abs();
        distance > OUTLIER * deviation && distance > FAR * middle
    };
    let rounds: Vec<String> =
        rates.iter().zip(1..).filter(|(rate, _)| far(**rate)).map(|(_, round): (_, usize)| round.to_string()).collect();
    (!rounds.is_empty()).then(|| format!("outliers: something disturbed round {}", rounds.join(", ")))
}

/// Rounds that get better or worse one after the other do not measure the same.
fn trend(rates: &[f64]) -> Option<String> {
    if rates.len() < ROUNDS {
        return None;
    }
    let pairs = (0..rates.len()).flat_map(|a| (a + 1..rates.len()).map(move |b| (a, b)));
    let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), (a, b)| {
        let sign = if rates[b] > rates[a] {
            1.0
        } else if rates[b] < rates[a] {
            -1.0
        } else {
            0.0
        };
        (sum + sign, count + 1.0)
    });
    let third = rates.len() / 3;
    let (first, last) = (median(&rates[..third.max(1)]), median(&rates[rates.len() - third.max(1)..]));
    let change = if first > 0.0 { last / first - 1.0 } else { 0.0 };
    let strong = f64::abs(sum / count) >= TREND && change.abs() > FAR;
    strong.then(|| {
        let way = if change > 0.0 { "faster" } else { "slower" };
        format!("drifts: it was {:.0} % {way} at the end than at the beginning", change.abs() * 100.0)
    })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result::{Server, Usage};

    fn cell(rates: &[u64]) -> Cell {
        let round = |&operations: &u64| Round {
            operations,
            seconds: 1.0,
            latency: vec![(1000, operations)],
            ..Round::default()
        };
        Cell {
            workload: "w".into(),
            target: "t".into(),
            load: Load::Closed { clients: 1 },
            rounds: rates.iter().map(round).collect(),
            failure: None,
            knee: false,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_quiet_cell_is_believed() {
        assert_eq!(judge(&cell(&[10_000, 10_400, 9_900, 10_100, 10_050]), Served::Always), Vec::<String>::new());
    }

    #[test]
    fn a_few_late_ones_are_not_none() {
        let open = Cell { load: Load::Open { clients: 4, rate: 1000.0 }, ..cell(&[10_000]) };
        let said = |count| late(&open, count).unwrap_or_default();
        assert!(said(1).contains("less than 1 %") && said(10_000).contains(" 50 %"), "{}, {}", said(1), said(10_000));
        assert_eq!(late(&open, 0), None);
    }

    #[track_caller]
    fn doubts(cell: &Cell, word: &str) {
        let found = judge(cell, Served::Always);
        assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
    }

    #[test]
    fn each_doubt_is_told() {
        doubts(&cell(&[10_000, 10_040, 3_000, 10_010, 10_050]), "round 3");
        doubts(&cell(&[10_000, 11_000, 12_000, 13_000, 14_000]), "40 % faster");
        doubts(&cell(&[14_000, 13_000, 12_000, 11_000, 10_000]), "slower");
        doubts(&cell(&[100, 101]), "p99:");
        doubts(&cell(&[1000, 1001]), "p99.9");
        let mut busy = cell(&[10_000, 10_000]);
        busy.rounds[1].others = 0.5;
        doubts(&busy, "50 %");
        let mut stolen = cell(&[10_000, 10_000]);
        stolen.rounds[0].steal = 0.03;
        doubts(&stolen, "hypervisor");
    }

    #[test]
    fn a_cache_that_answers_is_noticed() {
        let mut cell = cell(&[10_000]);
        let requests = |count| Some([("GETATTR".to_owned(), count), ("FORGET".to_owned(), 90_000)].into());
        let usage = Usage { user: 0.05, system: 0.05, ..Usage::default() };
        cell.rounds[0].server = Some(Server { requests: requests(9_900), usage, ..Server::default() });
        assert_eq!(judge(&cell, Served::Always), Vec::<String>::new());
        cell.rounds[0].server = Some(Server { requests: requests(1_000), usage, ..Server::default() });
        doubts(&cell, "a cache answered 90 %");
        assert_eq!(judge(&cell, Served::MayBeCached), Vec::<String>::new());
        cell.rounds[0].server = Some(Server { usage, ..Server::default() });
        assert_eq!(judge(&cell, Served::Always), Vec::<String>::new());
        cell.rounds[0].server = Some(Server::default());
        doubts(&cell, "seems to have answered");
    }
}
