//! A property's public address stands in From of contacts' copies while its domain publishes our key.

use std::sync::Arc;

use guichet::actions::{find, member, property};
use guichet::desk::copy::{Content, Copy, Scope};
use guichet::desk::language::Language;
use guichet::desk::letter::Letter;
use guichet::desk::member::Role;
use guichet::desk::public::GRACE;
use guichet::dns::{Names, Of};
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read, View};
use jiff::{SignedDuration, Timestamp};

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::letter;

const PUBLIC: &str = "support@acme.example";

/// A desk whose property has that address, and two admins.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    for (login, role) in [("adam@team.example", Role::Admin), ("ada@team.example", Role::Admin)] {
        desk.act(|tx, act| {
            let new = member::New {
                login: address(login),
                name: "Ad".to_owned(),
                property: "acme".to_owned(),
                role,
                aliases: Vec::new(),
                list: false,
                password: None,
            };
            member::add(tx, act, new)
        })
        .await;
    }
    desk.edit("acme", property::Changes { public: Some(Some(address(PUBLIC))), ..property::Changes::default() }).await;
    desk
}

/// The names of the records with our keys, made if they are not there.
fn keys(names: &Names) -> Vec<(String, String)> {
    let expected = names.expected(&Of::Domain("acme.example".to_owned())).unwrap();
    let keys = expected.into_iter().filter(|one| one.name.contains("._domainkey."));
    keys.map(|one| (one.name.clone(), one.value())).collect()
}

/// The letters that were written, also those that are due at another time than now.
fn letters(desk: &TestDesk) -> Vec<(String, Letter)> {
    let copies = desk.read(|view| Ok(view.range(&COPIES, .., Order::Up, 1000)?));
    let letter = |copy: Copy| match copy.content {
        Content::Letter(letter) => Some((copy.to.to_string(), letter)),
        Content::Entry | Content::Conversation => None,
    };
    copies.into_iter().filter_map(|(_, copy)| letter(copy)).collect()
}

/// From of what a contact, and of what a member gets next; the domains of the contact's signatures.
async fn from(desk: &TestDesk) -> (String, String, Vec<String>) {
    let ticket = desk.post(&letter("carol@example.com").to("acme@desk.example.org")).await;
    desk.write(&ticket, Some("alice"), Scope::Public, "An answer.").await;
    let (contacts, members) = (desk.last("carol@example.com").await, desk.last("adam@team.example").await);
    let domains =
        contacts.match_indices("\td=").map(|(at, _)| contacts[at + 3..].split(';').next().unwrap().to_owned());
    let address =
        |message: &str| field(message, "From").unwrap().rsplit_once('<').unwrap().1.trim_end_matches('>').to_owned();
    (address(&contacts), address(&members), domains.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_see_it_from_when_our_key_is_there_until_it_is_gone_for_good() {
    let desk = desk().await;
    let ours = ("acme@desk.example.org".to_owned(), "acme@desk.example.org".to_owned());
    let desks = vec!["desk.example.org".to_owned(); 2];
    let names = desk.names();
    names.look().await.unwrap();
    let (contact, member, domains) = from(&desk).await;
    assert_eq!(((contact, member), domains), (ours.clone(), desks.clone()));

    // RSA alone is enough, since everybody can check it.
    let made = Arc::clone(&names);
    let keys = tokio::task::spawn_blocking(move || keys(&made)).await.unwrap();
    assert_eq!(keys.len(), 2);
    names.look().await.unwrap();
    assert!(!desk.read(|view| find::property(view, "acme")).public_verified);
    desk.dns.txt(&keys[0].0, &keys[0].1);
    names.look().await.unwrap();
    let (contact, member, domains) = from(&desk).await;
    assert_eq!(
        (contact.as_str(), member.as_str(), domains),
        (PUBLIC, ours.1.as_str(), vec!["acme.example".to_owned()])
    );
    desk.dns.txt(&keys[1].0, &keys[1].1);
    names.look().await.unwrap();
    assert_eq!(from(&desk).await.2, ["acme.example", "acme.example"]);

    // A name server that fails proves nothing, for as long as it may.
    let now = Timestamp::now();
    desk.dns.fail(&keys[0].0);
    for hours in [1, 24, 48] {
        desk.names_at(now + SignedDuration::from_hours(hours)).look().await.unwrap();
    }
    assert_eq!(from(&desk).await.0, PUBLIC);

    // Gone: at the second look, and its admins are told once.
    desk.dns.mend(&keys[0].0).forget(&keys[0].0);
    let later = now + SignedDuration::from_hours(49);
    for (at, expected) in
        [(later, PUBLIC), (later + GRACE - SignedDuration::from_secs(1), PUBLIC), (later + GRACE, ours.0.as_str())]
    {
        desk.names_at(at).look().await.unwrap();
        assert_eq!(from(&desk).await.0, expected, "{at}");
    }
    desk.names_at(later + GRACE + GRACE).look().await.unwrap();
    let told = letters(&desk);
    let readers: Vec<_> = told.iter().map(|(to, _)| to.as_str()).collect();
    assert_eq!(readers, ["adam@team.example", "ada@team.example"]);
    for (_, letter) in told {
        assert_eq!(letter.subject, "Mail no longer comes from support@acme.example");
        assert!(letter.text.contains("guichet dns acme.example"), "{}", letter.text);
    }
    assert!(desk.verify().is_clean());

    // It comes back by itself.
    desk.dns.txt(&keys[0].0, &keys[0].1);
    names.look().await.unwrap();
    assert_eq!(from(&desk).await.0, PUBLIC);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_begins_anew_and_the_letter_is_in_the_propertys_language() {
    let mut desk = desk().await;
    let names = desk.names();
    let made = Arc::clone(&names);
    let keys = tokio::task::spawn_blocking(move || keys(&made)).await.unwrap();
    for (name, value) in &keys {
        desk.dns.txt(name, value);
    }
    drop(names);
    // The daemon looks by itself when it starts.
    desk.restart().await;
    let verified = |view: &View<'_>| Ok(find::property(view, "acme")?.public_verified.then_some(()));
    desk.until(verified).await;
    let names = desk.names();
    assert_eq!(from(&desk).await.0, PUBLIC);
    let changes = property::Changes {
        public: Some(Some(address("help@shop.example"))),
        language: Some(Language::Fr),
        ..property::Changes::default()
    };
    desk.edit("acme", changes).await;
    assert_eq!(from(&desk).await.0, "acme@desk.example.org");
    desk.edit("acme", property::Changes { public: Some(Some(address(PUBLIC))), ..property::Changes::default() }).await;
    names.look().await.unwrap();
    assert_eq!(from(&desk).await.0, PUBLIC);
    desk.dns.forget(&keys[0].0);
    names.look().await.unwrap();
    desk.names_at(Timestamp::now() + GRACE).look().await.unwrap();
    let (_, letter) = letters(&desk).pop().unwrap();
    assert_eq!(letter.subject, "Le courrier ne part plus de support@acme.example");
}
