//! What is compared, and how far chance moves it.

use super::student;
use crate::bench::report::stats::{self, Distribution, median};
use crate::bench::result::{Cell, Load, Round};

/// A figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations a second.
    Rate,
    /// The median latency.
    P50,
    /// The latency that 1 % exceeds.
    P99,
}

impl Figure {
    /// Every figure.
    pub const ALL: [Figure; 3] = [Figure::Rate, Figure::P50, Figure::P99];
    /// A 99th percentile is made of at least ten samples beyond it.
    const SAMPLES_OF_P99: u64 = 1000;

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Rate => "rate",
            Figure::P50 => "p50",
            Figure::P99 => "p99",
        }
    }

    /// Whether it tells anything under `load`: where the rate is given, it is the latency that answers, and where
    /// clients wait for answers, the median latency is their rate said once more.
    fn tells(self, load: &Load) -> bool {
        match self {
            Figure::Rate => !matches!(load, Load::Open { .. }),
            Figure::P50 => matches!(load, Load::Open { .. }),
            Figure::P99 => !matches!(load, Load::Job),
        }
    }

    /// Whether more of it is worse.
    pub fn is_cost(self) -> bool {
        self != Figure::Rate
    }

    fn in_round(self, round: &Round) -> Option<f64> {
        let all = || Distribution::of([round]);
        match self {
            Figure::Rate => stats::rate(round),
            Figure::P50 => all().quantile(0.5).map(|ns| ns as f64),
            Figure::P99 => {
                let all = all();
                all.quantile(0.99).filter(|_| all.count() >= Figure::SAMPLES_OF_P99).map(|ns| ns as f64)
            }
        }
        .filter(|figure| *figure > 0.0)
    }

    /// Its logarithm in each round of `cell`; nothing for a round without it.
    pub fn logarithms(self, cell: &Cell) -> Vec<Option<f64>> {
        let rounds = cell.rounds.iter().filter(|_| self.tells(&cell.load));
        rounds.map(|round| self.in_round(round).map(f64::ln)).collect()
    }
}

/// A change of a logarithm, and how sure it is.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The change.
    pub value: f64,
    /// Variances that add up, each with the degrees of freedom that it is known by.
    parts: Vec<(f64, f64)>,
}

impl Estimate {
    /// The difference of the means; nothing if one side has less than two values.
    pub fn between(old: &[f64], new: &[f64]) -> Option<Estimate> {
        let ((old_mean, old_part), (new_mean, new_part)) = (mean(old)?, mean(new)?);
        Some(Estimate { value: new_mean - old_mean, parts: vec![old_part, new_part] })
    }

    /// The same, with what both sides have in common taken out and one more thing that it is unsure by.
    pub fn corrected(mut self, drift: f64, variance: f64, freedom: f64) -> Estimate {
        self.value -= drift;
        self.parts.push((variance, freedom));
        self
    }

    fn variance(&self) -> f64 {
        self.parts.iter().map(|(variance, _)| variance).sum()
    }

    /// By Welch and Satterthwaite.
    fn freedom(&self) -> f64 {
        self.variance().powi(2)
            / self.parts.iter().map(|(variance, freedom)| variance * variance / freedom).sum::<f64>()
    }

    /// How likely chance alone goes as far.
    pub fn likelihood(&self) -> f64 {
        student::two_sided(self.value / self.variance().sqrt(), self.freedom())
    }

    /// The lower and upper end of what it may be, with 95 % confidence.
    pub fn interval(&self) -> (f64, f64) {
        let half = student::quantile(0.05, self.freedom()) * self.variance().sqrt();
        (self.value - half, self.value + half)
    }
}

/// The mean, and its variance with the degrees of freedom.
fn mean(values: &[f64]) -> Option<(f64, (f64, f64))> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((mean, (variance / n, n - 1.0)))
}

