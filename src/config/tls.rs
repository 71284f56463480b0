//! `[tls]` and `[web]`: where certificates come from, and what the web listeners are for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::credential;
use super::reader::Section;
use super::value::{self, Domain};

/// Let's Encrypt.
const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `[tls]`: what we show to those who connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificates: Certificates,
    /// The MTA-STS policy that we publish for every domain of ours (RFC 8461); `None`: none.
    pub mta_sts: Option<MtaSts>,
    /// Domains of members' addresses whose mail clients are to find this desk by themselves.
    pub autoconfig: Vec<Domain>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Made once, in `data_dir/certs`.
    SelfSigned,
    /// PEM files that somebody else renews.
    Files { certificate: PathBuf, key: PathBuf },
    /// Asked for, and renewed, by ourselves (RFC 8555).
    Acme(Acme),
}

/// What an authority is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// A certificate for each of them; the first is shown to whoever names none. At least one.
    pub names: Vec<Domain>,
    /// The authority's directory, an `https://` address.
    pub directory: String,
    /// Where the authority may write to.
    pub contact: Option<String>,
    /// Roots that the directory's own certificate is held against, instead of the system's.
    pub ca: Option<PathBuf>,
}

/// The mode of our policy (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MtaSts {
    /// A policy that takes an earlier one back (RFC 8461 §8.3).
    None,
    Testing,
    Enforce,
}

/// `[web]`: HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    pub listen_tls: Vec<SocketAddr>,
    /// Answers challenges of ACME, and sends everything else to `https://`.
    pub listen: Vec<SocketAddr>,
    /// Where people will reach the web door, `https://host`, without a slash at the end.
    pub public_url: Option<String>,
}

impl Tls {
    /// The names that others look for in what we show: the hostname, where policies are served, and
    /// where mail clients ask.
    #[must_use]
    pub fn names(&self, hostname: &Domain, domains: &[Domain]) -> Vec<String> {
        let policies = domains.iter().filter(|_| self.mta_sts.is_some()).map(Self::policy_host);
        let asked = self.autoconfig.iter().flat_map(Self::client_hosts);
        std::iter::once(hostname.to_string()).chain(policies).chain(asked).collect()
    }

    /// The name that a domain's policy is served under (RFC 8461 §3.3).
    #[must_use]
    pub fn policy_host(domain: &Domain) -> String {
        format!("mta-sts.{domain}")
    }

    /// The names that clients ask about addresses of a domain: Thunderbird and its like, and Outlook.
    #[must_use]
    pub fn client_hosts(domain: &Domain) -> [String; 2] {
        ["autoconfig", "autodiscover"].map(|host| format!("{host}.{domain}"))
    }
}

pub(super) fn read_web(section: &Section<'_, '_>) -> Web {
    let web = Web {
        listen_tls: section.list("listen_tls", value::listen).unwrap_or_default(),
        listen: section.list("listen", value::listen).unwrap_or_default(),
        public_url: section.text("public_url", value::web_url),
    };
    section.finish();
    web
}

/// `own`: the hostname, and the domains that policies are for.
pub(super) fn read(section: &Section<'_, '_>, data_dir: &Path, web: &Web, own: (&Domain, &[Domain])) -> Tls {
    let (hostname, domains) = own;
    let certificate = section.text("certificate", credential::file);
    let key = section.text("key", credential::file);
    let acme = section.flag("acme") == Some(true);
    let names = section.list("acme_names", Domain::parse);
    let directory = section.text("acme_directory", value::acme_directory);
    let contact = section.text("acme_contact", value::mail_address);
    let ca = section.text("acme_ca", credential::file);
    let mta_sts = section.text("mta_sts", |text| match text {
        "none" => Ok(MtaSts::None),
        "testing" => Ok(MtaSts::Testing),
        "enforce" => Ok(MtaSts::Enforce),
        _ => Err("must be \"testing\" or \"enforce\", or \"none\" to take a policy back".to_owned()),
    });
    let autoconfig = section.list("autoconfig", |text| match Domain::parse(text)? {
        ours if domains.contains(&ours) => {
            Err("is a domain of this server, and no member's address is in it".to_owned())
        }
        domain => Ok(domain),
    });
    let mut autoconfig = autoconfig.unwrap_or_default();
    autoconfig.sort();
    autoconfig.dedup();
    match (section.has("certificate"), section.has("key")) {
        (true, false) => section.complain("certificate", "needs tls.key beside it"),
        (false, true) => section.complain("key", "needs tls.certificate beside it"),
        (true, true) if acme => {
            section.complain("acme", "certificate and key are given already; leave out one or the other");
        }
        _ => {}
    }
    if names.as_ref().is_some_and(Vec::is_empty) {
        section.complain("acme_names", "must not be empty; leave it out for the hostname");
    }
    if acme && web.listen_tls.is_empty() && web.listen.is_empty() {
        section.complain(
            "acme",
            "the authority looks at port 443 or 80 of each name: set web.listen_tls = [\"[::]:443\"], \
             or web.listen = [\"[::]:80\"]",
        );
    }
    if !acme {
        for key in ["acme_names", "acme_directory", "acme_contact", "acme_ca"] {
            if section.has(key) {
                section.complain(key, "means nothing without acme = true");
            }
        }
    }
    if mta_sts.is_some() && web.listen_tls.is_empty() {
        section.complain("mta_sts", "policies are fetched from port 443: set web.listen_tls = [\"[::]:443\"]");
    } else if matches!(mta_sts, Some(MtaSts::Testing | MtaSts::Enforce)) && !acme && !section.has("certificate") {
        section.complain("mta_sts", "needs a certificate that others trust: acme = true, or certificate and key");
    }
    if !autoconfig.is_empty() && web.listen_tls.is_empty() {
        section.complain("autoconfig", "mail clients ask port 443: set web.listen_tls = [\"[::]:443\"]");
    } else if !autoconfig.is_empty() && !acme && !section.has("certificate") {
        section
            .complain("autoconfig", "needs a certificate that mail clients trust: acme = true, or certificate and key");
    }
    section.finish();
    let certificates = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Certificates::Files { certificate: data_dir.join(certificate), key: data_dir.join(key) }
        }
        _ if acme => Certificates::Acme(Acme {
            names: names.unwrap_or_else(|| default_names(hostname, domains, mta_sts, &autoconfig)),
            directory: directory.unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned()),
            contact,
            ca: ca.map(|ca| data_dir.join(ca)),
        }),
        _ => Certificates::SelfSigned,
    };
    Tls { certificates, mta_sts, autoconfig }
}

/// The hostname, the names that policies are fetched from, and those that mail clients ask.
fn default_names(hostname: &Domain, domains: &[Domain], mta_sts: Option<MtaSts>, autoconfig: &[Domain]) -> Vec<Domain> {
    let mut names = vec![hostname.clone()];
    let policies = domains.iter().filter(|_| mta_sts.is_some()).map(Tls::policy_host);
    let further = policies.chain(autoconfig.iter().flat_map(Tls::client_hosts));
    names.extend(further.filter_map(|name| Domain::parse(&name).ok()));
    names.sort();
    names.dedup();
    // The one that is shown to whoever names none.
    names.retain(|name| name != hostname);
    names.insert(0, hostname.clone());
    names
}
