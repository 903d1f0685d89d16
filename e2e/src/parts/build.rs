//! Builds one part: a module of its own that requires the tool, then `go build` for each program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::progress::Progress;
use super::recipe::Recipe;

/// Builds into a folder of its own and moves it to its place as the last step.
pub(super) async fn build(recipe: &Recipe, cache: &Path) -> anyhow::Result<()> {
    let work = cache.join(format!("{}.building", recipe.folder()));
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("could not clear {}", work.display()))?;
    }
    let site = Site { module: work.join("module"), done: work.join("done"), log: work.join("log") };
    fs::create_dir_all(&site.module)?;
    fs::create_dir_all(site.done.join("bin"))?;
    fs::write(site.module.join("go.mod"), go_mod(recipe))?;

    let mut packages = vec!["get".to_owned(), "-tool".to_owned()];
    packages.extend(recipe.programs.iter().map(|(_, path)| format!("{}@v{}", package(recipe, path), recipe.version)));
    site.go(&format!("{}: its modules", recipe.title()), &packages).await?;
    for (path, name) in recipe.kept {
        copy_folder(&site.source(recipe.module).await?.join(path), &site.done.join(name))?;
    }
    let vendored = !recipe.added.is_empty();
    if vendored {
        // Only a vendored copy can be added to: go refuses an overlay over its module cache.
        site.go(&format!("{}: a copy to complete", recipe.title()), &words(&["mod", "tidy"])).await?;
        site.go(&format!("{}: a copy to complete", recipe.title()), &words(&["mod", "vendor"])).await?;
        for (path, text) in recipe.added {
            fs::write(site.module.join("vendor").join(recipe.module).join(path), text)?;
        }
    }
    for (index, (name, path)) in recipe.programs.iter().enumerate() {
        let mut arguments = words(&["build", "-trimpath", "-ldflags"]);
        arguments.push(linker_flags(recipe));
        arguments.push("-buildvcs=false".into());
        arguments.push(if vendored { "-mod=vendor" } else { "-mod=mod" }.into());
        arguments.push("-o".into());
        arguments.push(site.done.join("bin").join(name).display().to_string());
        arguments.push(package(recipe, path));
        let title = format!("{}: {name} ({} of {})", recipe.title(), index + 1, recipe.programs.len());
        site.go(&title, &arguments).await?;
    }
    let place = cache.join(recipe.folder());
    fs::rename(&site.done, &place).with_context(|| format!("could not move the part to {}", place.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("could not clear {}", work.display()))?;
    Ok(())
}

/// Where a build is under way.
struct Site {
    module: PathBuf,
    done: PathBuf,
    log: PathBuf,
}

impl Site {
    /// Runs go, its output in the log, with a line that tells how long it has taken so far.
    async fn go(&self, title: &str, arguments: &[String]) -> anyhow::Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("could not start go")?;
        let progress = Progress::start(title);
        let status = progress.during(child.wait()).await?;
        if !status.success() {
            bail!("`go {}` failed in {}:\n{}", arguments.join(" "), self.module.display(), tail(&self.log));
        }
        progress.done();
        Ok(())
    }

    /// The folder of the module's sources.
    async fn source(&self, module: &str) -> anyhow::Result<PathBuf> {
        let output = self.command(&words(&["list", "-mod=mod", "-m", "-f", "{{.Dir}}", module])).output().await?;
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || folder.is_empty() {
            bail!("go does not know where {module} stands: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(PathBuf::from(folder))
    }

    /// go with static binaries, and nothing of the caller's own settings that could change what is built.
    fn command(&self, arguments: &[String]) -> Command {
        let mut go = Command::new("go");
        go.args(arguments).current_dir(&self.module).env("CGO_ENABLED", "0").env_remove("GOFLAGS").env("GOWORK", "off");
        go
    }
}

fn go_mod(recipe: &Recipe) -> String {
    let mut text = format!("module aegis.test/parts/{}\n\ngo 1.24.0\n", recipe.name);
    let version = recipe.version.strip_prefix("1.").unwrap_or(recipe.version);
    for module in recipe.staging {
        text.push_str(&format!("\nreplace k8s.io/{module} => k8s.io/{module} v0.{version}\n"));
    }
    text
}

fn package(recipe: &Recipe, path: &str) -> String {
    if path.is_empty() { recipe.module.to_owned() } else { format!("{}/{path}", recipe.module) }
}

fn linker_flags(recipe: &Recipe) -> String {
    let mut flags = "-s -w".to_owned();
    for variable in recipe.variables {
        flags.push_str(" -X ");
        flags.push_str(&variable.replace("{version}", recipe.version));
    }
    flags
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            // Written anew: the module cache is read-only, and its modes would come along with a copy.
            fs::write(to.join(entry.file_name()), fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::recipe::{ALL, KUBERNETES};
    use super::*;

    #[test]
    fn staging_modules_are_taken_as_published_at_the_matching_version() {
        let text = go_mod(&KUBERNETES);
        assert!(text.contains("\nreplace k8s.io/client-go => k8s.io/client-go v0.35.4\n"), "{text}");
    }

    #[test]
    fn the_root_of_a_module_is_a_package_too() {
        let packages: Vec<String> =
            ALL.iter().flat_map(|recipe| recipe.programs.iter().map(|(_, path)| package(recipe, path))).collect();
        assert!(packages.contains(&"go.etcd.io/etcd/server/v3".to_owned()), "{packages:?}");
        assert!(packages.contains(&"github.com/prometheus/alertmanager/cmd/alertmanager".to_owned()), "{packages:?}");
    }

    #[test]
    fn the_linker_is_told_the_version() {
        let flags = linker_flags(&KUBERNETES);
        assert!(flags.starts_with("-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 "), "{flags}");
    }

    #[test]
    fn a_folder_is_copied_with_what_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "text").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("inner/file")).unwrap(), "text");
    }
}
