//! `"credential:NAME"` in the place of a file's path: what systemd hands to the service alone
//! (`LoadCredential=`, systemd.exec(5)).

use std::path::{Path, PathBuf};

use super::value;

/// Where systemd says that a service's credentials are.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Where they are while our unit runs, for commands that look from outside of it.
const OUTSIDE: &str = "/run/credentials/guichet.service";

/// A file's path, or the name of a credential.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("credential:") {
        None => value::path(text),
        Some(name) if is_name(name) => Ok(directory().join(name)),
        Some(_) => Err("must name a credential, as in \"credential:tls-key\"".to_owned()),
    }
}

/// The credential that a path of the config is, if it is one.
#[must_use]
pub fn named(path: &Path) -> Option<&str> {
    (path.parent() == Some(&directory())).then(|| path.file_name()?.to_str()).flatten()
}

/// Whether this process is the service, which alone is given credentials.
pub(super) fn is_service() -> bool {
    given().is_some()
}

fn directory() -> PathBuf {
    given().unwrap_or_else(|| OUTSIDE.into())
}

fn given() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from).filter(|directory| directory.is_absolute())
}

/// What systemd takes as one: a file's name, without the colon that ends it in a unit.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_file_of_the_service() {
        let found = file("credential:guichet.tls-key").unwrap();
        assert_eq!(named(&found), Some("guichet.tls-key"));
        assert_eq!(file("certs/key.pem").unwrap(), Path::new("certs/key.pem"));
        assert_eq!(named(Path::new("/etc/ssl/key.pem")), None);
        for bad in ["credential:", "credential:..", "credential:a/b", "credential:a:b", "credential:a b", ""] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }
}
