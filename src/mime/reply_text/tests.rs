//! Tables of texts as clients write them.

use super::super::text::{Line, Mark};
use super::{Purpose, separate};

fn lines(text: &str) -> Vec<Line> {
    text.lines().map(|line| Line { text: line.trim_end().to_owned(), mark: Mark::None }).collect()
}

fn new(text: &str) -> String {
    separate(&lines(text), Purpose::Answer).0.new
}

#[test]
fn the_new_text_above_a_quotation() {
    for (what, text) in [
        ("gmail", "Thanks!\n\nOn Mon, Nov 23, 2026 at 10:00 AM Acme <support@acme.example> wrote:\n\n> old\n> text\n"),
        (
            "gmail wrapped",
            "Thanks!\n\nOn Mon, Nov 23, 2026 at 10:00 AM Acme Support via the Desk\n<support@acme.example> wrote:\n> old\n",
        ),
        ("gmail fr", "Thanks!\n\nLe lun. 23 nov. 2026 à 10:00, Acme <support@acme.example> a écrit :\n\n> old\n"),
        (
            "gmail fr wrapped",
            "Thanks!\n\nLe lun. 23 nov. 2026 à 10:00, Acme <support@acme.example> a\nécrit :\n\n> old\n",
        ),
        ("gmail de", "Thanks!\n\nAm Mo., 23. Nov. 2026 um 10:00 Uhr schrieb Acme <support@acme.example>:\n\n> old\n"),
        ("gmail es", "Thanks!\n\nEl lun, 23 nov 2026 a las 10:00, Acme (<support@acme.example>) escribió:\n\n> old\n"),
        (
            "gmail it",
            "Thanks!\n\nIl giorno lun 23 nov 2026 alle ore 10:00 Acme <support@acme.example> ha scritto:\n\n> old\n",
        ),
        ("gmail nl", "Thanks!\n\nOp ma 23 nov 2026 om 10:00 schreef Acme <support@acme.example>:\n\n> old\n"),
        (
            "gmail pt",
            "Thanks!\n\nEm seg., 23 de nov. de 2026 às 10:00, Acme <support@acme.example> escreveu:\n\n> old\n",
        ),
        ("old gmail", "Thanks!\n\n2026-11-23 10:00 GMT+01:00 Acme <support@acme.example>:\n\n> old\n"),
        (
            "unquoted",
            "Thanks!\n\nOn Monday, November 23, 2026 at 10:00:00 AM GMT+1, Acme <support@acme.example> wrote:\n\nold text\n",
        ),
        ("mutt", "Thanks!\n\nOn Mon, Nov 23, 2026 at 10:00:00AM +0100, Acme wrote:\n> old\n"),
        ("name only", "Thanks!\n\nAcme Support wrote:\n> old\n"),
        ("outlook", "Thanks!\n\n-----Original Message-----\nFrom: Acme\nSent: Monday\nTo: Bob\nSubject: x\n\nold\n"),
        (
            "outlook header",
            "Thanks!\n\nFrom: Acme <support@acme.example>\nSent: Monday, November 23, 2026 10:00\nTo: Bob\nSubject: x\n\nold\n",
        ),
        (
            "outlook rule",
            "Thanks!\n\n________________________________\nFrom: Acme <support@acme.example>\nSent: Monday\nTo: Bob\nSubject: x\n\nold\n",
        ),
        (
            "outlook stars",
            "Thanks!\n\n*From:* Acme <support@acme.example>\n*Sent:* Monday\n*To:* Bob\n*Subject:* x\n\nold\n",
        ),
        (
            "outlook fr",
            "Thanks!\n\nDe : Acme <support@acme.example>\nEnvoyé : lundi 23 novembre 2026 10:00\nÀ : Bob\nObjet : x\n\nold\n",
        ),
        (
            "outlook de",
            "Thanks!\n\nVon: Acme <support@acme.example>\nGesendet: Montag, 23. November 2026 10:00\nAn: Bob\nBetreff: x\n\nold\n",
        ),
        (
            "zimbra fr",
            "Thanks!\n\n----- Mail original -----\nDe: \"Acme\" <support@acme.example>\nÀ: \"Bob\" <b@example.org>\nObjet: x\n\nold\n",
        ),
        (
            "orange",
            "Thanks!\n\nenvoyé : 23 novembre 2026 à 10:00\nde : Acme <support@acme.example>\nà : bob@example.org\nobjet : x\n\nold\n",
        ),
        (
            "samsung",
            "Thanks!\n\n-------- Original message --------\nFrom: Acme <support@acme.example>\nDate: 23/11/2026 10:00\nTo: b\nSubject: x\n\nold\n",
        ),
        ("below", "On Mon, Nov 23, 2026 at 10:00 AM Acme <support@acme.example> wrote:\n> old\n> text\n\nThanks!\n"),
        ("plain quotes only", "> old\n> text\n\nThanks!\n"),
    ] {
        assert_eq!(new(text), "Thanks!", "{what}");
    }
}

