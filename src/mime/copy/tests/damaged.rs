//! Damaged mail makes sound copies too, and loses nothing on the way.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn damaged_and_unknown_charsets_lose_nothing() {
    for charset in ["utf-8", "us-ascii", "x-nobody", "iso-8859-1", "\"\"", "utf-7"] {
        let raw = [
            format!("Content-Type: text/plain; charset={charset}\r\n\r\n#close\r\ncaf").as_bytes(),
            b"\xe9 \xff",
            format!(" for acme+t{TOKEN}@x\r\n").as_bytes(),
        ]
        .concat();
        for (reader, plan) in plans() {
            let plan = Plan { commands: vec!["#close".to_owned()], ..plan };
            let copy = build(&raw, &plan).unwrap();
            assert_sound(&copy, &plan, reader);
            let (text, _) = read(&copy);
            assert!(text.contains("caf") && text.contains("for acme@x") == (charset != "utf-7"), "{charset}: {text}");
            assert!(!text.contains("#close") && !text.contains(TOKEN), "{charset}: {text}");
            assert!(plan.for_member.is_none() || text.contains("-----"), "{charset}: {text}");
        }
    }
}

/// Else a customer would get what nobody at the desk has seen.
#[test]
fn a_copy_says_what_was_understood_of_damaged_mail_too() {
    let multipart = "Content-Type: multipart/mixed; boundary=b";
    let html = "Content-Type: text/html\r\n\r\n<p>two</p>";
    let fields = |count: usize| "X: y\r\n".repeat(count);
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let shift_jis = "Content-Type: text/plain; charset=x-sjis\r\nContent-Transfer-Encoding: base64";
    let flowed = "Content-Type: text/plain; format=flowed\r\nContent-Transfer-Encoding: quoted-printable";
    let guess = "Content-Type: multipart/mixed";
    let one = "--b\r\n\r\none\r\n--b--";
    for (what, header, body, text) in [
        (
            "a boundary within itself",
            multipart,
            format!("--b\r\n{multipart}\r\n\r\n{one}\r\n--b\r\n{html}"),
            "one\ntwo",
        ),
        ("a boundary that is not named", guess, "--guessme\r\n\r\none\r\n--guessme--".into(), "one"),
        ("half a type", "Content-Type: text; charset=iso-8859-1", "one=E9".into(), "one=E9"),
        ("a comment before the type", "Content-Type: (c) text/html", "<p>one".into(), "<p>one"),
        ("a type behind many fields", &format!("{}Content-Type: text/html", fields(3_000)), "<p>one".into(), "one"),
        ("a part's type behind many", multipart, format!("--b\r\n{}{html}\r\n--b--", fields(200)), "<p>two</p>"),
        ("an encoded multipart", &format!("Content-Transfer-Encoding: base64\r\n{multipart}"), one.into(), "one"),
        (
            "a comment behind the encoding",
            "Content-Transfer-Encoding: quoted-printable (so)",
            "ca=66=C3=A9".into(),
            "café",
        ),
        ("blanks at the ends of lines", flowed, "one \r\ntwo=20\r\nthree".into(), "one\ntwo three"),
        ("a charset by another name", shift_jis, "k/o=".into(), "日"),
        ("deep", &(0..15).map(level).collect::<String>(), "one".into(), "one"),
    ] {
        let raw = format!("{header}\r\n\r\n{body}\r\n");
        let understood = |raw: &[u8]| understand(raw, &Limits::default()).unwrap().text.new;
        assert_eq!(understood(raw.as_bytes()), text, "{what}");
        for eight_bit in [true, false] {
            let plan = Plan { eight_bit, ..contact() };
            let copy = build(raw.as_bytes(), &plan).unwrap();
            assert_sound(&copy, &plan, what);
            assert_eq!(understood(&copy), text, "{what}: {}", copy.escape_ascii());
        }
    }
}

/// A small generator (xorshift64*), so that a failing round can be named.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % limit.max(1)
    }
}

#[test]
fn damaged_mail_makes_sound_copies() {
    let corpus = corpus();
    let plans = plans();
    for round in 1..=2_000_u64 {
        let mut random = Random(round);
        let (name, mut raw) = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(raw.len() + 1);
            let end = (at + random.below(40)).min(raw.len());
            match random.below(5) {
                0 => drop(raw.drain(at..end)),
                1 => raw.insert(at, u8::try_from(random.below(256)).unwrap()),
                2 => raw.extend_from_within(at..end),
                3 => raw.truncate(at),
                _ => {
                    let other = &corpus[random.below(corpus.len())].1;
                    let from = random.below(other.len());
                    let piece = &other[from..(from + random.below(400)).min(other.len())];
                    raw.splice(at..end, piece.iter().copied());
                }
            }
        }
        let (reader, plan) = &plans[random.below(plans.len())];
        let what = format!("round {round}, {name} for {reader}");
        let built = catch_unwind(AssertUnwindSafe(|| build(&raw, plan))).unwrap_or_else(|_| panic!("{what} panicked"));
        if let Ok(copy) = built {
            assert_sound(&copy, plan, &what);
        }
    }
}
