//! Which certificates the daemon shows, and who keeps them fresh: a watch over files, or somebody who
//! asks an authority. SIGHUP puts new ones in their place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hickory_resolver::TokioResolver;
use tokio::task::JoinHandle;

use crate::cli::Failure;
use crate::config::{self, Config};
use crate::net::acme::https::Https;
use crate::net::acme::{Proof, Renewer};
use crate::net::stop::{self, Stopper};
use crate::net::tls::files::{self, Watch, complain};
use crate::net::tls::{CertificateFiles, Certificates, Shown, TlsError};

/// What is shown, and who keeps it.
pub(super) struct Keeper {
    pub(super) certificates: Certificates,
    /// Of the listeners that are open: what can be proven where.
    proofs: Vec<Proof>,
    data_dir: PathBuf,
    hostname: String,
    resolver: TokioResolver,
    at_work: Option<(Stopper, JoinHandle<()>)>,
}

impl Keeper {
    /// Loads what is shown at first. Nobody keeps it fresh before [`Self::begin`]. Must be called in a
    /// runtime.
    pub(super) fn new(config: &Config, resolver: &TokioResolver) -> Result<Self, Failure> {
        let problem = |key: &str, text: String| Failure::BadConfig(vec![config.problem(key, text)]);
        let hostname = config.hostname.to_string();
        let first = match &config.tls.certificates {
            config::Certificates::Files { certificate, key } => {
                let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
                files.load().map_err(|error| problem("tls.certificate", error.to_string()))?
            }
            config::Certificates::SelfSigned | config::Certificates::Acme(_) => {
                let files = self_signed(&config.data_dir, &hostname).map_err(anyhow::Error::from)?;
                files.load().map_err(|error| problem("tls", error.to_string()))?
            }
        };
        let mut proofs = Vec::new();
        if !config.web.listen_tls.is_empty() {
            proofs.push(Proof::TlsAlpn);
        }
        if !config.web.listen.is_empty() {
            proofs.push(Proof::Http);
        }
        Ok(Self {
            certificates: Certificates::new(first),
            proofs,
            data_dir: config.data_dir.clone(),
            hostname,
            resolver: resolver.clone(),
            at_work: None,
        })
    }

    /// Keeps certificates fresh as `[tls]` says from now on. Must be called in a runtime.
    pub(super) fn begin(&mut self, tls: &config::Tls) {
        self.keep(tls, false);
    }

    /// The same, in place of whoever did before; what failed is tried at once, since somebody asked.
    /// What can't be used is in the log, and whatever was shown stays.
    pub(super) async fn begin_again(&mut self, tls: &config::Tls) {
        self.stop().await;
        self.keep(tls, true);
    }

    fn keep(&mut self, tls: &config::Tls, again: bool) {
        let (stopper, stop) = stop::channel();
        let at_work = match &tls.certificates {
            config::Certificates::SelfSigned => {
                let made = self_signed(&self.data_dir, &self.hostname).and_then(|files| files.load());
                match made {
                    Ok(first) => self.certificates.show(Shown { first: first.into(), named: BTreeMap::new() }),
                    Err(error) => complain(&error.into()),
                }
                return;
            }
            config::Certificates::Files { certificate, key } => {
                let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
                let (watch, taken) = Watch::begin(files, self.certificates.clone(), files::EVERY);
                if let Err(error) = taken {
                    complain(&error);
                }
                tokio::spawn(watch.run(stop))
            }
            config::Certificates::Acme(_) if self.proofs.is_empty() => {
                tracing::warn!("certificates are asked for after a restart: no listener of [web] is open yet");
                return;
            }
            config::Certificates::Acme(acme) => {
                let https = match Https::new(self.resolver.clone(), acme.ca.as_deref()) {
                    Ok(https) => https,
                    Err(error) => {
                        tracing::error!("no certificate can be asked for: {error}");
                        return;
                    }
                };
                let (certificates, proofs) = (self.certificates.clone(), self.proofs.clone());
                let renewer = Renewer::new(acme.clone(), proofs, &self.data_dir, certificates, https);
                let renewer = if again { renewer.at_once() } else { renewer };
                tokio::spawn(renewer.run(stop))
            }
        };
        self.at_work = Some((stopper, at_work));
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

fn self_signed(data_dir: &Path, hostname: &str) -> Result<CertificateFiles, TlsError> {
    CertificateFiles::self_signed(&data_dir.join("certs"), &[hostname.to_owned()])
}
