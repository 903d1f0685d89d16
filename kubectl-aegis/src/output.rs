//! How things are shown: colours only for a person at a terminal who wants them.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use kubectl_aegis::view::Tone;

/// A style for what is good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A style for what is under way.
pub(crate) const BUSY: Style = AnsiColor::Yellow.on_default();
/// A style for what is bad.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// A style for what is beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// A style for what stands out.
pub(crate) const STRONG: Style = Style::new().bold();

/// Whether standard output takes colours: it is a terminal, NO_COLOR is unset or empty and TERM is not dumb.
pub(crate) fn coloured() -> bool {
    takes_colours(io::stdout().is_terminal(), std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
}

fn takes_colours(is_terminal: bool, no_color: Option<OsString>, term: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty()) && term.is_none_or(|term| term != "dumb")
}

/// The text in that style, or plain.
pub(crate) fn painted(text: &str, style: Style, coloured: bool) -> String {
    if coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Writes a line to standard output. A reader that went away is no error: `kubectl aegis ... | head` ends quietly.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes text to standard output as it is, as [`line`] does.
pub(crate) fn text(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes to standard error what is beside the data. Where nobody reads it any more, as in `kubectl aegis ... 2>&1 | head`,
/// it is left out: the exit code still tells how it ended.
pub(crate) fn remark(text: std::fmt::Arguments<'_>, end: &str) {
    let _ = write!(io::stderr().lock(), "{text}{end}");
}

/// The text as its tone asks for.
pub(crate) fn toned(text: &str, tone: Tone, coloured: bool) -> String {
    match tone {
        Tone::Plain => text.to_owned(),
        Tone::Good => painted(text, GOOD, coloured),
        Tone::Busy => painted(text, BUSY, coloured),
        Tone::Bad => painted(text, BAD, coloured),
        Tone::Faint => painted(text, FAINT, coloured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_a_terminal_whose_person_wants_them() {
        let cases = [
            ("a terminal", true, None, Some("xterm"), true),
            ("a pipe", false, None, Some("xterm"), false),
            ("nobody wants them", true, Some("1"), Some("xterm"), false),
            ("an empty NO_COLOR says nothing", true, Some(""), None, true),
            ("a terminal that has none", true, None, Some("dumb"), false),
        ];
        for (why, is_terminal, no_color, term, want) in cases {
            assert_eq!(takes_colours(is_terminal, no_color.map(Into::into), term.map(Into::into)), want, "{why}");
        }
    }
}
