//! A root file system that is stacked of layers, or whose owners are shown differently: the first of a spec's
//! mounts, on `/`.

use std::path::{Path, PathBuf};

use init::{Mount, Owners, Step};
use oci_spec::runtime::{Mount as OciMount, Spec};

use super::{CompileError, options, text};

/// The kernel takes values of options up to this length.
const LONGEST: usize = 255;

/// What the root file system is, where it is more than a directory.
#[derive(Debug, Clone, Copy)]
pub enum OfRoot<'a> {
    Layers(&'a OciMount),
    /// Bound to itself, idmapped.
    Idmapped(&'a OciMount),
}

impl<'a> OfRoot<'a> {
    pub fn mount(self) -> &'a OciMount {
        match self {
            Self::Layers(mount) | Self::Idmapped(mount) => mount,
        }
    }
}

pub fn of_root(spec: &Spec) -> Option<OfRoot<'_>> {
    let root = spec.root().as_ref().map(|root| root.path());
    let root = root.filter(|root| *root != Path::new("/"))?;
    let first = spec.mounts().as_ref()?.first()?;
    let on_root = first.destination() == Path::new("/");
    match first.typ().as_deref() {
        Some("overlay") if on_root => Some(OfRoot::Layers(first)),
        Some("bind")
            if on_root && first.source().as_ref() == Some(root) && options::is_idmapped(first) =>
        {
            Some(OfRoot::Idmapped(first))
        }
        _ => None,
    }
}

/// Relative to the directory that `upperdir` is in. More layers than one value can name are named one by one,
/// which kernels know since 6.7. `owners`: of an idmapped one.
pub fn open(mount: &OciMount, owners: Option<Owners>) -> Result<Step, CompileError> {
    let options = options::parse(mount.options().as_deref().unwrap_or_default());
    let attributes = options.top.set | options.all.set;
    let value = |name: &str| {
        let found = options.data.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.clone())
    };
    let upper =
        value("upperdir").ok_or(CompileError::Missing("\"upperdir\" of the root's overlay"))?;
    let base = Path::new(&upper).parent().unwrap_or(Path::new("/"));
    let short = |path: &str| {
        let inside = Path::new(path).strip_prefix(base);
        let short = inside.map_or_else(|_elsewhere| PathBuf::from(path), Path::to_owned);
        text("layer", &short)
    };
    let lower =
        value("lowerdir").ok_or(CompileError::Missing("\"lowerdir\" of the root's overlay"))?;
    let lower: Vec<String> = lower.split(':').map(short).collect::<Result<_, _>>()?;
    let together = lower.join(":");
    let mut data: Vec<(String, Option<String>)> = match together.len() {
        length if length <= LONGEST => vec![("lowerdir".to_owned(), Some(together))],
        _ => (lower.into_iter())
            .map(|layer| ("lowerdir+".to_owned(), Some(layer)))
            .collect(),
    };
    for (key, value) in options.data.iter().filter(|(key, _)| key != "lowerdir") {
        let value = match key.as_str() {
            "upperdir" | "workdir" => value.as_deref().map(short).transpose()?,
            _ => value.clone(),
        };
        data.push((key.clone(), value));
    }
    Ok(Step::OpenOverlay {
        base: text("directory", base)?,
        mount: Mount {
            fstype: "overlay".to_owned(),
            source: "overlay".to_owned(),
            target: "/".to_owned(),
            options: data,
            attributes,
            copy_up: false,
            made: None,
        },
        owners,
    })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::MountBuilder;

    use super::*;

    fn opened(layers: &[String]) -> (String, Vec<(String, Option<String>)>) {
        let lower = layers.join(":");
        let options = [
            &format!("lowerdir={lower}"),
            "upperdir=/c/1/upper",
            "workdir=/c/1/work",
            "volatile",
            "nodev",
        ];
        let mount = MountBuilder::default()
            .destination("/")
            .typ("overlay")
            .source("overlay")
            .options(options.map(str::to_owned).to_vec())
            .build()
            .expect("a mount");
        match open(&mount, None).expect("compiles") {
            Step::OpenOverlay { base, mount, .. } => (base, mount.options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn layers_are_named_from_where_the_upper_one_is() {
        let some = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        let layers = [
            "/c/1/b".to_owned(),
            "/c/1/a".to_owned(),
            "/elsewhere".to_owned(),
        ];
        let (base, options) = opened(&layers);
        assert_eq!(base, "/c/1");
        assert_eq!(
            options,
            [
                some("lowerdir", "b:a:/elsewhere"),
                some("upperdir", "upper"),
                some("workdir", "work"),
                ("volatile".to_owned(), None),
            ]
        );
    }

    #[test]
    fn more_layers_than_one_value_holds_are_named_one_by_one() {
        let layers: Vec<String> = (0..200).map(|n| format!("/c/1/{n}")).collect();
        let (_base, options) = opened(&layers);
        let each: Vec<_> = options
            .iter()
            .filter(|(key, _)| key == "lowerdir+")
            .collect();
        assert_eq!(each.len(), 200);
        assert_eq!(each[199].1.as_deref(), Some("199"));
    }
}
