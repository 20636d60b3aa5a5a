//! Mutual TLS from PEM files, for both sides of the service's port. Whoever shows a
//! certificate of the configured authority is trusted as a node or a client.

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::CryptoProvider,
    server::VerifierBuilderError, server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The PEM files of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authority that both sides' certificates must be signed by.
    pub authority: PathBuf,
    /// This process's certificate chain, its own first. Nodes need their host name or IP
    /// address in it.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or not PEM.
    #[error("cannot read {what} from {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("there is no certificate in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificates and key do not fit together or are not acceptable.
    #[error("cannot use the certificate {} with its key", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::Error,
    },
    /// The authority's certificates are not acceptable.
    #[error("cannot use the authority {}", path.display())]
    Authority {
        /// The authority's file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: VerifierBuilderError,
    },
}

impl TlsFiles {
    /// The connecting side.
    pub fn connector(&self) -> Result<TlsConnector, TlsError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| self.unusable(source))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain()?, self.private_key()?)
            .map_err(|source| self.unusable(source))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// The listening side; a client without a certificate is turned away.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
                .build()
                .map_err(|source| TlsError::Authority { path: self.authority.clone(), source })?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| self.unusable(source))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.private_key()?)
            .map_err(|source| self.unusable(source))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority, "the authority's certificates")? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::Unusable { path: self.authority.clone(), source })?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate, "the certificate")
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::File {
            what: "the private key",
            path: self.key.clone(),
            source,
        })
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Unusable { path: self.certificate.clone(), source }
    }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { what, path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(file)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(file)?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(found)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
