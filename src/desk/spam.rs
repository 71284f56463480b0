//! What becomes of mail that the filter, a blocklist or the property's own lists have a word on
//! (`docs/mail.md`, Spam). Two tables: what the filter's answer comes to, and what that means for
//! one message at one property.

use serde::{Deserialize, Serialize};

/// What rspamd proposes to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    NoAction,
    Greylist,
    SoftReject,
    AddHeader,
    RewriteSubject,
    Quarantine,
    /// To take it and throw it away, which we never do.
    Discard,
    Reject,
}

impl Action {
    /// By the name that rspamd gives it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "no action" => Self::NoAction,
            "greylist" => Self::Greylist,
            "soft reject" => Self::SoftReject,
            "add header" => Self::AddHeader,
            "rewrite subject" => Self::RewriteSubject,
            "quarantine" => Self::Quarantine,
            "discard" => Self::Discard,
            "reject" => Self::Reject,
            _ => return None,
        })
    }
}

/// The filter's whole answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opinion {
    pub action: Action,
    pub score: f64,
    /// The score from which on the filter itself rejects.
    pub required: f64,
}

/// Scores of ours that take the place of the filter's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    pub reject: Option<f64>,
    pub spam: Option<f64>,
}

/// What the filter's answer comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sentence {
    /// No filter is configured, or this mail is not its business.
    #[default]
    Unasked,
    /// It was asked and did not answer, or what it said could not be understood.
    Unfiltered,
    Ham,
    Spam,
    /// It wants to see the mail again in a while.
    Later,
    Reject,
}

/// What an answer comes to: by our scores where there are some, else by the filter's action.
#[must_use]
pub fn sentence(opinion: &Opinion, thresholds: &Thresholds) -> Sentence {
    // A virus is rejected whatever the score is.
    let forced = opinion.action == Action::Reject && opinion.score < opinion.required;
    let rejects = match thresholds.reject {
        Some(score) => forced || opinion.score >= score,
        None => opinion.action == Action::Reject,
    };
    if rejects {
        return Sentence::Reject;
    }
    let spam = match thresholds.spam {
        Some(score) => opinion.score >= score,
        None => matches!(
            opinion.action,
            Action::AddHeader | Action::RewriteSubject | Action::Quarantine | Action::Discard | Action::Reject
        ),
    };
    match opinion.action {
        Action::Greylist | Action::SoftReject => Sentence::Later,
        _ if spam => Sentence::Spam,
        _ => Sentence::Ham,
    }
}

/// What a DNS blocklist that names the client does to a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    #[default]
    Reject,
    Spam,
}

/// Everything that bears on the question, for one message at one property.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suspicion {
    pub sentence: Sentence,
    /// A blocklist names the client, and this is what that does.
    pub listed: Option<Listed>,
    /// The property blocks From, the writer or the reverse-path.
    pub blocked: bool,
    /// The property always lets From in, and From is aligned.
    pub allowed: bool,
    /// From is an address of a member, proven or not.
    pub member: bool,
    /// It is proven that a member wrote it.
    pub proven: bool,
    /// It came to a valid reply address, or answers an identifier that only its readers know.
    pub conversation: bool,
    /// It can't be refused for what is thought of it: another recipient has taken it, so that the
    /// client would not hear of it, or it is for the postmaster.
    pub must_keep: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes its way.
    Taken,
    /// It is kept, and nobody is told.
    Spam,
    Refused(Why),
}

/// Why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Blocked,
    Listed,
    Rejected,
    Later,
}

