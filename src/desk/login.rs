//! App passwords, one a device, and the proof that somebody has one.

use std::net::IpAddr;

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{AppPasswordId, MemberId};
use super::scram::{Keys, Proof, Salt};

/// A password as it is kept. All of a member's have the same salt, so that a client can be told it
/// before it says which of them it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    pub id: AppPasswordId,
    pub member: MemberId,
    /// Which device has it.
    pub name: String,
    pub salt: Salt,
    pub keys: Keys,
    pub created_at: Timestamp,
    pub last_use: Option<Use>,
}

/// One login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    pub at: Timestamp,
    pub client: IpAddr,
    /// What the device said it by.
    pub mechanism: Mechanism,
}

/// A SASL mechanism (RFC 4422).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// What Outlook says; never standardised.
    Login,
    /// RFC 7677.
    ScramSha256,
}

impl Mechanism {
    /// In the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Login];

    /// Its registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The one with this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }
}

/// Proof that somebody logged in as a member: only [`by_password`] and [`by_proof`] make one. What a
/// member may do by submission takes it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    member: MemberId,
    password: AppPasswordId,
}

impl Login {
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The password that was used: the login ends with it.
    #[must_use]
    pub fn password(&self) -> AppPasswordId {
        self.password
    }

    fn with(password: &AppPassword) -> Self {
        Self { member: password.member, password: password.id }
    }
}

/// The login of whoever said a password, given its keys under the passwords' salt.
#[must_use]
pub fn by_password(passwords: &[AppPassword], said: &Keys) -> Option<Login> {
    // All of them, so that it takes as long whichever it is.
    passwords.iter().fold(None, |found, password| {
        let same = password.keys.same(said);
        found.or(same.then(|| Login::with(password)))
    })
}

/// The login of whoever proved by SCRAM to have a password, and what proves to him that we know it.
#[must_use]
pub fn by_proof(passwords: &[AppPassword], proof: &Proof) -> Option<(Login, String)> {
    passwords.iter().fold(None, |found, password| {
        let right = proof.is_of(&password.keys);
        found.or(right.then(|| (Login::with(password), proof.verdict(&password.keys))))
    })
}

/// Characters of a password without its hyphens: 140 bits.
const LENGTH: usize = 28;
const GROUP: usize = 4;

/// A new password of 140 of these 160 bits: `k3vq-…`, seven groups of four.
#[must_use]
pub fn new_password(random: [u8; 20]) -> String {
    grouped(&BASE32_NOPAD.encode(&random).to_ascii_lowercase()[..LENGTH])
}

/// A password as it was printed, however it was typed: groups may be parted by anything or nothing,
/// letters be capitals. What can't be one of ours stays as it is.
#[must_use]
pub fn as_printed(typed: &str) -> String {
    let letters: String = typed.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
    if letters.len() == LENGTH && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        grouped(&letters.to_ascii_lowercase())
    } else {
        typed.to_owned()
    }
}

fn grouped(letters: &str) -> String {
    let groups: Vec<_> = letters.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(id: u64, text: &str) -> AppPassword {
        AppPassword {
            id: AppPasswordId(id),
            member: MemberId(7),
            name: "phone".to_owned(),
            salt: salt(),
            keys: Keys::of(text, &salt()),
            created_at: Timestamp::UNIX_EPOCH,
            last_use: None,
        }
    }

    fn salt() -> Salt {
        Salt { octets: [1; 16], iterations: Salt::ITERATIONS }
    }

    #[test]
    fn any_of_the_passwords_does_and_nothing_else() {
        let both = [password(1, "one"), password(2, "two")];
        let login = |said: &str| by_password(&both, &Keys::of(said, &salt())).map(|login| login.password().0);
        assert_eq!(login("one"), Some(1));
        assert_eq!(login("two"), Some(2));
        assert_eq!(login("three"), None);
        assert_eq!(by_password(&[], &Keys::of("one", &salt())), None);
        assert_eq!(by_password(&both, &Keys::of("one", &salt())).map(|login| login.member()), Some(MemberId(7)));
    }

    #[test]
    fn a_password_can_be_typed() {
        let made = new_password([0x5a; 20]);
        assert_eq!(made, "ljnf-uws2-ljnf-uws2-ljnf-uws2-ljnf");
        for typed in ["ljnfuws2ljnfuws2ljnfuws2ljnf", "LJNF UWS2 LJNF UWS2 LJNF UWS2 LJNF", &made] {
            assert_eq!(as_printed(typed), made);
        }
        assert_eq!(as_printed("my own password"), "my own password");
        assert_ne!(new_password([0; 20]), new_password([1; 20]));
    }

    #[test]
    fn mechanisms_are_known_in_any_case() {
        assert_eq!(Mechanism::named("scram-sha-256"), Some(Mechanism::ScramSha256));
        assert_eq!(Mechanism::named("Login"), Some(Mechanism::Login));
        assert_eq!(Mechanism::named("CRAM-MD5"), None);
    }
}
