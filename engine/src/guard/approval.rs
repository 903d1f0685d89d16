//! Approvals: who said yes or no to exactly this action. The words stand in annotations of the alert; the cluster makes
//! sure that nobody writes them in another one's name.

use std::collections::BTreeSet;

use aegis_crds::AegisAlert;
use aegis_crds::alert::ApprovalStatus;
use aegis_crds::names::{APPROVAL_ANNOTATION, REJECTION_ANNOTATION, SECOND_APPROVAL_ANNOTATION};
use jiff::Timestamp;
use kube::ResourceExt;

use super::standing::{Approvals, Guard};

/// What people said to one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Who approved it.
    pub approved: BTreeSet<String>,
    /// Who declined it, with the reason where one was given.
    pub declined: Option<(String, Option<String>)>,
    /// Since when the approvals stand, as far as the alert's status knows.
    pub since: Option<Timestamp>,
    /// The status says of them that they count no longer. The same words written again could not be told from the old
    /// ones, so they are taken back before there can be others.
    pub void: bool,
}

/// Where people say it on the alert: an approval, one by a second person, and that it is declined.
pub const SAID: [&str; 3] = [APPROVAL_ANNOTATION, SECOND_APPROVAL_ANNOTATION, REJECTION_ANNOTATION];

impl Opinion {
    /// What stands on the alert about the action with this digest. What was said to another one says nothing of it.
    pub fn of(alert: &AegisAlert, plan: &str) -> Self {
        let said = |annotation: &str| alert.annotations().get(annotation).and_then(|text| words(text, plan));
        let [approval, second, rejection] = SAID;
        let approved: BTreeSet<String> =
            [approval, second].into_iter().filter_map(said).map(|(user, _)| user.to_owned()).collect();
        let stands = alert.status.as_ref().and_then(|status| status.approval.as_ref());
        let of_plan = stands.filter(|stands| stands.plan == plan && !approved.is_empty());
        let void = of_plan.is_some_and(|stands| stands.by.is_empty());
        let same = |stands: &&ApprovalStatus| void || stands.by.iter().eq(approved.iter());
        Self {
            since: of_plan.filter(same).and_then(|stands| stands.time),
            void,
            declined: said(rejection).map(|(user, why)| (user.to_owned(), why.map(ToOwned::to_owned))),
            approved,
        }
    }

    /// Whether the approvals count no longer: they are older than the policy lets them be, or stood there while anybody
    /// could have written them.
    pub fn is_void(&self, guard: &Guard, now: Timestamp) -> bool {
        let expires = guard.policy().map(|policy| policy.approval().expires);
        let age = self.since.map(|since| now.duration_since(since));
        let expired = age.zip(expires).is_some_and(|(age, expires)| age >= expires);
        !self.approved.is_empty() && (self.void || expired || matches!(guard.approvals, Approvals::NotKept(_)))
    }

    /// What is to stand in status of the approvals: `None` if there are none, and nobody's name if they are void.
    pub fn to_status(&self, plan: &str, guard: &Guard, now: Timestamp) -> Option<ApprovalStatus> {
        let by = if self.is_void(guard, now) { Vec::new() } else { self.approved.iter().cloned().collect() };
        (!self.approved.is_empty()).then(|| ApprovalStatus {
            plan: plan.to_owned(),
            by,
            time: self.since.or(Some(now)),
        })
    }
}

