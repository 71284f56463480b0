//! Keys as bytes whose order is the order of what they mean.

use jiff::Timestamp;

use crate::desk::address::Address;
use crate::desk::copy::CopyState;
use crate::desk::id::{
    AppPasswordId, ClaimId, ContactId, CopyId, DepartmentId, EntryId, MemberId, PropertyId, RawId, TicketId,
};
use crate::desk::message_id::MessageId;
use crate::desk::shelf::{Peak, Place, Shelf, Trail};
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::desk::ticket::{Assignee, Person, Priority, Status};
use crate::desk::trace::TraceId;

/// A value that can be a key, or a component of one.
///
/// `a < b` exactly if the bytes of `a` sort before those of `b`, and no encoding is the beginning
/// of another's, so that tuples order by their components.
pub trait Key: Sized {
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes itself from the front of `bytes`; `None` if that isn't one.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

/// The first components of a tuple that is a key: `(a,)` of `(A, B)`, `(a, b)` of `(A, B, C)`.
pub trait StartOf<K> {
    fn encode_start(&self, out: &mut Vec<u8>);
}

macro_rules! unsigned {
    ($($type:ty),+) => {$(
        impl Key for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self::from_be_bytes(take(bytes)?))
            }
        }
    )+};
}
unsigned!(u8, u16, u32, u64);

impl Key for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some((u64::decode(bytes)? ^ (1 << 63)).cast_signed())
    }
}

impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Key for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes)
    }
}

/// A NUL is written as `00 FF`, and `00 01` ends the text: so "a" sorts before "a\0" and "ab".
impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_text(self, out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            match u8::decode(bytes)? {
                0 => match u8::decode(bytes)? {
                    0x01 => return Self::from_utf8(text).ok(),
                    0xff => text.push(0),
                    _ => return None,
                },
                byte => text.push(byte),
            }
        }
    }
}

impl<T: Key> Key for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        if bool::decode(bytes)? { Some(Some(T::decode(bytes)?)) } else { Some(None) }
    }
}

/// Seconds, then nanoseconds: the whole range and resolution of a timestamp.
impl Key for Timestamp {
    fn encode(&self, out: &mut Vec<u8>) {
        let nanoseconds = self.as_nanosecond();
        let seconds = i64::try_from(nanoseconds.div_euclid(NANOS)).expect("a timestamp's seconds fit into 64 bits");
        let rest = u32::try_from(nanoseconds.rem_euclid(NANOS)).expect("less than a second");
        seconds.encode(out);
        rest.encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let seconds = i64::decode(bytes)?;
        let rest = u32::decode(bytes)?;
        Self::from_nanosecond(i128::from(seconds) * NANOS + i128::from(rest)).ok()
    }
}

const NANOS: i128 = 1_000_000_000;

macro_rules! ids {
    ($($type:ident),+) => {$(
        impl Key for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                u64::decode(bytes).map(Self)
            }
        }
    )+};
}
ids!(AppPasswordId, ClaimId, PropertyId, MemberId, DepartmentId, ContactId, TicketId, EntryId, CopyId, RawId);

macro_rules! texts {
    ($($type:ident: $text:expr),+) => {$(
        impl Key for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                let text: fn(&$type) -> _ = $text;
                encode_text(text(self).as_ref(), out);
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                String::decode(bytes)?.parse().ok()
            }
        }
    )+};
}
texts!(
    // In the form that ignores case, so what is read back is in lower case.
    Address: Address::key,
    PropertySlug: |slug| slug.as_str().to_owned(),
    DepartmentSlug: |slug| slug.as_str().to_owned(),
    MessageId: |id| id.as_str().to_owned(),
    TraceId: |id| id.as_str().to_owned()
);

/// States in a key: each case has its number for good.
macro_rules! cases {
    ($($type:ident: $($case:ident = $number:literal),+;)+) => {$(
        impl Key for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$case => $number),+ });
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                match u8::decode(bytes)? {
                    $($number => Some(Self::$case),)+
                    _ => None,
                }
            }
        }
    )+};
}
cases!(
    Status: Open = 0, Pending = 1, Closed = 2, Spam = 3, Trash = 4;
    Priority: Low = 0, Normal = 1, High = 2, Urgent = 3;
    CopyState: Queued = 0, Sent = 1, Deferred = 2, Failed = 3, Cancelled = 4, Held = 5;
    Place: Drafts = 0, Sent = 1, Archive = 2, Junk = 3, Trash = 4;
    Peak: Uid = 0, ModSeq = 1, Rights = 2;
);

macro_rules! either {
    ($($type:ident: $first:ident = 0, $second:ident = 1;)+) => {$(
        impl Key for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    Self::$first(id) => (0u8, id.0).encode(out),
                    Self::$second(id) => (1u8, id.0).encode(out),
                }
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                match u8::decode(bytes)? {
                    0 => Key::decode(bytes).map(Self::$first),
                    1 => Key::decode(bytes).map(Self::$second),
                    _ => None,
                }
            }
        }
    )+};
}
either!(
    Assignee: Member = 0, Department = 1;
    Person: Contact = 0, Member = 1;
);

