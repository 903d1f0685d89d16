//! Kubernetes Events: what happened, told on the object that it happened to. Written in the background, never
//! waited for: an alert is acted on whether or not its Event could be stored.

use std::collections::HashMap;
use std::future::ready;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::names;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

/// What `kubectl describe` shows as the origin of our Events.
const COMPONENT: &str = "aegis-controller";
/// Events that wait to be written; more are dropped and counted in the log.
const BACKLOG: usize = 4096;
/// The same Event again within this time is counted, and written with the next one after it.
const SAME_AGAIN: Duration = Duration::from_secs(60);
/// How many Events are remembered for that.
const REMEMBERED: usize = 4096;
/// The API server takes no longer message.
const LONGEST_MESSAGE: usize = 1024;
/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many are written at the same time: one after the other they fall behind a burst of alerts, two for each, until the
/// backlog is full.
const WRITERS: usize = 8;

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// For information.
    Normal,
    /// Something is wrong.
    Warning,
}

/// One thing to tell about one object.
#[derive(Clone, Debug)]
pub struct Note {
    /// The object.
    pub regarding: ObjectReference,
    /// Whether somebody should look.
    pub weight: Weight,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// Takes notes from anybody; clones share one backlog.
#[derive(Clone, Debug)]
pub struct Recorder {
    backlog: mpsc::Sender<Note>,
}

/// Writes the notes that a [`Recorder`] took.
pub struct Writer {
    client: Client,
    /// Which replica tells it.
    instance: String,
    backlog: mpsc::Receiver<Note>,
    recent: Remembered,
}

/// Where Events go, and who tells them.
struct Destination {
    client: Client,
    instance: String,
}

/// What was told lately, by the Event's name.
#[derive(Default)]
struct Remembered(HashMap<String, Recent>);

#[derive(Clone, Copy, Debug)]
struct Recent {
    written: Instant,
    /// How often it happened as far as we know, with what is not written yet.
    count: i32,
}

/// A recorder and the writer behind it. `instance` tells replicas apart.
pub fn recorder(client: Client, instance: impl Into<String>) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let writer = Writer { client, instance: instance.into(), backlog: receiver, recent: Remembered::default() };
    (Recorder { backlog: sender }, writer)
}

impl Recorder {
    /// Has the note written soon. It is dropped when too many wait already, or the writer has stopped.
    pub fn record(&self, note: Note) {
        if let Err(error) = self.backlog.try_send(note) {
            debug!("dropped an Event: {error}");
        }
    }
}

/// A reference to the alert itself.
pub fn alert(alert: &AegisAlert) -> ObjectReference {
    ObjectReference { resource_version: None, ..alert.object_ref(&()) }
}

/// A reference to the object that the alert is about, where that is a Node or a Pod; of other words of a sender
/// nobody knows what kind of object they are.
pub fn involved(alert: &AegisAlert) -> Option<ObjectReference> {
    let object = &alert.spec.involved_object;
    if object.name.is_empty() {
        return None;
    }
    let named = ObjectReference {
        api_version: Some("v1".to_owned()),
        name: Some(object.name.clone()),
        ..ObjectReference::default()
    };
    match object.kind.as_str() {
        // As kubelet does it: the name in place of the UID, which is what `kubectl describe node` looks for.
        "Node" => Some(ObjectReference { kind: Some("Node".to_owned()), uid: Some(object.name.clone()), ..named }),
        "Pod" if !object.namespace.is_empty() => {
            Some(ObjectReference { kind: Some("Pod".to_owned()), namespace: Some(object.namespace.clone()), ..named })
        }
        _ => None,
    }
}

impl Writer {
    /// Writes until every [`Recorder`] is gone and the backlog is empty.
    pub async fn run(self) {
        let Self { client, instance, mut backlog, mut recent } = self;
        let destination = Destination { client, instance };
        let notes = futures::stream::poll_fn(|context| backlog.poll_recv(context));
        let due = notes.filter_map(|note| {
            let name = event_name(&note);
            let count = recent.count(&name);
            ready(count.map(|count| (name, note, count)))
        });
        due.for_each_concurrent(WRITERS, |(name, note, count)| destination.deliver(name, note, count)).await;
    }
}

impl Remembered {
    /// How often it happened, to be written now; `None` when it is too soon after the last write.
    fn count(&mut self, name: &str) -> Option<i32> {
        let now = Instant::now();
        let fresh = |recent: &Recent| now.duration_since(recent.written) < SAME_AGAIN;
        if let Some(recent) = self.0.get_mut(name) {
            recent.count = recent.count.saturating_add(1);
            if fresh(recent) {
                return None;
            }
            recent.written = now;
            return Some(recent.count);
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, recent| fresh(recent));
            if self.0.len() >= REMEMBERED {
                self.0.clear();
            }
        }
        self.0.insert(name.to_owned(), Recent { written: now, count: 1 });
        Some(1)
    }
}

impl Destination {
    async fn deliver(&self, name: String, note: Note, count: i32) {
        let reason = note.reason;
        match tokio::time::timeout(TIMEOUT, self.write(name, note, count)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(reason, "could not write an Event: {error}"),
            Err(_) => warn!(reason, "could not write an Event: no answer within {TIMEOUT:?}"),
        }
    }

