//! Commands as the client meant them: the grammar of RFC 3501 §9 and of the extensions, in types.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil::Date};

/// A command with the tag by which its answer will be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub tag: String,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Capability,
    Noop,
    Logout,
    /// What the client says of itself (RFC 2971); empty for NIL.
    Id(Vec<(String, Option<String>)>),
    StartTls,
    Authenticate {
        mechanism: String,
        /// The first message, decoded (RFC 4959); `=` is an empty one.
        initial: Option<Secret<Vec<u8>>>,
    },
    Login {
        user: String,
        password: Secret<String>,
    },
    /// In capitals.
    Enable(Vec<String>),
    /// The algorithm, in capitals (RFC 4978).
    Compress(String),
    Namespace,
    Select {
        mailbox: Name,
        /// By EXAMINE.
        read_only: bool,
        condstore: bool,
        qresync: Option<Resync>,
    },
    Create {
        mailbox: Name,
        /// Special uses that it is to have (RFC 6154 §3), as `\Archive`.
        special_use: Vec<String>,
    },
    Delete(Name),
    Rename(Name, Name),
    Subscribe(Name),
    Unsubscribe(Name),
    List(List),
    Status {
        mailbox: Name,
        items: Vec<StatusItem>,
    },
    Idle,
    Check,
    Close,
    Unselect,
    /// With UIDs by UID EXPUNGE (RFC 4315 §2.1).
    Expunge(Option<Set>),
    Search {
        uid: bool,
        /// What RETURN asks for (RFC 4731, RFC 5182); `None` for a plain SEARCH.
        returns: Option<Vec<SearchReturn>>,
        charset: Option<String>,
        key: SearchKey,
    },
    Sort {
        uid: bool,
        returns: Option<Vec<SearchReturn>>,
        criteria: Vec<SortCriterion>,
        charset: String,
        key: SearchKey,
    },
    Thread {
        uid: bool,
        algorithm: ThreadAlgorithm,
        charset: String,
        key: SearchKey,
    },
    Fetch {
        uid: bool,
        set: Set,
        items: Vec<FetchItem>,
        /// RFC 7162 §3.1.4.1.
        changed_since: Option<u64>,
        /// RFC 7162 §3.2.6.
        vanished: bool,
    },
    Store {
        uid: bool,
        set: Set,
        /// RFC 7162 §3.1.3.
        unchanged_since: Option<u64>,
        how: StoreHow,
        silent: bool,
        flags: Vec<Flag>,
    },
    Copy {
        uid: bool,
        set: Set,
        to: Name,
    },
    Move {
        uid: bool,
        set: Set,
        to: Name,
    },
    GetQuota(String),
    GetQuotaRoot(Name),
}

impl Command {
    /// Whether it names mailboxes.
    #[must_use]
    pub fn names_mailboxes(&self) -> bool {
        matches!(
            self,
            Self::Select { .. }
                | Self::Create { .. }
                | Self::Delete(_)
                | Self::Rename(..)
                | Self::Subscribe(_)
                | Self::Unsubscribe(_)
                | Self::List(_)
                | Self::Status { .. }
                | Self::Copy { .. }
                | Self::Move { .. }
                | Self::GetQuotaRoot(_)
        )
    }
}

/// What must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A mailbox's name in UTF-8, as it was meant: decoded from modified UTF-7 (RFC 3501 §5.1.3) where it
/// was in that. INBOX in any case is `INBOX`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub String);

/// What a client knows of a mailbox that it was in before (RFC 7162 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    pub uid_validity: u32,
    pub modseq: u64,
    pub known_uids: Option<Set>,
    /// Sequence numbers and their UIDs, to find where the two went apart.
    pub known_sequence: Option<(Set, Set)>,
}

/// Numbers of messages: sequence numbers or UIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// In the order in which they were given; both ends belong to a range, whichever is larger.
    Ranges(Vec<(Bound, Bound)>),
    /// `$`: what the last search saved (RFC 5182).
    Saved,
}

impl Set {
    /// The UIDs that it names, whether there are any messages of these or not; `*` is beyond all. `$`
    /// names none.
    #[must_use]
    pub fn uids(&self) -> Uids {
        let Self::Ranges(ranges) = self else { return Uids(Vec::new()) };
        let number = |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => u32::MAX,
        };
        let ends = |&(one, other): &(Bound, Bound)| {
            let (one, other) = (number(one), number(other));
            (one.min(other), one.max(other))
        };
        let mut ranges: Vec<_> = ranges.iter().map(ends).collect();
        ranges.sort_unstable();
        ranges.into_iter().collect()
    }
}

/// UIDs, as ranges that don't overlap, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uids(Vec<(u32, u32)>);

/// Of ranges that begin in ascending order.
impl FromIterator<(u32, u32)> for Uids {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(ranges: T) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.dedup_by(|next, before| {
            let joins = next.0 <= before.1;
            if joins {
                before.1 = before.1.max(next.1);
            }
            joins
        });
        Self(ranges)
    }
}

