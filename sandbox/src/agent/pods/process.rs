//! Executing one container's command: nobody's rights, an environment of its own, bounded output, and an end for
//! everything that it started.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command as Process};
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::workshop::Bench;
use crate::agent::argo::pod::SCRIPT_PATH;

/// How long what a container left behind may keep its output open.
const DRAIN: Duration = Duration::from_millis(500);
/// What Argo keeps of a script's output as its result.
const LONGEST_RESULT: usize = 128 * 1024;

/// What bounds an execution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The longest that it may run.
    pub(super) time: Duration,
    /// The most bytes that it may print.
    pub(super) output: usize,
    /// From the request to end to the end.
    pub(super) grace: Duration,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executed {
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// What it printed on its standard output, without the last line break.
    pub(super) result: String,
}

impl Executed {
    fn not_started(message: String) -> Self {
        Self { code: 128, reason: "StartError", message, result: String::new() }
    }
}

/// Runs `command` until it ends, is stopped or breaks a limit. `print` is called with all that it prints.
pub(super) async fn execute(
    bench: &Bench,
    command: &Command,
    environment: &[(String, String)],
    limits: Limits,
    stop: &CancellationToken,
    mut print: impl FnMut(&str),
) -> Executed {
    let mut child = match start(bench, command, environment) {
        Ok(child) => child,
        Err(why) => {
            print(&format!("{why}\n"));
            return Executed::not_started(why);
        }
    };
    let group = Group::of(&child);
    let mut out = Pipe::of(child.stdout.take());
    let mut err = Pipe::of(child.stderr.take());
    let mut result = Vec::new();
    let mut room = limits.output;
    let mut ended_for = None;
    let timeout = tokio::time::sleep(limits.time);
    let kill = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(timeout, kill);

    let status = loop {
        let (text, is_out) = tokio::select! {
            status = child.wait() => break status,
            text = out.next(), if out.open() => (text, true),
            text = err.next(), if err.open() => (text, false),
            () = stop.cancelled(), if ended_for.is_none() => {
                ended_for = Some(String::new());
                group.ask_to_end();
                kill.as_mut().reset(tokio::time::Instant::now() + limits.grace);
                continue;
            }
            () = &mut timeout, if ended_for.is_none() => {
                ended_for = Some(format!("the sandbox ends a container after {} seconds", limits.time.as_secs()));
                group.kill();
                continue;
            }
            () = &mut kill, if ended_for.is_some() => {
                group.kill();
                kill.as_mut().reset(tokio::time::Instant::now() + limits.time);
                continue;
            }
        };
        take(&text, is_out, &mut room, &mut result, &mut print);
        if room == 0 && ended_for.is_none() {
            ended_for = Some(format!("the sandbox ends a container that prints more than {} bytes", limits.output));
            group.kill();
        }
    };
    // What it left running would outlive its container nowhere else either.
    group.kill();
    let drained = async {
        while out.open() || err.open() {
            let (text, is_out) = tokio::select! {
                text = out.next(), if out.open() => (text, true),
                text = err.next(), if err.open() => (text, false),
            };
            take(&text, is_out, &mut room, &mut result, &mut print);
        }
    };
    // Something that left the process group may still hold the pipe.
    let _ = tokio::time::timeout(DRAIN, drained).await;

    let message = ended_for.unwrap_or_default();
    if !message.is_empty() {
        print(&format!("{message}\n"));
    }
    let code = status.as_ref().map_or(255, exit_code);
    let reason = if code == 0 && message.is_empty() { "Completed" } else { "Error" };
    let code = if code == 0 && !message.is_empty() { 137 } else { code };
    result.truncate(LONGEST_RESULT);
    let mut result = String::from_utf8_lossy(&result).into_owned();
    if result.ends_with('\n') {
        result.pop();
    }
    Executed { code, reason, message, result }
}

