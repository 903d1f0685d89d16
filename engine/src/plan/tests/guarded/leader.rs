//! A leader of the model: it does what the controller's driver and desk do, request by request.

use super::promises::is_paused;
use super::*;

/// What the driver keeps from one step of a plan to the next.
#[derive(Default)]
pub(super) struct Held {
    taken: Option<Place>,
    before: Option<Picture>,
    early: Option<Early>,
}

/// What the API server showed while a place was being taken.
pub(super) struct Early {
    alert: Arc<AegisAlert>,
    node: Option<Node>,
}

impl World {
    pub(super) fn spend(&mut self) -> Result<(), Dead> {
        self.left = self.left.checked_sub(1).ok_or(Dead)?;
        Ok(())
    }

    /// Whether the answer comes back to the leader.
    pub(super) fn answered(&self) -> Result<(), Dead> {
        if self.left == 0 && self.loses { Err(Dead) } else { Ok(()) }
    }

    pub(super) fn guard(&self, leader: usize) -> Guard {
        let view = &self.leaders[leader].view;
        Guard::of(Some(&view.guard), view.nodes.values())
    }

    pub(super) fn snapshot(&self, leader: usize, number: usize) -> Snapshot {
        let view = &self.leaders[leader].view;
        let mut seen = self.base.clone();
        seen.alert = Arc::clone(&view.alerts[number]);
        let uid = seen.alert.metadata.uid.clone().unwrap();
        let own =
            view.workflows.values().filter(|workflow| text(workflow, "/metadata/labels/aegis.io~1alert-uid") == uid);
        seen.actions = own.map(whole).collect();
        seen.guard = Arc::new(self.guard(leader));
        seen
    }

    /// Deals with one alert as the driver does; when it is to be looked at again.
    pub(super) fn work(&mut self, leader: usize, number: usize) -> Result<Option<Timestamp>, Dead> {
        let mut seen = self.snapshot(leader, number);
        for _ in 0..32 {
            let plan = plan(&seen, at(self.now));
            let line = &mut self.leaders[leader].line;
            match (&plan.decision, &plan.request) {
                (Decision::Hold(refusal), Some(request)) if refusal.reason.is_standing() => {
                    line.wait(number, request.clone());
                }
                _ => line.leave(&number),
            }
            let mut held = Held::default();
            let mut again = false;
            for step in &plan.steps {
                if matches!(step, Step::DeleteAlert { .. }) {
                    return Ok(None);
                }
                again = true;
                if !self.carry_out(leader, number, step, &mut seen, &mut held)? {
                    break;
                }
            }
            if !again {
                return Ok(plan.next_look);
            }
        }
        panic!("32 plans in a row had something to do: {:?}", plan(&seen, at(self.now)));
    }

