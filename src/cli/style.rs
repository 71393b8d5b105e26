//! Colour, where a person looks: on a terminal that has it, unless `NO_COLOR` is set.

use std::io::IsTerminal;

/// Paints words for stdout, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// What stdout can show: colour on a terminal, none with `NO_COLOR` (<https://no-color.org>) or
    /// where `TERM` says that the terminal is dumb.
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { colour: wanted && able && std::io::stdout().is_terminal() }
    }

    /// No colour, wherever it goes.
    pub const fn plain() -> Self {
        Self { colour: false }
    }

    /// Bold.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Green: something holds.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Yellow: something is odd.
    pub fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Red: something does not.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Grey: what explains.
    pub fn quiet(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
