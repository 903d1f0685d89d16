//! The parts of the cluster that no package manager has at hand: each is built from its Go module, once per machine.
//!
//! What is built stands in a cache outside the checkout, in a folder named after part and version. It appears there whole
//! or not at all, and one build at a time works on it, so an interrupted build and two builds at once do no harm.

mod build;
mod progress;
mod recipe;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use recipe::{ALERTMANAGER, ALL, ARGO, ETCD, HELM, KREW, KUBERNETES, KWOK, Recipe};

/// A part that is there to be used.
#[derive(Clone, Debug)]
pub struct Part {
    folder: PathBuf,
    version: &'static str,
}

impl Part {
    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// A folder of its sources that was kept, by the name that the recipe gives it.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The version that was built, without a "v".
    pub fn version(&self) -> &'static str {
        self.version
    }
}

/// Returns the part, building it first where this machine does not have it yet.
pub async fn ensure(recipe: &'static Recipe) -> anyhow::Result<Part> {
    let cache = cache()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("could not make the cache {}", cache.display()))?;
    let part = Part { folder: cache.join(recipe.folder()), version: recipe.version };
    if part.folder.exists() {
        return Ok(part);
    }
    let _lock = lock(&cache.join(format!("{}.lock", recipe.folder()))).await?;
    if !part.folder.exists() {
        build::build(recipe, &cache).await.with_context(|| format!("could not build {}", recipe.title()))?;
    }
    Ok(part)
}

/// Where the parts of this machine stand.
pub fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()) {
        Some(path) => PathBuf::from(path),
        None => {
            std::env::home_dir().context("neither $XDG_CACHE_HOME nor $HOME says where caches stand")?.join(".cache")
        }
    };
    Ok(base.join("aegis/parts"))
}

/// Waits until nobody else builds the part. The lock ends with the file, and so with the process at the latest.
async fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("could not make the lock {}", path.display()))?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    eprintln!("waiting for another build of the same part to end ({})", path.display());
    let file = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await??;
    Ok(file)
}
