//! What the programs of a script do with their arguments and their input: tables, and nothing but tables.

/// What a program is to the text that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::render) enum Program {
    /// A shell or an interpreter: it runs the file it is given, its input, or the text behind `-c` or `-e`.
    Interpreter,
    /// It reads its arguments as code or hands them to a program that does.
    Reader,
    /// It starts the program that stands behind its own options and operands.
    Wrapper,
    /// It prints or passes on what it is given and runs none of it.
    Printer,
    Other,
}

impl Program {
    /// Looks a program up by its name without folder and version.
    pub(in crate::render) fn of(name: &str) -> Program {
        if is_shell(name) || is_ksh_like(name) || language_of(name).is_some() {
            Program::Interpreter
        } else if READERS.contains(&name) {
            Program::Reader
        } else if WRAPPERS.iter().any(|(wrapper, ..)| *wrapper == name) {
            Program::Wrapper
        } else if PRINTERS.contains(&name) {
            Program::Printer
        } else {
            Program::Other
        }
    }
}

/// The shells whose grammar the scanner knows.
pub(in crate::render) fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "ash")
}

/// Shells whose grammar it does not know.
pub(in crate::render) fn is_ksh_like(name: &str) -> bool {
    matches!(
        name,
        "zsh"
            | "ksh"
            | "ksh93"
            | "mksh"
            | "pdksh"
            | "lksh"
            | "oksh"
            | "yash"
            | "posh"
            | "rbash"
            | "fish"
            | "csh"
            | "tcsh"
            | "hush"
            | "elvish"
            | "nu"
            | "xonsh"
            | "osh"
            | "ysh"
    )
}

/// The language an interpreter reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::render) enum Language {
    Python,
    JavaScript,
    Perl,
    Ruby,
    Php,
    Lua,
    /// The expressions of Argo: strings, names and operators.
    Expression,
    /// One whose string literals we do not know.
    Other,
}

/// The language that an interpreter of this name reads.
pub(in crate::render) fn language_of(name: &str) -> Option<Language> {
    Some(match name {
        "python" | "pypy" | "ipython" => Language::Python,
        "node" | "nodejs" | "deno" | "bun" | "qjs" => Language::JavaScript,
        "perl" => Language::Perl,
        "ruby" | "irb" => Language::Ruby,
        "php" => Language::Php,
        "lua" | "luajit" => Language::Lua,
        "pwsh" | "powershell" | "Rscript" | "R" | "julia" | "tclsh" | "wish" | "expect" | "groovy" | "scala"
        | "jshell" | "elixir" | "erl" | "escript" | "guile" | "sbcl" | "clojure" | "ts-node" | "tsx" | "raku" => {
            Language::Other
        }
        _ => return None,
    })
}

/// Read their arguments, or a part of them, as code, or hand them to a shell here or on another machine.
const READERS: &[&str] = &[
    "eval",
    "ssh",
    "slogin",
    "dbclient",
    "sshpass",
    "su",
    "runuser",
    "sg",
    "newgrp",
    "xargs",
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "sed",
    "gsed",
    "ed",
    "ex",
    "vi",
    "vim",
    "emacs",
    "jq",
    "gojq",
    "jaq",
    "yq",
    "xmlstarlet",
    "bc",
    "dc",
    "m4",
    "make",
    "gmake",
    "cmake",
    "watch",
    "parallel",
    "at",
    "batch",
    "crontab",
    "script",
    "screen",
    "tmux",
    "systemd-run",
    "psql",
    "mysql",
    "mariadb",
    "sqlite",
    "sqlite3",
    "mongo",
    "mongosh",
    "redis-cli",
    "clickhouse-client",
    "cqlsh",
    "influx",
    "gdb",
    "lldb",
    "bpftrace",
    "stap",
    "ansible",
    "ansible-playbook",
    "salt",
    "pdsh",
    "pssh",
    "parallel-ssh",
    "clush",
    "dsh",
    "scp",
    "sftp",
    "rsync",
    "rclone",
    "lftp",
    "telnet",
    "nc",
    "ncat",
    "socat",
    "alias",
    "trap",
    "complete",
    "compgen",
    "bind",
    "fc",
    "enable",
    "start-stop-daemon",
    "daemonize",
    "supervisorctl",
    "osascript",
    "envsubst",
    "gomplate",
    "terraform",
    "starlark",
    "cue",
    "jsonnet",
    "opa",
    "wmic",
    "winrs",
    "plink",
    "mpirun",
    "mpiexec",
    "srun",
    "sbatch",
    "qsub",
    "bsub",
];