/// The user, and the reason after ": ", of "<plan> by <user>".
fn words<'a>(text: &'a str, plan: &str) -> Option<(&'a str, Option<&'a str>)> {
    let said = text.trim().strip_prefix(plan)?.strip_prefix(" by ")?;
    let (user, why) = match said.split_once(": ") {
        Some((user, why)) => (user, Some(why)),
        None => (said, None),
    };
    (!user.trim().is_empty()).then_some((user.trim(), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_crds::alert::AegisAlertSpec;

    fn alert(annotations: &[(&str, &str)]) -> AegisAlert {
        let mut alert = AegisAlert::new("a", AegisAlertSpec::default());
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        alert.metadata.annotations = Some(annotations.collect());
        alert
    }

    #[test]
    fn only_what_was_said_to_this_very_action_counts() {
        let cases = [
            ("0123 by ann@example.com", Some("ann@example.com")),
            ("0124 by ann@example.com", None),
            ("01234 by ann@example.com", None),
            ("0123 by ", None),
            ("0123", None),
            ("", None),
        ];
        for (text, want) in cases {
            let opinion = Opinion::of(&alert(&[(APPROVAL_ANNOTATION, text)]), "0123");
            assert_eq!(opinion.approved.first().map(String::as_str), want, "{text}");
            assert_eq!(opinion.declined, None);
        }
    }

    #[test]
    fn one_person_is_one_approval_however_often_it_is_said() {
        let twice = [(APPROVAL_ANNOTATION, "1 by ann"), (SECOND_APPROVAL_ANNOTATION, "1 by ann")];
        assert_eq!(Opinion::of(&alert(&twice), "1").approved.len(), 1);
        let two = [(APPROVAL_ANNOTATION, "1 by ann"), (SECOND_APPROVAL_ANNOTATION, "1 by bob")];
        assert_eq!(Opinion::of(&alert(&two), "1").approved.len(), 2);
    }

    #[test]
    fn a_rejection_keeps_its_reason() {
        let declined = Opinion::of(&alert(&[(REJECTION_ANNOTATION, "1 by ann: not today: the race")]), "1").declined;
        assert_eq!(declined, Some(("ann".into(), Some("not today: the race".into()))));
    }

    #[test]
    fn the_time_counts_from_when_all_who_approved_had() {
        let mut alert = alert(&[(APPROVAL_ANNOTATION, "1 by ann")]);
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let guard = Guard::default();
        let first = Opinion::of(&alert, "1").to_status("1", &guard, at(5)).unwrap();
        alert.status.get_or_insert_default().approval = Some(first.clone());
        assert_eq!(Opinion::of(&alert, "1").to_status("1", &guard, at(9)), Some(first));
        alert.metadata.annotations.as_mut().unwrap().insert(SECOND_APPROVAL_ANNOTATION.into(), "1 by bob".into());
        assert_eq!(Opinion::of(&alert, "1").to_status("1", &guard, at(9)).unwrap().time, Some(at(9)));
    }

    #[test]
    fn what_no_longer_counts_is_void_until_it_was_taken_back() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let kept = Guard::default();
        let unkept = Guard { approvals: Approvals::NotKept("nobody keeps them".into()), ..Guard::default() };
        let unknown = Guard { approvals: Approvals::Unknown("nobody has looked".into()), ..Guard::default() };
        let late = kept.policy().unwrap().approval().expires.as_secs() + 5;
        for (why, guard, now, want) in [
            ("it was just given", &kept, 6, false),
            ("the controller has only begun", &unknown, 6, false),
            ("it is too old", &kept, late, true),
            ("anybody could have written it", &unkept, 6, true),
        ] {
            let mut alert = alert(&[(APPROVAL_ANNOTATION, "1 by ann")]);
            alert.status.get_or_insert_default().approval = Opinion::of(&alert, "1").to_status("1", &kept, at(5));
            let stands = Opinion::of(&alert, "1").to_status("1", guard, at(now)).unwrap();
            assert_eq!(stands.by.is_empty(), want, "{why}");
            alert.status.get_or_insert_default().approval = Some(stands.clone());
            let opinion = Opinion::of(&alert, "1");
            assert_eq!(opinion.is_void(&kept, at(7)), want, "{why}, and it stays so");
            assert_eq!(opinion.to_status("1", guard, at(now)), Some(stands), "{why}: the status comes to rest");
            alert.metadata.annotations = None;
            let taken_back = Opinion::of(&alert, "1").to_status("1", &kept, at(7));
            assert_eq!(taken_back, None, "{why}");
        }
    }
}
