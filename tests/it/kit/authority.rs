//! An authority of the tests' own: certificates for any names and times, and clients that believe it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A root with its key.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A chain and its key in PEM.
pub struct Issued {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two are of one name: a certificate names its authority.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its root in PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// A certificate that holds from yesterday on for 90 days.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, -1, 90)
    }

    /// A certificate that holds from one day to another, counted from today.
    pub fn issue_for(&self, names: &[&str], from: i64, until: i64) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let day = |days: i64| {
            let today = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(today.as_second()).unwrap())
        };
        (params.not_before, params.not_after) = (day(from), day(until));
        let key = KeyPair::generate().unwrap();
        Issued { chain: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    /// What a server of a name needs, valid.
    pub fn valid(&self, name: &str) -> Identity {
        self.identity(&self.issue(&[name]))
    }

    /// The same, valid up to the beginning of a year.
    pub fn until(&self, name: &str, year: i16) -> Identity {
        let end = jiff::civil::date(year, 1, 1).in_tz("UTC").unwrap().timestamp();
        let days = end.duration_since(jiff::Timestamp::now()).as_hours() / 24;
        self.identity(&self.issue_for(&[name], days.min(0) - 1, days))
    }

    fn identity(&self, issued: &Issued) -> Identity {
        let key = KeyPair::from_pem(&issued.key).unwrap();
        Identity {
            chain: vec![issued.own(), self.0.der().clone()],
            key: key.serialize_der().into(),
            public_key: key.subject_public_key_info(),
        }
    }

    /// What makes its certificates believed.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A client that believes it.
    pub fn believer(&self) -> TlsConnector {
        believer(self.0.der().clone())
    }
}

impl Issued {
    /// Writes both below a folder; their places.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let files = (folder.join("tls.pem"), folder.join("tls.key"));
        fs::write(&files.0, &self.chain).unwrap();
        fs::write(&files.1, &self.key).unwrap();
        files
    }

    /// The certificate itself.
    pub fn own(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// A server's certificate, that of its authority, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    /// The public key (SubjectPublicKeyInfo).
    pub public_key: Vec<u8>,
}

impl Identity {
    /// What a server needs.
    pub fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .unwrap();
        Arc::new(config)
    }
}

/// A client that believes one root.
pub fn believer(root: CertificateDer<'static>) -> TlsConnector {
    speaking(root, &[])
}

/// The same, which offers protocols.
pub fn speaking(root: CertificateDer<'static>, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A handshake in which the server is to be `name`.
pub async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    name: &str,
    stream: S,
) -> io::Result<TlsStream<S>> {
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// What the server has shown.
pub fn shown<S>(stream: &TlsStream<S>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A request as it goes over the line, and all that comes back.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without TLS' goodbye has answered all the same.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}
