//! The parts of an image for procedures: a small shell with its tools, and this program as its kubectl.

use std::path::Path;

use super::{Entry, Error, Layer};

/// Where programs are looked for in such an image.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What busybox answers to there.
const APPLETS: &str = "\
    [ [[ arch ash awk base64 basename bc blkdiscard blockdev bunzip2 bzcat bzip2 cat chgrp chmod chown chroot clear \
    cmp cp cpio crc32 cut date dc dd df dirname dmesg dos2unix du echo egrep env expand expr factor fallocate false \
    fgrep find fold free fsfreeze getopt grep groups gunzip gzip head hexdump hostname id ionice ip kill killall \
    last less ln logger logname losetup ls lsmod lsscsi md5sum mkdir mkfifo mknod mktemp modprobe more mount mv nc \
    netstat nl nproc nsenter nslookup od paste patch pidof ping printf ps pwd readlink realpath reboot renice reset \
    rev rm rmdir route sed seq setsid sh sha1sum sha256sum sha512sum shred shuf sleep sort stat strings stty swapoff \
    swapon sync sysctl tac tail tar taskset tee telnet test time timeout top touch tr traceroute true truncate tty \
    umount uname unexpand uniq unlink unxz unzip uptime usleep vi watch wc wget which who whoami xargs xxd xz xzcat \
    yes zcat";

/// Procedures name bash by habit; what they write is nearly always what every shell understands.
const BASH: &str =
    "#!/bin/sh\n# The shell of this image is busybox's, under the name that scripts ask for.\nexec /bin/sh \"$@\"\n";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\nnonroot:x:65532:65532:nonroot:/home/nonroot:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n";

impl Layer {
    /// A shell with the usual tools around a static busybox: /bin/sh, /bin/bash, /etc/passwd, /tmp and homes.
    ///
    /// # Errors
    /// None that its own paths could cause; the file is read when the image is written.
    pub fn of_shell(busybox: &Path) -> Result<Self, Error> {
        let links = APPLETS.split_whitespace().map(|name| Entry::symlink(format!("bin/{name}"), "busybox"));
        Self::of(links.chain(accounts()).chain([
            Entry::file("bin/busybox", 0o755, busybox),
            Entry::bytes("bin/bash", 0o755, BASH),
            // Where the first line of many scripts looks for it.
            Entry::symlink("usr/bin/env", "../../bin/busybox"),
        ]))
    }

    /// This program under the name kubectl, at /usr/local/bin.
    ///
    /// # Errors
    /// As for [`Layer::of_shell`].
    pub fn of_kubectl(program: &Path) -> Result<Self, Error> {
        Self::of([Entry::file("usr/local/bin/kubectl", 0o755, program)])
    }
}

/// What programs look for to tell who they are and where to write.
fn accounts() -> [Entry; 5] {
    [
        Entry::bytes("etc/passwd", 0o644, PASSWD),
        Entry::bytes("etc/group", 0o644, GROUP),
        Entry::folder("root", 0o700),
        Entry::folder("home/nonroot", 0o777),
        Entry::folder("tmp", 0o1777),
    ]
}
