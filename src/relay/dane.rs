//! DANE for SMTP (RFC 7672): a server's certificate held against what its zone says of it in TLSA
//! records (RFC 6698).
//!
//! Whether the records are authentic is found out where they are looked up, in [`mx`](super::mx);
//! nothing comes here that is not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use hickory_resolver::proto::rr::rdata::TLSA;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

/// The most records of one server that are looked at.
const MOST_RECORDS: usize = 32;

/// What a zone says of a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dane {
    /// The TLSA base domain (RFC 7672 §2.2.3): whom we ask for in the handshake.
    pub base: String,
    /// What a certificate that some authority vouches for must name one of: the base domain, the
    /// server as its MX names it, the domain itself (RFC 7672 §3.2.2).
    pub names: Vec<String>,
    /// Those that this program understands. None: TLS is wanted, whoever's certificate it is
    /// (RFC 7672 §2.2).
    pub usable: Vec<Tlsa>,
    /// All of them, as zone files have them.
    pub published: Vec<String>,
}

/// A record of a usage that SMTP has (RFC 7672 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Usage {
    /// 2: an authority of the domain's own.
    Authority,
    /// 3: the server's certificate itself.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Selector {
    /// 0.
    Certificate,
    /// 1: its public key.
    Key,
}

/// In the order of their strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matching {
    /// 0: all of it.
    Exact,
    /// 1.
    Sha256,
    /// 2.
    Sha512,
}

impl Dane {
    /// The records of `base`, of a server that an MX of `domain` calls `host`.
    #[must_use]
    pub fn new(base: &str, host: &str, domain: &str, records: &[TLSA]) -> Self {
        let mut names = vec![base.to_owned()];
        for name in [host, domain] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let records = &records[..records.len().min(MOST_RECORDS)];
        let usable = strongest(records.iter().filter_map(Tlsa::read).collect());
        Self { base: base.to_owned(), names, usable, published: records.iter().map(show).collect() }
    }

