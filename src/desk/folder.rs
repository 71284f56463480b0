//! The mailboxes that a member sees in his mail client, and what it means when he moves a ticket's
//! message from one into another (`docs/imap.md`).

use super::department::Department;
use super::id::{DepartmentId, MemberId, PropertyId};
use super::member::Member;
use super::property::Property;
use super::shelf::{Place, Shelf};
use super::ticket::{Assignee, Status};

/// A mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// Open tickets that are his, his departments', or nobody's.
    Inbox,
    Drafts,
    /// What he wrote in the properties where he has a role.
    Sent,
    /// Closed tickets of all his properties.
    Archive,
    Junk,
    Trash,
    /// Holds a property's mailboxes, and no messages.
    Property(PropertyId),
    Open(PropertyId),
    Pending(PropertyId),
    Closed(PropertyId),
    /// Where internal notes are dropped.
    Notes(PropertyId),
    Departments(PropertyId),
    Department(PropertyId, DepartmentId),
    Members(PropertyId),
    Member(PropertyId, MemberId),
}

/// What separates the levels of a name.
pub const DELIMITER: char = '/';

impl Folder {
    /// Whether it only holds others.
    #[must_use]
    pub fn is_level(self) -> bool {
        matches!(self, Self::Property(_) | Self::Departments(_) | Self::Members(_))
    }

    /// Its special use (RFC 6154 §2).
    #[must_use]
    pub fn special_use(self) -> Option<&'static str> {
        Some(match self {
            Self::Drafts => "\\Drafts",
            Self::Sent => "\\Sent",
            Self::Archive => "\\Archive",
            Self::Junk => "\\Junk",
            Self::Trash => "\\Trash",
            _ => return None,
        })
    }

    /// Whether a member sees it in his client without asking for it.
    #[must_use]
    pub fn is_subscribed_at_first(self) -> bool {
        matches!(self, Self::Inbox | Self::Open(_)) || self.special_use().is_some()
    }

    /// What it is called for good, however its name changes (RFC 8474 §4).
    #[must_use]
    pub fn id(self) -> String {
        match self {
            Self::Inbox => "inbox".to_owned(),
            Self::Drafts => "drafts".to_owned(),
            Self::Sent => "sent".to_owned(),
            Self::Archive => "archive".to_owned(),
            Self::Junk => "junk".to_owned(),
            Self::Trash => "trash".to_owned(),
            Self::Property(property) => format!("p{property}"),
            Self::Open(property) => format!("p{property}-open"),
            Self::Pending(property) => format!("p{property}-pending"),
            Self::Closed(property) => format!("p{property}-closed"),
            Self::Notes(property) => format!("p{property}-notes"),
            Self::Departments(property) => format!("p{property}-departments"),
            Self::Department(property, department) => format!("p{property}-d{department}"),
            Self::Members(property) => format!("p{property}-members"),
            Self::Member(property, member) => format!("p{property}-m{member}"),
        }
    }

    /// Where a member keeps his own messages that he puts there.
    #[must_use]
    pub fn place(self) -> Option<Place> {
        Some(match self {
            Self::Drafts => Place::Drafts,
            Self::Sent => Place::Sent,
            Self::Archive => Place::Archive,
            Self::Junk => Place::Junk,
            Self::Trash => Place::Trash,
            _ => return None,
        })
    }
}

/// A mailbox with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub folder: Folder,
}

/// All mailboxes of one member.
#[derive(Clone, Debug)]
pub struct Folders {
    member: MemberId,
    /// The properties where he has a role.
    properties: Vec<PropertyId>,
    /// The departments that he is in.
    departments: Vec<(PropertyId, DepartmentId)>,
    named: Vec<Named>,
}

impl Folders {
    /// Those of `member`; `properties`, `departments` and `members` are all that there are and that
    /// were not removed.
    #[must_use]
    pub fn of(member: &Member, properties: &[Property], departments: &[Department], members: &[Member]) -> Self {
        let mut folders = Self::without_any(member.id);
        for property in properties.iter().filter(|property| member.is_of(property.id)) {
            folders.property(member, property, departments, members);
        }
        folders
    }