/// Readers whose name is no ordinary word, so that it tells something even in the middle of a command.
const TELLING: &[&str] = &[
    "eval",
    "ssh",
    "xargs",
    "awk",
    "gawk",
    "mawk",
    "sed",
    "jq",
    "yq",
    "psql",
    "mysql",
    "sqlite3",
    "parallel",
    "systemd-run",
    "runuser",
    "crontab",
    "ansible",
    "pdsh",
    "bpftrace",
    "gdb",
];

/// Whether a word in the middle of a command tells of a second reader: `kubectl exec pod -- sh -c ...`.
pub(super) fn tells_of_reader(name: &str) -> bool {
    is_shell(name)
        || is_ksh_like(name) && name != "nu"
        || matches!(name, "python" | "perl" | "ruby" | "nodejs" | "php" | "lua" | "pwsh" | "powershell" | "tclsh")
        || TELLING.contains(&name)
}

/// Name, operands before the program, options that take the next word.
const WRAPPERS: &[(&str, usize, &[&str])] = &[
    ("env", 0, &["-u", "--unset", "-C", "--chdir", "-a", "--argv0"]),
    ("exec", 0, &["-a"]),
    ("command", 0, &[]),
    ("builtin", 0, &[]),
    ("nohup", 0, &[]),
    ("setsid", 0, &[]),
    ("time", 0, &["-o", "-f", "--output", "--format"]),
    ("timeout", 1, &["-s", "--signal", "-k", "--kill-after"]),
    ("nice", 0, &["-n", "--adjustment"]),
    ("ionice", 0, &["-c", "--class", "-n", "--classdata", "-p", "-P", "-u"]),
    ("chrt", 1, &["-T", "-P", "-D"]),
    ("taskset", 1, &[]),
    ("numactl", 0, &["-N", "-m", "-C", "-i", "-p"]),
    ("stdbuf", 0, &["-i", "-o", "-e", "--input", "--output", "--error"]),
    (
        "sudo",
        0,
        &["-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-C", "-T", "-r", "-t", "-U", "-D", "-R"],
    ),
    ("doas", 0, &["-u", "-C"]),
    ("gosu", 1, &[]),
    ("su-exec", 1, &[]),
    ("setpriv", 0, &["--reuid", "--regid", "--groups", "--inh-caps", "--ambient-caps", "--bounding-set"]),
    ("setuidgid", 1, &[]),
    ("chroot", 1, &["--userspec", "--groups"]),
    ("nsenter", 0, &["-t", "--target", "-S", "--setuid", "-G", "--setgid", "-N"]),
    ("unshare", 0, &["-R", "--root", "-w", "--wd", "-S", "--setuid", "-G", "--setgid"]),
    ("flock", 1, &["-w", "--wait", "--timeout", "-E", "--conflict-exit-code"]),
    ("tini", 0, &["-p", "-e"]),
    ("dumb-init", 0, &["-r", "--rewrite"]),
    ("catatonit", 0, &[]),
    ("busybox", 0, &[]),
    ("toybox", 0, &[]),
    ("strace", 0, &["-e", "-o", "-p", "-s", "-u"]),
    ("ltrace", 0, &["-e", "-o", "-p"]),
    ("unbuffer", 0, &[]),
    ("faketime", 1, &[]),
    ("proot", 0, &["-r", "-b", "-w"]),
    ("bwrap", 0, &[]),
    ("firejail", 0, &[]),
    ("capsh", 0, &[]),
];

/// How many operands stand before a wrapper's program, and which of its options take the next word.
pub(in crate::render) fn wrapper_operands(name: &str) -> Option<(usize, &'static [&'static str])> {
    WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name).map(|(_, operands, options)| (*operands, *options))
}

