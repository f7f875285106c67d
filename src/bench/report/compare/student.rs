//! Student's t distribution, which allows for a deviation that was itself estimated from few values.

/// How likely a value at least as far from 0 as `t` is by chance.
pub fn two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The value that is exceeded, on either side, with a probability of `p`.
pub fn quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > p && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if two_sided(middle, freedom) > p { low = middle } else { high = middle }
    }
    high
}

/// The regularized incomplete beta function.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    front.exp() / a * continued_fraction(x, a, b)
}

/// DLMF 8.17.22, from the front by Lentz's method.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d, mut value) = (f64::INFINITY, 1.0, 1.0);
    for n in 1..500 {
        let m = f64::from(n / 2);
        let numerator = match n % 2 {
            0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 / away_from_zero(1.0 + numerator * d);
        c = away_from_zero(1.0 + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-14 {
            break;
        }
    }
    value
}

/// Lanczos' approximation (g = 7, 9 terms), for `x` of 0.5 and more.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let terms = TERMS.iter().enumerate().skip(1);
    let sum = TERMS[0] + terms.map(|(n, term)| term / (x + n as f64)).sum::<f64>();
    let base = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_printed_tables() {
        for (freedom, p, t) in [
            (1.0, 0.05, 12.7062),
            (2.0, 0.05, 4.3027),
            (4.0, 0.05, 2.7764),
            (8.0, 0.01, 3.3554),
            (8.0, 0.001, 5.0413),
            (30.0, 0.05, 2.0423),
            (1000.0, 0.05, 1.9623),
        ] {
            assert!((quantile(p, freedom) - t).abs() < 1e-3, "{freedom} {p}: {}", quantile(p, freedom));
            assert!((two_sided(t, freedom) - p).abs() < 1e-4, "{freedom} {t}: {}", two_sided(t, freedom));
        }
        assert!((two_sided(0.0, 5.0) - 1.0).abs() < 1e-12);
        assert!(two_sided(1e9, 3.5) < 1e-20 && two_sided(f64::INFINITY, 3.0) == 0.0);
    }
}
