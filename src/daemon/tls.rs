//! Which certificates the daemon shows, and who keeps them fresh: a watch over files, or somebody who
//! asks an authority. SIGHUP puts new ones in their place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hickory_resolver::TokioResolver;
use tokio::task::JoinHandle;

use super::doors::Addresses;
use crate::cli::Failure;
use crate::config::{self, Config, Domain};
use crate::net::acme::https::Https;
use crate::net::acme::{self, Proof, Renewer};
use crate::net::stop::{self, Stopper};
use crate::net::tls::files::{self, Refused, Watch};
use crate::net::tls::{CertificateFiles, Certificates, Shown, TlsError};

/// What is shown, and who keeps it.
pub(super) struct Keeper {
    pub(super) certificates: Certificates,
    /// What can be proven at the doors that are open.
    proofs: Vec<Proof>,
    data_dir: PathBuf,
    hostname: Domain,
    domains: Vec<Domain>,
    resolver: TokioResolver,
    at_work: Option<(Stopper, JoinHandle<()>)>,
}

/// What is not applied of a `[tls]`; whatever was shown before stays.
#[derive(Debug)]
pub(super) struct Unusable {
    /// The key that names it.
    pub(super) key: &'static str,
    pub(super) text: String,
}

impl Unusable {
    fn new(key: &'static str, text: impl Into<String>) -> Self {
        Self { key, text: text.into() }
    }

    fn in_files(files: &CertificateFiles, error: &TlsError) -> Self {
        Self::new(files.named_by(error), error.to_string())
    }
}

impl Keeper {
    /// Loads what is shown at first, of what is there. Nobody keeps it fresh before [`Self::begin`].
    pub(super) fn new(config: &Config, resolver: &TokioResolver) -> Result<Self, Failure> {
        let problem = |unusable: Unusable| Failure::BadConfig(vec![config.problem(unusable.key, unusable.text)]);
        let (hostname, domains) = (config.hostname.clone(), config.domains.clone());
        let first = match &config.tls.certificates {
            config::Certificates::Files { certificate, key } => {
                let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
                files.load().map_err(|error| problem(Unusable::in_files(&files, &error)))?
            }
            config::Certificates::SelfSigned | config::Certificates::Acme(_) => {
                let files = self_signed(&config.data_dir, &hostname).map_err(anyhow::Error::from)?;
                files.load().map_err(|error| problem(Unusable::new("tls", error.to_string())))?
            }
        };
        let certificates = Certificates::new(first);
        if let config::Certificates::Acme(acme) = &config.tls.certificates {
            acme::show_kept(acme, &config.data_dir, &certificates);
        }
        let (data_dir, resolver) = (config.data_dir.clone(), resolver.clone());
        Ok(Self { certificates, proofs: Vec::new(), data_dir, hostname, domains, resolver, at_work: None })
    }

    /// Keeps certificates fresh as `[tls]` says from now on, once the doors are served. Must be called in
    /// a runtime.
    pub(super) fn begin(&mut self, tls: &config::Tls, listens: &Addresses) {
        let proofs = [(Proof::TlsAlpn, &listens.web_tls), (Proof::Http, &listens.web)];
        self.proofs = proofs.into_iter().filter(|(_, door)| !door.is_empty()).map(|(proof, _)| proof).collect();
        // What was there when it was loaded is there, or was written anew a moment ago.
        if let Err(unusable) = self.keep(tls, false) {
            tracing::error!("{}", unusable.text);
        }
    }

    /// The same, in place of whoever did before; what failed is tried at once, since somebody asked.
    ///
    /// # Errors
    /// What can't be used. It is used as soon as it can, where it is a file.
    pub(super) async fn begin_again(&mut self, tls: &config::Tls) -> Result<(), Unusable> {
        self.stop().await;
        if let config::Certificates::Acme(acme) = &tls.certificates {
            acme::show_kept(acme, &self.data_dir, &self.certificates);
        }
        self.keep(tls, true)
    }

    fn keep(&mut self, tls: &config::Tls, again: bool) -> Result<(), Unusable> {
        let (stopper, stop) = stop::channel();
        let mut taken = Ok(());
        let at_work = match &tls.certificates {
            config::Certificates::SelfSigned => {
                let made = self_signed(&self.data_dir, &self.hostname).and_then(|files| files.load());
                let first = made.map_err(|error| Unusable::new("tls", error.to_string()))?;
                self.certificates.show(Shown { first: first.into(), named: BTreeMap::new() });
                return Ok(());
            }
            config::Certificates::Files { certificate, key } => {
                let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
                let names = tls.names(&self.hostname, &self.domains);
                let (watch, read) = Watch::begin(files.clone(), names, self.certificates.clone(), files::EVERY);
                taken = read.map_err(|refused| match refused {
                    Refused::Unusable(error) => Unusable::in_files(&files, &error),
                    other => Unusable::new("tls.certificate", other.to_string()),
                });
                tokio::spawn(watch.run(stop))
            }
            config::Certificates::Acme(_) if self.proofs.is_empty() => {
                let text = "certificates are asked for after a restart: no listener of [web] is open yet";
                return Err(Unusable::new("tls.acme", text));
            }
            config::Certificates::Acme(acme) => {
                let https = Https::new(self.resolver.clone(), acme.ca.as_deref()).map_err(|error| {
                    Unusable::new(error.named_by(), format!("no certificate can be asked for: {error}"))
                })?;
                let (certificates, proofs) = (self.certificates.clone(), self.proofs.clone());
                let renewer = Renewer::new(acme.clone(), proofs, &self.data_dir, certificates, https);
                let renewer = if again { renewer.at_once() } else { renewer };
                tokio::spawn(renewer.run(stop))
            }
        };
        self.at_work = Some((stopper, at_work));
        taken
    }

    /// Nobody keeps them fresh any more.
    pub(super) async fn stop(&mut self) {
        if let Some((stopper, at_work)) = self.at_work.take() {
            stopper.stop();
            if let Err(error) = at_work.await {
                tracing::error!(%error, "who keeps certificates fresh broke down");
            }
        }
    }
}

fn self_signed(data_dir: &Path, hostname: &Domain) -> Result<CertificateFiles, TlsError> {
    CertificateFiles::self_signed(&data_dir.join("certs"), &[hostname.to_string()])
}