/// Print their operands, or pass their input on as data.
const PRINTERS: &[&str] = &[
    "echo",
    "printf",
    "logger",
    "true",
    ":",
    "cat",
    "tee",
    "wc",
    "head",
    "tail",
    "sort",
    "uniq",
    "tr",
    "cut",
    "base64",
    "base32",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "cksum",
    "grep",
    "egrep",
    "fgrep",
    "fold",
    "fmt",
    "nl",
    "rev",
    "tac",
    "od",
    "xxd",
    "hexdump",
    "column",
    "paste",
    "cmp",
    "diff",
    "comm",
    "wall",
    "read",
    "mapfile",
    "readarray",
    "ts",
    "sponge",
    "pr",
    "expand",
];

/// Whether a program does no more with its standard input than to pass it on, count it or search it.
pub(super) fn carries_input(name: &str) -> bool {
    PRINTERS.contains(&name)
}

/// Programs that make other text of their input, in which a safe word may hide anything.
pub(super) fn recodes(name: &str) -> bool {
    matches!(
        name,
        "base64" | "base32" | "xxd" | "openssl" | "gzip" | "gunzip" | "zcat" | "rev" | "tr" | "uudecode" | "od"
    )
}

/// Programs whose operands are names of files.
pub(super) fn takes_files(name: &str) -> bool {
    matches!(
        name,
        "rm" | "cat"
            | "cp"
            | "mv"
            | "mkdir"
            | "rmdir"
            | "touch"
            | "tail"
            | "head"
            | "ls"
            | "chmod"
            | "chown"
            | "chgrp"
            | "tar"
            | "ln"
            | "dd"
            | "tee"
            | "install"
            | "unlink"
            | "stat"
            | "cd"
            | "pushd"
            | "find"
            | "du"
            | "less"
            | "more"
            | "truncate"
            | "shred"
            | "mount"
            | "umount"
            | "readlink"
            | "realpath"
            | "mktemp"
            | "gzip"
            | "gunzip"
            | "zip"
            | "unzip"
            | "wc"
            | "source"
            | "."
    )
}

/// The name of a program without its folder and without a version (`/usr/bin/python3.11` is `python`).
pub(in crate::render) fn base_name(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    if bare != name && language_of(bare).is_some() { bare } else { name }
}

/// Whether a variable of this name decides which program runs, or is read as code by a shell, a loader or an
/// interpreter.
pub(in crate::render) fn decides_what_runs(variable: &str) -> bool {
    matches!(
        variable,
        "PATH"
            | "IFS"
            | "ENV"
            | "BASH_ENV"
            | "SHELL"
            | "SHELLOPTS"
            | "BASHOPTS"
            | "PROMPT_COMMAND"
            | "PS0"
            | "PS1"
            | "PS2"
            | "PS3"
            | "PS4"
            | "CDPATH"
            | "FPATH"
            | "ZDOTDIR"
            | "EDITOR"
            | "VISUAL"
            | "PAGER"
            | "MANPAGER"
            | "BROWSER"
            | "LESSOPEN"
            | "LESSCLOSE"
            | "KUBECTL_EXTERNAL_DIFF"
            | "KUBE_EDITOR"
            | "KUBECONFIG"
            | "NODE_OPTIONS"
            | "NODE_PATH"
            | "RUBYOPT"
            | "RUBYLIB"
            | "JAVA_TOOL_OPTIONS"
            | "_JAVA_OPTIONS"
            | "JDK_JAVA_OPTIONS"
            | "PHPRC"
            | "PHP_INI_SCAN_DIR"
            | "MAKEFLAGS"
            | "TAR_OPTIONS"
            | "RSYNC_RSH"
            | "CVS_RSH"
            | "LUA_INIT"
            | "DOCKER_HOST"
            | "HOME"
            | "GCONV_PATH"
            | "LOCPATH"
            | "OPENSSL_CONF"
    ) || ["LD_", "DYLD_", "GLIBC_", "BASH_FUNC_", "PYTHON", "PERL5", "PERLLIB", "GIT_", "LUA_", "XDG_CONFIG"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}
