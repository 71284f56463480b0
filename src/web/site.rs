//! What is answered to a request.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::autoconfig::{self, Asker};
use crate::config::clients::Clients;
use crate::config::{self, Config, Domain, MtaSts, Tls};
use crate::desk::mta_sts::{Mode, Policy};
use crate::net::tls::Certificates;

/// Where an authority looks (RFC 8555 §8.3).
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// What there is to see. Clones share it.
#[derive(Clone, Debug)]
pub struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hostname: Domain,
    domains: Vec<Domain>,
    clients: Clients,
    certificates: Certificates,
    https: bool,
    terms: RwLock<Arc<Terms>>,
}

/// What follows from `[tls]`, which may change while we serve.
#[derive(Debug)]
struct Terms {
    /// The names by which we are known, in lower case: nobody is sent to another one.
    hosts: BTreeSet<String>,
    policy: Option<Policy>,
    /// The domains whose people's mail clients are led here.
    autoconfig: Vec<Domain>,
}

impl Site {
    /// `https`: whether there is a listener for `https://` to be sent to.
    #[must_use]
    pub fn new(config: &Config, certificates: Certificates, https: bool) -> Self {
        let (hostname, domains) = (config.hostname.clone(), config.domains.clone());
        let terms = RwLock::new(Arc::new(Terms::new(&hostname, &domains, &config.tls)));
        Self(Arc::new(Inner { hostname, domains, clients: config.clients(), certificates, https, terms }))
    }

