//! The store, with the real unpacking child and a registry of this process. Layers are of whoever runs it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use images::{
    Backend, Credentials, Digest, Held, Ids, Image, Name, Progress, Provisioner, Pull, Reference,
    Registries, Rootfs, Settings, Store, StoreError, When,
};
use serde_json::json;

mod made;

use made::{helper, layer};

/// By their paths.
type Content = Arc<Mutex<HashMap<String, Vec<u8>>>>;

struct Registry {
    host: String,
    content: Content,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    async fn start() -> Registry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let host = listener.local_addr().expect("an address").to_string();
        let (content, asked) = (Content::default(), Arc::default());
        let registry = Registry {
            host,
            content,
            asked,
        };
        let (content, asked) = (Arc::clone(&registry.content), Arc::clone(&registry.asked));
        let answer = move |request: Request| {
            let path = request.uri().path().to_owned();
            let found = content.lock().expect("whole").get(&path).cloned();
            asked.lock().expect("whole").push(path);
            async move {
                match found {
                    Some(found) => Response::new(Body::from(found)),
                    None => Response::builder()
                        .status(404)
                        .body(Body::empty())
                        .expect("an answer"),
                }
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        registry
    }

    fn put(&self, path: String, content: &[u8]) {
        self.content
            .lock()
            .expect("whole")
            .insert(path, content.to_vec());
    }

    fn push(&self, name: &str, layers: &[Vec<u8>]) -> Name {
        let blob = |content: &[u8], media_type: &str| {
            let digest = Digest::of(content);
            self.put(format!("/v2/{name}/blobs/{digest}"), content);
            json!({"mediaType": media_type, "digest": digest, "size": content.len()})
        };
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let layers = layers
            .iter()
            .map(|it| blob(it, "application/vnd.oci.image.layer.v1.tar"));
        let manifest = json!({
            "schemaVersion": 2, "layers": layers.collect::<Vec<_>>(),
            "config": blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json"),
        });
        self.put(
            format!("/v2/{name}/manifests/latest"),
            manifest.to_string().as_bytes(),
        );
        let name: Reference = format!("{}/{name}", self.host).parse().expect("a name");
        name.into()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("whole"))
    }
}

async fn pull(store: &Arc<Store>, image: &Name, when: When) -> Result<(Image, Held), StoreError> {
    let registries = Registries::new(Settings::default()).expect("a client");
    let credentials = Credentials::default();
    let nothing = |_: Progress| {};
    let pull = Pull {
        registries: &registries,
        image,
        credentials: &credentials,
        when,
        progress: &nothing,
    };
    store.pull(&pull).await
}

fn open(directory: &Path) -> Arc<Store> {
    Arc::new(Store::open(directory.join("store"), helper()).expect("opens"))
}

#[tokio::test]
async fn an_image_is_pulled_once_and_outlasts_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::start().await;
    let image = registry.push("a", &[layer("x", "below"), layer("y", "above")]);
    let store = open(directory.path());
    assert!(matches!(
        pull(&store, &image, When::Never).await,
        Err(StoreError::Absent(_))
    ));
    let all = (0..5).map(|_| pull(&store, &image, When::Missing));
    for pulled in futures_util::future::join_all(all).await {
        assert_eq!(pulled.expect("pulls").0.bytes, 10);
    }
    // A manifest, a configuration and two layers.
    assert_eq!(registry.asked().len(), 4);
    let store = open(directory.path());
    let (found, _held) = pull(&store, &image, When::Never).await.expect("is there");
    let above = store.layer(&found.layers[1]).join("y");
    assert_eq!(std::fs::read_to_string(above).expect("reads"), "above");
    // A tag may have moved.
    pull(&store, &image, When::Always).await.expect("pulls");
    assert_eq!(registry.asked(), ["/v2/a/manifests/latest"]);
}