impl Key for Shelf {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Status(property, status) => (0u8, property, status).encode(out),
            Self::Open(property, assignee) => (1u8, property, assignee).encode(out),
            Self::Work(property, assignee) => (2u8, property, assignee).encode(out),
            Self::Sent(property, member) => (3u8, property, member).encode(out),
            Self::Own(member, place) => (4u8, member, place).encode(out),
            Self::Mine(member) => (5u8, member).encode(out),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match u8::decode(bytes)? {
            0 => Self::Status(Key::decode(bytes)?, Key::decode(bytes)?),
            1 => Self::Open(Key::decode(bytes)?, Key::decode(bytes)?),
            2 => Self::Work(Key::decode(bytes)?, Key::decode(bytes)?),
            3 => Self::Sent(Key::decode(bytes)?, Key::decode(bytes)?),
            4 => Self::Own(Key::decode(bytes)?, Key::decode(bytes)?),
            5 => Self::Mine(Key::decode(bytes)?),
            _ => return None,
        })
    }
}

impl Key for Trail {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Row(shelf, uid) => (0u8, shelf, uid).encode(out),
            Self::Mine(member, ticket, entry) => (1u8, member, ticket, entry).encode(out),
            Self::Rights(member) => (2u8, member).encode(out),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match u8::decode(bytes)? {
            0 => Self::Row(Key::decode(bytes)?, Key::decode(bytes)?),
            1 => Self::Mine(Key::decode(bytes)?, Key::decode(bytes)?, Key::decode(bytes)?),
            2 => Self::Rights(Key::decode(bytes)?),
            _ => return None,
        })
    }
}

macro_rules! tuple {
    ($($name:ident),+) => {
        #[expect(non_snake_case, reason = "each component is called by its type's name")]
        impl<$($name: Key),+> Key for ($($name,)+) {
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($name,)+) = self;
                $($name.encode(out);)+
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($name::decode(bytes)?,)+))
            }
        }
    };
}
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);

macro_rules! start {
    ($(($($start:ident),+) of ($($whole:ident),+);)+) => {$(
        #[expect(non_snake_case, reason = "each component is called by its type's name")]
        impl<$($whole: Key),+> StartOf<($($whole,)+)> for ($($start,)+) {
            fn encode_start(&self, out: &mut Vec<u8>) {
                let ($($start,)+) = self;
                $($start.encode(out);)+
            }
        }
    )+};
}
start!(
    (A) of (A, B);
    (A) of (A, B, C);
    (A, B) of (A, B, C);
    (A) of (A, B, C, D);
    (A, B) of (A, B, C, D);
    (A, B, C) of (A, B, C, D);
    (A) of (A, B, C, D, E);
    (A, B) of (A, B, C, D, E);
    (A, B, C) of (A, B, C, D, E);
    (A, B, C, D) of (A, B, C, D, E);
);

fn encode_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0x00, 0x01]);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered<K: Key + Ord + Clone + std::fmt::Debug>(keys: &[K]) {
        for a in keys {
            let mut bytes = Vec::new();
            a.encode(&mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(K::decode(&mut rest).as_ref(), Some(a));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                let whole = K::decode(&mut &bytes[..cut]);
                assert!(whole.is_none(), "{a:?} cut at {cut} reads as {whole:?}");
            }
            for b in keys {
                let mut other = Vec::new();
                b.encode(&mut other);
                assert_eq!(a.cmp(b), bytes.cmp(&other), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn bytes_sort_as_values_do() {
        ordered(&[0u64, 1, 255, 256, u64::MAX]);
        ordered(&[i64::MIN, -256, -1, 0, 1, i64::MAX]);
        ordered(&["", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "aa", "b", "é"].map(str::to_owned));
        ordered(&[("a".to_owned(), 2u32), ("a".to_owned(), 10), ("a\0".to_owned(), 1), ("ab".to_owned(), 0)]);
        ordered(&[None, Some(0u8), Some(9)]);
        ordered(&[(false, 1u8, Some(TicketId(3)), [1u8, 2]), (true, 0, None, [0, 0]), (false, 1, None, [9, 9])]);
        let times = ["-000044-03-15T12:00:00.5Z", "1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"];
        let mut times: Vec<Timestamp> = times.iter().map(|text| text.parse().unwrap()).collect();
        times.extend([Timestamp::MIN, Timestamp::MAX]);
        ordered(&times);
        ordered(&[Status::Open, Status::Pending, Status::Closed, Status::Spam, Status::Trash]);
        ordered(&[Person::Contact(ContactId(7)), Person::Member(MemberId(1))]);
        ordered(&["a@example.org", "a@example.orga", "b@a.org"].map(|text| text.parse::<Address>().unwrap()));
    }

    #[test]
    fn addresses_are_one_key_in_any_case() {
        let keys = ["Bob@Example.org", "bob@example.org"].map(|text| {
            let mut out = Vec::new();
            text.parse::<Address>().unwrap().encode(&mut out);
            out
        });
        assert_eq!(keys[0], keys[1]);
    }
}
