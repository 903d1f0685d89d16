//! The manifest that krew installs by, and the rules by which krew and its index take one.

use std::collections::BTreeSet;

use anyhow::Context as _;
use minijinja::{Environment, Value as Word, context};
use serde_json::Value;

use crate::platform::Platform;

/// The manifest with places for what differs from release to release.
const TEMPLATE: &str = include_str!("../../krew/aegis.template.yaml");

/// The plugin, as krew calls it: `kubectl krew install aegis`.
pub const NAME: &str = "aegis";

/// The longest that krew's index lets a short description be, in characters.
const SHORT: usize = 50;

/// An archive that can be installed from.
#[derive(Debug)]
pub struct Offer {
    /// What it is for.
    pub platform: &'static Platform,
    /// The SHA-256 of the archive, in hexadecimal digits.
    pub sha256: String,
    /// The paths of the files in it.
    pub files: Vec<String>,
}

/// Renders the manifest of a release at that address: an https address of a repository, without a slash at its end.
pub fn manifest(version: &str, repository: &str, offers: &[Offer]) -> anyhow::Result<String> {
    let archives: Vec<Word> = offers
        .iter()
        .map(|Offer { platform, sha256, .. }| {
            context! {
                os => platform.os, arch => platform.arch, program => platform.program(),
                file => platform.archive(version), sha256 => sha256,
            }
        })
        .collect();
    let environment = Environment::new();
    environment
        .render_named_str("krew/aegis.template.yaml", TEMPLATE, context! { version, repository, archives })
        .context("could not render krew's manifest")
}

/// What krew, or the review of its index, would refuse in a manifest of [`NAME`]; nothing if it is good.
pub fn flaws(manifest: &Value, offers: &[Offer]) -> Vec<String> {
    let mut flaws = Vec::new();
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default();
    for (path, want) in [
        ("/apiVersion", "krew.googlecontainertools.github.com/v1alpha2"),
        ("/kind", "Plugin"),
        ("/metadata/name", NAME),
    ] {
        if text(path) != want {
            flaws.push(format!("{path} must be {want:?}, found {:?}", text(path)));
        }
    }
    if !is_version(text("/spec/version")) {
        flaws.push(format!("/spec/version must be v and a semantic version, found {:?}", text("/spec/version")));
    }
    let short = text("/spec/shortDescription");
    if short.is_empty() || short.contains(['\r', '\n']) || short.ends_with('.') || short.chars().count() > SHORT {
        flaws.push(format!(
            "/spec/shortDescription must be one line of at most {SHORT} characters without a full stop, found {short:?}"
        ));
    }
    if text("/spec/description").trim().is_empty() {
        flaws.push("/spec/description must say what it is for".to_owned());
    }
    if !text("/spec/homepage").starts_with("https://") {
        flaws.push(format!("/spec/homepage must be an https address, found {:?}", text("/spec/homepage")));
    }
    let platforms = manifest.pointer("/spec/platforms").and_then(Value::as_array).map(Vec::as_slice);
    let platforms = platforms.unwrap_or_default();
    if platforms.is_empty() {
        flaws.push("/spec/platforms must name one".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (index, platform) in platforms.iter().enumerate() {
        let at = |flaw: String| format!("/spec/platforms/{index}{flaw}");
        flaws.extend(of_platform(platform, offers, &mut seen).into_iter().map(at));
    }
    flaws
}

fn of_platform<'a>(platform: &'a Value, offers: &[Offer], seen: &mut BTreeSet<(&'a str, &'a str)>) -> Vec<String> {
    let mut flaws = Vec::new();
    let text = |path: &str| platform.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (os, arch) = (text("/selector/matchLabels/os"), text("/selector/matchLabels/arch"));
    let keys = platform.pointer("/selector/matchLabels").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let offer = offers.iter().find(|offer| (offer.platform.os, offer.platform.arch) == (os, arch));
    if offer.is_none() || keys != 2 {
        flaws.push(format!("/selector must select an archive by os and arch alone, found {os:?} and {arch:?}"));
    }
    if !seen.insert((os, arch)) {
        flaws.push(format!("/selector selects {os} {arch} a second time"));
    }
    let (uri, sha256, bin) = (text("/uri"), text("/sha256"), text("/bin"));
    if !uri.starts_with("https://") || !(uri.ends_with(".tar.gz") || uri.ends_with(".zip")) {
        flaws.push(format!("/uri must be the https address of a .tar.gz or .zip, found {uri:?}"));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        flaws.push(format!("/sha256 must be 64 hexadecimal digits in lower case, found {sha256:?}"));
    }
    let from: Vec<&str> = platform
        .pointer("/files")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|file| file.get("from").and_then(Value::as_str))
        .collect();
    if bin.is_empty() || bin.contains(['/', '\\']) || !from.contains(&bin) {
        flaws.push(format!("/bin must be one of /files, found {bin:?} and {from:?}"));
    }
    if (os == "windows") != bin.ends_with(".exe") {
        flaws.push(format!("/bin must end in .exe on Windows, and nowhere else, found {bin:?} on {os}"));
    }
    if !from.contains(&"LICENSE") {
        flaws.push(format!("/files must bring the LICENSE along, found {from:?}"));
    }
    if let Some(offer) = offer {
        if offer.sha256 != sha256 {
            flaws.push(format!("/sha256 must be that of the archive, {}, found {sha256}", offer.sha256));
        }
        for name in from.iter().filter(|name| !name.contains('*')) {
            if !offer.files.iter().any(|file| file == name) {
                flaws.push(format!("/files names {name:?}, and the archive holds {:?}", offer.files));
            }
        }
    }
    flaws
}

