//! The demo's face: one line for each thing that happens, with the time since the start.

use std::time::Instant;

use anstyle::Style;

use crate::output::{self, BAD, BUSY, FAINT, GOOD, STRONG};

/// Prints the timeline: readable and coloured at a terminal, plain lines in a pipe.
pub(super) struct Timeline {
    began: Instant,
    coloured: bool,
}

impl Timeline {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), coloured: output::coloured() }
    }

    /// A line that stands by itself.
    pub(super) fn title(&self, text: &str) {
        output::line(&output::painted(text, STRONG, self.coloured));
    }

    /// A line of advice.
    pub(super) fn hint(&self, text: &str) {
        output::line(&output::painted(text, FAINT, self.coloured));
    }

    /// Something that happened, to whom or what.
    pub(super) fn tell(&self, subject: &str, text: &str) {
        let time = format!("{:6.2}s", self.began.elapsed().as_secs_f64());
        let time = output::painted(&time, FAINT, self.coloured);
        let subject = output::painted(&format!("{subject:<9}"), STRONG, self.coloured);
        output::line(&format!("{time}  {subject} {}", self.with_words(text)));
    }

    /// The last word of a state is what the eye looks for.
    fn with_words(&self, text: &str) -> String {
        let Some(start) = text.rfind(' ').map(|space| space + 1) else { return text.to_owned() };
        let (head, word) = text.split_at(start);
        match style_of(word) {
            Some(style) => format!("{head}{}", output::painted(word, style, self.coloured)),
            None => text.to_owned(),
        }
    }
}

fn style_of(word: &str) -> Option<Style> {
    match word {
        "Succeeded" | "Recorded" | "stored" | "cordoned" => Some(GOOD),
        "Pending" | "Running" | "Ready,SchedulingDisabled" => Some(BUSY),
        "Failed" | "Error" | "TemplateInvalid" | "TriggerFailed" => Some(BAD),
        _ => None,
    }
}
