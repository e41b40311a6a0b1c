//! The flags of images.

use std::path::PathBuf;
use std::time::Duration;

use images::{Backend, Home, Settings};

#[derive(Debug, Clone, clap::Args)]
pub struct ImageFlags {
    /// Where images are kept. "images" in --work_dir when this is not set.
    #[arg(long = "docker_store_dir", env = "MESOS_DOCKER_STORE_DIR")]
    pub docker_store_dir: Option<PathBuf>,

    /// Host of the registry that images without one are in; https:// may stand before it. Or a directory, in
    /// which busybox:1.36.tar is what docker save has written of busybox:1.36; file:// may stand before it.
    #[arg(
        long = "docker_registry",
        env = "MESOS_DOCKER_REGISTRY",
        default_value = "https://registry-1.docker.io"
    )]
    pub docker_registry: String,

    /// Directories in which tasks may name images that are files, as oci:/images/app:1.0, oci-archive:,
    /// docker-archive: or file:///images/rootfs, separated by commas; none when this is not set.
    #[arg(long = "image_directories", value_delimiter = ',')]
    pub image_directories: Vec<PathBuf>,

    /// Credentials for registries: a Docker config.json, as text or as a path. The programs that it names in
    /// credsStore and credHelpers are run as the agent's user.
    #[arg(long = "docker_config", env = "MESOS_DOCKER_CONFIG")]
    pub docker_config: Option<String>,

    /// Registries that may be spoken with by plain HTTP, with their ports if they name one, separated by
    /// commas; those of this host may be anyway.
    #[arg(long = "docker_insecure_registries", value_delimiter = ',')]
    pub docker_insecure_registries: Vec<String>,

    /// Hosts that are asked first for images of Docker Hub, separated by commas.
    #[arg(long = "docker_registry_mirrors", value_delimiter = ',')]
    pub docker_registry_mirrors: Vec<String>,

    /// How layers of an image become the files of a container: "overlay" has the kernel stack them, "copy"
    /// copies them for each; what this host can when this is not set.
    #[arg(long = "image_provisioner_backend", env = "MESOS_IMAGE_PROVISIONER_BACKEND", value_parser = backend)]
    pub image_backend: Option<Backend>,

    /// When images go that no container uses: {"image_disk_headroom": 0.1, "excluded_images": [{"type":
    /// "DOCKER", "docker": {"name": "busybox"}}]} keeps a tenth of the disk free, and busybox. Never when this
    /// is not set.
    #[arg(long = "image_gc_config", env = "MESOS_IMAGE_GC_CONFIG")]
    pub image_gc_config: Option<ImageGc>,

    /// Where a container of an image finds its sandbox.
    #[arg(
        long = "sandbox_directory",
        env = "MESOS_SANDBOX_DIRECTORY",
        default_value = "/mnt/mesos/sandbox"
    )]
    pub sandbox_directory: PathBuf,
}

impl ImageFlags {
    /// The rest is as for files that tasks fetch.
    pub fn settings(&self, fetching: &fetcher::Settings) -> Settings {
        let mirrors = self.docker_registry_mirrors.iter();
        Settings {
            insecure: self.docker_insecure_registries.clone(),
            mirrors: mirrors
                .map(|it| ("docker.io".to_owned(), it.clone()))
                .collect(),
            stall_timeout: fetching.stall_timeout,
            pause: Duration::from_millis(500),
            ca_file: fetching.ca_file.clone(),
            policy: fetching.policy.clone(),
        }
    }

    /// Of names that say none.
    pub fn home(&self) -> Home {
        let text = self.docker_registry.as_str();
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.starts_with('/') {
            return Home::Directory(path.into());
        }
        let host = text.split_once("://").map_or(text, |(_, host)| host);
        Home::Registry(host.trim_end_matches('/').to_owned())
    }

    pub fn texts(&self) -> Vec<(&'static str, Option<String>)> {
        let list = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
        let path = |path: &PathBuf| path.display().to_string();
        // Credentials are told to nobody.
        let config = self
            .docker_config
            .as_ref()
            .map(|it| match it.starts_with('{') {
                true => "***".to_owned(),
                false => it.clone(),
            });
        vec![
            ("docker_store_dir", self.docker_store_dir.as_ref().map(path)),
            ("docker_registry", Some(self.docker_registry.clone())),
            (
                "image_directories",
                list(&self.image_directories.iter().map(path).collect::<Vec<_>>()),
            ),
            ("docker_config", config),
            (
                "docker_insecure_registries",
                list(&self.docker_insecure_registries),
            ),
            (
                "docker_registry_mirrors",
                list(&self.docker_registry_mirrors),
            ),
            (
                "image_provisioner_backend",
                self.image_backend.map(|backend| match backend {
                    Backend::Overlay => "overlay".to_owned(),
                    Backend::Copy => "copy".to_owned(),
                }),
            ),
            (
                "image_gc_config",
                self.image_gc_config.as_ref().map(|gc| gc.text.clone()),
            ),
            ("sandbox_directory", Some(path(&self.sandbox_directory))),
        ]
    }
}

/// When images go.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageGc {
    /// Fraction of the disk to keep free.
    pub headroom: f64,
    /// Names of images that stay.
    pub excluded: Vec<String>,
    text: String,
}

#[derive(serde::Deserialize)]
struct Written {
    image_disk_headroom: f64,
    #[serde(default)]
    excluded_images: Vec<Excluded>,
}

#[derive(serde::Deserialize)]
struct Excluded {
    docker: ExcludedDocker,
}

#[derive(serde::Deserialize)]
struct ExcludedDocker {
    name: String,
}

impl std::str::FromStr for ImageGc {
    type Err = String;

    fn from_str(text: &str) -> Result<ImageGc, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let headroom = written.image_disk_headroom;
        if !(0.0..=1.0).contains(&headroom) {
            return Err(format!(
                "image_disk_headroom is {headroom}: it must be from 0 to 1"
            ));
        }
        let excluded = written.excluded_images.into_iter();
        Ok(ImageGc {
            headroom,
            excluded: excluded.map(|image| image.docker.name).collect(),
            text: text.to_owned(),
        })
    }
}

fn backend(text: &str) -> Result<Backend, String> {
    match text {
        "overlay" => Ok(Backend::Overlay),
        "copy" => Ok(Backend::Copy),
        other => Err(format!(
            "{other:?} is not known: it must be overlay or copy"
        )),
    }
}
