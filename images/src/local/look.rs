//! Where an image lies in a directory that stands for a registry.
//!
//! Source: spec/mesos-agent.md section 25, `<dir>/<repo>:<tag>.tar`.

use std::path::Path;

use super::LocalError;
use crate::name::{Local, LocalKind};
use crate::reference::{Reference, Version};

/// The archive of `name` that is there. Blocks.
pub fn archive_of(name: &Reference, directory: &Path) -> Result<Local, LocalError> {
    let looked = candidates(name);
    let paths = looked.iter().map(|file| directory.join(file));
    let found = paths.into_iter().find(|path| path.is_file());
    let nowhere = || LocalError::Nowhere {
        name: name.to_string(),
        looked: looked
            .iter()
            .map(|file| directory.join(file).display().to_string())
            .collect(),
    };
    Ok(Local {
        kind: LocalKind::DockerArchive,
        path: found.ok_or_else(nowhere)?,
        version: Some(name.to_string()),
    })
}

/// Names of Docker Hub are written with and without what stands for its own images.
fn candidates(name: &Reference) -> Vec<String> {
    let repository = name.repository();
    let short = repository.strip_prefix("library/");
    let Version::Tag(tag) = name.version() else {
        return vec![format!("{repository}@{}.tar", name.version())];
    };
    let mut files = Vec::new();
    for repository in short.into_iter().chain([repository]) {
        files.push(format!("{repository}:{tag}.tar"));
        if tag == "latest" {
            files.push(format!("{repository}.tar"));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_images_name() {
        let files = |name: &str| candidates(&name.parse().unwrap()).join(" ");
        assert_eq!(files("u/a:1"), "u/a:1.tar");
        assert_eq!(
            files("busybox"),
            "busybox:latest.tar busybox.tar library/busybox:latest.tar library/busybox.tar"
        );
    }
}
