//! DKIM signatures for outgoing mail (RFC 6376), by RSA and Ed25519 (RFC 8463), relaxed/relaxed.
//!
//! The body is hashed once for both. Every field of [`OVERSIGNED`] is named once more than it
//! occurs, so that none can be added or replaced on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::BASE64;
use jiff::Timestamp;
use mail_auth::common::crypto::{Ed25519Key, HashAlgorithm, RsaKey, Sha256, SigningKey};
use mail_auth::dkim::Canonicalization;
use rustls::pki_types::PrivateKeyDer;

use super::judge::without_blank_end;
use super::keys::DkimKeys;

/// The fields that are signed, present or not.
pub const OVERSIGNED: [&str; 12] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "In-Reply-To",
    "References",
    "Guichet-Loop",
];
/// Signed in the same way where it is present: it is what makes a notice one, and gateways add it
/// to other mail.
const WHERE_PRESENT: &str = "Auto-Submitted";

/// Why a message was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A key is none of its kind.
    #[error("the {0} key can't be used for signing")]
    Key(&'static str),
    /// There is no From, or a line of the header is no field.
    #[error("the message's header can't be signed: {0}")]
    Header(&'static str),
    /// The cryptographic library refused.
    #[error("signing failed: {0}")]
    Crypto(mail_auth::Error),
}

/// The signers of all domains, put in anew while others sign.
#[derive(Default)]
pub struct Signers(RwLock<BTreeMap<String, Arc<Signer>>>);

impl Signers {
    /// The signer of a domain, in A-labels.
    #[must_use]
    pub fn get(&self, domain: &str) -> Option<Arc<Signer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(domain).cloned()
    }

    /// From now on `signer` signs for its domain.
    pub fn put(&self, signer: Signer) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(signer.domain.clone(), Arc::new(signer));
    }
}

/// Signs for one domain. The keys are parsed once, here.
pub struct Signer {
    domain: String,
    rsa: Option<(String, RsaKey<Sha256>)>,
    ed25519: Option<(String, Ed25519Key)>,
}

impl Signer {
    /// A signer for `domain`, in A-labels, with its keys.
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn new(domain: impl Into<String>, keys: &DkimKeys) -> Result<Self, SignError> {
        let rsa = keys.rsa().map(|key| {
            let parsed = RsaKey::from_key_der(PrivateKeyDer::Pkcs8(key.der().clone_key()));
            parsed.map(|parsed| (key.selector.to_string(), parsed)).map_err(|_| SignError::Key("RSA"))
        });
        let ed25519 = keys.ed25519().map(|key| {
            let parsed = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.der().secret_pkcs8_der());
            parsed.map(|parsed| (key.selector.to_string(), parsed)).map_err(|_| SignError::Key("Ed25519"))
        });
        Ok(Self { domain: domain.into(), rsa: rsa.transpose()?, ed25519: ed25519.transpose()? })
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// A `DKIM-Signature` field for each key, to be put before `message`, which has CRLF line ends.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, message: &[u8], now: Timestamp) -> Result<String, SignError> {
        let (fields, body) = split(message)?;
        let body_hash =
            HashAlgorithm::Sha256.hash(Canonicalization::Relaxed.canonical_body(without_blank_end(body), 0));
        let body_hash = BASE64.encode(body_hash.as_ref());

        let mut names = Vec::with_capacity(2 * OVERSIGNED.len());
        let mut signed = Vec::with_capacity(OVERSIGNED.len());
        for name in OVERSIGNED.into_iter().chain([WHERE_PRESENT]) {
            // From the bottom up, as a verifier counts them (RFC 6376 §5.4.2).
            let before = signed.len();
            signed
                .extend(fields.iter().rev().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).copied());
            let present = signed.len() - before;
            if present > 0 || name != WHERE_PRESENT {
                names.extend(std::iter::repeat_n(name, present + 1));
            }
        }
        if !names.starts_with(&["From", "From"]) {
            return Err(SignError::Header("there is no From"));
        }
        let mut header = Vec::with_capacity(1024);
        Canonicalization::Relaxed.canonicalize_headers(signed.into_iter(), &mut header);

        let now = now.as_second();
        let mut signatures = String::new();
        if let Some((selector, key)) = &self.ed25519 {
            signatures += &seal(key, &header, self.field("ed25519-sha256", selector, now, &names, &body_hash))?;
        }
        if let Some((selector, key)) = &self.rsa {
            signatures += &seal(key, &header, self.field("rsa-sha256", selector, now, &names, &body_hash))?;
        }
        Ok(signatures)
    }

    /// The field up to `b=`, folded.
    fn field(&self, algorithm: &str, selector: &str, now: i64, names: &[&str], body_hash: &str) -> String {
        let domain = &self.domain;
        let mut field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n\td={domain}; s={selector}; t={now};\r\n\th="
        );
        let mut width = 10;
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                field.push(':');
            }
            if width + name.len() > 70 {
                field.push_str("\r\n\t ");
                width = 9;
            }
            field.push_str(name);
            width += name.len() + 1;
        }
        field.push_str(";\r\n\tbh=");
        field.push_str(body_hash);
        field.push_str(";\r\n\tb=");
        field
    }
}

