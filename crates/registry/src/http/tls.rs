//! Speaking TLS with gateways.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// How to speak TLS with gateways. Certificates and keys are PEM text, not files.
///
/// Certificates of gateways must be for the name or the address in theirs.
#[derive(Clone)]
pub struct Tls {
    /// The authorities that sign certificates of gateways; nobody else is trusted.
    pub ca_pem: String,
    /// Our own certificate with its chain, and its key, where gateways want to know us.
    pub identity: Option<(String, String)>,
}

impl Tls {
    pub(super) fn connector(&self) -> Result<TlsConnector, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("an authority", &self.ca_pem)? {
            roots.add(certificate).map_err(|error| unusable("an authority", &error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(|error| unusable("TLS", &error))?;
        let config = config.with_root_certificates(roots);
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                // What a parser says of a key may repeat it.
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
                    Error::invalid("the key of our certificate is unusable: a private key in PEM is accepted")
                })?;
                let chain = certificates("our certificate", chain)?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable("our certificate", &error))?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(Error::invalid(format_args!(
            "the certificate of {what} is unusable: one or more in PEM are accepted"
        ))),
    }
}

fn unusable(what: &str, error: &tokio_rustls::rustls::Error) -> Error {
    Error::invalid(format_args!("{what} cannot be used: {error}"))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_certificates_are_refused_and_never_shown() {
        for identity in [None, Some(("hunter2".to_owned(), "hunter2".to_owned()))] {
            let tls = Tls { ca_pem: "hunter2".to_owned(), identity };
            let refused = tls.connector().map(drop).unwrap_err().to_string();
            assert!(refused.contains("in PEM are accepted"), "{refused}");
            assert!(!format!("{tls:?} {refused}").contains("hunter2"));
        }
    }
}
