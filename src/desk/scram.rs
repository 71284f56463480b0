//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: what is kept of a password, and whether a
//! client knows it. Without channel binding.
//!
//! What is kept ([`Keys`]) does not do for logging in, neither by SCRAM nor by a password: whoever
//! steals it would have to find the password first.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Octets of each key, and of a salt.
const KEY: usize = 32;
const SALT: usize = 16;
/// The most octets of what a client says in one message, beyond which it is no client.
const LONGEST: usize = 2048;

/// What is mixed into a password before it is kept, and how long that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salt {
    pub octets: [u8; SALT],
    pub iterations: NonZeroU32,
}

impl Salt {
    /// The least that RFC 7677 §4 allows: our passwords are random, so that more would only make
    /// logging in slower.
    pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
}

/// What is kept of a password (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    stored: [u8; KEY],
    server: [u8; KEY],
}

/// Shows nothing of what they are.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// The keys of a password. Takes a millisecond or more, on purpose.
    #[must_use]
    pub fn of(password: &str, salt: &Salt) -> Self {
        let mut salted = [0; KEY];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, salt.iterations, &salt.octets, password.as_bytes(), &mut salted);
        Self { stored: hash(&sign(&salted, b"Client Key")), server: sign(&salted, b"Server Key") }
    }

    /// Whether both are of the same password, in constant time.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.stored, &other.stored).is_ok()
    }
}

/// A message that a client of SCRAM does not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("this is no message of SCRAM-SHA-256")]
    Syntax,
    #[error("channel binding is not offered here")]
    ChannelBinding,
    #[error("the client wants an extension that this server does not know")]
    Extension,
    #[error("logging in for somebody else is not offered here")]
    Authzid,
    #[error("the client went on from another exchange")]
    Nonce,
}

/// The client's first message (RFC 5802 §7).
#[derive(Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who logs in.
    pub user: String,
    gs2: String,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let mut part = || parts.next().ok_or(Malformed::Syntax);
        let (flag, authzid, bare) = (part()?, part()?, part()?);
        match flag {
            // `y`: the client could bind the channel and saw that this server can't.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(Malformed::ChannelBinding),
            _ => return Err(Malformed::Syntax),
        }
        if bare.starts_with("m=") {
            return Err(Malformed::Extension);
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|value| value.strip_prefix("n=")).ok_or(Malformed::Syntax)?;
        let nonce = attributes.next().and_then(|value| value.strip_prefix("r=")).ok_or(Malformed::Syntax)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Malformed::Syntax);
        }
        if !authzid.is_empty() && authzid.strip_prefix("a=") != Some(user) {
            return Err(Malformed::Authzid);
        }
        Ok(Self {
            user: name(user)?,
            gs2: format!("{flag},{authzid},"),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    /// The answer to it, with random text of ours: printable ASCII without a comma.
    #[must_use]
    pub fn answered(self, salt: &Salt, random: &str) -> Challenge {
        let nonce = format!("{}{random}", self.nonce);
        let message = format!("r={nonce},s={},i={}", BASE64.encode(&salt.octets), salt.iterations);
        Challenge { first: self, nonce, message }
    }
}

/// What the server answered, and waits for the client's final message upon.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    first: ClientFirst,
    nonce: String,
    message: String,
}

impl Challenge {
    /// What goes to the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Reads the client's final message.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn answered(self, message: &[u8]) -> Result<Proof, Malformed> {
        let message = text(message)?;
        let (without, proof) = message.rsplit_once(",p=").ok_or(Malformed::Syntax)?;
        let mut attributes = without.split(',');
        let binding = attributes.next().and_then(|value| value.strip_prefix("c=")).ok_or(Malformed::Syntax)?;
        let nonce = attributes.next().and_then(|value| value.strip_prefix("r=")).ok_or(Malformed::Syntax)?;
        if binding != BASE64.encode(self.first.gs2.as_bytes()) {
            return Err(Malformed::ChannelBinding);
        }
        if nonce != self.nonce {
            return Err(Malformed::Nonce);
        }
        let proof = BASE64.decode(proof.as_bytes()).ok().and_then(|proof| proof.try_into().ok());
        Ok(Proof {
            user: self.first.user,
            signed: format!("{},{},{without}", self.first.bare, self.message),
            client: proof.ok_or(Malformed::Syntax)?,
        })
    }
}

/// What a client shows to have the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who logs in.
    pub user: String,
    /// AuthMessage (RFC 5802 §3).
    signed: String,
    /// ClientProof.
    client: [u8; KEY],
}

impl Proof {
    /// Whether it is one for these keys.
    #[must_use]
    pub fn is_of(&self, keys: &Keys) -> bool {
        let mut client = sign(&keys.stored, self.signed.as_bytes());
        client.iter_mut().zip(self.client).for_each(|(octet, proof)| *octet ^= proof);
        constant_time::verify_slices_are_equal(&hash(&client), &keys.stored).is_ok()
    }

