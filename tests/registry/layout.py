"""An OCI layout out of directories: layout.py LAYOUT TAG CONFIG DIRECTORY…

CONFIG is the image's "config" as JSON; each directory becomes a layer in gzip, the lowest first.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

MEDIA = "application/vnd.oci.image."


def blob(layout, content):
    digest = hashlib.sha256(content).hexdigest()
    with open(os.path.join(layout, "blobs/sha256", digest), "wb") as out:
        out.write(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def layer(directory):
    out = io.BytesIO()

    def root(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in sorted(os.listdir(directory)):
            tar.add(os.path.join(directory, name), arcname=name, filter=root)
    return out.getvalue()


def main(layout, tag, config, *directories):
    os.makedirs(os.path.join(layout, "blobs/sha256"), exist_ok=True)
    tars = [layer(directory) for directory in directories]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    image = {
        "os": "linux", "architecture": machine, "config": json.loads(config),
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
    }
    told = blob(layout, json.dumps(image).encode()) | {"mediaType": MEDIA + "config.v1+json"}
    layers = [
        blob(layout, gzip.compress(tar, 1)) | {"mediaType": MEDIA + "layer.v1.tar+gzip"} for tar in tars
    ]
    manifest = {
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": told, "layers": layers,
    }
    entry = blob(layout, json.dumps(manifest).encode()) | {
        "mediaType": MEDIA + "manifest.v1+json",
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    with open(os.path.join(layout, "oci-layout"), "w") as out:
        json.dump({"imageLayoutVersion": "1.0.0"}, out)
    index = os.path.join(layout, "index.json")
    known = json.load(open(index))["manifests"] if os.path.exists(index) else []
    with open(index, "w") as out:
        json.dump({"schemaVersion": 2, "manifests": known + [entry]}, out)


main(*sys.argv[1:])
