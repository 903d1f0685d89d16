//! All that a plan is made from. Whoever looks at the cluster fills it in; nothing else enters a decision but the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_crds::AegisAlert;
use jiff::{SignedDuration, Timestamp};

use super::action::{ActionKind, SeenAction};
use super::later;
use super::template::TemplateBook;
use crate::guard::{Guard, Place};
use crate::retention::Ttl;
use crate::rules::RuleBook;

/// One alert and what surrounds it, as it was seen.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The alert, as it was read.
    pub alert: Arc<AegisAlert>,
    /// Workflows and Jobs that carry the alert's UID as label or owner, and objects that were found to hold a name that
    /// an action of it should bear.
    pub actions: Vec<SeenAction>,
    /// Actions that the API server, asked for them by name, said do not exist.
    pub absent: BTreeSet<(ActionKind, String)>,
    /// Places taken for this alert in which nothing was made, as is known and not only believed: the API server, asked,
    /// showed nothing there, or it was taken a moment ago and given up before anything was sent.
    pub unused: BTreeSet<Place>,
    /// The other alerts that carry the same fingerprint label.
    pub siblings: Vec<Sibling>,
    /// Whether the siblings come from the API server and not from a cache, which may lag.
    pub siblings_confirmed: bool,
    /// What the gates know beyond the alert.
    pub guard: Arc<Guard>,
    /// Whether the place that was asked for last went to others, who come first.
    pub others_first: bool,
    /// Why the object is not the one that the alert is about, as the API server showed it; a sentence without a full
    /// stop.
    pub gone: Option<String>,
    /// All rules.
    pub rules: Arc<RuleBook>,
    /// All templates.
    pub templates: Arc<TemplateBook>,
    /// What the administrator set.
    pub settings: Arc<Settings>,
    /// The sign of a controller of an earlier version that may still act, as a sentence without a full stop. Nothing is
    /// begun beside it.
    pub old_controller: Option<String>,
    /// What the last attempt to create this alert's action met, if it failed.
    pub trouble: Option<Trouble>,
}

/// Another alert of the same fingerprint, with the actions that were seen of it.
#[derive(Clone, Debug)]
pub struct Sibling {
    /// The alert.
    pub alert: Arc<AegisAlert>,
    /// Workflows and Jobs that carry its UID.
    pub actions: Vec<SeenAction>,
}

/// What the administrator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Parameters that every template gets.
    pub system_parameters: BTreeMap<String, String>,
    /// ServiceAccounts under which actions may run; the first is given to those that name none. `*` allows all.
    pub service_accounts: Vec<String>,
    /// How long an action may take whose template does not say.
    pub action_timeout: SignedDuration,
    /// For how long after an alert was last heard it is acted on.
    pub stale_after: SignedDuration,
    /// For how long an action may stay without a sign from its executor before the alert says so.
    pub pick_up_after: SignedDuration,
    /// How long the lease of a leader lasts: for twice as long after an outcome stands its action is kept, since a
    /// leader that has lost its lease may not know the outcome yet.
    pub lease_duration: SignedDuration,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// How long alerts are kept.
    pub ttl: Ttl,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            system_parameters: BTreeMap::new(),
            service_accounts: vec!["aegis-workflow".to_owned()],
            action_timeout: SignedDuration::from_hours(1),
            stale_after: SignedDuration::from_hours(24),
            pick_up_after: SignedDuration::from_mins(2),
            lease_duration: SignedDuration::from_secs(15),
            dry_run: false,
            ttl: Ttl::default(),
        }
    }
}

/// Why an action could not be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// What the API server said.
    pub message: String,
    /// [`super::Remedy::digest`] of the object that it would not take.
    pub digest: String,
    /// Until when it is not tried again. A rejected object is tried as soon as it is another one.
    pub retry_at: Timestamp,
}

/// The kinds of trouble, by what mends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// The cluster does not know the kind: Argo is not installed.
    ExecutorMissing,
    /// The object is invalid, or a policy refuses it.
    Rejected,
    /// Aegis lacks the right.
    Forbidden,
    /// Any other error.
    Unavailable,
}

impl Settings {
    /// From when on no leader is left that may not know what happened at that time: one that lost its lease before has
    /// sent its last request by then, and that request has been answered.
    pub(super) fn known_to_all(&self, time: Timestamp) -> Timestamp {
        later(time, self.lease_duration.saturating_add(self.lease_duration))
    }
}

impl Snapshot {
    /// Takes in an action as the API server returned it; it replaces what was seen of it before.
    pub fn saw(&mut self, action: SeenAction) {
        self.absent.remove(&(action.kind, action.name.clone()));
        self.actions.retain(|known| (known.kind, &known.name) != (action.kind, &action.name));
        self.actions.push(action);
    }

    /// Takes in that the API server knows no such action. One that was seen to have ended is still known to have.
    pub fn missed(&mut self, kind: ActionKind, name: &str) {
        self.actions.retain_mut(|known| {
            let is_it = known.kind == kind && known.name == name;
            if is_it {
                known.whole = true;
                known.finalizers.clear();
            }
            !is_it || known.standing.ended()
        });
        self.absent.insert((kind, name.to_owned()));
    }

    /// Takes in the actions of the alert as the API server listed them, when it was asked what was made in that place.
    pub fn listed(&mut self, place: Place, actions: Vec<SeenAction>) {
        for action in actions {
            self.saw(action);
        }
        self.unused.insert(place);
    }

    /// Takes in the siblings as the API server returned them.
    pub fn confirmed(&mut self, siblings: Vec<Sibling>) {
        self.siblings = siblings;
        self.siblings_confirmed = true;
    }
}