    /// Whether the plan goes on; else it is made again.
    pub(super) fn carry_out(
        &mut self,
        leader: usize,
        number: usize,
        step: &Step,
        seen: &mut Snapshot,
        held: &mut Held,
    ) -> Result<bool, Dead> {
        match step {
            Step::Look(Look::Siblings) => {
                seen.confirmed(Vec::new());
                return Ok(false);
            }
            Step::Look(Look::Actions(place)) => {
                let all = self.truth.workflows.values().map(whole).filter(|action| action.is_of(&place.uid)).collect();
                seen.listed(place.clone(), all);
                return Ok(false);
            }
            Step::Look(Look::Action { kind, name }) => {
                match self.truth.workflows.get(name) {
                    Some(workflow) => seen.saw(whole(workflow)),
                    None => seen.missed(*kind, name),
                }
                return Ok(false);
            }
            Step::WriteStatus(patch) => {
                self.spend()?;
                let current = Arc::clone(&self.truth.alerts[number]);
                let same = patch["metadata"]["resourceVersion"] == json!(current.metadata.resource_version);
                if same {
                    self.change_alert(number, |alert| alert.edit(|alert| apply(alert, patch)));
                    self.answered()?;
                }
                seen.alert = self.saw_alert(leader, number);
                return Ok(same);
            }
            Step::Claim(request) => {
                let book = self.leaders[leader].view.guard.metadata.resource_version.clone();
                let node = request.node.as_ref().map(|name| self.saw_node(leader, name));
                let early = Early { alert: self.saw_alert(leader, number), node };
                self.others_act();
                let (answer, judged_by) = self.desk(leader, &Ask::Claim(request))?;
                seen.guard = Arc::new(self.guard(leader));
                if answer != Some(Answer::Taken) {
                    seen.others_first = answer == Some(Answer::OthersFirst);
                    return Ok(false);
                }
                held.taken = Some(request.place.clone());
                held.early = Some(early).filter(|_| judged_by == book);
            }
            Step::Adopt(request) => {
                self.leaders[leader].view.guard = Arc::clone(&self.truth.guard);
                seen.guard = Arc::new(self.guard(leader));
                seen.alert = self.saw_alert(leader, number);
                if keeps_no_place(&seen.alert, &request.place) {
                    return Ok(false);
                }
                self.check_adopted(&request.place);
                self.desk(leader, &Ask::Adopt(request))?;
                seen.guard = Arc::new(self.guard(leader));
            }
            Step::LastLook(look) => {
                let known = seen.alert.clone();
                let early = held.early.take();
                seen.alert = match &early {
                    Some(early) => Arc::clone(&early.alert),
                    None => self.saw_alert(leader, number),
                };
                if phase(&known) != phase(&seen.alert) {
                    seen.unused.extend(held.taken.take());
                    return Ok(false);
                }
                if let Some((name, expected)) = &look.node {
                    let found = early.and_then(|early| early.node).unwrap_or_else(|| self.saw_node(leader, name));
                    let guard = self.guard(leader);
                    let facts = NodeFacts::of(&found, guard.policy().unwrap());
                    if Some(&facts) != expected.as_ref() {
                        seen.guard = Arc::new(guard);
                        seen.unused.extend(held.taken.take());
                        return Ok(false);
                    }
                    held.before = Some(Picture::of(&found));
                }
            }
            Step::Create(remedy) => {
                self.spend()?;
                self.create(leader, number, remedy, held.before.take());
                self.answered()?;
                let made = self.truth.workflows[&remedy.name].clone();
                seen.saw(whole(&made));
                self.leaders[leader].view.workflows.insert(remedy.name.clone(), made);
                return Ok(false);
            }
            Step::Stop(patch) => {
                self.spend()?;
                self.argo(&patch.name, "Failed", false);
                merge(self.truth.workflows.get_mut(&patch.name).unwrap(), &patch.patch);
                seen.saw(whole(&self.truth.workflows[&patch.name]));
            }
            Step::Release(patch) => {
                self.spend()?;
                let version = self.next_version();
                let workflow = self.truth.workflows.get_mut(&patch.name).unwrap();
                if workflow["metadata"]["resourceVersion"] == patch.patch["metadata"]["resourceVersion"] {
                    merge(workflow, &patch.patch);
                    workflow["metadata"]["resourceVersion"] = json!(version);
                }
                seen.saw(whole(workflow));
                self.leaders[leader].view.workflows.insert(patch.name.clone(), workflow.clone());
                self.answered()?;
            }
            Step::Note(back) => self.note(leader, back)?,
            Step::GiveBack(back) => {
                if back.ended == Ended::NeverBegan {
                    self.check_unused(&Place::of(&back.claim));
                }
                self.note(leader, back)?;
                self.desk(leader, &Ask::GiveBack(back))?;
                seen.guard = Arc::new(self.guard(leader));
            }
            Step::DeleteAlert { .. } => {}
        }
        Ok(true)
    }

    /// What happens meanwhile costs the leader that waits no requests.
    fn others_act(&mut self) {
        let (left, loses) = (self.left, self.loses);
        for event in std::mem::take(&mut self.meanwhile) {
            self.happens(event);
        }
        (self.left, self.loses) = (left, loses);
    }

    pub(super) fn saw_alert(&mut self, leader: usize, number: usize) -> Arc<AegisAlert> {
        let found = Arc::clone(&self.truth.alerts[number]);
        self.leaders[leader].view.alerts[number] = Arc::clone(&found);
        found
    }

    pub(super) fn saw_node(&mut self, leader: usize, name: &str) -> Node {
        let found = self.truth.nodes[name].clone();
        self.leaders[leader].view.nodes.insert(name.to_owned(), found.clone());
        found
    }