#[test]
fn answers_between_quotations_keep_what_they_answer() {
    for (text, expected) in [
        (
            "On Mon, 23 Nov 2026, Acme wrote:\n> Hello Bob,\n>\n> Which printer?\nThe red one.\n> Since when?\nMonday.\n>\n> Regards\n> Acme\n",
            "> Which printer?\nThe red one.\n> Since when?\nMonday.",
        ),
        (
            "See below.\n\nOn Mon, 23 Nov 2026, Acme wrote:\n> Which printer?\nThe red one.\n",
            "See below.\n\n> Which printer?\nThe red one.",
        ),
        (
            "Thanks.\n\nOn Mon, 23 Nov 2026, Acme wrote:\n> One.\n>\n> Two.\n>\n> Three.\n\nScanned by a gateway.\n",
            "Thanks.\n\n> Three.\n\nScanned by a gateway.",
        ),
        ("> Which printer?\n\nThe red one.\n\n> Since when?\n", "> Which printer?\n\nThe red one."),
    ] {
        assert_eq!(new(text), expected, "{text}");
    }
}

#[test]
fn prose_stays_prose() {
    for text in [
        "On Monday your colleague wrote:\nplease call back.\nSo I do.",
        "I forward what my boss said.\nFrom: the boss I got a no.\nWhat now?",
        "On the box it says 12 V. What the manual wrote:\n12 A.",
        "- one\n- two",
        "It is on its way.\nEnvoyé via Colissimo lundi.",
        "No.\nVon meinem Chef habe ich das nicht.",
        "Sent from my old flat I have moved, to where do I send it? My address is new and long, so please write it down carefully: 1 Example Road, 12345 Exampletown, Exampleland, thank you.",
        "--- a/file\n+++ b/file\n-old\n+new",
        "The error is:\n  from: nobody\nand that is all",
        "A\n\n-------\nB",
    ] {
        assert_eq!(new(text), text, "{text}");
    }
}

#[test]
fn a_form_in_a_message_that_answers_nothing_stays() {
    let form = "You have a new enquiry.\n\nFrom: Jane\nDate: today\nSubject: Prices\n\nHow much is it?";
    assert_eq!(separate(&lines(form), Purpose::New).0.new, form);
}

#[test]
fn signatures() {
    for (text, expected, signature) in [
        ("Hello\n\n-- \nBob\nExample Ltd", "Hello", "--\nBob\nExample Ltd"),
        ("Hello\n\nSent from my iPhone", "Hello", "Sent from my iPhone"),
        ("Bonjour\n\nEnvoyé de mon iPhone", "Bonjour", "Envoyé de mon iPhone"),
        ("Hello\n\nGet Outlook for iOS<https://example.com/x>", "Hello", "Get Outlook for iOS<https://example.com/x>"),
        (
            "Hello\n\nSent from my iPhone\n\n> On 23 Nov 2026, at 10:00, Acme <a@acme.example> wrote:\n>\n> old",
            "Hello",
            "Sent from my iPhone",
        ),
        ("Hello\n-- \nBob\n> old\nmore", "Hello\n> old\nmore", "--\nBob"),
    ] {
        let (found, _) = separate(&lines(text), Purpose::Answer);
        assert_eq!(found.new, expected, "{text}");
        assert_eq!(found.signature, signature, "{text}");
    }
}