impl Uids {
    #[must_use]
    pub fn has(&self, uid: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < uid);
        self.0.get(at).is_some_and(|(first, _)| *first <= uid)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At least 1.
    Number(u32),
    /// `*`: the largest that there is.
    Last,
}

/// LIST, LSUB and XLIST, with RFC 5258, RFC 5819 and RFC 6154.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub by: ListBy,
    pub select: ListSelect,
    pub reference: Name,
    /// With `%` and `*`.
    pub patterns: Vec<String>,
    pub returns: ListReturn,
    /// It was written in the form of RFC 5258.
    pub extended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListBy {
    List,
    Lsub,
    /// What special use was before RFC 6154; old Outlook says it.
    Xlist,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSelect {
    pub subscribed: bool,
    pub remote: bool,
    pub recursive_match: bool,
    pub special_use: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReturn {
    pub subscribed: bool,
    pub children: bool,
    pub special_use: bool,
    /// Empty for none.
    pub status: Vec<StatusItem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    HighestModSeq,
    /// RFC 8438.
    Size,
    /// RFC 8474.
    MailboxId,
    /// RFC 9051: how many have \Deleted.
    Deleted,
    /// RFC 7889.
    AppendLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchReturn {
    Min,
    Max,
    All,
    Count,
    Save,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    All,
    /// What several keys side by side mean; also what parentheses hold.
    And(Vec<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    Not(Box<SearchKey>),
    Sequence(Set),
    Uid(Set),
    /// A flag is set; `Unseen` and its like are `Not`.
    Flag(Flag),
    /// \Recent is never set here.
    Recent,
    /// A field of the header has this in it; an empty text asks whether there is such a field.
    Header(String, String),
    From(String),
    To(String),
    Cc(String),
    Bcc(String),
    Subject(String),
    Body(String),
    Text(String),
    /// The internal date, its day alone: before the day, on it, on it or later.
    Before(Date),
    On(Date),
    Since(Date),
    /// The same of the Date field.
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    Larger(u32),
    Smaller(u32),
    /// RFC 5032: the internal date lies at least so far back.
    Older(SignedDuration),
    Younger(SignedDuration),
    /// RFC 7162 §3.1.5; which entry was asked for makes no difference here.
    ModSeq(u64),
    /// RFC 8474 §5.4.
    EmailId(String),
    ThreadId(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    pub by: SortBy,
    pub reverse: bool,
}

/// RFC 5256 §3, RFC 5957.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
}

/// What FETCH is to bring. ALL, FAST and FULL come as what they stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    Rfc822Size,
    Envelope,
    /// BODY without a section.
    Body,
    BodyStructure,
    Section {
        section: Section,
        /// BODY.PEEK: \Seen stays as it is.
        peek: bool,
        partial: Option<Partial>,
        /// As RFC822, RFC822.HEADER and RFC822.TEXT are called in the answer.
        old_name: Option<&'static str>,
    },
    /// RFC 3516: BINARY[part].
    Binary {
        part: Vec<u32>,
        peek: bool,
        partial: Option<Partial>,
    },
    BinarySize(Vec<u32>),
    ModSeq,
    /// RFC 8474.
    EmailId,
    ThreadId,
}

/// `<first.count>`, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    pub first: u32,
    pub count: u32,
}

/// A part of a message (RFC 3501 §6.4.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Empty for the message itself.
    pub part: Vec<u32>,
    pub what: What,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// All of it; of a part its body.
    #[default]
    Whole,
    Header,
    /// In the order asked for, as they were written.
    HeaderFields(Vec<String>),
    HeaderFieldsNot(Vec<String>),
    Text,
    /// A part's own MIME header.
    Mime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHow {
    Replace,
    Add,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    Seen,
    Answered,
    Flagged,
    Deleted,
    Draft,
    /// As it was written; keywords are compared without case.
    Keyword(String),
}

/// What is said of a message before its octets come (RFC 3501 §6.3.11, RFC 3502).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub flags: Vec<Flag>,
    pub date: Option<Timestamp>,
    /// Octets that are announced.
    pub size: u64,
    /// The client waits for our word before it sends them.
    pub waits: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_names_each_uid_that_lies_in_one_of_its_ranges() {
        let number = Bound::Number;
        let set = Set::Ranges(vec![
            (number(9), number(7)),
            (number(3), number(3)),
            (number(8), number(12)),
            (number(1), number(2)),
            (number(10), number(11)),
            (number(100), Bound::Last),
        ]);
        let named: Vec<_> = (0..20).filter(|uid| set.uids().has(*uid)).collect();
        assert_eq!(named, [1, 2, 3, 7, 8, 9, 10, 11, 12]);
        assert!(!set.uids().has(99) && set.uids().has(100) && set.uids().has(u32::MAX));
        assert!(!Set::Saved.uids().has(1) && !Set::Ranges(Vec::new()).uids().has(1));
    }
}
