//! The certificates of one cluster: made anew with it, and gone with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::json;

/// The authority and the folder where everything is written.
pub(super) struct Pki {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes the authority, and the key that signs ServiceAccount tokens.
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "aegis-e2e");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let pki = Self { folder: folder.to_owned(), authority: Issuer::new(params, key) };
        pki.write("ca.crt", &certificate.pem())?;
        let signer = KeyPair::generate()?;
        pki.write("accounts.key", &signer.serialize_pem())?;
        pki.write("accounts.pub", &signer.public_key_pem())?;
        Ok(pki)
    }

    /// The path of a file.
    pub(super) fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// A server's certificate and key, as NAME.crt and NAME.key.
    pub(super) fn server(&self, name: &str, hosts: &[&str], addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        for host in hosts {
            params.subject_alt_names.push(SanType::DnsName((*host).try_into()?));
        }
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(IpAddr::V4(*address))));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params)
    }

    /// A client's certificate and key, as NAME.crt and NAME.key, for a user and optionally a group.
    pub(super) fn client(&self, name: &str, user: &str, group: Option<&str>) -> anyhow::Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, params)
    }

    /// As [`Pki::client`], with a kubeconfig that uses it; returns its path.
    pub(super) fn kubeconfig(
        &self,
        server: &str,
        name: &str,
        user: &str,
        group: Option<&str>,
    ) -> anyhow::Result<PathBuf> {
        self.client(name, user, group)?;
        let user = json!({
            "client-certificate": self.path(&format!("{name}.crt")),
            "client-key": self.path(&format!("{name}.key")),
        });
        let file = self.folder.join(format!("{name}.kubeconfig"));
        write_kubeconfig(&file, server, &self.path("ca.crt"), user)?;
        Ok(file)
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> anyhow::Result<()> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate =
            params.signed_by(&key, &self.authority).with_context(|| format!("could not certify {name}"))?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
    }
}

/// Writes a kubeconfig for a user's entry, in JSON, which is YAML too.
pub(super) fn write_kubeconfig(
    file: &Path,
    server: &str,
    authority: &str,
    user: serde_json::Value,
) -> anyhow::Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "aegis-e2e", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "aegis-e2e", "context": {"cluster": "aegis-e2e", "user": "user"}}],
        "current-context": "aegis-e2e",
    });
    fs::write(file, serde_json::to_vec_pretty(&config)?).with_context(|| format!("could not write {}", file.display()))
}