    /// Whether the certificate is what the zone says.
    ///
    /// # Errors
    /// What is wrong with it, of the record that came nearest.
    pub fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), rustls::Error> {
        if self.usable.is_empty() {
            return Ok(());
        }
        // Neither its names nor its dates count (RFC 7672 §3.1.1).
        if self.of(Usage::Server).any(|record| record.matches(end_entity)) {
            return Ok(());
        }
        let mut authorities = RootCertStore::empty();
        for record in self.of(Usage::Authority) {
            // Where the record is the whole certificate, the server need not send it (RFC 7672 §3.1.2).
            let published = record.certificate();
            for certificate in intermediates.iter().chain(&published) {
                if record.matches(certificate) {
                    // What can't be read vouches for nobody.
                    let _ = authorities.add(certificate.clone().into_owned());
                }
            }
        }
        let mut failure = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if authorities.is_empty() {
            return Err(failure);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        for name in &self.names {
            let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
            match verifier.verify_server_cert(end_entity, intermediates, &name, &[], now) {
                Ok(_) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn of(&self, usage: Usage) -> impl Iterator<Item = &Tlsa> {
        self.usable.iter().filter(move |record| record.usage == usage)
    }
}

/// Of digests of one usage and selector only the strongest count (RFC 7671 §9), so that a broken one
/// helps nobody while it is still published.
fn strongest(mut records: Vec<Tlsa>) -> Vec<Tlsa> {
    let mut best: BTreeMap<(Usage, Selector), Matching> = BTreeMap::new();
    for record in &records {
        let best = best.entry((record.usage, record.selector)).or_insert(record.matching);
        *best = record.matching.max(*best);
    }
    records.retain(|record| {
        record.matching == Matching::Exact || best.get(&(record.usage, record.selector)) == Some(&record.matching)
    });
    records
}

impl Tlsa {
    /// `None`: of a usage that SMTP has not, of parameters that nobody knows, or of a wrong length.
    fn read(record: &TLSA) -> Option<Self> {
        let usage = match u8::from(record.cert_usage) {
            2 => Usage::Authority,
            3 => Usage::Server,
            _ => return None,
        };
        let selector = match u8::from(record.selector) {
            0 => Selector::Certificate,
            1 => Selector::Key,
            _ => return None,
        };
        let (matching, fits) = match (u8::from(record.matching), record.cert_data.len()) {
            (0, length) => (Matching::Exact, length > 0),
            (1, length) => (Matching::Sha256, length == 32),
            (2, length) => (Matching::Sha512, length == 64),
            _ => return None,
        };
        fits.then(|| Self { usage, selector, matching, data: record.cert_data.clone() })
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let key;
        let selected = match self.selector {
            Selector::Certificate => certificate.as_ref(),
            Selector::Key => {
                let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
                key = parsed.subject_public_key_info();
                key.as_ref()
            }
        };
        match self.matching {
            Matching::Exact => selected == self.data,
            Matching::Sha256 => digest::digest(&digest::SHA256, selected).as_ref() == self.data,
            Matching::Sha512 => digest::digest(&digest::SHA512, selected).as_ref() == self.data,
        }
    }

    fn certificate(&self) -> Option<CertificateDer<'_>> {
        let whole = self.selector == Selector::Certificate && self.matching == Matching::Exact;
        whole.then(|| CertificateDer::from(self.data.as_slice()))
    }
}

/// As it stands in a zone, for reports: without the end of what is very long.
fn show(record: &TLSA) -> String {
    struct Hex<'a>(&'a [u8]);
    impl fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&HEXLOWER.encode(&self.0[..self.0.len().min(64)]))
        }
    }
    let (usage, selector, matching) =
        (u8::from(record.cert_usage), u8::from(record.selector), u8::from(record.matching));
    format!("{usage} {selector} {matching} {}", Hex(&record.cert_data))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    /// An authority, a server's certificate by it, and whether both are of this year.
    struct Chain {
        authority: Certificate,
        server: Certificate,
        key: Vec<u8>,
    }

    fn chain(name: &str, year: i32) -> Chain {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let server = params.signed_by(&key, &issuer).unwrap();
        Chain { authority, server, key: rcgen::PublicKeyData::subject_public_key_info(&key) }
    }

    fn sha256(bytes: &[u8]) -> Vec<u8> {
        digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
    }

    fn sha512(bytes: &[u8]) -> Vec<u8> {
        digest::digest(&digest::SHA512, bytes).as_ref().to_vec()
    }

    fn tlsa(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> TLSA {
        TLSA::new(usage.into(), selector.into(), matching.into(), data)
    }

    fn holds(chain: &Chain, sent: &[&Certificate], records: &[TLSA]) -> bool {
        let dane = Dane::new("mx.example.com", "mx.example.com", "example.com", records);
        let intermediates: Vec<_> = sent.iter().map(|certificate| certificate.der().clone()).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_hours(500_000));
        let provider = Arc::new(aws_lc_rs::default_provider());
        dane.check(chain.server.der(), &intermediates, now, &provider).is_ok()
    }

    #[test]
    fn the_servers_own_certificate_counts_whatever_it_names() {
        let (right, other) = (chain("other.example", 2000), chain("mx.example.com", 2100));
        let own = right.server.der().to_vec();
        for (record, good) in [
            (tlsa(3, 0, 0, own.clone()), true),
            (tlsa(3, 0, 1, sha256(&own)), true),
            (tlsa(3, 0, 2, sha512(&own)), true),
            (tlsa(3, 1, 0, right.key.clone()), true),
            (tlsa(3, 1, 1, sha256(&right.key)), true),
            (tlsa(3, 1, 2, sha512(&right.key)), true),
            (tlsa(3, 1, 1, sha256(&other.key)), false),
            (tlsa(3, 0, 1, sha256(&right.key)), false),
            // Its authority is not the server itself.
            (tlsa(3, 0, 0, right.authority.der().to_vec()), false),
        ] {
            assert_eq!(holds(&right, &[&right.authority], std::slice::from_ref(&record)), good, "{}", show(&record));
        }
    }

    #[test]
    fn an_authority_vouches_for_names_and_dates() {
        let right = chain("mx.example.com", 2100);
        let ca = right.authority.der().to_vec();
        for (record, sent, good) in [
            (tlsa(2, 0, 1, sha256(&ca)), true, true),
            (tlsa(2, 0, 2, sha512(&ca)), true, true),
            (tlsa(2, 0, 0, ca.clone()), true, true),
            (tlsa(2, 0, 0, ca.clone()), false, true),
            (tlsa(2, 0, 1, sha256(&ca)), false, false),
            // A server's certificate is no authority.
            (tlsa(2, 0, 1, sha256(right.server.der())), true, false),
        ] {
            let sent: &[&Certificate] = if sent { &[&right.authority] } else { &[] };
            assert_eq!(holds(&right, sent, std::slice::from_ref(&record)), good, "{} {}", show(&record), sent.len());
        }
        for (name, year, good) in
            [("example.com", 2100, true), ("mx.example.com", 2000, false), ("mx.example.org", 2100, false)]
        {
            let other = chain(name, year);
            let record = tlsa(2, 0, 1, sha256(other.authority.der()));
            assert_eq!(holds(&other, &[&other.authority], &[record]), good, "{name} {year}");
        }
        // Somebody else's authority in the chain of a server that is not his.
        let other = chain("mx.example.com", 2100);
        assert!(!holds(&other, &[&other.authority, &right.authority], &[tlsa(2, 0, 1, sha256(&ca))]));
    }

    #[test]
    fn one_record_is_enough_and_what_nobody_knows_means_nothing() {
        let right = chain("mx.example.com", 2100);
        let (good, bad) = (tlsa(3, 1, 1, sha256(&right.key)), tlsa(3, 1, 1, vec![0; 32]));
        assert!(holds(&right, &[], &[bad.clone(), good.clone()]));
        let unusable = [
            tlsa(0, 0, 1, vec![0; 32]),
            tlsa(1, 1, 1, vec![0; 32]),
            tlsa(4, 1, 1, vec![0; 32]),
            tlsa(3, 2, 1, vec![0; 32]),
            tlsa(3, 1, 3, vec![0; 32]),
            tlsa(3, 1, 1, vec![0; 31]),
            tlsa(3, 1, 2, vec![0; 32]),
            tlsa(3, 0, 0, Vec::new()),
        ];
        assert!(holds(&right, &[], &unusable), "TLS alone is wanted");
        assert!(!holds(&right, &[], &[&unusable[..], &[bad]].concat()));
        // A weaker digest helps nobody where there is a stronger one.
        assert!(!holds(&right, &[], &[good.clone(), tlsa(3, 1, 2, vec![0; 64])]));
        assert!(holds(&right, &[], &[good, tlsa(3, 0, 2, vec![0; 64])]));
    }
}
