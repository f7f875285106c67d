//! Columns of text on a terminal.

use std::fmt::Write;

/// What a terminal shows without breaking lines, if names are not too long.
pub const WIDTH: usize = 100;

/// Headings over two lines, and a cell for each row. An empty cell means that nothing is known.
pub struct Column {
    heading: [String; 2],
    /// From the first row to the last.
    pub cells: Vec<String>,
}

impl Column {
    /// A column.
    pub fn new(heading: [&str; 2], cells: Vec<String>) -> Column {
        Column { heading: heading.map(str::to_owned), cells }
    }

    fn width(&self) -> usize {
        self.heading.iter().chain(&self.cells).map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

/// Lines of headings and rows. The first `left` columns are aligned to the left, all others to the right.
pub fn grid(columns: &[Column], left: usize, paint: Paint) -> String {
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let fits = |gap: usize| widths.iter().map(|width| width + gap).sum::<usize>() <= WIDTH;
    let gap = if fits(2) { "  " } else { " " };
    let line = |texts: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (index, (text, &width)) in texts.zip(&widths).enumerate() {
            let fill = " ".repeat(width - text.chars().count());
            let (before, after) = if index < left { ("", fill.as_str()) } else { (fill.as_str(), "") };
            // Writing to a String cannot fail.
            let _ = write!(line, "{gap}{before}{text}{after}");
        }
        line.truncate(line.trim_end().len());
        line
    };
    let mut out = String::new();
    for part in 0..2 {
        let heading = line(&mut columns.iter().map(|column| column.heading[part].as_str()));
        if !heading.is_empty() {
            out.push_str(&paint.dim(&heading));
            out.push('\n');
        }
    }
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        let known = |text: &'_ str| if text.is_empty() { "·".to_owned() } else { text.to_owned() };
        let texts: Vec<String> = columns.iter().map(|column| known(&column.cells[row])).collect();
        out.push_str(&line(&mut texts.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// Broken between words. A word that is too long has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if !line.is_empty() && length < room => {
                line.push(' ');
                line.push_str(word);
                room -= length + 1;
            }
            Some(line) if line.is_empty() => {
                line.push_str(word);
                room = width.saturating_sub(length);
            }
            _ => {
                lines.push(word.to_owned());
                room = width.saturating_sub(length);
            }
        }
    }
    lines
}

/// Escape sequences, if they are wanted.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the methods are what they are called")]
pub struct Paint(pub bool);

#[allow(missing_docs, reason = "the methods are what they are called")]
impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let columns = |name: &str| {
            let cells = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
            [Column::new(["", "who"], cells([name, "b"])), Column::new(["a", "rate"], cells(["1.5", ""]))]
        };
        assert_eq!(
            grid(&columns("größe"), 1, Paint(false)),
            "            a\n  who    rate\n  größe   1.5\n  b         ·\n"
        );
        assert!(grid(&columns(&"n".repeat(94)), 1, Paint(false)).contains("\n nnn"));
    }

    #[test]
    fn words_are_kept_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible it is", 5), ["incomprehensible", "it is"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