/// v1.2.3, v1.2.3-rc.1, v1.2.3+build.
fn is_version(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(|rest| semver::Version::parse(rest).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::archive::TEXTS;
    use crate::platform::ALL;
    use crate::{REPOSITORY, VERSION};

    fn offers() -> Vec<Offer> {
        let files = |platform: &Platform| [platform.program()].into_iter().chain(TEXTS).map(str::to_owned).collect();
        ALL.iter().map(|platform| Offer { platform, sha256: "0f".repeat(32), files: files(platform) }).collect()
    }

    fn rendered(offers: &[Offer]) -> Value {
        serde_saphyr::from_str(&manifest(VERSION, REPOSITORY, offers).unwrap()).unwrap()
    }

    #[test]
    fn krew_takes_the_manifest_of_every_set_of_archives() {
        let mut offers = offers();
        while !offers.is_empty() {
            assert_eq!(flaws(&rendered(&offers), &offers), Vec::<String>::new());
            offers.pop();
        }
    }

    #[test]
    fn each_archive_is_offered_where_releases_are_found() {
        let offers = offers();
        let manifest = rendered(&offers);
        let platform = manifest.pointer("/spec/platforms/1").unwrap();
        let file = format!("kubectl-aegis_v{VERSION}_linux_arm64.tar.gz");
        assert_eq!(platform["uri"], format!("{REPOSITORY}/releases/download/v{VERSION}/{file}"));
        assert_eq!(platform["selector"], json!({"matchLabels": {"os": "linux", "arch": "arm64"}}));
        assert_eq!(manifest.pointer("/spec/platforms/4/bin").unwrap(), "kubectl-aegis.exe");
        assert_eq!(manifest.pointer("/spec/platforms").unwrap().as_array().unwrap().len(), ALL.len());
    }

    #[test]
    fn what_krew_refuses_is_told_by_its_place() {
        let cases = [
            ("/apiVersion", json!("krew.googlecontainertools.github.com/v1"), "another version of krew"),
            ("/kind", json!("plugin"), "kinds have case"),
            ("/metadata/name", json!("kubectl-aegis"), "the file would have to be called so"),
            ("/spec/version", json!("0.1.0"), "no v"),
            ("/spec/shortDescription", json!("x".repeat(51)), "too long for a list"),
            ("/spec/shortDescription", json!("a\nb"), "two lines"),
            ("/spec/description", json!(""), "says nothing"),
            ("/spec/homepage", json!("http://example.org"), "not protected on the way"),
            ("/spec/platforms", json!([]), "for nobody"),
            ("/spec/platforms/0/selector/matchLabels/os", json!("plan9"), "krew does not run there"),
            ("/spec/platforms/2/selector/matchLabels/os", json!("linux"), "two archives for one platform"),
            ("/spec/platforms/0/selector/matchLabels", json!({}), "an empty selector"),
            ("/spec/platforms/0/uri", json!("https://example.org/a.tar.xz"), "krew does not unpack it"),
            ("/spec/platforms/0/sha256", json!("0F".repeat(32)), "upper case"),
            ("/spec/platforms/0/sha256", json!("0a".repeat(32)), "of another archive"),
            ("/spec/platforms/0/bin", json!("aegis"), "not among the files"),
            ("/spec/platforms/4/bin", json!("kubectl-aegis"), "Windows runs it by its end"),
            ("/spec/platforms/0/files/1/from", json!("COPYING"), "no licence"),
        ];
        let offers = offers();
        for (path, value, why) in cases {
            let mut manifest = rendered(&offers);
            *manifest.pointer_mut(path).unwrap() = value;
            let found = flaws(&manifest, &offers);
            let place = path.split("/matchLabels").next().unwrap();
            let place = place.split("/files").next().unwrap();
            assert!(found.iter().any(|flaw| flaw.starts_with(place)), "{why}: {path} gives {found:?}");
        }
    }

    #[test]
    fn versions_are_semantic_behind_their_v() {
        for good in ["v0.1.0", "v10.20.30", "v1.0.0-rc.1", "v1.0.0-rc.1+b", "v1.0.0+b.2"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "v", "1.0.0", "v1.0", "v1.0.0.0", "v01.0.0", "v1.0.x", "v1.0.0-", "v1.0.0+", "v1.0.0-a b"] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
