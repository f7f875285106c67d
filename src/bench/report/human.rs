//! Figures as people read them: three digits and a unit.

/// `4.02M`, `31.0k`, `812`, `0.310`.
pub fn number(value: f64) -> String {
    scaled(value, &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")])
}

/// A number that was chosen, not measured: `2k`, `12.5k`.
pub fn chosen(value: f64) -> String {
    let text = number(value);
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{unit}")
}

/// `640ns`, `12.3µs`, `1.20ms`, `2.51s`.
pub fn duration(nanoseconds: f64) -> String {
    scaled(nanoseconds, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// `12.3M`, in powers of 1024.
pub fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    scaled(bytes, &[(KIB.powi(4), "T"), (KIB.powi(3), "G"), (KIB.powi(2), "M"), (KIB, "k"), (1.0, "")])
}

/// A ratio: `0.0412`, `0.834`, `12.4`, `310`.
pub fn ratio(value: f64) -> String {
    match value {
        0.0..0.01 => format!("{value:.5}"),
        0.01..0.1 => format!("{value:.4}"),
        0.1..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A change: `+12.3 %`.
pub fn change(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

/// The unit is chosen after rounding: 999.6 µs is 1.00 ms.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let fits = |&&(unit, _): &&(f64, &str)| value.abs() >= unit * 0.9995;
    let Some(&(unit, name)) = units.iter().find(fits).or(units.last()) else { return String::new() };
    let shown = value / unit;
    let whole = unit == 1.0 && value.fract() == 0.0;
    match shown.abs() {
        _ if whole => format!("{shown:.0}{name}"),
        0.0..0.9995 => format!("{shown:.3}{name}"),
        0.9995..9.995 => format!("{shown:.2}{name}"),
        9.995..99.95 => format!("{shown:.1}{name}"),
        _ => format!("{shown:.0}{name}"),
    }
}

/// What is safe to print on a terminal: names are given by users and hold what they like.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `text` in at most `width` characters, the last of them an ellipsis if some are missing.
pub fn shortened(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Seconds since 1970 as `2026-11-29 15:39 UTC`.
pub fn date(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds / 60 % 1440);
    // The civil calendar from days, in years that begin in March (Howard Hinnant's days_from_civil, backwards).
    let shifted = days + 719_468;
    let era_day = shifted % 146_097;
    let era_year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let month = (5 * year_day + 2) / 153;
    let day = year_day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = shifted / 146_097 * 400 + era_year + next_year;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_and_carry_into_the_next_unit() {
        assert_eq!(
            [0.0, 7.0, 812.0, 999.6, 31_000.0, 4_021_000.0].map(number),
            ["0", "7", "812", "1.00k", "31.0k", "4.02M"]
        );
        assert_eq!([0.31, 3.456, 99.96].map(number), ["0.310", "3.46", "100"]);
        assert_eq!([2000.0, 12_500.0, 100.0, 0.5].map(chosen), ["2k", "12.5k", "100", "0.5"]);
        assert_eq!([640.0, 12_345.0, 999_600.0, 2.51e9].map(duration), ["640ns", "12.3µs", "1.00ms", "2.51s"]);
        assert_eq!([512.0, 4096.0, 12.9e6].map(bytes), ["512", "4.00k", "12.3M"]);
        assert_eq!([0.0412, 0.834, 12.42, 310.2].map(ratio), ["0.0412", "0.834", "12.4", "310"]);
        assert_eq!([0.9, 1.0, 1.234].map(change), ["-10.0 %", "+0.0 %", "+23.4 %"]);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[31m\nb"), "a?[31m?b");
        assert_eq!(shortened("passthrough", 8), "passthr…");
        assert_eq!(shortened("größer", 6), "größer");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_966_747), "2026-11-29 15:39 UTC");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59 UTC");
    }
}