#[test]
fn a_message_of_which_nothing_would_be_left_is_new() {
    for text in ["> only\n> quoted", "Sent from my iPhone", "-- \nBob", "-----Original Message-----\nold"] {
        assert!(!new(text).is_empty(), "{text}");
    }
    assert_eq!(new(""), "");
}

#[test]
fn what_is_handed_on_is_read_and_stays() {
    for (what, text) in [
        (
            "gmail",
            "Please answer.\n\n---------- Forwarded message ---------\nFrom: Jane Doe <jane@example.com>\nDate: Mon, 23 Nov 2026 10:00:00 +0100\nSubject: Broken\nTo: <bob@example.org>\n\n\nIt is broken.\n",
        ),
        (
            "gmail fr",
            "Please answer.\n\n---------- Message transféré ---------\nDe : Jane Doe <jane@example.com>\nDate: lun. 23 nov. 2026 à 10:00\nSubject: Broken\nTo: <bob@example.org>\n\nIt is broken.\n",
        ),
        (
            "outlook",
            "Please answer.\n\nFrom: Jane Doe <jane@example.com>\nSent: Monday, November 23, 2026 10:00 AM\nTo: Bob\nSubject: Broken\n\nIt is broken.\n",
        ),
        (
            "outlook fr",
            "Please answer.\n\n-----Message d'origine-----\nDe : Jane Doe [mailto:jane@example.com]\nEnvoyé : lundi 23 novembre 2026 10:00\nÀ : Bob\nObjet : Broken\n\nIt is broken.\n",
        ),
        (
            "apple mail",
            "Please answer.\n\nBegin forwarded message:\n\n> From: Jane Doe <jane@example.com>\n> Subject: Broken\n> Date: 23 November 2026 at 10:00:00 CET\n> To: bob@example.org\n> \n> It is broken.\n",
        ),
        (
            "outlook de",
            "Please answer.\n\nVon: Jane Doe <jane@example.com>\nGesendet: Montag, 23. November 2026 10:00\nAn: Bob\nBetreff: Broken\n\nIt is broken.\n",
        ),
        (
            "apple de",
            "Please answer.\n\n> Anfang der weitergeleiteten Nachricht:\n> \n> Von: Jane Doe <jane@example.com>\n> Betreff: Broken\n> Datum: 23. November 2026 um 10:00:00 MEZ\n> An: bob@example.org\n> \n> It is broken.\n",
        ),
        (
            "link twice",
            "Please answer.\n\nFrom: Jane Doe <jane@example.com<mailto:jane@example.com>>\nSent: Monday\nTo: Bob\nSubject: Broken\n\nIt is broken.\n",
        ),
        (
            "thunderbird",
            "Please answer.\n\n-------- Forwarded Message --------\nSubject: \tBroken\nDate: \tMon, 23 Nov 2026 10:00:00 +0100\nFrom: \tJane Doe <jane@example.com>\nTo: \tbob@example.org\n\n\n\nIt is broken.\n",
        ),
    ] {
        let (text, block) = separate(&lines(text), Purpose::Forward);
        let block = block.unwrap_or_else(|| panic!("{what}"));
        assert_eq!(block.from.address.as_str(), "jane@example.com", "{what}");
        assert_eq!(block.from.name, "Jane Doe", "{what}");
        assert_eq!(block.subject, "Broken", "{what}");
        assert_eq!(block.text, "It is broken.", "{what}");
        assert_eq!(block.comment, "Please answer.", "{what}");
        assert!(text.new.contains("Please answer.") && text.new.contains("It is broken."), "{what}");
    }
    let (text, block) = separate(&lines("No block at all."), Purpose::Forward);
    assert_eq!((text.new.as_str(), block), ("No block at all.", None));
}
