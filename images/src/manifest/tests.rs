use serde_json::{Value, json};

use super::*;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn descriptor(media_type: &str, size: u64) -> Value {
    let digest = Digest::of(media_type.as_bytes());
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": size})
}

fn image(change: impl FnOnce(&mut Value)) -> Result<Document, BadManifest> {
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": descriptor(CONFIG, 10), "layers": [descriptor(GZIP, 20)],
    });
    change(&mut manifest);
    Document::parse(manifest.to_string().as_bytes(), None)
}

fn index(platforms: &[(&str, &str, Option<&str>)]) -> Index {
    let images = platforms
        .iter()
        .enumerate()
        .map(|(size, (os, arch, variant))| {
            let mut image = descriptor(media::OCI_MANIFEST, size as u64);
            image["platform"] = json!({"os": os, "architecture": arch, "variant": variant});
            image
        });
    let index = json!({"schemaVersion": 2, "manifests": images.collect::<Vec<_>>()});
    match Document::parse(index.to_string().as_bytes(), Some(media::DOCKER_LIST)).unwrap() {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("an index"),
    }
}

#[test]
fn an_image_is_its_configuration_and_its_layers() {
    let Document::Manifest(manifest) = image(|_| {}).unwrap() else {
        panic!("an image")
    };
    assert_eq!(manifest.config.size, 10);
    assert_eq!(manifest.layers[0].blob.size, 20);
    assert_eq!(manifest.layers[0].compression, Compression::Gzip);
}

#[test]
fn what_is_no_image_or_more_than_one_thing_is_refused_with_its_reason() {
    type Change = fn(&mut Value);
    let table: &[(Change, &str)] = &[
        (|it| it["manifests"] = json!([]), "both an index"),
        (|it| it["fsLayers"] = json!([]), "both an index"),
        (|it| it["schemaVersion"] = json!(1), "schema version 1"),
        (
            |it| it["mediaType"] = json!(media::OCI_INDEX),
            "says otherwise",
        ),
        (|it| it["mediaType"] = json!("text/plain"), "says otherwise"),
        (
            |it| it["config"]["mediaType"] = json!("application/x.helm"),
            "no image for containers",
        ),
        (
            |it| it["config"]["size"] = json!(9_u64 << 20),
            "its configuration is said to have",
        ),
        (
            |it| it["layers"][0]["urls"] = json!(["https://h/x"]),
            "from elsewhere",
        ),
        (
            |it| it["layers"][0]["mediaType"] = json!("application/x"),
            "is not known",
        ),
        (
            |it| {
                it["layers"][0]["mediaType"] =
                    json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
            },
            "from elsewhere",
        ),
        (
            |it| it["layers"][0]["size"] = json!(u64::MAX),
            "is said to have",
        ),
        (|it| it["layers"][0]["size"] = json!(-1), "cannot be read"),
        (
            |it| it["layers"][0]["digest"] = json!("sha256:../../x"),
            "cannot be read",
        ),
        (
            |it| it["layers"] = json!(vec![descriptor(GZIP, 1); 10_000]),
            "it has 10000 layers",
        ),
    ];
    for (change, why) in table {
        let error = image(change).unwrap_err().to_string();
        assert!(error.contains(why), "{error} / {why}");
    }
}

#[test]
fn a_document_is_bounded_and_its_keys_stand_once() {
    let large = vec![b' '; LARGEST + 1];
    let error = Document::parse(&large, None).unwrap_err();
    assert!(matches!(error, BadManifest::TooLarge(_)));
    let twice = br#"{"schemaVersion": 2, "layers": [], "layers": []}"#;
    assert!(matches!(
        Document::parse(twice, None),
        Err(BadManifest::Json(_))
    ));
    let neither = br#"{"schemaVersion": 2}"#;
    assert!(matches!(
        Document::parse(neither, None),
        Err(BadManifest::Neither)
    ));
}

#[test]
fn registry_and_document_agree_on_what_it_is() {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": descriptor(CONFIG, 10), "layers": [],
    });
    let said = |kind| Document::parse(manifest.to_string().as_bytes(), Some(kind));
    assert!(said("application/vnd.oci.image.manifest.v1+json; charset=utf-8").is_ok());
    assert!(said("application/json").is_ok());
    assert!(matches!(
        said(media::OCI_INDEX),
        Err(BadManifest::Contradiction { .. })
    ));
}

#[test]
fn a_machine_gets_the_image_that_was_built_for_it() {
    let machine = Platform {
        os: "linux".into(),
        architecture: "arm64".into(),
        variant: Some("v8".into()),
    };
    let index = index(&[
        ("linux", "amd64", None),
        ("windows", "arm64", None),
        ("linux", "arm64", Some("v9")),
        ("linux", "arm64", Some("v8")),
        ("unknown", "unknown", None),
    ]);
    assert_eq!(index.image(&machine).unwrap().size, 3);
    let other = Platform {
        variant: None,
        ..machine.clone()
    };
    assert_eq!(index.image(&other).unwrap().size, 2);
    let missing = Platform {
        architecture: "s390x".into(),
        variant: None,
        ..machine
    };
    assert_eq!(
        index.image(&missing).unwrap_err().to_string(),
        "it is there for linux/amd64, windows/arm64, linux/arm64/v9, linux/arm64/v8, and not for \
         linux/s390x, which this machine is"
    );
}
