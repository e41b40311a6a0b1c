//! Images that lie on this host, with the real unpacking child.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use images::{
    Credentials, Digest, Home, Image, Name, Pull, Registries, Settings, Store, StoreError, When,
};
use serde_json::{Value, json};

mod made;

use made::{helper, layer};

/// By its path.
type File = (String, Vec<u8>);

/// An image's documents and layers.
struct Made {
    blobs: Vec<Vec<u8>>,
    config: Vec<u8>,
    layers: Vec<Vec<u8>>,
    manifest: Vec<u8>,
}

fn image(layers: &[Vec<u8>], packed: impl Fn(&[u8]) -> Vec<u8>, kind: &str) -> Made {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({
        "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let layers: Vec<_> = layers.iter().map(|layer| packed(layer)).collect();
    let told = |content: &Vec<u8>, kind: &str| json!({"mediaType": kind, "digest": Digest::of(content), "size": content.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": told(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers.iter().map(|it| told(it, kind)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let blobs = layers
        .iter()
        .cloned()
        .chain([config.clone(), manifest.clone()]);
    Made {
        blobs: blobs.collect(),
        config,
        layers,
        manifest,
    }
}

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

fn plain(layers: &[Vec<u8>]) -> Made {
    image(layers, <[u8]>::to_vec, PLAIN)
}

fn entry(image: &Made, name: &str) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::of(&image.manifest), "size": image.manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": name},
    })
}

/// Files of a layout with these images, by their paths.
fn layout(images: &[(&str, &Made)]) -> Vec<File> {
    let entries: Vec<_> = images.iter().map(|(name, it)| entry(it, name)).collect();
    let index = json!({"schemaVersion": 2, "manifests": entries});
    let mut files = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ];
    for blob in images.iter().flat_map(|(_, image)| &image.blobs) {
        let path = format!("blobs/{}", Digest::of(blob).as_str().replace(':', "/"));
        if !files.iter().any(|(known, _)| *known == path) {
            files.push((path, blob.clone()));
        }
    }
    files
}

fn write(files: &[File], into: &Path) {
    for (name, content) in files {
        let path = into.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
        fs::write(path, content).expect("writes");
    }
}

fn tar(files: &[File], links: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &content[..])
            .expect("appends");
    }
    for (name, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, target).expect("appends");
    }
    tar.into_inner().expect("ends")
}

/// As `docker save` did before layouts: a layer that comes again is a link.
fn saved(image: &Made, tags: &[&str]) -> Vec<File> {
    let names: Vec<_> = (0..image.layers.len())
        .map(|it| format!("{it}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": "c.json", "RepoTags": tags, "Layers": names}]);
    let mut files = vec![
        (
            "manifest.json".to_owned(),
            manifest.to_string().into_bytes(),
        ),
        ("c.json".to_owned(), image.config.clone()),
    ];
    files.extend(names.into_iter().zip(image.layers.iter().cloned()));
    files
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("writes");
    out.finish().expect("ends")
}

struct Here {
    directory: tempfile::TempDir,
    store: Arc<Store>,
}

impl Here {
    fn new() -> Here {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store"), helper()).expect("opens");
        let store = Arc::new(store);
        Here { directory, store }
    }

    async fn pull(&self, name: &str, home: &Home) -> Result<Image, StoreError> {
        let name = Name::parse(name, home, Some(self.directory.path())).expect("a name");
        let registries = Registries::new(Settings::default()).expect("a client");
        let pull = Pull {
            registries: &registries,
            image: &name,
            credentials: &Credentials::default(),
            when: When::Missing,
            progress: &|_| {},
        };
        Ok(self.store.pull(&pull).await?.0)
    }

    async fn pulled(&self, name: &str) -> Result<Image, StoreError> {
        let home = Home::Registry("docker.io".to_owned());
        self.pull(name, &home).await
    }

