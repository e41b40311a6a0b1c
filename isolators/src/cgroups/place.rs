//! Where a spec's `linux.cgroupsPath` leads.

use std::path::{Component, Path, PathBuf};

/// Absolute, counted from the mount of each hierarchy. A relative path lies below `parent`, and so
/// does a container that names none, by its `id`. `..` never leads above the mount.
pub fn resolve(cgroups_path: Option<&Path>, parent: &Path, id: &str) -> PathBuf {
    let named = cgroups_path.filter(|path| !path.as_os_str().is_empty());
    let wanted = parent.join(named.unwrap_or(Path::new(id)));
    let mut path = PathBuf::from("/");
    for component in wanted.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_relative_or_the_id() {
        let table = [
            (Some("/a/b"), "/a/b"),
            (Some("a/b"), "/parent/a/b"),
            (Some("./a//b/"), "/parent/a/b"),
            (Some("../../../a"), "/a"),
            (Some("/a/../.."), "/"),
            (Some(""), "/parent/id"),
            (None, "/parent/id"),
        ];
        for (given, wanted) in table {
            let found = resolve(given.map(Path::new), Path::new("/parent"), "id");
            assert_eq!(found, Path::new(wanted), "{given:?}");
        }
    }
}
