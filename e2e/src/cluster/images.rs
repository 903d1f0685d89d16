//! The images that users' templates and Argo name, made here from a static busybox and our own builds of the programs.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use kubectl_aegis::image::{Entry, Image, Layer, PATH};

use super::node::PAUSE;
use super::{Setup, argo};
use crate::aegis::repository;
use crate::machine::Machine;
use crate::needs;

/// What stands in every cluster.
pub(super) async fn import(setup: &Setup) -> anyhow::Result<()> {
    let shell = Layer::of_shell(&needs::busybox()?)?;
    let kubectl = Layer::of_kubectl(&setup.kubernetes.program("kubectl"))?;
    let executor = Layer::of([Entry::file("bin/argoexec", 0o755, setup.argo.program("argoexec"))])?;
    let images = [
        // Its one process only has to live: the kubelet ends it with the pod.
        image(PAUSE, &["/bin/sleep", "2147483647"], vec![shell.clone()])?,
        image("busybox:latest", &[], vec![shell.clone()])?,
        image("bitnami/kubectl:latest", &["kubectl"], vec![shell.clone(), kubectl])?,
        image(&argo::executor_image(&setup.argo), &["argoexec"], vec![shell, executor])?,
    ];
    for image in images {
        import_one(&setup.machine, &image).await?;
    }
    for archive in ours()? {
        import_archive(&setup.machine, &archive).await?;
    }
    Ok(())
}

/// The archives of the project's own images. `make e2e` has scripts/images write them from a build that is not optimised:
/// a release takes minutes more, and what is shown on the cluster does not depend on it.
pub(super) fn ours() -> anyhow::Result<Vec<PathBuf>> {
    let folder = repository("target/e2e-images");
    let archives = ["aegis.tar", "aegis-sop.tar"].map(|name| folder.join(name));
    for archive in &archives {
        ensure!(archive.is_file(), "{} is missing: `make e2e-images` makes it", archive.display());
    }
    Ok(archives.into())
}

/// Gives the node an image of that name that holds one static program, which is on the PATH.
pub(super) async fn import_program(machine: &Machine, name: &str, program: &Path) -> anyhow::Result<()> {
    let file = program.file_name().and_then(|name| name.to_str()).context("the program has no name")?;
    let layer = Layer::of([Entry::file(format!("bin/{file}"), 0o755, program)])?;
    import_one(machine, &image(name, &[file], vec![layer])?).await
}

/// Gives an image to the node, under its full name.
async fn import_one(machine: &Machine, image: &Image) -> anyhow::Result<()> {
    let archive = machine.folder().join("image.tar");
    image.write(File::create(&archive)?).with_context(|| format!("could not write the image {}", image.name))?;
    import_archive(machine, &archive).await?;
    std::fs::remove_file(&archive)?;
    Ok(())
}

/// Gives the image in an archive to the node.
async fn import_archive(machine: &Machine, archive: &Path) -> anyhow::Result<()> {
    let archive = archive.display().to_string();
    machine.run("ctr", ["--namespace", "k8s.io", "images", "import", &archive]).await?;
    Ok(())
}

fn image(name: &str, entrypoint: &[&str], layers: Vec<Layer>) -> anyhow::Result<Image> {
    let mut image = Image::new(name.parse()?);
    image.entrypoint = entrypoint.iter().map(|word| (*word).to_owned()).collect();
    image.cmd = if entrypoint.is_empty() { vec!["sh".to_owned()] } else { Vec::new() };
    image.env.insert("PATH".to_owned(), PATH.to_owned());
    image.layers = layers;
    Ok(image)
}
