//! A component that stops dead at its n-th request.

use tokio::sync::watch;

use super::{Step, Verdict, When};
use crate::request::{Match, Request};

/// Waits for the moment at which a component is stopped, and lets it go on later. Dropping it changes nothing.
#[derive(Debug)]
pub struct Stop {
    reached: watch::Sender<bool>,
    resumed: watch::Sender<bool>,
}

impl Stop {
    /// Waits until the n-th request is there; with [`When::After`], until it has been carried out.
    pub async fn reached(&self) {
        // The sender lives as long as this handle.
        let _ = self.reached.subscribe().wait_for(|reached| *reached).await;
    }

    /// Whether the n-th request is there.
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// Serves the component again; also ends a stop whose request never came. The request at which it stopped stays
    /// without an answer: its connection is closed.
    pub fn resume(&self) {
        self.resumed.send_replace(true);
    }
}

#[derive(Debug)]
pub(super) struct Halt {
    component: String,
    of: Match,
    left: u64,
    when: When,
    reached: watch::Sender<bool>,
    resumed: watch::Sender<bool>,
}

impl Halt {
    pub(super) fn new(component: &str, of: Match, n: u64, when: When) -> Self {
        Self {
            component: component.to_owned(),
            of,
            left: n.max(1),
            when,
            reached: watch::Sender::new(false),
            resumed: watch::Sender::new(false),
        }
    }

    pub(super) fn handle(&self) -> Stop {
        Stop { reached: self.reached.clone(), resumed: self.resumed.clone() }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.resumed.borrow()
    }

    pub(super) fn judge(&mut self, request: &Request, verdict: &mut Verdict) {
        if request.component != self.component {
            return;
        }
        if self.left == 0 {
            verdict.before.push(Step::Reset);
            return;
        }
        if !self.of.fits(request) {
            return;
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        let steps = match self.when {
            When::Before => &mut verdict.before,
            When::After => &mut verdict.after,
        };
        steps.push(Step::Reached(self.reached.clone()));
        steps.push(Step::Hang(self.resumed.subscribe()));
        steps.push(Step::Reset);
    }
}
