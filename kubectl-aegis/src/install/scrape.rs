//! What Prometheus can go by when the pods serve HTTPS. It reaches them by their addresses, which no certificate names;
//! but a Secret that names its authority, as one of cert-manager does, lets it ask for the Service's name instead.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The key of a Secret that holds its authority.
const AUTHORITY: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";

/// What a certificate is verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    secret: String,
    name: String,
}

impl Trust {
    /// What the certificate of that Secret can be verified by; or, if by nothing, why.
    pub(crate) async fn of(client: &Client, namespace: &str, secret: &str) -> Result<Result<Self, String>, Failure> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = match api.get_opt(secret).await {
            Ok(found) => found.and_then(|found| found.data).unwrap_or_default(),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Ok(Err("you may not read it".to_owned()));
            }
            Err(error) => return Err(Failure::of_call(format!("could not read secret/{secret}"), error)),
        };
        let part = |key: &str| found.get(key).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
        Ok(named(part(CERTIFICATE), part(AUTHORITY), namespace, UnixTime::now())
            .map(|name| Self { secret: secret.to_owned(), name }))
    }
}

/// What the endpoint of a ServiceMonitor says of TLS.
pub(crate) fn tls_config(trust: Option<&Trust>) -> Value {
    match trust {
        Some(Trust { secret, name }) => {
            json!({"ca": {"secret": {"name": secret, "key": AUTHORITY}}, "serverName": name})
        }
        // What Prometheus reads there is no secret, and it shows none.
        None => json!({"insecureSkipVerify": true}),
    }
}

/// The name of the Service that this certificate holds, if that authority vouches for it at that time.
fn named(certificate: &[u8], authority: &[u8], namespace: &str, now: UnixTime) -> Result<String, String> {
    let all = |bytes: &[u8]| CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let (chain, authorities) = (all(certificate), all(authority));
    let Some((certificate, between)) = chain.split_first() else {
        return Err(format!("its key {CERTIFICATE} holds no certificate"));
    };
    if authorities.is_empty() {
        return Err(format!("it has no key {AUTHORITY} with the authority that issued it"));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| format!("its key {AUTHORITY} cannot be used: {error}"))?;
    let names = ["svc", "svc.cluster.local"].map(|end| format!("aegis.{namespace}.{end}"));
    for name in names.iter().chain([&format!("aegis.{namespace}"), &"aegis".to_owned()]) {
        let Ok(asked) = ServerName::try_from(name.as_str()) else { continue };
        match verifier.verify_server_cert(certificate, between, &asked, &[], now) {
            Ok(_) => return Ok(name.clone()),
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(format!("what its key {AUTHORITY} holds does not verify it: {error}")),
        }
    }
    Err(format!("it is not for the name {}", names.join(" or ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OURS: &[u8] = include_bytes!("../../tests/data/tls/tls.crt");
    const AUTHORITY: &[u8] = include_bytes!("../../tests/data/tls/ca.crt");
    const OTHER: &[u8] = include_bytes!("../../../controller/tests/webhook/tls/one.crt");

    #[test]
    fn a_name_is_trusted_only_if_the_secrets_own_authority_vouches_for_it() {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_268_800));
        let chain = [OURS, AUTHORITY].concat();
        let cases = [
            ("it is vouched for", OURS, AUTHORITY, "monitoring", Ok("aegis.monitoring.svc")),
            ("with its chain", &chain, AUTHORITY, "monitoring", Ok("aegis.monitoring.svc")),
            ("no authority, as kubectl makes it", OURS, b"", "monitoring", Err("no key ca.crt")),
            ("somebody else's authority", OURS, OTHER, "monitoring", Err("does not verify it")),
            ("another namespace's", OURS, AUTHORITY, "ops", Err("not for the name aegis.ops.svc or")),
            ("no certificate", b"x", AUTHORITY, "monitoring", Err("tls.crt holds no certificate")),
        ];
        for (why, certificate, authority, namespace, want) in cases {
            let found = named(certificate, authority, namespace, now);
            match want {
                Ok(name) => assert_eq!(found.as_deref(), Ok(name), "{why}"),
                Err(part) => assert!(found.as_ref().is_err_and(|told| told.contains(part)), "{why}: {found:?}"),
            }
        }
        let before = named(OURS, AUTHORITY, "monitoring", UnixTime::since_unix_epoch(Duration::from_secs(1)));
        assert!(before.is_err(), "a certificate that does not count yet: {before:?}");
    }
}
