//! What commands print: one way to stdout, which knows how wide and how colourful it is.
//!
//! A closed pipe is no failure: whoever reads has seen enough (`mayfly log search | head -1`), and the
//! command ends there, as [`CommandError::Enough`].

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use std::path::Path;

use console::{Term, measure_text_width};
use indicatif::{ProgressBar, ProgressStyle};

use super::CommandError;
use super::style::Style;
use crate::quote::{json, visible};

/// Between two columns of a table, and between a name and its value.
const GAP: usize = 2;
/// A column that has to give way keeps this.
const LEAST: usize = 16;

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// What paints words for it.
    pub style: Style,
    is_terminal: bool,
    /// Columns of the terminal; None where there is no terminal, and nothing needs to fit.
    width: Option<usize>,
}

impl Out {
    /// Standard output as it is: a terminal with its width and colours, or a file or pipe without.
    pub fn stdout() -> Self {
        let size = Term::stdout().size_checked();
        let width = size.map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0);
        Self { style: Style::of_stdout(), is_terminal: io::stdout().is_terminal(), width }
    }

    /// No terminal: no colour, and as wide as it gets.
    pub const fn plain() -> Self {
        Self { style: Style::plain(), is_terminal: false, width: None }
    }

    /// Writes `text` as it is.
    ///
    /// # Errors
    ///
    /// [`CommandError::Enough`] when nobody reads any more, [`CommandError::Failed`] for a full disk.
    pub fn print(&self, text: impl fmt::Display) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        written(write!(stdout, "{text}").and_then(|()| stdout.flush()))
    }

    /// The same with a line end behind it.
    ///
    /// # Errors
    ///
    /// As [`Self::print`].
    pub fn line(&self, text: impl fmt::Display) -> Result<(), CommandError> {
        self.print(format_args!("{text}\n"))
    }

    /// Writes a line of JSON, or several, with nothing in it that cannot be seen.
    ///
    /// # Errors
    ///
    /// As [`Self::print`].
    pub fn json(&self, text: impl fmt::Display) -> Result<(), CommandError> {
        self.line(json(&text.to_string()))
    }

    /// A value for whom it is printed: a terminal gets nothing that would move its cursor, a file all of it.
    pub fn shown(&self, value: &str) -> String {
        if self.is_terminal { visible(value).to_string() } else { value.to_owned() }
    }

    /// Names and values, a line each, the values below each other; a value that would not fit stands
    /// on a line of its own. What would move the cursor is escaped.
    pub fn fields<V: AsRef<str>>(&self, pairs: &[(&str, V)]) -> String {
        let column = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in pairs {
            let value = visible(value.as_ref()).to_string();
            let fits = self.fits(GAP + column + GAP + measure_text_width(&value));
            let (pad, space) = if fits { (column, "  ") } else { (0, "\n    ") };
            let _ =
                writeln!(text, "  {}{space}{value}", self.style.quiet(&format!("{name:<pad$}")));
        }
        text
    }

    /// A table; the first row is its header. Where the terminal is too narrow, up to `spare` columns
    /// are left out, the last one first, and then the widest are cut.
    pub fn table(&self, mut rows: Vec<Vec<String>>, spare: usize) -> String {
        for _ in 0..spare {
            if !self.fits(total(&widths(&rows))) {
                rows.iter_mut().for_each(|row| drop(row.pop()));
            }
        }
        let mut widths = widths(&rows);
        while !self.fits(total(&widths)) {
            match widths.iter_mut().max().filter(|widest| **widest > LEAST) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            let cells =
                row.iter().zip(&widths).map(|(cell, width)| padded(&cut(cell, *width), *width));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            let line = if number == 0 { self.style.strong(line) } else { line.to_owned() };
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Whether a line of so many columns does not wrap.
    pub fn fits(&self, columns: usize) -> bool {
        self.width.is_none_or(|width| columns <= width)
    }

    /// A sentence in lines that fit, every one after the first indented by `indent`.
    pub fn wrap(&self, text: &str, indent: usize) -> String {
        let (mut wrapped, mut column) = (String::new(), indent);
        for word in text.split(' ') {
            let width = measure_text_width(word);
            if column > indent && !self.fits(column + 1 + width) {
                let _ = write!(wrapped, "\n{:indent$}", "");
                column = indent;
            } else if !wrapped.is_empty() {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += width;
        }
        wrapped
    }
}

/// A closed pipe is the end, not a failure.
///
/// # Errors
///
/// [`CommandError::Enough`], or [`CommandError::Failed`] for anything else.
pub fn written(outcome: io::Result<()>) -> Result<(), CommandError> {
    outcome.map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            return CommandError::Enough;
        }
        CommandError::Failed(format!("cannot write to standard output: {error}"))
    })
}

