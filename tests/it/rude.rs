//! Servers that misbehave, by other people's program and behind other people's name server: the state
//! that a copy ends up in, and the words that a postmaster reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use guichet::config::Direct;
use guichet::desk::copy::{Copy, CopyState};
use guichet::net::resolver::resolver;
use guichet::relay::client::{Client, Outcome, Timeouts, Tls, Transaction};
use guichet::relay::exit::{Exit, Way};
use guichet::relay::mx::{Finder, Ourselves};
use guichet::relay::pool::PoolLimits;
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read};
use tokio::task::JoinSet;

use crate::kit::desk::{TestDesk, address};
use crate::kit::named::Named;
use crate::kit::ports::{free_port, neighbours};
use crate::kit::rude::{Manners, Rude, Then};

/// A server for each, of the domain `rNUMBER.example`.
struct Internet {
    named: Named,
    port: u16,
    _rude: Rude,
}

impl Internet {
    /// `None` where peers are left out.
    fn of(net: u8, manners: impl IntoIterator<Item = Manners>) -> Option<Self> {
        let manners: Vec<_> = manners.into_iter().collect();
        let addresses = neighbours(net, manners.len());
        let port = free_port(&addresses);
        let hosts = addresses.iter().map(|address| SocketAddr::new(*address, port)).zip(manners);
        let rude = Rude::start(&hosts.collect::<Vec<_>>())?;
        let zones: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(number, address)| (format!("r{number}.example"), format!("@ IN MX 10 mx\nmx IN A {address}")))
            .collect();
        let mut known: Vec<_> = zones.iter().map(|(name, records)| (name.as_str(), records.as_str())).collect();
        known.push((".", ""));
        Some(Self { named: Named::start(&known)?, port, _rude: rude })
    }
}

/// Waits until a copy was offered; it and what it ended up as.
async fn offered(desk: &TestDesk, to: &str) -> Copy {
    desk.until(|view| {
        let all = view.range(&COPIES, .., Order::Up, 1_000)?;
        let his = |copy: &Copy| copy.to.as_str() == to && copy.state != CopyState::Queued;
        Ok(all.into_iter().map(|(_, copy)| copy).find(his))
    })
    .await
}

