//! The archive around the layers: an OCI layout with docker's manifest.json beside it. Both name the same blobs.

use std::fs::File;
use std::io::{self, Seek, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layer::{Layer, append_file, header};
use super::{Error, Image, Written};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) fn write(image: &Image, out: impl Write) -> Result<Written, Error> {
    let mut blobs: Vec<Blob> = Vec::new();
    let mut layers = Vec::new();
    for layer in &image.layers {
        let (blob, file) = gathered(layer)?;
        if !blobs.contains(&blob) {
            layers.push(file);
            blobs.push(blob);
        }
    }
    let size = blobs.iter().map(|blob| blob.size).sum();
    let config = bytes(&config(image, &blobs));
    let config_blob = Blob::of(&config);
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config_blob.descriptor(CONFIG),
        "layers": blobs.iter().map(|blob| blob.descriptor(LAYER)).collect::<Vec<_>>(),
    }));
    let manifest_blob = Blob::of(&manifest);

    let mut tar = tar::Builder::new(out);
    let rest = || -> io::Result<()> {
        // The layout's mark comes first, where readers of a stream look for it.
        append_file(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append_file(&mut tar, "index.json", 0o644, &bytes(&index(image, &manifest_blob)))?;
        append_file(&mut tar, "manifest.json", 0o644, &bytes(&docker_manifest(image, &config_blob, &blobs)))?;
        append_file(&mut tar, &manifest_blob.path(), 0o644, &manifest)?;
        append_file(&mut tar, &config_blob.path(), 0o644, &config)?;
        for (blob, file) in blobs.iter().zip(layers) {
            let mut header = header(0o644, tar::EntryType::Regular, blob.size);
            tar.append_data(&mut header, blob.path(), file)?;
        }
        tar.finish()?;
        tar.get_mut().flush()
    };
    rest().map_err(Error::Write)?;
    Ok(Written { id: config_blob.digest(), digest: manifest_blob.digest(), size })
}

/// The layer's tar in a temporary file, read from the start.
fn gathered(layer: &Layer) -> Result<(Blob, File), Error> {
    let mut hashing = Hashing { inner: tempfile::tempfile().map_err(Error::Write)?, sha256: Sha256::new(), size: 0 };
    layer.write(io::BufWriter::with_capacity(1 << 16, &mut hashing))?;
    let Hashing { mut inner, sha256, size } = hashing;
    inner.rewind().map_err(Error::Write)?;
    Ok((Blob { sha256: hex::encode(sha256.finalize()), size }, inner))
}

/// What a runtime reads to make a container.
fn config(image: &Image, layers: &[Blob]) -> Value {
    let env: Vec<String> = image.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut config = serde_json::Map::new();
    let mut given = |key: &str, value: Value, is_given: bool| {
        if is_given {
            config.insert(key.to_owned(), value);
        }
    };
    given("User", json!(image.user), image.user.is_some());
    given("Env", json!(env), !env.is_empty());
    given("Entrypoint", json!(image.entrypoint), !image.entrypoint.is_empty());
    given("Cmd", json!(image.cmd), !image.cmd.is_empty());
    given("WorkingDir", json!(image.workdir), image.workdir.is_some());
    given("Labels", json!(image.labels), !image.labels.is_empty());
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": image.architecture.word(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(Blob::digest).collect::<Vec<_>>()},
        "history": layers.iter().map(|_| json!({"created": "1970-01-01T00:00:00Z"})).collect::<Vec<_>>(),
    })
}

/// How an OCI layout names its image. containerd keeps the first annotation as the image's name.
fn index(image: &Image, manifest: &Blob) -> Value {
    let mut descriptor = manifest.descriptor(MANIFEST);
    if let Some(fields) = descriptor.as_object_mut() {
        fields.insert(
            "annotations".to_owned(),
            json!({
                "io.containerd.image.name": image.name.full(),
                "org.opencontainers.image.ref.name": image.name.tag(),
            }),
        );
        fields.insert("platform".to_owned(), json!({"architecture": image.architecture.word(), "os": "linux"}));
    }
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
}

/// How `docker save` names its image.
fn docker_manifest(image: &Image, config: &Blob, layers: &[Blob]) -> Value {
    json!([{
        "Config": config.path(),
        "RepoTags": [image.name.to_string()],
        "Layers": layers.iter().map(Blob::path).collect::<Vec<_>>(),
    }])
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A piece of the archive under the name of its digest.
#[derive(Debug, PartialEq, Eq)]
struct Blob {
    sha256: String,
    size: u64,
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        Self { sha256: hex::encode(Sha256::digest(bytes)), size: bytes.len() as u64 }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest(), "size": self.size})
    }
}

/// Hashes and counts what is written through it.
struct Hashing {
    inner: File,
    sha256: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha256.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
