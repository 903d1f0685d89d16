//! A machine of its own, made of namespaces: what runs in it sees the programs and files of the real one, but has its own
//! network, its own process numbers, and layers over /etc, /run and parts of /var that take every write.
//!
//! So a cluster in it needs no ports, bridges, firewall rules or folders of the real machine, and it ends as a whole:
//! when its first process is killed the kernel kills all others, and with them go mounts, interfaces and rules.
//! What is left to clean up is one folder and one control group.

mod control_groups;
mod first;
mod network;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::wait::until;
pub use first::{KERNEL, live};
pub use network::Network;
use process::Identity;
pub use process::Running;

/// The name that the machine gives itself.
pub const NAME: &str = "node1";
/// What stands in the machine's folder from its first moment to its last.
const RECORD: &str = "machine.json";

/// A machine that lives, or died without being cleaned up.
#[derive(Debug)]
pub struct Machine {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    network: Network,
    /// The first process, as the real machine knows it; none before it has begun.
    first: Option<Identity>,
}

impl Machine {
    /// Makes a machine whose state is in a folder of its own, which must not exist or be empty.
    pub async fn create(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        if let Some(layered) = first::LAYERED.iter().find(|layered| folder.starts_with(layered)) {
            bail!(
                "the folder {} is below {layered}, of which the machine has its own; choose another",
                folder.display()
            );
        }
        fs::create_dir_all(&folder).with_context(|| format!("could not make the folder {}", folder.display()))?;
        ensure!(
            fs::read_dir(&folder)?.next().is_none(),
            "the folder {} holds files that are not ours; choose another",
            folder.display()
        );
        fs::create_dir_all(folder.join("logs"))?;
        fs::create_dir_all(folder.join("processes"))?;
        let network = Network::free().await?;
        let mut machine = Self { folder, record: Record { network, first: None } };
        machine.save()?;
        let begun = machine.begin().await;
        if let Err(error) = begun {
            return Err(match machine.destroy().await {
                Ok(()) => error,
                Err(left) => error.context(format!("and could not clean up: {left:#}")),
            });
        }
        Ok(machine)
    }

    /// The machine whose state is in that folder, if there is one.
    pub fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let folder = std::path::absolute(folder)?;
        let file = folder.join(RECORD);
        if !file.exists() {
            return Ok(None);
        }
        let record = serde_json::from_slice(&fs::read(&file)?)
            .with_context(|| format!("{} is not the record of a machine", file.display()))?;
        Ok(Some(Self { folder, record }))
    }

    /// Whether it lives.
    pub fn alive(&self) -> bool {
        self.record.first.as_ref().is_some_and(Identity::alive)
    }

    /// Its addresses.
    pub fn network(&self) -> &Network {
        &self.record.network
    }

    /// The folder with its state.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The control group that stands for the machine, below the root of each hierarchy.
    pub fn control_group(&self) -> String {
        self.record.network.interface()
    }

    /// Makes a control group below it, which is removed with it.
    pub(crate) fn make_control_group(&self, name: &str) -> anyhow::Result<()> {
        control_groups::make(&format!("{}/{name}", self.control_group()))
    }

    /// A command that runs in the machine.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        let first = self.record.first.as_ref().context("the machine has not begun")?;
        ensure!(first.alive(), "the machine in {} is dead; `aegis-e2e down` cleans up", self.folder.display());
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--target", &first.pid.to_string(), "--"]);
        command.arg(program).current_dir("/").stdin(Stdio::null()).process_group(0);
        Ok(command)
    }

    /// Runs a command in the machine to its end and returns what it wrote to stdout.
    pub async fn run<I, S>(&self, program: impl AsRef<std::ffi::OsStr>, arguments: I) -> anyhow::Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = self.command(program)?;
        command.args(arguments);
        process::output(command).await
    }

    /// Starts a process in the machine that outlives this one; its output goes to a log of that name.
    pub fn start(&self, name: &str, mut command: Command) -> anyhow::Result<Running> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log(name))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("could not start {name}"))?;
        let running = Running::new(name, child);
        fs::write(self.started(name), serde_json::to_vec(&running.door()?)?)?;
        Ok(running)
    }

    /// Ends the process that was last started under that name, by whichever program, and waits until it is gone.
    pub async fn stop(&self, name: &str) -> anyhow::Result<()> {
        let record = fs::read(self.started(name)).with_context(|| format!("{name} was never started"))?;
        let door: Identity = serde_json::from_slice(&record)?;
        let process = door.child().with_context(|| format!("could not find {name}"))?;
        process.signal(Signal::TERM);
        until(&format!("{name} ends"), || async { Ok((!process.alive()).then_some(())) }).await
    }

    /// The log of a process by its name.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Ends the machine with all that runs in it, and removes every trace of it.
    pub async fn destroy(self) -> anyhow::Result<()> {
        if let Some(first) = &self.record.first {
            first.kill();
            until("the machine's processes end", || async { Ok((!first.alive()).then_some(())) }).await?;
        }
        self.record.network.gone().await?;
        control_groups::remove(&self.control_group()).await?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("could not remove {}", self.folder.display()))
    }

    /// The record of the last process that was started under that name.
    fn started(&self, name: &str) -> PathBuf {
        self.folder.join("processes").join(format!("{name}.json"))
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        control_groups::make(&self.control_group())?;
        let own = std::env::current_exe().context("could not tell where this program stands")?;
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
            .arg(own)
            .args(["machine", "--dir"])
            .arg(&self.folder)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.log("machine"))?)
            .process_group(0)
            .spawn()
            .context("could not start unshare")?;
        let begun = self.settle(&mut unshare).await;
        if begun.is_err() {
            unshare.kill().await?;
        }
        begun
    }

    async fn settle(&mut self, unshare: &mut Child) -> anyhow::Result<()> {
        let output = unshare.stdout.take().context("the machine has no output")?;
        let line = BufReader::new(output).lines().next_line().await?;
        if line.as_deref() != Some(first::READY) {
            bail!("the machine did not begin: {}", fs::read_to_string(self.log("machine"))?.trim());
        }
        self.record.first = Some(Identity::only_child_of(unshare)?);
        self.save()?;
        self.record.network.join(self).await
    }

    fn save(&self) -> anyhow::Result<()> {
        let file = self.folder.join(RECORD);
        let new = self.folder.join(format!("{RECORD}.new"));
        fs::write(&new, serde_json::to_vec_pretty(&self.record)?)?;
        fs::rename(&new, &file).with_context(|| format!("could not write {}", file.display()))
    }
}
