//! Processes: which one a number means, and how one that was started is signalled, waited for and told apart.

use std::fs;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::wait::until;

/// A process by number and start, since numbers are used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// In clock ticks since the real machine began, as /proc tells.
    started: u64,
}

impl Identity {
    /// A process that lives now.
    pub(super) fn of(pid: i32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started = started(&stat).with_context(|| format!("/proc/{pid}/stat reads {stat:?}"))?;
        Ok(Self { pid, started })
    }

    /// The one process that a child has started.
    pub(super) fn only_child_of(child: &Child) -> anyhow::Result<Self> {
        Self::only_child(child.id().context("the process has ended already")?)
    }

    /// The one process that this one has started.
    pub(super) fn child(&self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.alive(), "process {} has ended already", self.pid);
        Self::only_child(u32::try_from(self.pid)?)
    }

    fn only_child(parent: u32) -> anyhow::Result<Self> {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let mut children = children.split_whitespace();
        match (children.next(), children.next()) {
            (Some(only), None) => Self::of(only.parse()?),
            (None, _) => bail!("process {parent} has started nothing"),
            (Some(_), Some(_)) => bail!("process {parent} has started more than one process"),
        }
    }

    /// Whether it lives still. One that waits to be collected does not count as ended: others may still be dying with it.
    pub(super) fn alive(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.alive()) {
            // It may end at this moment, which is as good.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The start time in a line of /proc/PID/stat. The name in it may hold spaces and parentheses.
fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// A process in the machine that this program has started. Dropping it lets it go on, unless it is [`Running::bound`].
#[derive(Debug)]
pub struct Running {
    name: String,
    /// The nsenter that has started it, and ends with it.
    door: Child,
    bound: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.bound && matches!(self.door.try_wait(), Ok(None)) {
            // It may end at this moment, which is as good.
            let _ = self.signal(Signal::KILL);
        }
    }
}

impl Running {
    pub(super) fn new(name: &str, door: Child) -> Self {
        Self { name: name.to_owned(), door, bound: false }
    }

    /// The nsenter that has started it.
    pub(super) fn door(&self) -> anyhow::Result<Identity> {
        let pid = self.door.id().with_context(|| format!("{} has ended already", self.name))?;
        Identity::of(i32::try_from(pid)?)
    }

    /// Binds its life to this value: dropping it kills the process.
    #[must_use]
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Its number, as the real machine knows it.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let identity = Identity::only_child_of(&self.door).with_context(|| format!("could not find {}", self.name))?;
        Ok(identity.pid.cast_unsigned())
    }

    /// Fails if it has ended.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        match self.door.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended: {status}", self.name),
        }
    }

    /// Waits until that address is answered with success; fails at once if the process ends instead.
    pub async fn until_answers(&mut self, url: &str) -> anyhow::Result<()> {
        let name = self.name.clone();
        until(&format!("{name} answers at {url}"), || {
            let ended = self.must_run();
            async move {
                if let Err(error) = ended {
                    return Ok(Some(Err(error)));
                }
                reqwest::get(url).await?.error_for_status()?;
                Ok(Some(Ok(())))
            }
        })
        .await?
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::TERM).await
    }

    /// Kills it, without a chance to tidy up, and waits until it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Signal::KILL).await
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.door.try_wait()?.is_none() {
            self.signal(signal)?;
        }
        self.door.wait().await?;
        Ok(())
    }

    /// Halts it where it is, until [`Running::resume`].
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let identity = Identity::only_child_of(&self.door).with_context(|| format!("could not find {}", self.name))?;
        identity.signal(signal);
        if signal != Signal::STOP {
            // nsenter halts with what it has started, and would not see its end.
            self.door()?.signal(Signal::CONT);
        }
        Ok(())
    }
}

/// Runs a command to its end and returns what it wrote to stdout; a failure tells what it wrote to stderr.
pub(crate) async fn output(mut command: Command) -> anyhow::Result<String> {
    let told = format!("{:?}", command.as_std());
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("could not start {told}"))?;
    if !output.status.success() {
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{told} failed ({}): {}{}", output.status, error.trim(), out.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_whatever_the_process_is_called() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for name in ["etcd", "a b", "a) R 1 (b"] {
            assert_eq!(started(&format!("42 ({name}) {rest}")), Some(4711), "{name}");
        }
        assert_eq!(started("42 (etcd) S 1"), None, "too short");
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let own = Identity::of(std::process::id().cast_signed()).unwrap();
        assert!(own.alive());
        assert!(!Identity { started: own.started + 1, ..own }.alive());
    }

    #[tokio::test]
    async fn a_failing_command_tells_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo some; echo trouble >&2; exit 3"]);
        let error = output(command).await.unwrap_err().to_string();
        assert!(error.contains("trouble") && error.contains('3'), "{error}");
    }
}
