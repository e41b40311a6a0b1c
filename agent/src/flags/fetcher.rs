//! The flags of the fetcher.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use fetcher::{Policy, S3, S3Credentials, Settings};
use proto::redact::redacted;
use proto::sizes::{format_size, parse_size};
use proto::units::{format_duration, parse_duration};

#[derive(Debug, Clone, clap::Args)]
pub struct FetcherFlags {
    /// What tasks ask to be cached, of each user apart; of one agent only. "fetch" in --work_dir when this is
    /// not set.
    #[arg(long = "fetcher_cache_dir", env = "MESOS_FETCHER_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,

    /// The most that the cache takes; 0B is none.
    #[arg(
        long = "fetcher_cache_size", env = "MESOS_FETCHER_CACHE_SIZE",
        default_value = "2GB", value_parser = parse_size
    )]
    pub cache_size: u64,

    /// How long a server may send nothing before the download counts as broken off.
    #[arg(
        long = "fetcher_stall_timeout", env = "MESOS_FETCHER_STALL_TIMEOUT",
        default_value = "1mins", value_parser = parse_duration
    )]
    pub stall_timeout: Duration,

    /// Schemes that tasks may fetch by, separated by commas; a path of the agent's host is "file". All when
    /// this is not set.
    #[arg(long = "fetcher_allowed_schemes", value_delimiter = ',')]
    pub allowed_schemes: Vec<String>,

    /// Hosts that tasks may fetch from, separated by commas, redirects included; *.example.com means all below
    /// example.com. All when this is not set.
    #[arg(long = "fetcher_allowed_hosts", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,

    /// Let tasks fetch from link-local addresses and the metadata services of clouds, which give away the
    /// credentials of the node. Where a proxy asks for us (http_proxy, https_proxy, all_proxy and no_proxy in the
    /// agent's environment), it resolves names: only addresses in URIs are judged here.
    #[arg(
        long = "fetcher_allow_link_local",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub allow_link_local: bool,

    /// Give tasks that are not root the programs that the cache has (URIs with "cache" and "executable", of 1 MiB
    /// and more) as hard links that they cannot write to; else as copies of their own.
    #[arg(
        long = "fetcher_hard_links",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = ArgAction::Set
    )]
    pub hard_links: bool,

    /// A PEM file of certificate authorities that servers may be signed by, beside the usual ones.
    #[arg(long = "fetcher_ca_file")]
    pub ca_file: Option<PathBuf>,

    /// A file as ~/.netrc: as whom tasks fetch from which host by http, https, ftp and ftps, where a URI does not
    /// say it.
    #[arg(long = "fetcher_netrc_file")]
    pub netrc_file: Option<PathBuf>,

    /// Name nodes of HDFS that stand in for each other, by the name that URIs have for them together, as in
    /// ours=nn1:9870+nn2:9870. Several such services are separated by commas.
    #[arg(long = "fetcher_hdfs_name_nodes", value_delimiter = ',', value_parser = name_service)]
    pub name_nodes: Vec<(String, Vec<String>)>,

    /// How long all that a task fetches may take; 0ns is as long as its launch may.
    #[arg(
        long = "fetcher_timeout", default_value = "0ns", value_parser = parse_duration
    )]
    pub timeout: Duration,

    /// URL of the store that s3 means, if it is not Amazon's; https://{bucket}.store.example where each bucket
    /// has a host of its own. Who asks is told by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
    /// in the agent's environment; else by --fetcher_s3_credentials_file; else nobody in particular asks.
    #[arg(long = "fetcher_s3_endpoint", env = "AWS_ENDPOINT_URL_S3")]
    pub s3_endpoint: Option<String>,

    /// Region of the buckets.
    #[arg(
        long = "fetcher_s3_region",
        env = "AWS_REGION",
        default_value = "us-east-1"
    )]
    pub s3_region: String,

    /// A file as ~/.aws/credentials, which is read for each fetch: its keys may change at any time.
    #[arg(
        long = "fetcher_s3_credentials_file",
        env = "AWS_SHARED_CREDENTIALS_FILE"
    )]
    pub s3_credentials_file: Option<PathBuf>,

    /// Profile in that file.
    #[arg(
        long = "fetcher_s3_profile",
        env = "AWS_PROFILE",
        default_value = "default"
    )]
    pub s3_profile: String,
}

