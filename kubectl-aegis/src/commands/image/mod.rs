//! `kubectl aegis image`: images without Docker.

mod build;

use clap::Subcommand;

/// Make container images without Docker
#[derive(Subcommand)]
pub(crate) enum Image {
    /// Make an image out of a folder, as one file that clusters and registries take
    ///
    /// Needs neither Docker nor a registry, and pulls nothing. Owners and times are left out: the same folder gives the
    /// same bytes on every machine. The file is what `docker save` writes and an OCI layout in one.
    #[command(after_help = "Examples:
  # Your scripts, a shell (such as Debian's busybox-static), and this plugin as kubectl
  kubectl aegis image build --from sop/ --base-shell busybox --kubectl kubectl-aegis \\
    --tag drain-gpu:1 -o drain-gpu.tar

  # A static program and nothing else
  kubectl aegis image build --from root/ --entrypoint /bin/collect --run-as 65532 \\
    --tag collect:1 -o collect.tar

  # Then, whichever you have
  kind load image-archive drain-gpu.tar
  ctr -n k8s.io images import drain-gpu.tar
  docker load -i drain-gpu.tar
  skopeo copy docker-archive:drain-gpu.tar docker://registry.example/ops/drain-gpu:1")]
    Build(Box<build::Build>),
}

impl Image {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Build(build) => build.run(),
        }
    }
}