    /// Those of a member who has a role nowhere.
    fn without_any(member: MemberId) -> Self {
        let named = [
            ("INBOX", Folder::Inbox),
            ("Archive", Folder::Archive),
            ("Drafts", Folder::Drafts),
            ("Junk", Folder::Junk),
            ("Sent", Folder::Sent),
            ("Trash", Folder::Trash),
        ];
        let named = named.into_iter().map(|(name, folder)| Named { name: name.to_owned(), folder }).collect();
        Self { member, properties: Vec::new(), departments: Vec::new(), named }
    }

    fn property(&mut self, member: &Member, property: &Property, departments: &[Department], members: &[Member]) {
        let (id, slug) = (property.id, property.slug.as_str());
        self.properties.push(id);
        let mut add = |name: String, folder| self.named.push(Named { name, folder });
        add(slug.to_owned(), Folder::Property(id));
        add(format!("{slug}/Closed"), Folder::Closed(id));
        add(format!("{slug}/Departments"), Folder::Departments(id));
        let of_it: Vec<_> = departments.iter().filter(|department| department.property == id).collect();
        let names = of_it.iter().map(|department| (&*department.name, department.slug.to_string()));
        for (department, name) in of_it.iter().zip(distinct(&names.collect::<Vec<_>>())) {
            add(format!("{slug}/Departments/{name}"), Folder::Department(id, department.id));
        }
        add(format!("{slug}/Members"), Folder::Members(id));
        let team: Vec<_> = members.iter().filter(|known| known.is_of(id) && !known.list).collect();
        let names = team.iter().map(|known| (&*known.name, known.login.to_string()));
        for (known, name) in team.iter().zip(distinct(&names.collect::<Vec<_>>())) {
            add(format!("{slug}/Members/{name}"), Folder::Member(id, known.id));
        }
        add(format!("{slug}/Notes"), Folder::Notes(id));
        add(format!("{slug}/Open"), Folder::Open(id));
        add(format!("{slug}/Pending"), Folder::Pending(id));
        let his = of_it.iter().filter(|department| department.members.contains(&member.id));
        self.departments.extend(his.map(|department| (id, department.id)));
    }

    /// In the order in which they are listed.
    #[must_use]
    pub fn all(&self) -> &[Named] {
        &self.named
    }

    /// The one of this name, or that a client means by it. INBOX and the special ones are known in any case.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Named> {
        let inbox =
            self.named.iter().find(|known| known.folder == Folder::Inbox && known.name.eq_ignore_ascii_case(name));
        let exact = || self.named.iter().find(|known| known.name == name);
        let top = |known: &&Named| !known.name.contains(DELIMITER) && known.name.eq_ignore_ascii_case(name);
        let meant = || also(name).and_then(|folder| self.named.iter().find(|known| known.folder == folder));
        inbox.or_else(exact).or_else(|| self.named.iter().find(top)).or_else(meant)
    }

    /// The one that a client means by a name that none has; nothing else.
    #[must_use]
    pub fn meant(&self, name: &str) -> Option<Folder> {
        self.named(name).filter(|known| !known.name.eq_ignore_ascii_case(name)).map(|known| known.folder)
    }

    /// Whether it is one of his.
    #[must_use]
    pub fn has(&self, folder: Folder) -> bool {
        self.named.iter().any(|known| known.folder == folder)
    }

    /// Whether others stand below it.
    #[must_use]
    pub fn has_children(&self, name: &str) -> bool {
        self.named.iter().any(|known| known.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(DELIMITER)))
    }

    /// The shelves that a mailbox is made of.
    #[must_use]
    pub fn shelves(&self, folder: Folder) -> Vec<Shelf> {
        let everywhere = |status| self.properties.iter().map(move |property| Shelf::Status(*property, status));
        let own = folder.place().map(|place| Shelf::Own(self.member, place));
        let mut shelves: Vec<_> = match folder {
            Folder::Inbox => {
                let nobodys = self.properties.iter().map(|property| Shelf::Open(*property, None));
                let departments = self.departments.iter();
                let departments = departments
                    .map(|(property, department)| Shelf::Open(*property, Some(Assignee::Department(*department))));
                let his = Some(Assignee::Member(self.member));
                nobodys.chain(departments).chain(self.properties.iter().map(|id| Shelf::Open(*id, his))).collect()
            }
            Folder::Sent => self.properties.iter().map(|property| Shelf::Sent(*property, self.member)).collect(),
            Folder::Archive => everywhere(Status::Closed).collect(),
            Folder::Junk => everywhere(Status::Spam).collect(),
            Folder::Trash => everywhere(Status::Trash).collect(),
            Folder::Open(property) => vec![Shelf::Status(property, Status::Open)],
            Folder::Pending(property) => vec![Shelf::Status(property, Status::Pending)],
            Folder::Closed(property) => vec![Shelf::Status(property, Status::Closed)],
            Folder::Department(property, department) => {
                vec![Shelf::Work(property, Assignee::Department(department))]
            }
            Folder::Member(property, member) => vec![Shelf::Work(property, Assignee::Member(member))],
            Folder::Drafts | Folder::Property(_) | Folder::Notes(_) | Folder::Departments(_) | Folder::Members(_) => {
                Vec::new()
            }
        };
        shelves.extend(own);
        shelves
    }

    /// Whether what it is made of depends on more than its name: on the member's roles and departments.
    #[must_use]
    pub fn is_gathered(folder: Folder) -> bool {
        matches!(folder, Folder::Inbox | Folder::Sent | Folder::Archive | Folder::Junk | Folder::Trash)
    }

    #[must_use]
    pub fn may_see(&self, property: PropertyId) -> bool {
        self.properties.contains(&property)
    }
}

