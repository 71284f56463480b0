//! What mail clients ask when they set themselves up, and are told.

use std::path::Path;
use std::sync::LazyLock;

use guichet::config::Config;
use guichet::config::clients::Clients;
use guichet::desk::address::Address;
use guichet::web::autoconfig::{apple, apple_asks, outlook, outlook_asks};

static CLIENTS: LazyLock<Clients> = LazyLock::new(|| {
    let text = "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\npostmaster = \"acme\"\n\
                relay.mode = \"capture\"\n";
    Config::parse(text, Path::new("guichet.toml")).expect("it is a config").clients()
});

/// Whatever address is read from Outlook's request, or from the query of Apple's devices: what is told
/// of it is the same markup as of any other.
pub fn clients(data: &[u8]) {
    let plain: Address = "alice@acme.example".parse().expect("it is an address");
    let query = std::str::from_utf8(data).ok().and_then(apple_asks);
    for address in [outlook_asks(data), query].into_iter().flatten() {
        let apple = |address| apple(&CLIENTS, address).expect("both servers are there");
        for (told, expected) in
            [(outlook(&CLIENTS, &address), outlook(&CLIENTS, &plain)), (apple(&address), apple(&plain))]
        {
            for mark in ['<', '>', '"', '\n'] {
                let count = |text: &str| text.matches(mark).count();
                assert_eq!(count(&told), count(&expected), "{mark:?} for {address}");
            }
            let strange = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}');
            assert!(!told.contains(strange), "{told:?}");
            let references = told.split('&').skip(1);
            let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
            assert!(references.into_iter().all(|rest| known.iter().any(|name| rest.starts_with(name))), "{told}");
        }
    }
}