    /// Answers by another `[tls]` from now on.
    pub fn change(&self, tls: &Tls) {
        let terms = Arc::new(Terms::new(&self.0.hostname, &self.0.domains, tls));
        *self.0.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// Whether the answer to a request is in its body: [`Self::answer`] it with that.
    #[must_use]
    pub fn reads(&self, scheme: Scheme, request: &Parts) -> bool {
        request.method == Method::POST && self.asker(scheme, request) == Some(Asker::Outlook)
    }

    /// The answer to a request, whose body counts for nothing unless [`Self::reads`] says so.
    #[must_use]
    pub fn answer(&self, scheme: Scheme, request: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let asker = self.asker(scheme, request);
        match (&request.method, asker) {
            (&Method::POST, Some(Asker::Outlook)) => return self.outlook(body),
            (_, Some(Asker::Outlook)) => return not_allowed("POST", "POST alone is answered here\n"),
            (&Method::GET | &Method::HEAD, _) => {}
            _ => return not_allowed("GET, HEAD", "GET and HEAD alone are answered here\n"),
        }
        let terms = Arc::clone(&self.0.terms.read().unwrap_or_else(PoisonError::into_inner));
        let path = request.uri.path();
        if let Some(token) = path.strip_prefix(CHALLENGE_PATH) {
            return match self.0.certificates.authorization(token) {
                Some(authorization) => typed("application/octet-stream", authorization),
                None => text(StatusCode::NOT_FOUND, "no such challenge\n"),
            };
        }
        let host = host_of(request);
        match asker {
            Some(Asker::Apple) => return self.apple(request.uri.query().unwrap_or_default()),
            Some(Asker::Thunderbird) => {
                return typed(XML, autoconfig::thunderbird(&self.0.clients, &terms.autoconfig));
            }
            Some(Asker::Outlook) | None => {}
        }
        match scheme {
            Scheme::Http if self.0.https && host.as_ref().is_some_and(|host| terms.hosts.contains(host)) => {
                redirect(host.as_deref().unwrap_or_default(), request)
            }
            Scheme::Https if path == Policy::PATH && host.is_some_and(|host| self.has_policy(&host)) => {
                match &terms.policy {
                    Some(policy) => typed("text/plain; charset=utf-8", policy.to_string()),
                    None => text(StatusCode::NOT_FOUND, "there is no policy\n"),
                }
            }
            Scheme::Http | Scheme::Https => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    /// Which mail client asks how to reach the desk, at a name where it should.
    fn asker(&self, scheme: Scheme, request: &Parts) -> Option<Asker> {
        if scheme != Scheme::Https || !self.0.clients.are_served() {
            return None;
        }
        let asker = Asker::at(request.uri.path())?;
        let host = host_of(request)?;
        let terms = self.0.terms.read().unwrap_or_else(PoisonError::into_inner);
        let led = || terms.autoconfig.iter().flat_map(Tls::client_hosts).any(|name| name == host);
        (host == self.0.hostname.as_str() || led()).then_some(asker)
    }

    fn outlook(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let told = match autoconfig::outlook_asks(body) {
            Some(address) => autoconfig::outlook(&self.0.clients, &address),
            None => autoconfig::outlook_refused(),
        };
        typed(XML, told)
    }

    fn apple(&self, query: &str) -> Response<Full<Bytes>> {
        let Some(address) = autoconfig::apple_asks(query) else {
            return text(StatusCode::BAD_REQUEST, "say whose it is to be: ?email=name@example.org\n");
        };
        let Some(profile) = autoconfig::apple(&self.0.clients, &address) else {
            return text(StatusCode::NOT_FOUND, "mail is not sent here\n");
        };
        let mut answer = typed("application/x-apple-aspen-config", profile);
        let name = HeaderValue::from_static("attachment; filename=\"mail.mobileconfig\"");
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
        answer
    }

    fn has_policy(&self, host: &str) -> bool {
        self.0.domains.iter().any(|domain| Tls::policy_host(domain) == host)
    }
}

impl Terms {
    fn new(hostname: &Domain, domains: &[Domain], tls: &Tls) -> Self {
        let mut hosts = BTreeSet::from([hostname.to_string()]);
        if let config::Certificates::Acme(acme) = &tls.certificates {
            hosts.extend(acme.names.iter().map(ToString::to_string));
        }
        let policy = policy(hostname, tls);
        if policy.is_some() {
            hosts.extend(domains.iter().map(Tls::policy_host));
        }
        hosts.extend(tls.autoconfig.iter().flat_map(Tls::client_hosts));
        Self { hosts, policy, autoconfig: tls.autoconfig.clone() }
    }
}

/// Our policy, if we have one: the same for every domain, since all of their mail comes to this host.
#[must_use]
pub fn policy(hostname: &Domain, tls: &Tls) -> Option<Policy> {
    let mode = match tls.mta_sts? {
        MtaSts::None => Mode::None,
        MtaSts::Testing => Mode::Testing,
        MtaSts::Enforce => Mode::Enforce,
    };
    Some(Policy::ours(mode, hostname.as_str()))
}

/// The host that is meant, in lower case and without its port (RFC 9112 §3.2).
fn host_of(request: &Parts) -> Option<String> {
    let field = || request.headers.get(HOST)?.to_str().ok();
    let host = request.uri.authority().map_or_else(field, |authority| Some(authority.as_str()))?;
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    port.bytes().all(|b| b.is_ascii_digit()).then(|| name.to_ascii_lowercase())
}

/// To the same path over HTTPS, at the port that the world knows.
fn redirect(host: &str, request: &Parts) -> Response<Full<Bytes>> {
    let mut to = format!("https://{host}");
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let _ = write!(to, "{}{path}", if path.starts_with('/') { "" } else { "/" });
    // Outlook follows the older words alone ([MS-OXDISCO] §3.1.5.3).
    let outlook = Asker::at(request.uri.path()) == Some(Asker::Outlook);
    let status = if outlook { StatusCode::FOUND } else { StatusCode::PERMANENT_REDIRECT };
    let mut answer = text(status, "this is served over https:// alone\n");
    match HeaderValue::from_str(&to) {
        Ok(to) => _ = answer.headers_mut().insert(LOCATION, to),
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    answer
}

/// What a body was too long for.
#[must_use]
pub fn too_long() -> Response<Full<Bytes>> {
    text(StatusCode::PAYLOAD_TOO_LARGE, "no such request is so long\n")
}

fn not_allowed(allowed: &'static str, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, body);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// What Thunderbird and Outlook take.
const XML: &str = "text/xml; charset=utf-8";

fn typed(kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = text(StatusCode::OK, "");
    *answer.body_mut() = Full::new(Bytes::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    let fields = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    answer.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}