fn take(text: &str, is_out: bool, room: &mut usize, result: &mut Vec<u8>, print: &mut impl FnMut(&str)) {
    let kept = text.get(..text.floor_char_boundary(*room)).unwrap_or_default();
    *room -= kept.len();
    if kept.len() < text.len() {
        *room = 0;
    }
    if is_out && result.len() < LONGEST_RESULT {
        result.extend_from_slice(kept.as_bytes());
    }
    if !kept.is_empty() {
        print(kept);
    }
}

fn start(bench: &Bench, command: &Command, environment: &[(String, String)]) -> Result<Child, String> {
    let Some((first, rest)) = command.words.split_first() else {
        return Err(
            "the container sets no command, and the sandbox has no images that would know one; set command".to_owned()
        );
    };
    let program = bench.program(first)?;
    let mut process = Process::new(&program);
    process
        .args(rest.iter().map(|word| if word == SCRIPT_PATH { bench.script.as_os_str() } else { word.as_ref() }))
        .arg0(first)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("PATH", &bench.bin)
        .env("HOME", &bench.home)
        .env("TMPDIR", &bench.home)
        .env("KUBECONFIG", &bench.kubeconfig)
        .current_dir(&bench.home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(user) = bench.user {
        // The standard library drops all supplementary groups when it changes the user of a root process.
        process.uid(user).gid(user);
    }
    process.spawn().map_err(|error| format!("the sandbox could not start {first:?}: {error}"))
}

fn exit_code(status: &ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

/// The process group of a container; killed when it is dropped, so that nothing survives an aborted task.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Tells the first process alone, as a container runtime does.
    fn ask_to_end(&self) {
        if let Some(first) = self.0 {
            // It may have ended by itself, and then there is nobody to hear.
            let _ = kill_process(first, Signal::TERM);
        }
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            // As above.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One of a container's outputs, as text: a character that is cut by a read is completed by the next.
struct Pipe<R> {
    source: Option<R>,
    rest: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn of(source: Option<R>) -> Self {
        Self { source, rest: Vec::new() }
    }

    fn open(&self) -> bool {
        self.source.is_some()
    }

    /// The next text; what cannot be decoded is replaced. Safe to drop while it waits.
    async fn next(&mut self) -> String {
        self.rest.reserve(8 * 1024);
        let read = match &mut self.source {
            Some(source) => source.read_buf(&mut self.rest).await.unwrap_or(0),
            None => 0,
        };
        if read == 0 {
            self.source = None;
        }
        let complete = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let text: Vec<u8> = self.rest.drain(..complete).collect();
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::pods::workshop::Workshop;

    const LIMITS: Limits =
        Limits { time: Duration::from_secs(30), output: 64 * 1024, grace: Duration::from_millis(200) };

    async fn run_with(
        words: &[&str],
        source: Option<&str>,
        limits: Limits,
        stop: &CancellationToken,
    ) -> (Executed, String) {
        let workshop = Workshop::open(&[], "the sandbox's".into()).unwrap();
        let bench = workshop.bench(source).unwrap();
        let command =
            Command { words: words.iter().map(|word| (*word).to_owned()).collect(), source: source.map(str::to_owned) };
        let environment = [("GREETING", "hello"), ("PATH", "/usr/bin:/bin"), ("HOME", "/root")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut log = String::new();
        let executed = execute(&bench, &command, &environment, limits, stop, |text| log.push_str(text)).await;
        (executed, log)
    }

    async fn run(words: &[&str]) -> (Executed, String) {
        run_with(words, None, LIMITS, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_command_prints_ends_and_has_nothing_of_the_machine() {
        let (executed, log) = run(&["/bin/sh", "-c", "echo $GREETING; echo oops >&2; cat $KUBECONFIG; exit 3"]).await;
        assert_eq!((executed.code, executed.reason), (3, "Error"));
        assert_eq!(executed.result, "hello\nthe sandbox's", "the result is what it printed on its standard output");
        assert!(log.contains("oops\n"), "{log}");

        let (executed, log) = run(&["env"]).await;
        assert_eq!(executed.code, 0);
        let mut names: Vec<&str> = log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["GREETING", "HOME", "KUBECONFIG", "PATH", "TMPDIR"]);
        assert!(
            !log.contains("/usr/bin") && !log.contains("=/root"),
            "neither PATH nor HOME can be set by a pod: {log}"
        );

        let (_, log) = run(&["sh", "-c", "pwd; echo $HOME; id -u; id -G; mktemp"]).await;
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[0], lines[1]);
        assert!(lines[4].starts_with(lines[1]), "{log}");
        if rustix::process::geteuid().is_root() {
            assert_eq!(lines[2..4], ["65534", "65534"], "nobody, and no groups beside");
        }
    }

    #[tokio::test]
    async fn a_script_is_a_file_that_its_command_can_read() {
        let stop = CancellationToken::new();
        let (executed, log) =
            run_with(&["bash", SCRIPT_PATH], Some("for i in 1 2; do echo \"$i\"; done"), LIMITS, &stop).await;
        assert_eq!((executed.code, log.as_str()), (0, "1\n2\n"));
    }

    #[tokio::test]
    async fn what_cannot_start_says_why() {
        let cases: [(&[&str], &str); 3] = [
            (&["nsenter", "-t", "1"], "the sandbox has no command \"nsenter\""),
            (&["/usr/sbin/reboot"], "the sandbox has no command \"/usr/sbin/reboot\""),
            (&[], "sets no command"),
        ];
        for (words, want) in cases {
            let (executed, log) = run(words).await;
            assert_eq!((executed.code, executed.reason), (128, "StartError"));
            assert!(log.contains(want) && executed.message.contains(want), "{log}");
        }
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let stop = CancellationToken::new();
        let short = Limits { time: Duration::from_millis(100), ..LIMITS };
        let (executed, log) = run_with(&["sleep", "60"], None, short, &stop).await;
        assert_eq!(executed.code, 137);
        assert!(log.contains("ends a container after"), "{log}");

        let (executed, log) = run(&["sh", "-c", "while :; do echo chatter; done"]).await;
        assert_eq!(executed.code, 137);
        assert!(log.len() < LIMITS.output + 200 && log.contains("prints more than"), "{}", log.len());
    }

    /// Runs a shell script that is stopped as soon as it prints "ready".
    async fn stopped_when_ready(script: &str) -> (i32, String) {
        let workshop = Workshop::open(&[], String::new()).unwrap();
        let bench = workshop.bench(None).unwrap();
        let command = Command { words: ["sh", "-c", script].map(str::to_owned).to_vec(), source: None };
        let (stop, mut log) = (CancellationToken::new(), String::new());
        let executed = execute(&bench, &command, &[], LIMITS, &stop, |text| {
            log.push_str(text);
            if log.contains("ready") {
                stop.cancel();
            }
        });
        (executed.await.code, log)
    }

    #[tokio::test]
    async fn a_stopped_container_may_clean_up_and_then_ends() {
        let polite =
            stopped_when_ready("trap 'echo cleaning; exit 7' TERM; echo ready; while :; do sleep 0.05; done").await;
        assert_eq!(polite, (7, "ready\ncleaning\n".to_owned()));
        let deaf = stopped_when_ready("trap '' TERM; echo ready; while :; do sleep 0.05; done").await;
        assert_eq!(deaf, (137, "ready\n".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_container_leaves_behind_is_ended_with_it() {
        let (executed, log) = run(&["sh", "-c", "sleep 600 & echo $!"]).await;
        assert_eq!(executed.code, 0);
        let stat = format!("/proc/{}/stat", log.trim());
        // Dead is also who waits to be collected.
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let ended = async {
            while lives() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    }

    #[tokio::test]
    async fn a_character_cut_in_two_arrives_whole() {
        let (_, log) = run(&["sh", "-c", "printf '\\303'; sleep 0.1; printf '\\251\\377'"]).await;
        assert_eq!(log, "é\u{fffd}");
    }
}