/// Words on stderr that no log level hides, beside what a command prints.
pub fn aside(text: impl fmt::Display) {
    // Who closed stderr does not want them.
    let _ = write!(io::stderr(), "{text}");
}

/// A bar on standard error for a log's entries, `tail` behind their number; indicatif draws it on a
/// terminal only.
pub fn progress(origin: &str, size: u64, tail: &str) -> ProgressBar {
    let template = format!("{{prefix}} {{wide_bar}} {{human_pos}}/{{human_len}} entries{tail}");
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style).with_prefix(origin.to_owned())
}

/// How to call this program again: `mayfly` where that is what a shell would find, else its path.
pub fn program() -> String {
    let Ok(own) = std::env::current_exe().and_then(std::fs::canonicalize) else {
        return "mayfly".to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("mayfly"))
        .find(|file| file.is_file())
        .and_then(|file| std::fs::canonicalize(file).ok());
    if found.as_deref() == Some(own.as_path()) { "mayfly".to_owned() } else { word(&own) }
}

/// A path as one word of a shell.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `1 issuer`, `2 issuers`; `2 entries`.
pub fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix("ry")) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ries"),
        (_, None) => format!("{number} {noun}s"),
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let width = |row: &Vec<String>, column: usize| {
        row.get(column).map_or(0, |cell| measure_text_width(cell))
    };
    let widest = |column| rows.iter().map(|row| width(row, column)).max().unwrap_or(0);
    (0..rows.first().map_or(0, Vec::len)).map(widest).collect()
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(measure_text_width(text));
    format!("{text}{:missing$}", "")
}

/// `text` with its middle left out where it is wider than `width`.
fn cut(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let (head, length) = (width / 2, text.chars().count());
    let tail = width.saturating_sub(head + 1);
    let mut short: String = text.chars().take(head).collect();
    short.push('…');
    short.extend(text.chars().skip(length.saturating_sub(tail)));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Out = Out { style: Style::plain(), is_terminal: true, width: Some(40) };

    fn rows(rows: &[[&str; 3]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    #[test]
    fn values_stand_below_each_other_or_below_their_name() {
        let pairs = [("a", "1".to_owned()), ("long-name", "x".repeat(30)), ("b", "\u{1b}".into())];
        assert_eq!(
            Out::plain().fields(&pairs),
            format!("  a          1\n  long-name  {}\n  b          \\u{{1b}}\n", "x".repeat(30))
        );
        assert_eq!(
            NARROW.fields(&pairs),
            format!(
                "  a          1\n  long-name\n    {}\n  b          \\u{{1b}}\n",
                "x".repeat(30)
            )
        );
    }

    #[test]
    fn a_terminal_gets_no_value_that_moves_its_cursor() {
        let value = "a;\u{1b}[31m\u{9b}b\r\n";
        assert_eq!(Out::plain().shown(value), value);
        assert_eq!(NARROW.shown(value), "a;\\u{1b}[31m\\u{9b}b\\r\\n");
    }

    #[test]
    fn a_table_fits_and_has_no_blanks_at_its_ends() {
        let san = "https://ci.example.com/acme/app/release@main";
        let table = || rows(&[["index", "san", "serial"], ["0", san, "c0ffee"], ["1", "x", ""]]);
        assert_eq!(
            Out::plain().table(table(), 1),
            format!("index  {:<44}  serial\n0      {san}  c0ffee\n1      x\n", "san")
        );
        assert_eq!(
            NARROW.table(table(), 1),
            "index  san\n0      https://ci.examp…app/release@main\n1      x\n"
        );
    }

    #[test]
    fn sentences_break_between_words() {
        let text = "no rule of this issuer allows it: \"release\" wants another branch";
        assert_eq!(Out::plain().wrap(text, 2), text);
        let wrapped = NARROW.wrap(text, 2);
        assert_eq!(wrapped.replace("\n  ", " "), text);
        assert!(wrapped.lines().all(|line| line.len() <= 40), "{wrapped}");
    }

    #[test]
    fn paths_are_one_word() {
        assert_eq!(word(Path::new("/usr/local/bin/mayfly")), "/usr/local/bin/mayfly");
        assert_eq!(word(Path::new("/home/a b/it's")), r"'/home/a b/it'\''s'");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| count(n, "issuer")), ["0 issuers", "1 issuer", "2 issuers"]);
    }
}
