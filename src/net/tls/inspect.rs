//! What there is to say of the certificates that a configuration names, without a daemon: for
//! `guichet check`.

use jiff::Timestamp;

use super::files::{ending, lacks};
use super::{Certificate, CertificateFiles};
use crate::config::check::is_elsewhere;
use crate::config::{Certificates, Config, Problem};
use crate::net::acme::https::roots;
use crate::net::acme::state::State;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The daemon does not start with these, and shows none of it when it runs.
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// Looks at the files of `[tls]`.
#[must_use]
pub fn inspect(config: &Config, now: Timestamp) -> Findings {
    let mut found = Findings::default();
    match &config.tls.certificates {
        Certificates::SelfSigned => {}
        Certificates::Files { certificate, key } if is_elsewhere(certificate) || is_elsewhere(key) => {}
        Certificates::Files { certificate, key } => {
            let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
            match files.load() {
                Err(error) => found.problems.push(config.problem(files.named_by(&error), error.to_string())),
                Ok(certificate) => found.warnings.extend(
                    doubts(&certificate, config, now).into_iter().map(|text| config.problem("tls.certificate", text)),
                ),
            }
        }
        Certificates::Acme(acme) => {
            if !acme.ca.as_deref().is_some_and(is_elsewhere)
                && let Err(error) = roots(acme.ca.as_deref())
            {
                found.problems.push(config.problem(error.named_by(), error.to_string()));
            }
            let state = State::new(&config.data_dir, &acme.directory);
            for name in acme.names.iter().map(ToString::to_string) {
                let certificate = state.certificate(&name);
                let mut text = match &certificate {
                    Ok(Some(certificate)) => ending(certificate, now),
                    Ok(None) => Some("no certificate was obtained yet".to_owned()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(failed) = state.failed(&name) {
                    let tried = format!("tried at {}, again at {}: {}", failed.at, failed.again_at(), failed.words);
                    text = Some(text.map_or_else(|| tried.clone(), |text| format!("{text}; {tried}")));
                }
                found.warnings.extend(text.map(|text| config.problem("tls.acme", format!("{name}: {text}"))));
            }
        }
    }
    found
}

/// What is wrong with a certificate that works all the same.
fn doubts(certificate: &Certificate, config: &Config, now: Timestamp) -> Vec<String> {
    let mut doubts = Vec::new();
    doubts.extend(ending(certificate, now));
    let from = certificate.validity().from;
    if now < from {
        doubts.push(format!("the certificate does not hold before {from}; is the clock right?"));
    }
    doubts.extend(lacks(certificate, &config.tls.names(&config.hostname, &config.domains)));
    doubts
}
