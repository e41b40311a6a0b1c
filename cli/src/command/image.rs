//! `longshore image`: the images that this node has.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;

use agent::Images;
use anyhow::{Context as _, bail};
use images::{Digest, Image, Name, Progress, When};

use super::block_on;
use crate::beside_agent::BesideAgent;
use crate::{logs, terminal};

/// What to do, and the agent's flags.
pub type Flags = BesideAgent<Own>;

#[derive(Debug, clap::Args)]
pub struct Own {
    /// pull, ls, rm, inspect or prune
    verb: Verb,

    /// Names of images, for all but ls and prune
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verb {
    /// Get images from their registries, also those that are here; or from oci:DIRECTORY[:TAG],
    /// oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] and file:///FILE-OR-DIRECTORY
    Pull,
    /// Show the images that are here
    Ls,
    /// Forget images; their layers go with prune
    Rm,
    /// Show what is known of images, as JSON
    Inspect,
    /// Remove all images that no container uses, and all layers that are of no image
    Prune,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    let Flags { own, agent } = flags;
    let wants_names = !matches!(own.verb, Verb::Ls | Verb::Prune);
    if wants_names == own.images.is_empty() {
        match wants_names {
            true => bail!("name the images: longshore image pull busybox:1.36"),
            false => bail!("it is for all images, and takes no names"),
        }
    }
    let here = Images::open(&agent)?;
    let directory = std::env::current_dir().ok();
    let name = |text: &String| here.name(text, directory.as_deref());
    let names: Vec<_> = own.images.iter().map(name).collect::<Result<_, _>>()?;
    match own.verb {
        Verb::Pull => block_on(async move {
            for name in &names {
                pull(&here, name).await?;
            }
            Ok(ExitCode::SUCCESS)
        }),
        Verb::Ls => {
            let images = here.store()?.images()?;
            table(&images).iter().for_each(|line| terminal::out(line));
            Ok(ExitCode::SUCCESS)
        }
        Verb::Rm => {
            for name in &names {
                match here.store()?.remove(name)? {
                    true => terminal::out(&format!("forgot {name}")),
                    false => bail!("{name} is not here"),
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Inspect => {
            for name in &names {
                let image = here.store()?.image(name)?;
                let image = image.with_context(|| format!("{name} is not here"))?;
                terminal::out(&serde_json::to_string_pretty(&image)?);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Prune => {
            let pruned = here.prune(|_| false)?;
            let pruned = pruned.context("somebody is just using images: try again later")?;
            for name in &pruned.images {
                terminal::out(&format!("removed {}", terminal::harmless(name)));
            }
            let size = megabytes(pruned.bytes);
            terminal::out(&format!("{} layers, {size} freed", pruned.layers));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn pull(here: &Images, name: &Name) -> anyhow::Result<()> {
    let bar = indicatif::ProgressBar::no_length();
    let style = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}  {msg}";
    bar.set_style(indicatif::ProgressStyle::with_template(style)?);
    let got: Mutex<Got> = Mutex::default();
    let progress = |progress| {
        let mut got = got
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        got.on(progress);
        bar.set_length(got.total);
        bar.set_position(got.bytes.values().sum());
        bar.set_message(format!("{} of {} layers", got.done, got.layers));
    };
    let pulled = here.pull_with(name, When::Always, &progress).await;
    bar.finish_and_clear();
    let (image, _held) = pulled?;
    terminal::out(&format!("{name} {}", image.digest));
    Ok(())
}

/// How far a pull has come.
#[derive(Default)]
struct Got {
    layers: usize,
    /// Those that were here count.
    done: usize,
    bytes: BTreeMap<Digest, u64>,
    total: u64,
}

impl Got {
    fn on(&mut self, progress: Progress) {
        match progress {
            Progress::Began {
                layers,
                here,
                bytes,
            } => (self.layers, self.done, self.total) = (layers, here, bytes),
            Progress::Got { layer, bytes } => drop(self.bytes.insert(layer, bytes)),
            Progress::Unpacked { .. } => self.done += 1,
        }
    }
}

fn table(images: &[Image]) -> Vec<String> {
    let width = images
        .iter()
        .map(|image| image.name.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let head = format!("{:width$}  {:12}  {:>9}  LAYERS", "IMAGE", "DIGEST", "SIZE");
    let line = |image: &Image| {
        let digest = image.digest.as_str().rsplit(':').next().unwrap_or_default();
        let digest = digest.get(..12).unwrap_or(digest);
        let (size, layers) = (megabytes(image.bytes), image.layers.len());
        format!("{:width$}  {digest:12}  {size:>9}  {layers}", image.name)
    };
    std::iter::once(head)
        .chain(images.iter().map(line))
        .collect()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
