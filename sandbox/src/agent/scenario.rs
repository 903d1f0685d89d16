//! What happens to containers that are not executed: how they end, after how long, and what they print.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How containers end. The first scene that fits a container is played; a container that none fits is executed
/// where that is asked for and allowed, and otherwise prints its script and succeeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// The scenes, the first that fits counts.
    #[serde(default)]
    pub scenes: Vec<Scene>,
}

impl Scenario {
    /// A scenario of these scenes.
    pub fn of(scenes: impl IntoIterator<Item = Scene>) -> Self {
        Self { scenes: scenes.into_iter().collect() }
    }

    /// Reads a scenario from YAML or JSON. The error names the place and what was expected there.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| format!("the scenario cannot be read: {error}"))
    }
}

/// Which containers, and what happens to them. In every pattern `*` stands for any text; an absent pattern fits all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scene {
    /// Pattern over the pod's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pattern over the pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Pattern over the container's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Pattern over the container's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Pattern over the container's rendered script: what follows `sh -c`, a script template's source, or its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Patterns over labels of the pod or of the Workflow or Job that owns it; all must fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// It is played for so many containers and fits none after that; absent: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Milliseconds that the container runs; absent: as long as all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_millis: Option<u64>,
    /// What it prints; absent: its rendered script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How it ends.
    #[serde(default)]
    pub ending: Ending,
}

/// How a container ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Ending {
    /// It exits.
    #[serde(rename_all = "camelCase")]
    Exit {
        /// Its exit code; 0 is success.
        code: i32,
        /// Its termination message.
        #[serde(default)]
        message: Option<String>,
    },
    /// It runs until it is ended by a deadline or by deletion.
    Never,
    /// It cannot start, and waits for ever with this reason (such as ImagePullBackOff) and message.
    Waits {
        /// The reason in the container's status.
        reason: String,
        /// The message in the container's status.
        #[serde(default)]
        message: String,
    },
}

impl Default for Ending {
    fn default() -> Self {
        Self::Exit { code: 0, message: None }
    }
}

impl Scene {
    /// A scene for every container, in which it succeeds.
    pub fn any() -> Self {
        Self::default()
    }

    /// A scene for the containers whose image fits the pattern.
    pub fn image(pattern: impl Into<String>) -> Self {
        Self { image: Some(pattern.into()), ..Self::default() }
    }

    /// A scene for the containers whose rendered script fits the pattern.
    pub fn script(pattern: impl Into<String>) -> Self {
        Self { script: Some(pattern.into()), ..Self::default() }
    }

    /// A scene for the pods whose own or whose owner's label fits the pattern.
    pub fn label(key: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self { labels: BTreeMap::from([(key.into(), pattern.into())]), ..Self::default() }
    }

    /// Played for the first so many containers only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The container runs so long.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay_millis: Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)), ..self }
    }

    /// The container prints this instead of its script.
    #[must_use]
    pub fn prints(self, output: impl Into<String>) -> Self {
        Self { output: Some(output.into()), ..self }
    }

    /// The container exits with this code.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        Self { ending: Ending::Exit { code, message: None }, ..self }
    }

    /// The container exits with this code and termination message.
    #[must_use]
    pub fn fails(self, code: i32, message: impl Into<String>) -> Self {
        Self { ending: Ending::Exit { code, message: Some(message.into()) }, ..self }
    }

    /// The container runs until it is ended.
    #[must_use]
    pub fn hangs(self) -> Self {
        Self { ending: Ending::Never, ..self }
    }

    /// The container never starts, for this reason.
    #[must_use]
    pub fn waits(self, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { ending: Ending::Waits { reason: reason.into(), message: message.into() }, ..self }
    }

    /// How long the container runs, if the scene says so.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay_millis.map(Duration::from_millis)
    }
}

/// A container as a scene sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cast<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    pub(crate) image: &'a str,
    pub(crate) script: &'a str,
    /// Of the pod and of its owner.
    pub(crate) labels: Vec<(&'a str, &'a str)>,
}

/// A scenario under way: it knows how often each scene was played.
#[derive(Debug)]
pub(crate) struct Stage {
    scenes: Vec<(Scene, std::sync::atomic::AtomicU32)>,
}

impl Stage {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self { scenes: scenario.scenes.into_iter().map(|scene| (scene, 0.into())).collect() }
    }

    /// The scene for a container; counts as played.
    pub(crate) fn play(&self, cast: &Cast<'_>) -> Option<&Scene> {
        use std::sync::atomic::Ordering::Relaxed;
        let played = self.scenes.iter().find(|(scene, played)| {
            let times = scene.times.unwrap_or(u32::MAX);
            scene.fits(cast)
                && played
                    .fetch_update(Relaxed, Relaxed, |count| (count < times).then(|| count.saturating_add(1)))
                    .is_ok()
        });
        played.map(|(scene, _)| scene)
    }

    /// Whether some scene looks at labels, so that the owner's have to be known.
    pub(crate) fn looks_at_labels(&self) -> bool {
        self.scenes.iter().any(|(scene, _)| !scene.labels.is_empty())
    }
}

impl Scene {
    fn fits(&self, cast: &Cast<'_>) -> bool {
        let fits =
            |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| matches(pattern, text));
        fits(&self.namespace, cast.namespace)
            && fits(&self.pod, cast.pod)
            && fits(&self.container, cast.container)
            && fits(&self.image, cast.image)
            && fits(&self.script, cast.script)
            && self
                .labels
                .iter()
                .all(|(key, pattern)| cast.labels.iter().any(|(known, value)| known == key && matches(pattern, value)))
    }
}

/// Whether `text` is the pattern with any text in place of each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "a\nb", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("*cordon*", "kubectl cordon n1", true),
            ("ab*ba", "aba", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_scene_that_fits_is_played_as_often_as_it_says() {
        let stage = Stage::new(Scenario::of([
            Scene::image("gpu/*").exits(1).times(2),
            Scene::label("team", "sre").hangs(),
            Scene::script("*reboot*").prints("rebooting"),
        ]));
        let gpu = Cast { image: "gpu/reset:1", ..Cast::default() };
        assert_eq!(stage.play(&gpu).map(|scene| &scene.ending), Some(&Ending::Exit { code: 1, message: None }));
        assert!(stage.play(&gpu).is_some());
        assert!(stage.play(&gpu).is_none(), "played twice");
        let owned = Cast { labels: vec![("team", "sre"), ("app", "x")], ..Cast::default() };
        assert_eq!(stage.play(&owned).map(|scene| &scene.ending), Some(&Ending::Never));
        let script = Cast { script: "nsenter reboot now", ..Cast::default() };
        assert_eq!(stage.play(&script).and_then(|scene| scene.output.as_deref()), Some("rebooting"));
        assert!(stage.play(&Cast::default()).is_none());
    }

    #[test]
    fn a_scenario_is_read_from_yaml_and_a_wrong_one_is_refused() {
        let read = Scenario::parse(
            "scenes:\n- {image: 'gpu/*', times: 1, delayMillis: 20, ending: {exit: {code: 3, message: broken}}}\n- {ending: never}\n",
        );
        let want =
            [Scene::image("gpu/*").times(1).after(Duration::from_millis(20)).fails(3, "broken"), Scene::any().hangs()];
        assert_eq!(read, Ok(Scenario::of(want)));
        let wrong = Scenario::parse("scenes:\n- {imagee: x}\n").unwrap_err();
        assert!(wrong.contains("imagee"), "{wrong}");
    }
}