/// What clients call a special mailbox, and make, that don't ask which there is (RFC 6154): Thunderbird
/// archives into Archives, and by the year into a level below; Apple's and Microsoft's have names of their
/// own.
fn also(name: &str) -> Option<Folder> {
    const NAMES: [(&str, Folder); 7] = [
        ("Archives", Folder::Archive),
        ("Deleted Items", Folder::Trash),
        ("Deleted Messages", Folder::Trash),
        ("Junk E-mail", Folder::Junk),
        ("Sent Items", Folder::Sent),
        ("Sent Messages", Folder::Sent),
        ("Spam", Folder::Junk),
    ];
    if let Some((top, year)) = name.split_once(DELIMITER) {
        let archive = ["Archive", "Archives"].iter().any(|known| known.eq_ignore_ascii_case(top))
            && !year.is_empty()
            && !year.contains(['%', '*']);
        return archive.then_some(Folder::Archive);
    }
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, folder)| *folder)
}

/// Names as levels of mailboxes: without what parts levels or stands for others, and each once.
fn distinct(names: &[(&str, String)]) -> Vec<String> {
    let clean = |name: &str| {
        let name: String = name
            .chars()
            .map(|c| if c.is_control() || matches!(c, DELIMITER | '%' | '*' | '\\' | '"') { '-' } else { c })
            .collect();
        name.trim().to_owned()
    };
    let cleaned: Vec<_> = names.iter().map(|(name, _)| clean(name)).collect();
    let taken = |name: &str| cleaned.iter().filter(|known| known.eq_ignore_ascii_case(name)).count() > 1;
    let one = |(name, (_, unique)): (&String, &(&str, String))| {
        if name.is_empty() {
            unique.clone()
        } else if taken(name) {
            format!("{name} ({unique})")
        } else {
            name.clone()
        }
    };
    cleaned.iter().zip(names).map(one).collect()
}

/// What a move says of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gesture {
    Status(Status),
    /// To be worked on by the one who moved it.
    Mine,
    /// By these; a ticket that nobody worked on any more is open again.
    Assign(Assignee),
}