#[tokio::test]
async fn layers_are_shared_and_what_is_used_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::start().await;
    let (one, other) = (layer("x", "shared"), layer("y", "own"));
    let first = registry.push("a", std::slice::from_ref(&one));
    let second = registry.push("b", &[one.clone(), other.clone()]);
    let store = open(directory.path());
    let (first, held) = pull(&store, &first, When::Missing).await.expect("pulls");
    registry.asked();
    drop(pull(&store, &second, When::Missing).await.expect("pulls"));
    let shared = Digest::of(&one).to_string();
    assert!(!registry.asked().iter().any(|path| path.contains(&shared)));

    let provisioner =
        Provisioner::open(directory.path(), Arc::clone(&store), Some(Backend::Overlay))
            .expect("opens");
    let rootfs = provisioner.provision("c1", &first, Ids::Hosts, &held);
    let Rootfs::Stack(stack) = rootfs.expect("provisions").rootfs else {
        panic!("layers are stacked")
    };
    let link = std::fs::read_link(&stack.lower[0]).expect("a link");
    assert_eq!(link, store.layer(&first.layers[0]));
    // As long as somebody is about to use some, none go.
    assert_eq!(provisioner.prune(|_| false).expect("looks"), None);
    drop(held);
    let pruned = provisioner
        .prune(|_| false)
        .expect("prunes")
        .expect("is alone");
    assert_eq!(
        (pruned.images.len(), pruned.layers, pruned.bytes),
        (1, 1, 3)
    );
    assert!(store.layer(&Digest::of(&one)).exists());
    std::fs::remove_dir_all(provisioner.directory("c1")).expect("removes");
    let pruned = provisioner
        .prune(|_| false)
        .expect("prunes")
        .expect("is alone");
    assert_eq!((pruned.images.len(), pruned.layers), (1, 1));
    assert!(store.images().expect("reads").is_empty());
}

#[tokio::test]
async fn what_fails_leaves_no_layer_and_what_was_got_is_kept_for_the_next_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::start().await;
    let (good, hostile) = (layer("x", "good"), layer("x", "a device"));
    let mut hostile = hostile;
    // The kind of its only entry, and its checksum.
    hostile[156] = b'4';
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&hostile[..512]);
    header.set_cksum();
    hostile[..512].copy_from_slice(header.as_bytes());
    let image = registry.push("a", &[good.clone(), hostile]);
    let store = open(directory.path());
    let error = pull(&store, &image, When::Missing)
        .await
        .expect_err("refused");
    assert!(matches!(error, StoreError::Layer { .. }), "{error}");
    let why = std::error::Error::source(&error)
        .expect("a reason")
        .to_string();
    assert!(why.contains("a device"), "{why}");
    assert!(store.image(&image).expect("reads").is_none());
    let staging = directory.path().join("store/staging");
    assert_eq!(std::fs::read_dir(staging).expect("reads").count(), 0);
    // The same name, mended: what was good is not asked for again.
    registry.push("a", &[good.clone(), layer("y", "mended")]);
    registry.asked();
    pull(&store, &image, When::Missing).await.expect("pulls");
    let known = Digest::of(&good).to_string();
    assert!(!registry.asked().iter().any(|path| path.contains(&known)));
}

#[tokio::test]
async fn a_layer_is_not_another_images_only_because_that_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::start().await;
    let (one, other) = (layer("x", "one"), layer("x", "other"));
    let image = registry.push("a", std::slice::from_ref(&one));
    let store = open(directory.path());
    pull(&store, &image, When::Missing).await.expect("pulls");
    // The blob of the first, with a diff-id of something else.
    let liar = registry.push("b", std::slice::from_ref(&other));
    let path = "/v2/b/manifests/latest".to_owned();
    let manifest = registry.content.lock().expect("whole")[&path].clone();
    let manifest = String::from_utf8(manifest).expect("text");
    let manifest = manifest.replace(Digest::of(&other).as_str(), Digest::of(&one).as_str());
    registry.put(path, manifest.as_bytes());
    let error = pull(&store, &liar, When::Missing)
        .await
        .expect_err("refused");
    assert!(matches!(error, StoreError::Layer { .. }), "{error}");
}
