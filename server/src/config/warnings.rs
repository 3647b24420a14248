//! What a person who starts a server may not have meant. It starts all the same.

use super::{Config, Endpoint, size};

impl Config {
    /// A sentence about each thing that may be a mistake, where the system has so much memory for this process, if that is
    /// known, and descriptors for so many clients.
    pub(crate) fn warnings(&self, memory_usable: Option<usize>, clients_possible: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        for listen in &self.listen {
            if let Endpoint::Tcp(address) = listen.endpoint
                && !address.ip().is_loopback()
            {
                warnings.push(format!(
                    "--listen {listen}: there is no password and no TLS, so whoever can reach this address can read, change and \
                     flush everything"
                ));
            }
        }
        let wanted = self.memory_bytes.saturating_add(self.client_memory_bytes);
        if let Some(usable) = memory_usable.filter(|usable| wanted > *usable) {
            warnings.push(format!(
                "--memory {} and --client-memory {} are more than the {} that this process may use: it may be killed when they \
                 are filled",
                size::Human(self.memory_bytes),
                size::Human(self.client_memory_bytes),
                size::Human(usable)
            ));
        }
        if clients_possible < self.connections_max {
            warnings.push(format!(
                "--max-connections {}: the limit on open files allows {clients_possible} (`ulimit -n`)",
                self.connections_max
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_mistake_is_told() {
        let listening = |addresses: &[&str]| Config {
            listen: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            ..Config::default()
        };
        assert_eq!(Config::default().warnings(Some(1 << 30), 10_000), <[String; 0]>::default());
        assert_eq!(Config::default().warnings(None, usize::MAX), <[String; 0]>::default());
        let local =
            listening(&["127.0.0.1:1", "[::1]:1", "resp://localhost:1", "unix:///run/crabcache.sock"]);
        assert_eq!(local.warnings(None, usize::MAX), <[String; 0]>::default());
        let open = listening(&["127.0.0.1:1", "resp://:6379", "memcache://[::]:11211", "192.168.0.1:7001"]);
        let warnings = open.warnings(None, usize::MAX);
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].starts_with("--listen resp://0.0.0.0:6379: there is no password"));
        let large = Config::default().warnings(Some(512 << 20), usize::MAX);
        assert!(
            large.len() == 1
                && large[0]
                    .starts_with("--memory 512 MiB and --client-memory 16 MiB are more than the 512 MiB")
        );
        assert_eq!(
            Config::default().warnings(None, 960),
            ["--max-connections 10000: the limit on open files allows 960 (`ulimit -n`)"]
        );
    }
}