impl FetcherFlags {
    pub fn settings(&self) -> Settings {
        let lower = |words: &[String]| words.iter().map(|word| word.to_ascii_lowercase()).collect();
        Settings {
            policy: Policy {
                schemes: lower(&self.allowed_schemes),
                hosts: lower(&self.allowed_hosts),
                link_local: self.allow_link_local,
            },
            stall_timeout: self.stall_timeout,
            ca_file: self.ca_file.clone(),
            s3: S3 {
                endpoint: self.s3_endpoint.clone(),
                region: Some(self.s3_region.clone()),
                credentials: credentials(|name| std::env::var(name).ok()),
            },
            s3_credentials_file: self.s3_credentials_file.clone(),
            s3_profile: self.s3_profile.clone(),
            netrc_file: self.netrc_file.clone(),
            name_services: self.name_nodes.iter().cloned().collect(),
            time_limit: Some(self.timeout).filter(|limit| !limit.is_zero()),
        }
    }

    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        let list = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
        let service = |(name, nodes): &(String, Vec<String>)| format!("{name}={}", nodes.join("+"));
        let services: Vec<String> = self.name_nodes.iter().map(service).collect();
        let path = |path: &PathBuf| path.display().to_string();
        vec![
            ("fetcher_cache_dir", self.cache_dir.as_ref().map(path)),
            ("fetcher_cache_size", Some(format_size(self.cache_size))),
            (
                "fetcher_stall_timeout",
                Some(format_duration(self.stall_timeout)),
            ),
            ("fetcher_allowed_schemes", list(&self.allowed_schemes)),
            ("fetcher_allowed_hosts", list(&self.allowed_hosts)),
            (
                "fetcher_allow_link_local",
                Some(self.allow_link_local.to_string()),
            ),
            ("fetcher_hard_links", Some(self.hard_links.to_string())),
            ("fetcher_ca_file", self.ca_file.as_ref().map(path)),
            ("fetcher_netrc_file", self.netrc_file.as_ref().map(path)),
            ("fetcher_hdfs_name_nodes", list(&services)),
            ("fetcher_timeout", Some(format_duration(self.timeout))),
            (
                "fetcher_s3_endpoint",
                self.s3_endpoint.as_deref().map(redacted),
            ),
            ("fetcher_s3_region", Some(self.s3_region.clone())),
            (
                "fetcher_s3_credentials_file",
                self.s3_credentials_file.as_ref().map(path),
            ),
            ("fetcher_s3_profile", Some(self.s3_profile.clone())),
        ]
    }
}

fn name_service(text: &str) -> Result<(String, Vec<String>), String> {
    let nodes = |nodes: &str| nodes.split('+').map(str::to_owned).collect::<Vec<_>>();
    match text.split_once('=') {
        Some((name, all)) if !name.is_empty() && !nodes(all).contains(&String::new()) => {
            Ok((name.to_owned(), nodes(all)))
        }
        _ => Err("a service has a name and nodes, as in ours=nn1:9870+nn2:9870".to_owned()),
    }
}

/// No flags: others read what a process was started with.
fn credentials(variable: impl Fn(&str) -> Option<String>) -> Option<S3Credentials> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    Some(S3Credentials {
        access_key: set("AWS_ACCESS_KEY_ID")?,
        secret_key: set("AWS_SECRET_ACCESS_KEY")?,
        session_token: set("AWS_SESSION_TOKEN"),
    })
}