/// What it means to put a message of a ticket into a mailbox; `None` where that means nothing and is
/// refused.
#[must_use]
pub fn gesture(to: Folder) -> Option<Gesture> {
    Some(match to {
        Folder::Inbox => Gesture::Mine,
        Folder::Archive | Folder::Closed(_) => Gesture::Status(Status::Closed),
        Folder::Junk => Gesture::Status(Status::Spam),
        Folder::Trash => Gesture::Status(Status::Trash),
        Folder::Open(_) => Gesture::Status(Status::Open),
        Folder::Pending(_) => Gesture::Status(Status::Pending),
        Folder::Department(_, department) => Gesture::Assign(Assignee::Department(department)),
        Folder::Member(_, member) => Gesture::Assign(Assignee::Member(member)),
        Folder::Drafts
        | Folder::Sent
        | Folder::Property(_)
        | Folder::Notes(_)
        | Folder::Departments(_)
        | Folder::Members(_) => return None,
    })
}

/// Where a ticket goes whose message is deleted there, by being marked so and expunged; `None` where
/// that says nothing of it.
#[must_use]
pub fn deleted(from: Folder) -> Option<Folder> {
    match from {
        Folder::Inbox | Folder::Open(_) | Folder::Pending(_) | Folder::Department(..) | Folder::Member(..) => {
            Some(Folder::Archive)
        }
        Folder::Junk => Some(Folder::Trash),
        Folder::Drafts
        | Folder::Sent
        | Folder::Archive
        | Folder::Closed(_)
        | Folder::Trash
        | Folder::Property(_)
        | Folder::Notes(_)
        | Folder::Departments(_)
        | Folder::Members(_) => None,
    }
}

/// Whether a keyword is kept. There are some by which clients mark messages for themselves, or say which
/// colour a star has; as tags of a ticket they would only be clutter.
#[must_use]
pub fn is_kept(keyword: &str) -> bool {
    const NOT: [&str; 18] = [
        "$Forwarded",
        "$HasAttachment",
        "$HasNoAttachment",
        "$MailFlagBit0",
        "$MailFlagBit1",
        "$MailFlagBit2",
        "$MDNSent",
        "$Phishing",
        "$Redirected",
        "$SubmitPending",
        "$Submitted",
        "Forwarded",
        "Junk",
        "JunkRecorded",
        "NonJunk",
        "NotJunk",
        "receipt-handled",
        "Redirected",
    ];
    !NOT.iter().any(|not| not.eq_ignore_ascii_case(keyword))
}