    async fn why(&self, name: &str) -> String {
        let error = self.pulled(name).await.expect_err("refused");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    /// Content of a file of the image's topmost layer.
    fn file(&self, image: &Image, name: &str) -> String {
        let topmost = image.layers.last().expect("a layer");
        fs::read_to_string(self.store.layer(topmost).join(name)).expect("reads")
    }

    fn put(&self, name: &str, content: &[u8]) {
        write(
            &[(name.to_owned(), content.to_vec())],
            self.directory.path(),
        );
    }

    /// Nothing is left of what was refused.
    fn is_clean(&self) {
        for name in ["staging", "images"] {
            let names = fs::read_dir(self.store.directory().join(name)).expect("reads");
            assert_eq!(names.count(), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn a_layout_has_its_images_by_their_names_packed_and_not() {
    let here = Here::new();
    let (one, other) = (
        plain(&[layer("x", "one")]),
        plain(&[layer("x", "other"), layer("y", "above")]),
    );
    let files = layout(&[("v1", &one), ("r.example/a:v2", &other)]);
    write(&files, &here.directory.path().join("both"));
    here.put("both.tar", &tar(&files, &[]));
    here.put("both.tgz", &gzip(&tar(&files, &[])));
    for place in ["oci:both", "oci-archive:both.tar", "oci-archive:both.tgz"] {
        let found = here.pulled(&format!("{place}:v1")).await.expect("is there");
        assert_eq!(here.file(&found, "x"), "one", "{place}");
        assert_eq!(found.runtime().cmd, ["/x"]);
        let found = here
            .pulled(&format!("{place}:r.example/a:v2"))
            .await
            .expect("is there");
        assert_eq!(
            (found.layers.len(), here.file(&found, "y")),
            (2, "above".to_owned())
        );
        let why = here.why(place).await;
        assert!(
            why.contains("several images: name one of v1, r.example/a:v2"),
            "{why}"
        );
        let why = here.why(&format!("{place}:v3")).await;
        assert!(why.contains("no image \"v3\", but v1"), "{why}");
    }
    write(
        &layout(&[("only", &one)]),
        &here.directory.path().join("one"),
    );
    assert_eq!(here.pulled("oci:one").await.expect("is there").bytes, 3);
}

#[tokio::test]
async fn what_docker_saved_is_an_image_whatever_its_layers_are_packed_with() {
    let here = Here::new();
    let layers = [layer("x", "below"), layer("y", "above")];
    let image = plain(&layers);
    here.put(
        "plain.tar",
        &tar(&saved(&image, &["busybox:1", "a:2"]), &[]),
    );
    here.put("packed.tar.gz", &gzip(&tar(&saved(&image, &[]), &[])));
    let gzipped = self::image(&layers, gzip, PLAIN);
    here.put("gzipped.tar", &tar(&saved(&gzipped, &["a:1"]), &[]));
    for name in [
        "plain.tar:busybox:1",
        "plain.tar:docker.io/library/a:2",
        "packed.tar.gz",
        "gzipped.tar",
    ] {
        let found = here
            .pulled(&format!("docker-archive:{name}"))
            .await
            .expect(name);
        assert_eq!(
            (found.layers.len(), here.file(&found, "y")),
            (2, "above".to_owned())
        );
    }
    let why = here.why("docker-archive:plain.tar:busybox:2").await;
    assert!(
        why.contains("no image \"busybox:2\", but busybox:1, a:2"),
        "{why}"
    );

    let twice = plain(&[layers[0].clone(), layers[0].clone()]);
    let files: Vec<_> = saved(&twice, &[]).into_iter().take(3).collect();
    here.put(
        "twice.tar",
        &tar(&files, &[("1/layer.tar", "../0/layer.tar")]),
    );
    let found = here
        .pulled("docker-archive:twice.tar")
        .await
        .expect("is there");
    assert_eq!(found.layers[0], found.layers[1]);
}

#[tokio::test]
async fn a_directory_of_archives_stands_for_a_registry() {
    let here = Here::new();
    let image = plain(&[layer("x", "saved")]);
    here.put(
        "images/busybox.tar",
        &tar(&saved(&image, &["busybox:latest"]), &[]),
    );
    here.put(
        "images/u/app:1.tar",
        &tar(&saved(&image, &["u/app:1"]), &[]),
    );
    let home = Home::Directory(here.directory.path().join("images"));
    for (name, whole) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("u/app:1", "docker.io/u/app:1"),
    ] {
        assert_eq!(here.pull(name, &home).await.expect("is there").name, whole);
    }
    let error = here.pull("u/app:2", &home).await.expect_err("is not there");
    let why = std::error::Error::source(&error)
        .expect("a reason")
        .to_string();
    assert!(why.contains("images/u/app:2.tar"), "{why}");
}

#[tokio::test]
async fn files_of_a_root_are_an_image_as_they_are() {
    let here = Here::new();
    let archive = layer("etc/x", "packed");
    here.put("root.tar", &archive);
    here.put("root.tar.gz", &gzip(&archive));
    here.put("root/etc/x", b"a directory");
    let file = |name: &str| format!("file://{}", here.directory.path().join(name).display());
    for name in ["root.tar", "root.tar.gz"] {
        let found = here.pulled(&file(name)).await.expect(name);
        assert_eq!(here.file(&found, "etc/x"), "packed");
    }
    let found = here.pulled(&file("root")).await.expect("is there");
    assert_eq!(found.base, Some(here.directory.path().join("root")));
    assert!(found.layers.is_empty());
    let why = here.why(&file("none")).await;
    assert!(why.contains("cannot open"), "{why}");
    here.put(
        "text",
        b"no archive at all, but long enough for a header of one "
            .repeat(20)
            .as_slice(),
    );
    let why = here.why(&file("text")).await;
    assert!(why.contains("the layer is damaged"), "{why}");
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused_and_leaves_nothing() {
    let here = Here::new();
    let image = plain(&[layer("x", "good")]);
    let digest = Digest::of(&image.layers[0]);
    let blob = format!("blobs/{}", digest.as_str().replace(':', "/"));
    let changed = |change: &dyn Fn(&mut Vec<File>), name: &str| {
        let mut files = layout(&[("v1", &image)]);
        change(&mut files);
        write(&files, &here.directory.path().join(name));
    };
    let other = layer("x", "evil");
    changed(
        &|files| {
            files
                .iter_mut()
                .filter(|it| it.0 == blob)
                .for_each(|it| it.1.clone_from(&other))
        },
        "content",
    );
    changed(&|files| files.retain(|it| it.0 != blob), "missing");
    changed(
        &|files| files[1].1 = br#"{"manifests": [], "manifests": []}"#.to_vec(),
        "doubled",
    );
    changed(&|files| files[1].1 = vec![b' '; 5 << 20], "large");
    changed(&|files| drop(files.remove(0)), "unmarked");
    changed(&|files| files.retain(|it| it.0 != blob), "linked");
    let link = here.directory.path().join("linked").join(&blob);
    fs::write(here.directory.path().join("outside"), &image.layers[0]).expect("writes");
    std::os::unix::fs::symlink(here.directory.path().join("outside"), link).expect("links");
    for (name, wanted) in [
        ("content", "the image is damaged"),
        ("missing", "it has no content"),
        ("doubled", "index.json cannot be read"),
        ("large", "may have 4194304"),
        ("unmarked", "it has no oci-layout"),
        ("linked", "cannot open"),
    ] {
        let why = here.why(&format!("oci:{name}")).await;
        assert!(why.contains(wanted), "{name}: {why}");
    }
    let mut files = saved(&image, &["a:1"]);
    files.push(files[1].clone());
    here.put("twice.tar", &tar(&files, &[]));
    let old = [("repositories".to_owned(), b"{}".to_vec())];
    here.put("old.tar", &tar(&old, &[]));
    let outside = [(
        "manifest.json".to_owned(),
        br#"[{"Config": "../c", "Layers": []}]"#.to_vec(),
    )];
    here.put("outside.tar", &tar(&outside, &[]));
    for (name, wanted) in [
        ("twice.tar", "two entries named \"c.json\""),
        ("old.tar", "before 1.10"),
        ("outside.tar", "it has no ../c"),
    ] {
        let why = here.why(&format!("docker-archive:{name}")).await;
        assert!(why.contains(wanted), "{name}: {why}");
    }
    here.is_clean();
}
