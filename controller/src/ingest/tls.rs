//! HTTPS from files, which may change while we run: certificates are renewed long before a pod is.

use std::path::PathBuf;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::serve::{Error, LOOK_AGAIN};

/// The certificate and key that connections are served with.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    content: (Vec<u8>, Vec<u8>),
    /// What the server uses; clones share it.
    pub(super) config: RustlsConfig,
}

impl Tls {
    /// Reads both files.
    pub(super) fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, Error> {
        let content = read(&certificate, &key)?;
        let config = RustlsConfig::from_config(Arc::new(configuration(&certificate, &key, &content)?));
        Ok(Self { certificate, key, content, config })
    }

    /// Reads the files again now and then until `stop`. Files that cannot be used leave the certificate as it was.
    pub(super) async fn follow(mut self, stop: CancellationToken) {
        let mut usable = true;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            match self.look_again() {
                Ok(changed) => {
                    if changed {
                        info!("the webhook's certificate has changed");
                    }
                    usable = true;
                }
                Err(error) => {
                    if std::mem::take(&mut usable) {
                        warn!("could not take the webhook's certificate again, the old one is used: {error}");
                    }
                }
            }
        }
    }

    fn look_again(&mut self) -> Result<bool, Error> {
        let content = read(&self.certificate, &self.key)?;
        if content == self.content {
            return Ok(false);
        }
        self.config.reload_from_config(Arc::new(configuration(&self.certificate, &self.key, &content)?));
        self.content = content;
        Ok(true)
    }
}

fn read(certificate: &PathBuf, key: &PathBuf) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| Error::Tls { file: file.clone(), message: error.to_string() })
    };
    Ok((read(certificate)?, read(key)?))
}

fn configuration(certificate: &PathBuf, key: &PathBuf, content: &(Vec<u8>, Vec<u8>)) -> Result<ServerConfig, Error> {
    let wrong = |file: &PathBuf, message: String| Error::Tls { file: file.clone(), message };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.0).collect();
    let chain = chain.map_err(|error| wrong(certificate, format!("expected certificates in PEM ({error})")))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "found no certificate; expected a chain in PEM".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&content.1)
        .map_err(|error| wrong(key, format!("expected a private key in PEM ({error})")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| wrong(key, format!("certificate and key do not work together ({error})")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
