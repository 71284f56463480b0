//! A desk in memory for the tests of this module.

use std::sync::Arc;

use jiff::Timestamp;

use super::post::{self, Content, Opening, Standpoint};
use super::{Act, ActionError, Actor, Desk, member, property};
use crate::desk::address::{Address, Mailbox};
use crate::desk::command::Asked;
use crate::desk::copy::Scope;
use crate::desk::entry::{Author, Door, Entry, State, Verified};
use crate::desk::fanout::Voice;
use crate::desk::id::{EntryId, MemberId};
use crate::desk::language::Language;
use crate::desk::member::Role;
use crate::desk::recipient::Domains;
use crate::desk::ticket::{Person, Priority, Status, Ticket};
use crate::desk::token::Keys;
use crate::store::{Store, Tx};

/// Properties acme and bulle; Alice and Bob of acme.
pub struct Office {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub now: Timestamp,
}

impl Office {
    pub async fn open() -> Self {
        let office = Self {
            store: Store::memory(),
            desk: Arc::new(Desk {
                hostname: "mx.desk.example.org".to_owned(),
                domains: Domains { local: vec!["desk.example.org".to_owned()], delimiters: vec!['+'] },
                keys: Keys::new(1, [(1, [7; 32])]).unwrap(),
                postmaster: None,
                acknowledgements: 100,
                patience: super::Patience::default(),
                random: {
                    let next = std::sync::atomic::AtomicU64::new(1);
                    Box::new(move || u128::from(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).to_be_bytes())
                },
            }),
            now: "2026-11-23T10:00:00Z".parse().unwrap(),
        };
        office
            .act(|tx, act| {
                for slug in ["acme", "bulle"] {
                    let new = property::New {
                        slug: slug.parse().unwrap(),
                        name: slug.to_owned(),
                        addresses: Vec::new(),
                        public: None,
                        language: Language::En,
                    };
                    property::add(tx, act, new)?;
                }
                for name in ["alice", "bob"] {
                    let new = member::New {
                        login: address(name),
                        name: name.to_owned(),
                        property: "acme".to_owned(),
                        role: Role::Agent,
                        aliases: Vec::new(),
                        list: false,
                        password: None,
                    };
                    member::add(tx, act, new)?;
                }
                Ok(())
            })
            .await
            .unwrap();
        office
    }

    /// The desk, for whoever keeps it.
    pub fn shared(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// One action of the system by the command line, in a transaction of its own.
    pub async fn act<T: Send>(
        &self,
        mut f: impl FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, ActionError> + Send,
    ) -> Result<T, ActionError> {
        let act =
            Act { desk: &self.desk, now: self.now, door: Door::Cli, actor: Actor::System, trace: None, client: None };
        self.store.transact(|tx| f(tx, &act)).await
    }

    /// A new ticket of acme that this contact wrote.
    pub async fn ticket(&self, from: &str) -> Ticket {
        self.opened("acme", from, State::Relayed).await.0
    }

    /// The same of another property.
    pub async fn ticket_of(&self, property: &str, from: &str) -> Ticket {
        self.opened(property, from, State::Relayed).await.0
    }

    /// A new ticket of acme whose message is held.
    pub async fn held(&self, from: &str) -> (Ticket, Entry) {
        self.opened("acme", from, State::Held).await
    }

    /// A member's public answer, and who he is.
    pub async fn reply(&self, who: &str, name: &str, parent: Option<EntryId>) -> (MemberId, Entry) {
        self.act(|tx, act| {
            let member = super::find::member(tx, who)?;
            let act = act.with_actor(post::as_member(&member));
            let content = content(tx, &act)?;
            let (_, entry) = super::ticket::write(tx, &act, name, Scope::Public, parent, content)?;
            Ok((member.id, entry))
        })
        .await
        .unwrap()
    }

    async fn opened(&self, property: &str, from: &str, state: State) -> (Ticket, Entry) {
        self.act(|tx, act| {
            let property = super::find::property(tx, property)?;
            let requester = Mailbox::new(from, address(from));
            let opening = Opening {
                requester: requester.clone(),
                status: Status::Open,
                priority: Priority::Normal,
                tags: Vec::new(),
                assignee: None,
                continues: None,
            };
            let mut ticket = post::open(tx, act, &property, "Help", opening)?;
            let contact = post::contact_for(tx, act, &requester)?;
            let standpoint = Standpoint {
                author: Author::Person { person: Person::Contact(contact), mailbox: requester },
                voice: Voice::Contact { to_contacts: false },
                addresses: vec![address(from)],
                verified: Verified::Aligned,
                invited: false,
                scope: Scope::Public,
                state,
                reason: None,
                warning: None,
                machine: None,
                parent: None,
                claims: None,
                obeyed: None,
                turn: 0,
                hands_on: false,
            };
            let content = content(tx, act)?;
            let entry = post::add(tx, act, &property, None, &mut ticket, content, standpoint)?;
            Ok((ticket, entry))
        })
        .await
        .unwrap()
    }
}

pub fn address(name: &str) -> Address {
    format!("{name}@team.example").parse().unwrap()
}

/// A message of three words.
pub fn content(tx: &mut Tx<'_>, act: &Act<'_>) -> Result<Content, ActionError> {
    Ok(Content {
        message_id: Some(act.desk.mint()),
        date: Some(act.now),
        subject: "Help".to_owned(),
        text: "Please help me".to_owned(),
        attachments: Vec::new(),
        raw: tx.put_raw(b"Subject: Help\r\n\r\nPlease help me\r\n".to_vec())?,
        named: Vec::new(),
        mentioned: Vec::new(),
        conversation: None,
        verdict: None,
        arrived_at: None,
        from: None,
        asked: Asked::default(),
    })
}
