//! A mail becomes a ticket, and a reply becomes copies for everyone else.

use crate::kit::desk::{TestDesk, address_in, field};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_and_two_members_talk_and_each_hears_the_others_only() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice@team.example", "bob@team.example"]).await;

    let first = "From: Carol Jones <carol@example.com>\nTo: acme+billing@desk.example.org\nSubject: My invoice\n\
                 Date: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <one@example.com>\n\nIt is wrong.\n";
    let reply = desk.send("carol@example.com", &["acme+billing@desk.example.org"], first).await;
    assert!(reply.starts_with("250 2.0.0 acme-1"), "{reply}");

    let alice = desk.inbox("alice@team.example").await;
    assert_eq!(alice.len(), 1);
    assert_eq!(desk.inbox("bob@team.example").await.len(), 1);
    assert_eq!(desk.inbox("carol@example.com").await.len(), 0, "the customer hears nothing of his own mail");
    assert_eq!(field(&alice[0], "Subject").unwrap(), "My invoice");
    assert_eq!(field(&alice[0], "From").unwrap(), "Carol Jones via Acme Support <acme@desk.example.org>");
    println!("{}", alice[0]);

    let answer = format!(
        "From: Alice <alice@team.example>\nTo: {0}\nSubject: Re: My invoice\nIn-Reply-To: {1}\n\
         Date: Mon, 23 Nov 2026 11:00:00 +0000\nMessage-ID: <two@team.example>\n\nSorry! Corrected.\n\n\
         On Mon, Carol Jones via Acme Support wrote:\n> It is wrong.\n",
        address_in(&alice[0], "Reply-To"),
        field(&alice[0], "Message-ID").unwrap()
    );
    let reply = desk.send("alice@team.example", &[&address_in(&alice[0], "Reply-To")], &answer).await;
    assert!(reply.starts_with("250 2.0.0 acme-1"), "{reply}");

    let carol = desk.inbox("carol@example.com").await;
    assert_eq!(carol.len(), 1);
    println!("{}", carol[0]);
    assert_eq!(desk.inbox("bob@team.example").await.len(), 2);
    assert_eq!(desk.inbox("alice@team.example").await.len(), 1, "the writer gets no copy");
    assert_eq!(field(&carol[0], "In-Reply-To"), field(&alice[0], "Message-ID"));
    assert_eq!(desk.messages("acme-1").len(), 2);
}