    pub(super) fn create(&mut self, leader: usize, number: usize, remedy: &Remedy, before: Option<Picture>) {
        if self.truth.workflows.contains_key(&remedy.name) {
            return;
        }
        let version = self.next_version();
        let mut object = remedy.object.clone();
        let about = self.truth.alerts[number].spec.involved_object.name.clone();
        object["about"] = json!(about);
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("uid-{version}"));
        metadata["resourceVersion"] = json!(version);
        metadata["creationTimestamp"] = json!(at(self.now));
        if let Some(before) = before {
            self.check_picture(&about, &before);
            metadata["annotations"][BEFORE_ANNOTATION] = json!(before.to_text());
        }
        self.truth.workflows.insert(remedy.name.clone(), object);

        let recovery = remedy.phase == AlertStatus::Resolved;
        let known = &self.leaders[leader].view.guard.spec;
        assert!(!is_paused(known, recovery), "{} is made by a leader that knows of a pause", remedy.name);
        self.check_what_goes_on();
    }

    pub(super) fn note(&mut self, leader: usize, back: &GiveBack) -> Result<(), Dead> {
        let Some(name) = back.claim.node.as_deref() else { return Ok(()) };
        let found = self.saw_node(leader, name);
        let Some((_, action)) = &back.action else { return Ok(()) };
        let written = text(&self.truth.workflows[action], "/metadata/annotations/aegis.io~1node-before").to_owned();
        let Claim { alert, rule, .. } = &back.claim;
        let author = Author { alert, rule, action, time: at(self.now), cordon_for: back.cordon_for };
        let noted = Picture::parse(&written).and_then(|before| changes::record(&before, &found, author));
        if let Some(noted) = noted {
            self.spend()?;
            let annotations = self.truth.nodes.get_mut(name).unwrap().metadata.annotations.get_or_insert_default();
            annotations.insert(CHANGES_ANNOTATION.to_owned(), json!(noted).to_string());
            self.answered()?;
            self.saw_node(leader, name);
        }
        Ok(())
    }

    /// One round of the desk: what is asked for, in one conditional write. With the answer comes the version of the
    /// AegisGuard that it was judged by.
    pub(super) fn desk(&mut self, leader: usize, ask: &Ask<'_>) -> Result<(Option<Answer>, Option<String>), Dead> {
        let now = at(self.now);
        for _ in 0..16 {
            let object = Arc::clone(&self.leaders[leader].view.guard);
            let guard = self.guard(leader);
            let policy = guard.policy().cloned().unwrap_or_default();
            let (mut book, mut claims) = (Book::clone(&guard.book), Vec::new());
            match ask {
                Ask::Nothing => {}
                Ask::Claim(request) => claims.push((*request).clone()),
                Ask::Adopt(request) => book = book.with(request, &policy, now),
                Ask::GiveBack(back) => book = book.without(&Place::of(&back.claim), back.ended, back.cooldown, now),
            }
            let resumed = guard.breaker_resumed();
            let judged = Guard { book: Arc::new(book.with_breaker(&policy, resumed, false, now)), ..guard.clone() };
            let round = self.leaders[leader].line.round(&judged, &claims, now);
            let book = round.book.with_breaker(&policy, resumed, round.too_many, now);
            let status = book.status_since(&guard.book);
            if status.as_object().is_some_and(|fields| !fields.is_empty()) {
                self.spend()?;
                if self.truth.guard.metadata.resource_version != object.metadata.resource_version {
                    self.leaders[leader].view.guard = Arc::clone(&self.truth.guard);
                    continue;
                }
                self.commit(leader, &status, matches!(ask, Ask::Claim(_)));
                self.answered()?;
                self.leaders[leader].view.guard = Arc::clone(&self.truth.guard);
            }
            self.leaders[leader].woken.extend(round.wake);
            self.leaders[leader].again = round.again;
            return Ok((round.answers.first().copied(), object.metadata.resource_version.clone()));
        }
        panic!("others were faster sixteen times, and there are none");
    }

    pub(super) fn commit(&mut self, leader: usize, status: &Value, claims: bool) {
        let before = Book::of(self.truth.guard.status.as_ref());
        self.change_guard(|guard| {
            let mut all = json!(guard.status.clone().unwrap_or_default());
            merge(&mut all, status);
            guard.status = Some(serde_json::from_value(all).unwrap());
        });
        let book = Book::of(self.truth.guard.status.as_ref());
        let new = book.claims().filter(|claim| before.find(&Place::of(claim)).is_none());
        let new: Vec<Claim> = new.filter(|_| claims).cloned().collect();
        for claim in new {
            self.check_place(leader, &book, &claim);
        }
        self.check_what_goes_on();
    }
}