/// Whose property a mailbox is, where it is one's.
#[must_use]
pub fn property(folder: Folder) -> Option<PropertyId> {
    match folder {
        Folder::Inbox | Folder::Drafts | Folder::Sent | Folder::Archive | Folder::Junk | Folder::Trash => None,
        Folder::Property(id)
        | Folder::Open(id)
        | Folder::Pending(id)
        | Folder::Closed(id)
        | Folder::Notes(id)
        | Folder::Departments(id)
        | Folder::Members(id)
        | Folder::Department(id, _)
        | Folder::Member(id, _) => Some(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_each_name_once() {
        let names = distinct(&[
            ("Billing", "billing".into()),
            ("a/b*%", "ab".into()),
            ("Bob", "bob@one.example".into()),
            ("bob", "bob@two.example".into()),
            (" ", "empty".into()),
        ]);
        assert_eq!(names, ["Billing", "a-b--", "Bob (bob@one.example)", "bob (bob@two.example)", "empty"]);
    }

    #[test]
    fn what_clients_call_a_mailbox_is_that() {
        let folders = |slugs: &[&str]| {
            let mut folders = Folders::without_any(MemberId(1));
            for (slug, id) in slugs.iter().zip(1..) {
                let id = PropertyId(id);
                for (name, folder) in [
                    ((*slug).to_owned(), Folder::Property(id)),
                    (format!("{slug}/Open"), Folder::Open(id)),
                    (format!("{slug}/Pending"), Folder::Pending(id)),
                ] {
                    folders.named.push(Named { name, folder });
                }
            }
            folders
        };
        let plain = folders(&["acme"]);
        for (name, expected) in [
            ("inbox", Some(Folder::Inbox)),
            ("ARCHIVE", Some(Folder::Archive)),
            ("Archives", Some(Folder::Archive)),
            ("Archives/2026", Some(Folder::Archive)),
            ("archive/2026/acme", Some(Folder::Archive)),
            ("Deleted Messages", Some(Folder::Trash)),
            ("Deleted items", Some(Folder::Trash)),
            ("Sent Items", Some(Folder::Sent)),
            ("Spam", Some(Folder::Junk)),
            ("acme/Open", Some(Folder::Open(PropertyId(1)))),
            ("acme/open", None),
            ("Trash/2026", None),
            ("Deleted", None),
        ] {
            assert_eq!(plain.named(name).map(|known| known.folder), expected, "{name}");
        }
        assert_eq!((plain.meant("Archives/2026"), plain.meant("archive")), (Some(Folder::Archive), None));
        for none in ["Archive/", "Archive/%", "Archives/*", "Archives/2026/%"] {
            assert_eq!(plain.meant(none), None, "{none}");
        }
        // A property may be called as a mailbox is.
        let odd = folders(&["archive", "inbox", "spam"]);
        for (name, expected) in [
            ("archive/Open", Some(Folder::Open(PropertyId(1)))),
            ("archive", Some(Folder::Property(PropertyId(1)))),
            ("Archive", Some(Folder::Archive)),
            ("archive/2026", Some(Folder::Archive)),
            ("inbox", Some(Folder::Inbox)),
            ("inbox/Pending", Some(Folder::Pending(PropertyId(2)))),
            ("spam", Some(Folder::Property(PropertyId(3)))),
        ] {
            assert_eq!(odd.named(name).map(|known| known.folder), expected, "{name}");
        }
    }

    #[test]
    fn what_a_move_means() {
        let acme = PropertyId(1);
        let (billing, bob) = (DepartmentId(2), MemberId(3));
        for (folder, expected) in [
            (Folder::Inbox, Some(Gesture::Mine)),
            (Folder::Archive, Some(Gesture::Status(Status::Closed))),
            (Folder::Closed(acme), Some(Gesture::Status(Status::Closed))),
            (Folder::Trash, Some(Gesture::Status(Status::Trash))),
            (Folder::Junk, Some(Gesture::Status(Status::Spam))),
            (Folder::Pending(acme), Some(Gesture::Status(Status::Pending))),
            (Folder::Open(acme), Some(Gesture::Status(Status::Open))),
            (Folder::Department(acme, billing), Some(Gesture::Assign(Assignee::Department(billing)))),
            (Folder::Member(acme, bob), Some(Gesture::Assign(Assignee::Member(bob)))),
            (Folder::Drafts, None),
            (Folder::Sent, None),
            (Folder::Notes(acme), None),
        ] {
            assert_eq!(gesture(folder), expected, "{folder:?}");
        }
    }

    #[test]
    fn what_is_deleted_is_closed_or_thrown_away_and_never_destroyed() {
        let (acme, billing, bob) = (PropertyId(1), DepartmentId(2), MemberId(3));
        for (folder, expected) in [
            (Folder::Inbox, Some(Folder::Archive)),
            (Folder::Open(acme), Some(Folder::Archive)),
            (Folder::Pending(acme), Some(Folder::Archive)),
            (Folder::Department(acme, billing), Some(Folder::Archive)),
            (Folder::Member(acme, bob), Some(Folder::Archive)),
            (Folder::Junk, Some(Folder::Trash)),
            (Folder::Trash, None),
            (Folder::Archive, None),
            (Folder::Closed(acme), None),
            (Folder::Sent, None),
            (Folder::Drafts, None),
        ] {
            assert_eq!(deleted(folder), expected, "{folder:?}");
        }
    }

    #[test]
    fn what_clients_mark_for_themselves_is_no_tag() {
        for (keyword, kept) in [
            ("vip", true),
            ("$Junk", true),
            ("$NotJunk", true),
            ("junk", false),
            ("JunkRecorded", false),
            ("$mdnsent", false),
            ("$MailFlagBit1", false),
            ("$label1", true),
        ] {
            assert_eq!(is_kept(keyword), kept, "{keyword}");
        }
    }
}