/// What changes from one run to the next where nothing has been changed.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// What all cells of the base have in common, as logarithm; 0 if that may be chance.
    pub drift: f64,
    /// The variance of the change of a cell.
    pub variance: f64,
    /// The degrees of freedom that `variance` is known by.
    pub freedom: f64,
    /// Cells of the base that it was learnt from.
    pub cells: usize,
}

impl Noise {
    /// Assumed before any cell of the base was looked at: runs differ by 2 %, known as if from four cells.
    const ASSUMED: (f64, f64) = (0.02 * 0.02, 4.0);
    /// The square of a normal variable has this median, as part of its variance. Unlike the mean of the squares it does
    /// not mind a few workloads that are far noisier than the rest.
    const MEDIAN_SQUARE: f64 = 0.4549;
    /// The base has moved as a whole if chance does that this rarely.
    const DRIFT: f64 = 0.01;

    /// From what the cells of the base did.
    pub fn of(rulers: &[Estimate]) -> Noise {
        let cells = rulers.len();
        let values: Vec<f64> = rulers.iter().map(|ruler| ruler.value).collect();
        let drift = mean(&values)
            .filter(|_| cells >= 3)
            .filter(|&(mean, part)| Estimate { value: mean, parts: vec![part] }.likelihood() < Noise::DRIFT)
            .map_or(0.0, |(mean, _)| mean);
        let squares: Vec<f64> = values.iter().map(|value| (value - drift).powi(2)).collect();
        let spread = match cells {
            0..3 => squares.iter().sum::<f64>() / cells.max(1) as f64,
            _ => median(&squares).unwrap_or(0.0) / Noise::MEDIAN_SQUARE,
        };
        // Noise between rounds moved them as well.
        let explained = rulers.iter().map(Estimate::variance).sum::<f64>() / cells.max(1) as f64;
        let (assumed, weight) = Noise::ASSUMED;
        let learnt = cells as f64;
        let variance = (weight * assumed + learnt * (spread - explained).max(0.0)) / (weight + learnt);
        Noise { drift, variance, freedom: weight + learnt, cells }
    }

    /// Its deviation, as part of a figure.
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(value: f64) -> Estimate {
        Estimate { value, parts: vec![(1e-8, 4.0), (1e-8, 4.0)] }
    }

    #[test]
    fn an_estimate_knows_how_sure_it_is() {
        // Welch's t of 1, 2, 3 and 4, 6, 8: 4 / sqrt(1/3 + 4/3), with 2.94 degrees of freedom.
        let estimate = Estimate::between(&[1.0, 2.0, 3.0], &[4.0, 6.0, 8.0]).unwrap();
        assert!((estimate.value - 4.0).abs() < 1e-12 && (estimate.freedom() - 2.941).abs() < 1e-3);
        assert!((estimate.likelihood() - 0.054).abs() < 1e-2, "{}", estimate.likelihood());
        let (low, high) = estimate.interval();
        assert!(low < 0.0 && high > 8.0);
        assert!(Estimate::between(&[1.0], &[1.0, 2.0]).is_none());
    }

    #[test]
    fn noise_is_what_the_base_did() {
        let noise = |changes: &[f64]| Noise::of(&changes.iter().copied().map(exact).collect::<Vec<_>>());
        assert_eq!(noise(&[]).deviation(), 0.02);
        let still = noise(&[0.0; 12]);
        assert!(still.drift == 0.0 && still.deviation() < 0.02);
        let restless = noise(&[0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1]);
        assert!(restless.drift == 0.0 && restless.deviation() > 0.1);
        let slower = noise(&[-0.21, -0.2, -0.19, -0.2, -0.21, -0.19]);
        assert!((slower.drift + 0.2).abs() < 1e-9 && slower.deviation() < 0.02, "{slower:?}");
        // One noisy workload does not make all others noisy.
        let mut one = [0.0; 12];
        one[3] = 0.8;
        assert!(noise(&one).deviation() < 0.02);
        // Two cells do not tell a slower machine from noise.
        assert!(noise(&[-0.2, -0.21]).drift == 0.0 && noise(&[-0.2, -0.21]).deviation() > 0.1);
    }
}
