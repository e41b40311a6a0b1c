//! What the kernel is told to stack, and how much of that it can be told.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{ProvisionError, Stack, copy, failed, make};

/// Names of links, in this order.
const NAMES: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Bytes of all names with what separates them: as much as the kernel takes for a mount's option.
const LONGEST: usize = 255;
/// The first that takes each layer in an option of its own.
const ONE_BY_ONE: (u32, u32) = (6, 7);

/// The first that takes layers that are mounted nowhere, as idmapped ones are.
const IDMAPPED: (u32, u32) = (6, 15);

pub fn can_one_by_one() -> bool {
    is_since(ONE_BY_ONE)
}

pub fn can_idmap() -> bool {
    is_since(IDMAPPED)
}

fn is_since(first: (u32, u32)) -> bool {
    let known = nix::sys::utsname::uname().ok();
    let release = known.and_then(|it| it.release().to_str().map(str::to_owned));
    release.is_some_and(|release| version(&release) >= Some(first))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-', '+']);
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

/// How many layers can be named in one option. Pure.
fn most_at_once() -> usize {
    let mut length = 0;
    (0..)
        .take_while(|number| {
            length += name(*number).len() + 1;
            length <= LONGEST + 1
        })
        .count()
}

/// `layers`: the lowest first. Where the kernel cannot be told of all of them, the lowest become one, of links
/// to their files. Blocks.
pub fn stack(
    directory: &Path,
    mut layers: Vec<PathBuf>,
    one_by_one: bool,
) -> Result<Stack, ProvisionError> {
    layers.reverse();
    let mut lower: Vec<PathBuf> = Vec::new();
    for layer in layers {
        // One that comes again lower down has nothing to say any more, and the kernel refuses it.
        if !lower.contains(&layer) {
            lower.push(layer);
        }
    }
    let most = most_at_once();
    if !one_by_one && lower.len() > most {
        let merged = directory.join("merged");
        make(&merged, 0o755)?;
        let mut lowest = lower.split_off(most - 1);
        lowest.reverse();
        let linked = copy::copy(&lowest, &merged, copy::Files::Linked);
        linked.map_err(failed("merge layers in", &merged))?;
        lower.push(merged);
    }
    let mut links = Vec::new();
    for layer in lower {
        let link = directory.join(name(links.len()));
        symlink(layer, &link).map_err(failed("make", &link))?;
        links.push(link);
    }
    let [root, upper, work] = ["rootfs", "upper", "work"].map(|name| directory.join(name));
    for path in [&root, &upper, &work] {
        make(path, 0o755)?;
    }
    if links.is_empty() {
        // An image of nothing: the kernel stacks at least one.
        let nothing = directory.join(name(0));
        make(&nothing, 0o755)?;
        links.push(nothing);
    }
    Ok(Stack {
        root,
        lower: links,
        upper,
        work,
    })
}

/// `a`, `b` … `9`, `ba`, `bb` …
fn name(mut number: usize) -> String {
    let mut name = Vec::new();
    loop {
        name.insert(0, char::from(NAMES[number % NAMES.len()]));
        number /= NAMES.len();
        if number == 0 {
            return name.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn links_have_short_names_of_their_own() {
        let names: Vec<_> = (0..500).map(name).collect();
        assert_eq!([&names[0], &names[61], &names[62]], ["a", "9", "ba"]);
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), 500);
        let most = most_at_once();
        assert!(names[..most].join(":").len() <= LONGEST);
        assert!(names[..=most].join(":").len() > LONGEST);
        assert!(most > 100, "{most}");
    }

    #[test]
    fn a_kernel_is_known_by_its_release() {
        for (release, can) in [
            ("6.1.0-18-cloud-amd64", false),
            ("6.6.99", false),
            ("6.7.0", true),
            ("6.18+deb", true),
            ("7.0-rc1", true),
            ("x", false),
        ] {
            assert_eq!(version(release) >= Some(ONE_BY_ONE), can, "{release}");
        }
    }

    #[test]
    fn more_layers_than_can_be_told_are_fewer_with_the_same_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let layer = |number: usize| {
            let layer = directory.path().join(format!("layer-{number}"));
            fs::create_dir(&layer).expect("makes");
            fs::write(layer.join("all"), number.to_string()).expect("writes");
            fs::write(layer.join(format!("own-{number}")), "").expect("writes");
            layer
        };
        let layers: Vec<_> = (0..150).map(layer).collect();
        let container = directory.path().join("container");
        fs::create_dir(&container).expect("makes");
        let stacked = stack(&container, layers.clone(), false).expect("stacks");
        assert_eq!(stacked.lower.len(), most_at_once());
        let lowest = stacked.lower.last().expect("one");
        let merged = 150 - (most_at_once() - 1);
        let all = fs::read_to_string(lowest.join("all")).expect("reads");
        assert_eq!(all, (merged - 1).to_string());
        assert_eq!(fs::read_dir(lowest).expect("reads").count(), merged + 1);
        assert_eq!(
            fs::read_link(&stacked.lower[0]).expect("a link"),
            layers[149]
        );

        let other = directory.path().join("other");
        fs::create_dir(&other).expect("makes");
        let twice = [&layers[..], &layers[..1]].concat();
        let stacked = stack(&other, twice, true).expect("stacks");
        assert_eq!(stacked.lower.len(), 150);
        assert_eq!(fs::read_link(&stacked.lower[0]).expect("a link"), layers[0]);
    }
}