/// What becomes of a message at a property.
///
/// Members are never blocked; what is proven to be theirs, and what belongs to a conversation of ours, is never
/// spam. What can't be refused any more is kept where it can be seen.
#[must_use]
pub fn fate(case: &Suspicion) -> Fate {
    let refused = |why| if case.must_keep { Fate::Spam } else { Fate::Refused(why) };
    if case.blocked && !case.member {
        return refused(Why::Blocked);
    }
    if case.proven || case.conversation || case.allowed {
        return Fate::Taken;
    }
    match (case.sentence, case.listed) {
        (Sentence::Reject, _) => refused(Why::Rejected),
        (_, Some(Listed::Reject)) => refused(Why::Listed),
        (Sentence::Spam, _) | (_, Some(Listed::Spam)) => Fate::Spam,
        (Sentence::Later, None) if case.must_keep => Fate::Taken,
        (Sentence::Later, None) => Fate::Refused(Why::Later),
        (Sentence::Unasked | Sentence::Unfiltered | Sentence::Ham, None) => Fate::Taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_action_decides_where_no_score_of_ours_does() {
        for (name, expected) in [
            ("no action", Sentence::Ham),
            ("greylist", Sentence::Later),
            ("soft reject", Sentence::Later),
            ("add header", Sentence::Spam),
            ("rewrite subject", Sentence::Spam),
            ("quarantine", Sentence::Spam),
            ("discard", Sentence::Spam),
            ("reject", Sentence::Reject),
        ] {
            let opinion = Opinion { action: Action::named(name).unwrap(), score: 7.0, required: 15.0 };
            assert_eq!(sentence(&opinion, &Thresholds::default()), expected, "{name}");
        }
        assert_eq!(Action::named("Reject"), None);
        assert_eq!(Action::named("my action"), None);
    }

    #[test]
    fn scores_of_ours_take_the_place_of_the_filters() {
        let both = Thresholds { reject: Some(20.0), spam: Some(5.0) };
        let reject = Thresholds { spam: None, ..both };
        let spam = Thresholds { reject: None, ..both };
        for (action, score, thresholds, expected) in [
            (Action::NoAction, 4.9, both, Sentence::Ham),
            (Action::NoAction, 5.0, both, Sentence::Spam),
            (Action::AddHeader, 4.9, both, Sentence::Ham),
            (Action::Reject, 19.9, both, Sentence::Spam),
            (Action::Reject, 19.9, reject, Sentence::Spam),
            (Action::AddHeader, 20.0, both, Sentence::Reject),
            (Action::NoAction, 4.9, reject, Sentence::Ham),
            (Action::Reject, 16.0, spam, Sentence::Reject),
            (Action::Greylist, 6.0, both, Sentence::Later),
            (Action::Greylist, 21.0, both, Sentence::Reject),
            // Below what it asks for itself: not the score rejects, but a rule such as a virus scanner's.
            (Action::Reject, 0.0, both, Sentence::Reject),
        ] {
            let opinion = Opinion { action, score, required: 15.0 };
            assert_eq!(sentence(&opinion, &thresholds), expected, "{action:?} {score} {thresholds:?}");
        }
    }

    #[test]
    fn each_row_of_what_becomes_of_a_mail_and_its_nearest_neighbour() {
        let clean = Suspicion { sentence: Sentence::Ham, ..Suspicion::default() };
        let spam = Suspicion { sentence: Sentence::Spam, ..clean };
        let reject = Suspicion { sentence: Sentence::Reject, ..clean };
        let later = Suspicion { sentence: Sentence::Later, ..clean };
        let listed = Suspicion { listed: Some(Listed::Reject), ..clean };
        let suspect = Suspicion { listed: Some(Listed::Spam), ..clean };
        let blocked = Suspicion { blocked: true, ..clean };
        for (row, case, expected) in [
            ("ham", clean, Fate::Taken),
            ("no filter", Suspicion::default(), Fate::Taken),
            ("the filter is away", Suspicion { sentence: Sentence::Unfiltered, ..clean }, Fate::Taken),
            ("spam", spam, Fate::Spam),
            ("reject", reject, Fate::Refused(Why::Rejected)),
            ("greylisted", later, Fate::Refused(Why::Later)),
            ("listed", listed, Fate::Refused(Why::Listed)),
            ("listed, and that makes spam", suspect, Fate::Spam),
            ("listed, greylisted", Suspicion { listed: Some(Listed::Spam), ..later }, Fate::Spam),
            ("listed, rejected", Suspicion { listed: Some(Listed::Spam), ..reject }, Fate::Refused(Why::Rejected)),
            ("blocked", blocked, Fate::Refused(Why::Blocked)),
            ("blocked, in a conversation", Suspicion { conversation: true, ..blocked }, Fate::Refused(Why::Blocked)),
            ("blocked and allowed", Suspicion { allowed: true, ..blocked }, Fate::Refused(Why::Blocked)),
            ("blocked, another has it", Suspicion { must_keep: true, ..blocked }, Fate::Spam),
            ("a member in a blocked domain", Suspicion { member: true, ..blocked }, Fate::Taken),
            ("says it is a member's", Suspicion { member: true, ..spam }, Fate::Spam),
            ("a member's", Suspicion { proven: true, ..reject }, Fate::Taken),
            ("in a conversation", Suspicion { conversation: true, ..reject }, Fate::Taken),
            ("in a conversation, listed", Suspicion { conversation: true, ..listed }, Fate::Taken),
            ("allowed", Suspicion { allowed: true, ..reject }, Fate::Taken),
            ("allowed, listed", Suspicion { allowed: true, ..listed }, Fate::Taken),
            ("allowed, greylisted", Suspicion { allowed: true, ..later }, Fate::Taken),
            ("rejected, another has it", Suspicion { must_keep: true, ..reject }, Fate::Spam),
            ("listed, another has it", Suspicion { must_keep: true, ..listed }, Fate::Spam),
            ("greylisted, another has it", Suspicion { must_keep: true, ..later }, Fate::Taken),
        ] {
            assert_eq!(fate(&case), expected, "{row}");
        }
    }
}