fn at(when: &'static str, say: &'static [u8], then: Then) -> Manners {
    Manners { when, say, times: 1, then, size: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_ends_up_as_the_server_misbehaves_and_says_so() {
    use CopyState::{Deferred, Failed, Sent};
    use Then::{Close, GoOn};
    let busy = b"421 4.3.2 busy\r\n";
    let cases = [
        (at("CONNECT", busy, Close), Deferred, "421 4.3.2 busy"),
        (at("EHLO", busy, Close), Deferred, "421 4.3.2 busy"),
        (at("MAIL", busy, Close), Deferred, "421 4.3.2 busy"),
        (at("RCPT", busy, Close), Deferred, "421 4.3.2 busy"),
        (at("DATA", busy, Close), Deferred, "421 4.3.2 busy"),
        (at(".", busy, Close), Deferred, "421 4.3.2 busy"),
        // What the network makes of that has several words.
        (at("DATA", b"354 go on\r\n", Close), Deferred, ": it may have been taken"),
        (at(".", b"", Close), Deferred, "the server closed the connection, after the whole message"),
        (at("MAIL", b"\xff\x00\x1b[2J\r\n", GoOn), Deferred, "the server's answer is no SMTP reply"),
        (Manners { times: 100_000, ..at("CONNECT", b"220-x\r\n", GoOn) }, Deferred, "the server's answer has no end"),
        (Manners { times: 100_000, ..at("EHLO", b"250 no end", GoOn) }, Deferred, "the server's answer has no end"),
        (at(".", b"552 5.3.4 too big\r\n", GoOn), Failed, "552 5.3.4 too big"),
        (Manners { size: 100, ..at("never", b"", GoOn) }, Failed, "5.3.4 "),
        // Nothing asks for TLS there, so the mail goes without.
        (at("STARTTLS", b"454 4.7.0 no TLS now\r\n", GoOn), Sent, "250 2.0.0 taken"),
        (at("STARTTLS", b"220 go\r\n", Close), Sent, "250 2.0.0 taken"),
        // Somebody on the way may have put that in.
        (at("STARTTLS", b"220 go\r\n250 SIZE\r\n", GoOn), Deferred, "the server answered what it was not asked"),
        (at("RCPT TO:<bob@", b"450 4.2.1 bob is full\r\n", GoOn), Deferred, "450 4.2.1 bob is full"),
    ];
    let Some(internet) = Internet::of(32, cases.iter().map(|(manners, ..)| manners.clone())) else { return };
    let desk = TestDesk::direct_by(internet.named.address(), internet.port).await;
    for number in 0..cases.len() {
        desk.begin_to_compose("acme", None, &[&format!("bob@r{number}.example")], "Parcel", "It is here.").await;
    }
    for (number, (manners, state, words)) in cases.iter().enumerate() {
        let copy = offered(&desk, &format!("bob@r{number}.example")).await;
        let said = copy.words().unwrap();
        let server = format!("(mx.r{number}.example [127.0.32.{}])", number + 1);
        let what = format!("{} {}: {:?}: {said}", manners.when, manners.say.escape_ascii(), copy.state);
        assert!(copy.state == *state && said.contains(words) && said.ends_with(&server), "{what}");
    }
    // What is said of one reader is no word about another.
    let other = format!("eve@r{}.example", cases.len() - 1);
    desk.begin_to_compose("acme", None, &[&other], "Parcel", "It is here.").await;
    assert_eq!(offered(&desk, &other).await.state, Sent);
}

#[tokio::test]
async fn a_server_that_stalls_is_left_in_time() {
    let phases = ["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."];
    let Some(internet) = Internet::of(33, phases.map(|when| at(when, b"", Then::Stall))) else { return };
    let resolver = resolver(&[internet.named.address().to_string()]).unwrap();
    let direct = Direct { port: internet.port, allow_loopback: true, https_port: 443, tls_reports: false };
    let ourselves = Ourselves { hostname: "mx.desk.example.org".to_owned(), listens: Vec::new() };
    let client = |timeouts| {
        let tls = Tls::with_roots(rustls::RootCertStore::empty()).unwrap();
        Client::new("mx.desk.example.org", resolver.clone(), tls).with_timeouts(timeouts)
    };
    let mut sent = JoinSet::new();
    for (number, when) in phases.into_iter().enumerate() {
        // Nothing but what stalls is given up soon.
        let (short, mut timeouts) = (Duration::from_secs(2), Timeouts::default());
        match when {
            "CONNECT" => timeouts.greeting = short,
            "DATA" => timeouts.data = short,
            "." => timeouts.end = short,
            _ => timeouts.command = short,
        }
        let way = Way::Direct(Arc::new(Finder::new(resolver.clone(), direct, ourselves.clone(), || 0)));
        let exit = Exit::to_servers(way, client(timeouts), PoolLimits::default());
        sent.spawn(async move {
            let transaction = Transaction {
                reverse_path: Some(address("bounces+1@desk.example.org")),
                recipients: vec![address(&format!("bob@r{number}.example"))],
                message: b"Subject: x\r\n\r\nHello.\r\n",
                eight_bit: false,
                smtputf8: false,
            };
            (when, exit.deliver("copy-1", &transaction).await.remove(0))
        });
    }
    for (when, outcome) in sent.join_all().await {
        // Before MAIL it says nothing of this mail.
        let down = matches!(when, "CONNECT" | "EHLO" | "STARTTLS");
        let right = matches!((&outcome, down), (Outcome::RouteDown(_), true) | (Outcome::Deferred(_), false));
        let words = outcome.reply().to_string();
        assert!(right && words.starts_with("the server said nothing for "), "{when}: {outcome:?}");
        assert_eq!(words.ends_with(", after the whole message: it may have been taken"), when == ".", "{words}");
    }
}
