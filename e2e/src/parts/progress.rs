//! One line on stderr that tells what is being built and for how long.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// A step under way.
pub(super) struct Progress {
    title: String,
    since: Instant,
    terminal: bool,
}

impl Progress {
    /// Shows the line. Where stderr is no terminal it is written once, and again when the step is done.
    pub(super) fn start(title: &str) -> Self {
        let progress =
            Self { title: title.to_owned(), since: Instant::now(), terminal: std::io::stderr().is_terminal() };
        if !progress.terminal {
            eprintln!("building {title}");
        }
        progress
    }

    /// Keeps the line up to date until the work is done.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.draw(),
            }
        }
    }

    /// Ends the line.
    pub(super) fn done(self) {
        let took = elapsed(self.since.elapsed());
        if self.terminal {
            eprintln!("\r\x1b[Kbuilt {} in {took}", self.title);
        } else {
            eprintln!("built {} in {took}", self.title);
        }
    }

    fn draw(&self) {
        if self.terminal {
            eprint!("\r\x1b[Kbuilding {} {}", self.title, elapsed(self.since.elapsed()));
            let _ = std::io::stderr().flush();
        }
    }
}

/// Minutes and seconds.
fn elapsed(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_minutes_and_seconds() {
        assert_eq!(elapsed(Duration::from_millis(7_900)), "7 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 5 s");
    }
}
