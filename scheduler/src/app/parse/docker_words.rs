//! The oldest container form: `"options"`, the words of a `docker run` command line.

use std::collections::BTreeMap;

use super::container::LegacyNetwork;
use crate::app::volumes::{Mode, Volume, VolumeSource};

/// What the words mean for an app.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DockerWords {
    pub volumes: Vec<Volume>,
    pub env: BTreeMap<String, String>,
    pub network: Option<LegacyNetwork>,
    /// Everything else, passed on as `--key=value`.
    pub parameters: Vec<(String, String)>,
}

/// Short options that take a value, with their long names.
const SHORT: &[(&str, &str)] = &[
    ("-v", "volume"),
    ("-e", "env"),
    ("-p", "publish"),
    ("-h", "hostname"),
    ("-u", "user"),
    ("-w", "workdir"),
    ("-m", "memory"),
    ("-c", "cpu-shares"),
    ("-l", "label"),
];

pub(super) fn parse(words: &[String]) -> DockerWords {
    let mut meaning = DockerWords::default();
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(word) = rest.next() {
        let short = SHORT
            .iter()
            .find(|(short, _)| *short == word)
            .map(|(_, long)| *long);
        let long = short.or_else(|| word.strip_prefix("--"));
        let (key, value) = match long.map(|l| l.split_once('=').ok_or(l)) {
            Some(Ok((key, value))) => (key, value),
            // The value is the next word, unless that is an option itself: then this is a switch.
            Some(Err(key)) => (
                key,
                rest.next_if(|next| !next.starts_with('-'))
                    .unwrap_or("true"),
            ),
            None => (word.trim_start_matches('-'), "true"),
        };
        meaning.take(key, value);
    }
    meaning
}

impl DockerWords {
    fn take(&mut self, key: &str, value: &str) {
        match (key, value) {
            ("volume", value) => match volume(value) {
                Some(volume) => self.volumes.push(volume),
                None => self.pass(key, value),
            },
            ("env", value) => match value.split_once('=') {
                Some((name, value)) => {
                    self.env.insert(name.to_owned(), value.to_owned());
                }
                None => self.pass(key, value),
            },
            ("net" | "network", "host") => self.network = Some(LegacyNetwork::Host),
            ("net" | "network", "bridge") => self.network = Some(LegacyNetwork::Bridge),
            (key, value) => self.pass(key, value),
        }
    }

    fn pass(&mut self, key: &str, value: &str) {
        self.parameters.push((key.to_owned(), value.to_owned()));
    }
}

fn volume(text: &str) -> Option<Volume> {
    let mut parts = text.split(':');
    let (host_path, container_path) = (parts.next()?, parts.next()?);
    let mode = match parts.next() {
        Some(mode) if mode.eq_ignore_ascii_case("ro") => Mode::ReadOnly,
        _ => Mode::ReadWrite,
    };
    Some(Volume {
        container_path: container_path.to_owned(),
        mode,
        source: VolumeSource::Host {
            host_path: host_path.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_run_words_become_parts_of_the_app() {
        let words = [
            "-v",
            "/mnt:/mnt:rw",
            "-e",
            "CLUSTER_NAME=prod",
            "--net=host",
            "--volume=/a:/b:ro",
            "--privileged",
            "-h",
            "db",
            "--link",
            "a:b",
            "-d",
        ];
        let meaning = parse(&words.map(str::to_owned));
        let host = |from: &str, to: &str, mode| Volume {
            container_path: to.to_owned(),
            mode,
            source: VolumeSource::Host {
                host_path: from.to_owned(),
            },
        };
        assert_eq!(
            meaning.volumes,
            [
                host("/mnt", "/mnt", Mode::ReadWrite),
                host("/a", "/b", Mode::ReadOnly)
            ]
        );
        assert_eq!(meaning.env["CLUSTER_NAME"], "prod");
        assert_eq!(meaning.network, Some(LegacyNetwork::Host));
        let parameters: Vec<_> = meaning
            .parameters
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            parameters,
            [
                ("privileged", "true"),
                ("hostname", "db"),
                ("link", "a:b"),
                ("d", "true")
            ]
        );
    }
}