    async fn write(&self, name: String, note: Note, count: i32) -> Result<(), kube::Error> {
        // What is in no namespace has its Events in "default".
        let namespace = note.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let regarding = self.with_uid(note.regarding).await;
        let now = Timestamp::now();
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..ObjectMeta::default() },
            involved_object: regarding,
            type_: Some(if note.weight == Weight::Warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(note.reason.to_owned()),
            message: Some(shortened(note.message)),
            source: Some(EventSource { component: Some(COMPONENT.to_owned()), ..EventSource::default() }),
            reporting_component: Some(COMPONENT.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(count),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => return other.map(drop),
        }
        // It has been told before, by us or by the replica that led before us; we may not read Events, so after a
        // restart the count begins with what we know: twice.
        let again = serde_json::json!({"count": count.max(2), "lastTimestamp": Time(now)});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&again)).await.map(drop)
    }

    /// `kubectl describe pod` looks for Events by the Pod's UID, which no alert carries.
    async fn with_uid(&self, mut regarding: ObjectReference) -> ObjectReference {
        let (Some("Pod"), None, Some(namespace), Some(name)) =
            (regarding.kind.as_deref(), &regarding.uid, &regarding.namespace, &regarding.name)
        else {
            return regarding;
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        // Without the UID the Event is still found by name.
        if let Ok(Some(pod)) = pods.get_metadata_opt(name).await {
            regarding.uid = pod.uid();
        }
        regarding
    }
}

/// The name is derived from what is told, so that telling it again lands on the same Event.
fn event_name(note: &Note) -> String {
    let Note { regarding, weight, reason, message } = note;
    let mut hash = Sha256::new();
    for part in [&regarding.kind, &regarding.namespace, &regarding.name, &regarding.uid] {
        hash.update(part.as_deref().unwrap_or_default().as_bytes());
        hash.update([0]);
    }
    hash.update([u8::from(*weight == Weight::Warning)]);
    hash.update(reason.as_bytes());
    hash.update([0]);
    hash.update(message.as_bytes());
    let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // A node's name may be as long as a name can be.
    let stem: String = regarding.name.as_deref().unwrap_or(names::MANAGED_BY).chars().take(200).collect();
    format!("{}.{digits}", stem.trim_end_matches(['.', '-']))
}

fn shortened(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let mut end = LONGEST_MESSAGE - "...".len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_crds::alert::{AegisAlertSpec, InvolvedObject};

    fn alert_about(kind: &str, namespace: &str) -> AegisAlert {
        let involved_object =
            InvolvedObject { kind: kind.into(), name: "x".into(), namespace: namespace.into(), node: String::new() };
        AegisAlert::new("default-a", AegisAlertSpec { involved_object, ..AegisAlertSpec::default() })
    }

    #[test]
    fn only_kinds_that_are_known_to_be_objects_get_an_event() {
        let node = involved(&alert_about("Node", "")).unwrap();
        assert_eq!(node.uid.as_deref(), Some("x"), "as kubelet does");
        assert_eq!(node.namespace, None);
        assert_eq!(involved(&alert_about("Pod", "prod")).unwrap().namespace.as_deref(), Some("prod"));
        assert_eq!(involved(&alert_about("Pod", "")), None, "a Pod is in a namespace");
        assert_eq!(involved(&alert_about("switch", "")), None, "the sender's own word");
    }

    #[test]
    fn the_same_note_has_the_same_name_and_others_have_others() {
        let note = |reason, message: &str| Note {
            regarding: involved(&alert_about("Node", "")).unwrap(),
            weight: Weight::Normal,
            reason,
            message: message.into(),
        };
        assert_eq!(event_name(&note("A", "b")), event_name(&note("A", "b")));
        assert_ne!(event_name(&note("A", "b")), event_name(&note("A", "c")));
        assert_ne!(event_name(&note("A", "b")), event_name(&note("Ab", "")));
    }

    #[tokio::test]
    async fn an_event_that_waits_for_its_answer_keeps_no_other_waiting() {
        let (sent, mut asked) = mpsc::unbounded_channel();
        let silent = tower::service_fn(move |_| {
            let _ = sent.send(());
            std::future::pending::<Result<axum::http::Response<axum::body::Body>, std::io::Error>>()
        });
        let (recorder, writer) = recorder(Client::new(silent, "default"), "test");
        let writing = tokio::spawn(writer.run());
        for message in ["one", "another"] {
            recorder.record(Note {
                regarding: involved(&alert_about("Node", "")).unwrap(),
                weight: Weight::Normal,
                reason: "A",
                message: message.into(),
            });
            let request = tokio::time::timeout(Duration::from_secs(5), asked.recv()).await;
            assert_eq!(request.ok(), Some(Some(())), "{message}");
        }
        writing.abort();
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = shortened("节".repeat(2000));
        assert!(cut.len() <= LONGEST_MESSAGE && cut.ends_with("节..."), "{}", cut.len());
        assert_eq!(shortened("short".into()), "short");
    }
}