    /// What shows the client that the server has the keys: the server's final message.
    #[must_use]
    pub fn verdict(&self, keys: &Keys) -> String {
        format!("v={}", BASE64.encode(&sign(&keys.server, self.signed.as_bytes())))
    }
}

/// Nothing of an exchange is shown: a log is no place for it.
macro_rules! hidden {
    ($($type:ident),+) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    )+};
}
hidden!(ClientFirst, Challenge, Proof);

fn text(message: &[u8]) -> Result<&str, Malformed> {
    if message.len() > LONGEST {
        return Err(Malformed::Syntax);
    }
    let message = std::str::from_utf8(message).map_err(|_| Malformed::Syntax)?;
    if message.chars().any(char::is_control) { Err(Malformed::Syntax) } else { Ok(message) }
}

/// A saslname: `=2C` is a comma, `=3D` an equals sign, and no other equals sign is there.
fn name(text: &str) -> Result<String, Malformed> {
    let mut name = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    name.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (plain, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Malformed::Syntax),
        };
        name.push(plain);
        name.push_str(rest);
    }
    if name.is_empty() { Err(Malformed::Syntax) } else { Ok(name) }
}

fn sign(key: &[u8], message: &[u8]) -> [u8; KEY] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 octets")
}

fn hash(octets: &[u8]) -> [u8; KEY] {
    digest::digest(&digest::SHA256, octets).as_ref().try_into().expect("SHA-256 has 32 octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn salt() -> Salt {
        let octets = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        Salt { octets, iterations: Salt::ITERATIONS }
    }

    fn challenge() -> Challenge {
        ClientFirst::read(FIRST.as_bytes()).unwrap().answered(&salt(), RANDOM)
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let challenge = challenge();
        assert_eq!(
            challenge.message(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let proof = challenge.answered(FINAL.as_bytes()).unwrap();
        assert_eq!(proof.user, "user");
        let keys = Keys::of("pencil", &salt());
        assert!(proof.is_of(&keys));
        assert_eq!(proof.verdict(&keys), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(keys.same(&Keys::of("pencil", &salt())));
        for other in [Keys::of("Pencil", &salt()), Keys::of("pencil", &Salt { octets: [0; 16], ..salt() })] {
            assert!(!proof.is_of(&other) && !keys.same(&other));
        }
    }

    #[test]
    fn what_a_first_message_may_be() {
        let read = |text: &str| ClientFirst::read(text.as_bytes()).map(|first| first.user);
        for (message, expected) in [
            ("y,,n=a@b.example,r=x", Ok("a@b.example")),
            ("n,a=a@b.example,n=a@b.example,r=x", Ok("a@b.example")),
            ("n,,n=a=2Cb=3Dc,r=x,later=1", Ok("a,b=c")),
            ("n,a=root,n=a@b.example,r=x", Err(Malformed::Authzid)),
            ("p=tls-exporter,,n=a,r=x", Err(Malformed::ChannelBinding)),
            ("n,,m=1,n=a,r=x", Err(Malformed::Extension)),
            ("n,,n=a=2c,r=x", Err(Malformed::Syntax)),
            ("n,,n=,r=x", Err(Malformed::Syntax)),
            ("n,,n=a,r=", Err(Malformed::Syntax)),
            ("n,,n=a", Err(Malformed::Syntax)),
            ("n,,r=x,n=a", Err(Malformed::Syntax)),
            ("x,,n=a,r=x", Err(Malformed::Syntax)),
            ("n,,n=a\0,r=x", Err(Malformed::Syntax)),
            ("", Err(Malformed::Syntax)),
        ] {
            assert_eq!(read(message), expected.map(str::to_owned), "{message}");
        }
        assert_eq!(ClientFirst::read(b"n,,n=\xff,r=x"), Err(Malformed::Syntax));
        assert_eq!(read(&format!("n,,n={},r=x", "a".repeat(LONGEST))), Err(Malformed::Syntax));
    }

    #[test]
    fn what_a_final_message_may_be() {
        for (change, expected) in [
            (("c=biws", "c=eSws"), Malformed::ChannelBinding),
            (("k0,", "k1,"), Malformed::Nonce),
            (("r=rOprNGfwEbeRWgbNEkqO%", "r=%"), Malformed::Nonce),
            (("p=dHzb", "p=dHz"), Malformed::Syntax),
            (("p=", "q="), Malformed::Syntax),
            (("c=", "d="), Malformed::Syntax),
        ] {
            let message = FINAL.replace(change.0, change.1);
            assert_eq!(challenge().answered(message.as_bytes()), Err(expected), "{message}");
        }
    }
}
