//! `kubectl aegis image build`: a folder's tree becomes an image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use kubectl_aegis::image::{self, Image, Layer, Reference};

use crate::failure::{Failure, Kind};
use crate::output;

// The words are in the help of `image build`; a manual here would hide that.
#[derive(Args)]
pub(crate) struct Build {
    /// A folder whose content becomes the image's files, with its modes and symbolic links
    #[arg(long, value_name = "DIR", required_unless_present = "base_shell")]
    from: Option<PathBuf>,
    /// What the image is called, such as drain-gpu:1 or registry.example/ops/drain-gpu:1
    #[arg(short, long, value_name = "NAME:TAG")]
    tag: Reference,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A static busybox, which becomes /bin/sh, /bin/bash and the usual tools
    #[arg(long, value_name = "FILE")]
    base_shell: Option<PathBuf>,
    /// A static build of this plugin, which answers as kubectl for the verbs that procedures use
    #[arg(long, value_name = "FILE")]
    kubectl: Option<PathBuf>,
    /// The processors of the image's programs
    #[arg(long, value_enum, default_value_t)]
    platform: Platform,
    /// The program to start; repeat it for each of its first arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// The arguments where a container gives none; repeat it for each. With --base-shell alone it is /bin/sh
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// The user, with or without a group; a number, so that runAsNonRoot can tell
    #[arg(long, value_name = "UID[:GID]", value_parser = user)]
    run_as: Option<String>,
    /// An environment variable; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// The folder that programs start in
    #[arg(long, value_name = "PATH", value_parser = absolute)]
    workdir: Option<String>,
    /// A label, such as org.opencontainers.image.version=1; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
}

/// What an image runs on. Nodes are x86 unless somebody says so: the machine that builds tells nothing about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Platform {
    #[default]
    #[value(name = "linux/amd64")]
    Amd64,
    #[value(name = "linux/arm64")]
    Arm64,
}

impl From<Platform> for image::Architecture {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Amd64 => Self::Amd64,
            Platform::Arm64 => Self::Arm64,
        }
    }
}

impl Build {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let output = self.output.clone();
        let image = self.image()?;
        let written = save(&image, &output)?;
        let mib = written.size.div_ceil(1 << 20);
        output::line(&format!("{}: {}, {mib} MiB, {}", output.display(), image.name, written.id));
        Ok(())
    }

    fn image(self) -> Result<Image, Failure> {
        let Self {
            from,
            tag,
            output: _,
            base_shell,
            kubectl,
            platform,
            entrypoint,
            mut cmd,
            run_as,
            env,
            workdir,
            label,
        } = self;
        let architecture = platform.into();
        let bad = |error: image::Error| Failure::new(Kind::Usage, "there is no image").because(error);
        let mut layers = Vec::new();
        let mut variables = BTreeMap::new();
        if let Some(busybox) = &base_shell {
            image::check_static(busybox, architecture).map_err(bad)?;
            layers.push(Layer::of_shell(busybox).map_err(bad)?);
            variables.insert("PATH".to_owned(), image::PATH.to_owned());
            if entrypoint.is_empty() && cmd.is_empty() {
                cmd.push("/bin/sh".to_owned());
            }
        }
        if let Some(program) = &kubectl {
            image::check_static(program, architecture).map_err(bad)?;
            layers.push(Layer::of_kubectl(program).map_err(bad)?);
        }
        if let Some(folder) = &from {
            layers.push(Layer::of_folder(folder).map_err(bad)?);
        }
        variables.extend(env);
        Ok(Image {
            architecture,
            entrypoint,
            cmd,
            user: run_as,
            env: variables,
            workdir,
            labels: label.into_iter().collect(),
            layers,
            ..Image::new(tag)
        })
    }
}

/// Writes the image beside its place and moves it there: a half image never stands under the name.
fn save(image: &Image, output: &Path) -> anyhow::Result<image::Written> {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let told = || format!("could not write {}", output.display());
    let half = tempfile::NamedTempFile::new_in(folder).with_context(told)?;
    let written = image.write(BufWriter::new(half.as_file())).with_context(told)?;
    readable(half.as_file()).with_context(told)?;
    half.persist(output).with_context(told)?;
    Ok(written)
}

/// A temporary file is its user's alone; an image is no secret, and root's containerd or another user may read it.
#[cfg(unix)]
fn readable(file: &File) -> std::io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn user(text: &str) -> Result<String, String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok();
    if number(uid) && number(gid) { Ok(text.to_owned()) } else { Err("expected a number, or two with ':'".to_owned()) }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("expected a path that begins with '/'".to_owned()) }
}
