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

/// Logarithms of a figure, in the rounds of both runs.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// In the old run.
    pub old: Vec<f64>,
    /// In the new run.
    pub new: Vec<f64>,
}

impl Rounds {
    /// The variance of a round and the degrees of freedom that it is known by, of both runs together; nothing if either
    /// has only one round.
    fn variance(&self) -> Option<(f64, f64)> {
        if self.old.len().min(self.new.len()) < 2 {
            return None;
        }
        let squares = |values: &[f64]| values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>();
        let freedom = (self.old.len() + self.new.len() - 2) as f64;
        Some(((squares(&self.old) + squares(&self.new)) / freedom, freedom))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How much rounds usually scatter. Of a few rounds some lie close together by chance, and with 70 cells that happens to
/// one: a variance counts only together with what is usual for its target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usual(Option<f64>);

impl Usual {
    /// The degrees of freedom that it counts for.
    const WEIGHT: f64 = 4.0;

    /// Of cells of one target.
    pub fn of(cells: impl IntoIterator<Item = Rounds>) -> Usual {
        // The median of a variance lies below its mean (Wilson and Hilferty).
        let typical = |(variance, freedom): (f64, f64)| variance / (1.0 - 2.0 / (9.0 * freedom)).powi(3);
        Usual(median(&cells.into_iter().filter_map(|rounds| rounds.variance()).map(typical).collect::<Vec<_>>()))
    }

    /// A cell that scatters less is taken to scatter more. One that scatters more is believed: workloads differ.
    fn raise(self, variance: f64, freedom: f64) -> (f64, f64) {
        match self.0.filter(|usual| *usual > variance) {
            Some(usual) => {
                let both = freedom + Usual::WEIGHT;
                ((variance * freedom + usual * Usual::WEIGHT) / both, both)
            }
            None => (variance, freedom),
        }
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
    /// The difference of the means; nothing if one side has less than two rounds.
    pub fn between(rounds: &Rounds, usual: Usual) -> Option<Estimate> {
        let (variance, freedom) = rounds.variance()?;
        let (variance, freedom) = usual.raise(variance, freedom);
        let shares = 1.0 / rounds.old.len() as f64 + 1.0 / rounds.new.len() as f64;
        let value = mean(&rounds.new) - mean(&rounds.old);
        Some(Estimate { value, parts: vec![(variance * shares, freedom)] })
    }

    /// The same without what the machine did, and with the noise of `cells` cells between runs.
    pub fn within(mut self, noise: &Noise, drift: (f64, f64), cells: f64) -> Estimate {
        let (drift, drift_variance) = drift;
        self.value -= drift;
        self.parts.push((noise.variance * cells + drift_variance, noise.freedom));
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

/// What changes from one run to the next where nothing has been changed.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// What all cells of the base have in common, as logarithm, and its variance; 0 if that may be chance.
    pub drift: (f64, f64),
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
    /// But it takes more of them to know it as well.
    const EFFICIENCY: f64 = 0.4;
    /// The base has moved as a whole if chance does that this rarely.
    const DRIFT: f64 = 0.01;

    /// From what the cells of the base did.
    pub fn of(rulers: &[Estimate]) -> Noise {
        let cells = rulers.len();
        let values: Vec<f64> = rulers.iter().map(|ruler| ruler.value).collect();
        let drift = Noise::drift(&values).unwrap_or((0.0, 0.0));
        let squares: Vec<f64> = values.iter().map(|value| (value - drift.0).powi(2)).collect();
        let (spread, learnt) = match cells {
            0..3 => (squares.iter().sum::<f64>() / cells.max(1) as f64, cells as f64),
            _ => (median(&squares).unwrap_or(0.0) / Noise::MEDIAN_SQUARE, cells as f64 * Noise::EFFICIENCY),
        };
        // Noise between rounds moved them as well.
        let explained = rulers.iter().map(Estimate::variance).sum::<f64>() / cells.max(1) as f64;
        let seen = (spread - explained).max(0.0);
        let (assumed, weight) = Noise::ASSUMED;
        // What was seen often enough is not talked down by what was assumed.
        let weight = if seen > assumed { (weight - learnt).max(0.0) } else { weight };
        let variance = (weight * assumed + learnt * seen) / (weight + learnt);
        Noise { drift, variance, freedom: weight + learnt, cells }
    }

    /// The mean and its variance, if it is not chance.
    fn drift(values: &[f64]) -> Option<(f64, f64)> {
        let (n, mean) = (values.len() as f64, mean(values));
        if values.len() < 3 {
            return None;
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
        let likelihood = student::two_sided(mean / variance.sqrt(), n - 1.0);
        (likelihood < Noise::DRIFT).then_some((mean, variance))
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
        Estimate { value, parts: vec![(1e-8, 8.0)] }
    }

    #[test]
    fn an_estimate_knows_how_sure_it_is() {
        // Student's t of 1, 2, 3 and 4, 6, 8: 4 / sqrt(5/2 * 2/3), but with 8 degrees of freedom, for its variance is as usual.
        let rounds = Rounds { old: vec![1.0, 2.0, 3.0], new: vec![4.0, 6.0, 8.0] };
        let estimate = Estimate::between(&rounds, Usual(Some(2.5 + 1e-9))).unwrap();
        assert!((estimate.value - 4.0).abs() < 1e-12 && (estimate.freedom() - 8.0).abs() < 1e-12);
        assert!((estimate.likelihood() - 0.0147).abs() < 1e-3, "{}", estimate.likelihood());
        let (low, high) = estimate.interval();
        assert!((low - 1.02).abs() < 0.01 && (high - 6.98).abs() < 0.01, "{low} {high}");
        assert!(Estimate::between(&Rounds { old: vec![1.0], new: vec![1.0, 2.0] }, Usual(None)).is_none());
    }

    #[test]
    fn rounds_that_agree_by_chance_are_not_believed() {
        let close = Rounds { old: vec![1.0, 1.0], new: vec![1.1, 1.1] };
        let others = Rounds { old: vec![1.0, 1.1], new: vec![1.0, 1.1] };
        let alone = Estimate::between(&close, Usual::of([close.clone()])).unwrap();
        let among = Estimate::between(&close, Usual::of([close.clone(), others.clone(), others])).unwrap();
        assert!(alone.likelihood() < 1e-6 && among.likelihood() > 0.05);
    }

    #[test]
    fn noise_is_what_the_base_did() {
        let noise = |changes: &[f64]| Noise::of(&changes.iter().copied().map(exact).collect::<Vec<_>>());
        assert_eq!(noise(&[]).deviation(), 0.02);
        let still = noise(&[0.0; 12]);
        assert!(still.drift.0 == 0.0 && still.deviation() < 0.02);
        let restless = noise(&[0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1]);
        assert!(restless.drift.0 == 0.0 && restless.deviation() > 0.1);
        let slower = noise(&[-0.21, -0.2, -0.19, -0.2, -0.21, -0.19]);
        assert!((slower.drift.0 + 0.2).abs() < 1e-9 && slower.deviation() < 0.02, "{slower:?}");
        // One noisy workload does not make all others noisy.
        let mut one = [0.0; 12];
        one[3] = 0.8;
        assert!(noise(&one).deviation() < 0.02);
        // Two cells do not tell a slower machine from noise.
        assert!(noise(&[-0.2, -0.21]).drift.0 == 0.0 && noise(&[-0.2, -0.21]).deviation() > 0.1);
    }
}
