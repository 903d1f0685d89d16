//! The machine's addresses and the one link between it and the real machine.
//!
//! They come from 198.18.0.0/15, which is set aside for tests and used by nobody's network. It is divided into 128 blocks
//! of 1024 addresses, of which each machine takes a free one, so that several can live side by side.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::{Machine, process};
use crate::wait::until;

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    block: u8,
}

impl Network {
    /// A block that no interface and no route of this machine uses.
    pub(super) async fn free() -> anyhow::Result<Self> {
        let mut used = ip(&["-4", "-o", "addr", "show"]).await?;
        used.push_str(&ip(&["-4", "route", "show", "table", "all"]).await?);
        first_free(&used).context("all of 198.18.0.0/15 is in use on this machine")
    }

    /// The address of the real machine, as the machine sees it.
    pub fn outside(self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The machine's own address.
    pub fn node(self) -> Ipv4Addr {
        self.address(0, 2)
    }

    /// The addresses of Services.
    pub fn services(self) -> String {
        format!("{}/24", self.address(1, 0))
    }

    /// The address of the API server's Service, always the first.
    pub fn api_service(self) -> Ipv4Addr {
        self.address(1, 1)
    }

    /// The addresses of pods.
    pub fn pods(self) -> String {
        format!("{}/23", self.address(2, 0))
    }

    /// The real machine's end of the link.
    pub fn interface(self) -> String {
        format!("aegis-e2e{}", self.block)
    }

    fn address(self, third: u8, fourth: u8) -> Ipv4Addr {
        let (second, rest) = (18 + self.block / 64, self.block % 64);
        Ipv4Addr::new(198, second, rest * 4 + third, fourth)
    }

    /// Makes the link. Both ends vanish with the machine, and with them the routes.
    pub(super) async fn join(self, machine: &Machine) -> anyhow::Result<()> {
        let interface = self.interface();
        let first = machine.record.first.as_ref().context("the machine has not begun")?.pid.to_string();
        let (outside, node) = (format!("{}/30", self.outside()), format!("{}/30", self.node()));
        ip(&["link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &first]).await?;
        ip(&["addr", "add", &outside, "dev", &interface]).await?;
        ip(&["link", "set", &interface, "up"]).await?;
        let services = self.services();
        let inside: [&[&str]; 4] = [
            &["link", "set", "lo", "up"],
            &["addr", "add", &node, "dev", "eth0"],
            &["link", "set", "eth0", "up"],
            // A Service's address leads nowhere, and must be routed all the same before kube-proxy can translate it.
            &["route", "add", &services, "dev", "eth0"],
        ];
        for arguments in inside {
            machine.run("ip", arguments).await?;
        }
        for addresses in [self.services(), self.pods()] {
            ip(&["route", "add", &addresses, "via", &self.node().to_string()]).await?;
        }
        Ok(())
    }

    /// Waits until the link is gone, which the kernel sees to some time after the last process.
    pub(super) async fn gone(self) -> anyhow::Result<()> {
        let link = Path::new("/sys/class/net").join(self.interface());
        until("the machine's link goes", || async { Ok((!link.exists()).then_some(())) }).await
    }
}

fn first_free(used: &str) -> Option<Network> {
    let taken: Vec<Ipv4Addr> =
        used.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(|word| word.parse().ok()).collect();
    (0..128).map(|block| Network { block }).find(|network| {
        let (first, last) = (network.address(0, 0), network.address(3, 255));
        !taken.iter().any(|address| (first..=last).contains(address))
    })
}

async fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    process::output(command).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_anything_uses_is_passed_over() {
        let cases = [
            ("default via 192.0.2.1 dev eth0", 0, "nothing of the range is in use"),
            ("2: aegis-e2e0 inet 198.18.0.1/30 brd 198.18.0.3 scope global", 1, "the first block is taken"),
            ("198.18.6.0/23 via 198.18.4.2 dev x", 0, "a later block is taken"),
            ("198.18.0.0/30 dev a\n198.18.5.0/24 via 198.18.4.2", 2, "two are taken"),
        ];
        for (used, block, why) in cases {
            assert_eq!(first_free(used), Some(Network { block }), "{why}");
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_stay_in_the_range() {
        let (first, last) = (Network { block: 63 }, Network { block: 127 });
        assert_eq!(first.pods(), "198.18.254.0/23");
        assert_eq!(Network { block: 64 }.node(), Ipv4Addr::new(198, 19, 0, 2));
        assert_eq!(last.services(), "198.19.253.0/24");
    }
}
