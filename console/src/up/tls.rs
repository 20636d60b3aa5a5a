//! The certificate that a local cluster shows to MySQL clients: made once, signed by an
//! authority of its own whose certificate clients can be given (`tls/ca.pem`).

use super::folder::Folder;
use crate::{
    exit::{Failure, Reason, chain},
    local::account::write_secret,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{fs, path::PathBuf};

/// The files of the certificate.
#[derive(Clone, Debug)]
pub struct TlsPaths {
    /// The authority's certificate, for clients.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Finds the certificate of a folder or makes it.
pub fn load_or_create(folder: &Folder) -> Result<TlsPaths, Failure> {
    let dir = folder.path("tls");
    let paths = TlsPaths {
        authority: dir.join("ca.pem"),
        certificate: dir.join("server.pem"),
        key: dir.join("server-key.pem"),
    };
    // The key is written last: with it all is there.
    if paths.key.is_file() {
        return Ok(paths);
    }
    let made = make().map_err(|error| {
        Failure::new(Reason::Failed, format!("making a certificate: {}", chain(&error)))
    })?;
    fs::create_dir_all(&dir).map_err(crate::local::LocalError::file("create", &dir))?;
    write_secret(&paths.authority, &made.authority)?;
    write_secret(&paths.certificate, &made.certificate)?;
    write_secret(&paths.key, &made.key)?;
    Ok(paths)
}

struct Made {
    authority: String,
    certificate: String,
    key: String,
}

fn make() -> Result<Made, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Shardline local authority");
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(params, authority_key);

    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Made { authority, certificate, key: key.serialize_pem() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once() {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::open_or_take(parent.path()).expect("taken");
        let paths = load_or_create(&folder).expect("made");
        let first = fs::read_to_string(&paths.certificate).expect("file");
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----"));
        load_or_create(&folder).expect("found");
        assert_eq!(fs::read_to_string(&paths.certificate).expect("file"), first);
    }
}