/// Signs the canonical header with the field itself, its `b=` empty, and completes the field.
fn seal(key: &impl SigningKey, header: &[u8], mut field: String) -> Result<String, SignError> {
    let mut input = header.to_vec();
    let (name, value) = field.split_once(':').expect("the field was built with a name");
    Canonicalization::Relaxed.canonicalize_headers([(name.as_bytes(), value.as_bytes())].into_iter(), &mut input);
    let signature = BASE64.encode(&key.sign(input.as_slice()).map_err(SignError::Crypto)?);
    for (index, line) in signature.as_bytes().chunks(72).enumerate() {
        if index > 0 {
            field.push_str("\r\n\t ");
        }
        field.push_str(&String::from_utf8_lossy(line));
    }
    field.push_str("\r\n");
    Ok(field)
}

type Field<'m> = (&'m [u8], &'m [u8]);

/// The header's fields, each a name and the rest after the colon with its line end, and the body.
fn split(message: &[u8]) -> Result<(Vec<Field<'_>>, &[u8]), SignError> {
    let mut fields = Vec::with_capacity(24);
    let mut rest = message;
    loop {
        if rest.is_empty() {
            return Ok((fields, rest));
        }
        if let Some(body) = rest.strip_prefix(b"\r\n") {
            return Ok((fields, body));
        }
        let mut end = 0;
        loop {
            let line = rest[end..].iter().position(|b| *b == b'\n').map_or(rest.len(), |at| end + at + 1);
            end = line;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        let colon = field.iter().position(|b| *b == b':').ok_or(SignError::Header("a line is no field"))?;
        fields.push((&field[..colon], &field[colon + 1..]));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "From: a@desk.example\r\nTo: b@example.com\r\nSubject: x\r\n";

    fn signer() -> Signer {
        let keys = DkimKeys::generate(Timestamp::UNIX_EPOCH).unwrap();
        Signer::new("desk.example", &keys).unwrap()
    }

    /// The names that the first signature covers.
    fn names(signature: &str) -> Vec<String> {
        let unfolded: String = signature.split_whitespace().collect();
        let list = unfolded.split("h=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
        list.split(':').map(str::to_owned).collect()
    }

    #[test]
    fn every_field_is_named_once_more_than_it_occurs() {
        let signer = signer();
        let signature = signer.sign(format!("{HEADER}\r\nbody\r\n").as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
        let counts: Vec<_> =
            OVERSIGNED.iter().map(|name| names(&signature).iter().filter(|found| found == name).count()).collect();
        assert_eq!(counts, [2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert!(!names(&signature).contains(&WHERE_PRESENT.to_owned()));

        let notice =
            format!("Auto-Submitted: auto-generated\r\n{HEADER}cc: c@example.com\r\nCC: d@example.com\r\n\r\n");
        let signature = signer.sign(notice.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
        let count = |name: &str| names(&signature).iter().filter(|found| *found == name).count();
        assert_eq!((count("Auto-Submitted"), count("Cc")), (2, 3));
    }

    #[test]
    fn both_algorithms_sign_under_their_selectors() {
        let signature = signer().sign(HEADER.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
        let fields: Vec<_> = signature.split("DKIM-Signature: ").skip(1).collect();
        assert_eq!(fields.len(), 2);
        assert!(fields[0].starts_with("v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n\td=desk.example; s=g197001e;"));
        assert!(fields[1].starts_with("v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=desk.example; s=g197001r;"));
        assert!(signature.ends_with("\r\n") && !signature.contains("\r\n\r\n"));
    }

    #[test]
    fn what_is_no_message_is_not_signed() {
        let signer = signer();
        for bad in
            ["", "\r\nFrom: a@desk.example\r\n", "To: b@example.com\r\n\r\n", "no field\r\n", "From: x\r\nno\r\n"]
        {
            let error = signer.sign(bad.as_bytes(), Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(matches!(error, SignError::Header(_)), "{bad:?}");
        }
    }
}
