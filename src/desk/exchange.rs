//! Exchanges that go on by themselves: two programs that answer each other's mail through the desk.
//!
//! Nothing in such mail need say that a machine wrote it, so it is told by what happens: each message
//! answers, within minutes, one that no person set off. The number of such steps in a row is a
//! message's *turn*. A member's message, or a ticket that a stranger opens, is at turn 0.

use jiff::SignedDuration;

/// An answer that comes later than this after what it answers begins anew.
pub const PROMPT: SignedDuration = SignedDuration::from_mins(10);

/// A program that looks for its mail now and then, or whose server does, is told by more than that it
/// answers: both sides say again what they said before, or it quotes what only members read.
pub const SLOW: SignedDuration = SignedDuration::from_hours(4);

/// A program that acknowledges does so at once.
pub const AT_ONCE: SignedDuration = SignedDuration::from_secs(60);

/// The turn at which every message is only kept.
pub const LAST: u8 = 3;
/// The turn at which one is that says again what its writer said before, or opens one more ticket.
pub const LAST_OF_THE_SAME: u8 = 2;
/// So many tickets in the same words are enough, where they come from next to one who hears of each.
pub const MOST_ALIKE: u32 = 2;

/// What is known of a message that arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The turn of what it answers promptly, if it answers anything of ours.
    pub answers: Option<u8>,
    /// The same words came from the same writer just now.
    pub repeats: bool,
    /// It would open a ticket.
    pub opens: bool,
    /// Its writer is a member: what he says once is a person's.
    pub by_member: bool,
    /// How many tickets the same words opened from one network, each at once after the one before.
    pub alike: u32,
    /// A distribution address in the writer's own domain got a copy of the last of them.
    pub near: bool,
    /// They are more than may come from anywhere: people who are many are heard, and what would not end
    /// ends.
    pub endless: bool,
}

impl Step {
    /// The message's own turn.
    #[must_use]
    pub fn turn(self) -> u8 {
        match self.answers {
            Some(_) if self.by_member && !self.repeats => 0,
            Some(turn) => turn.saturating_add(1),
            None => 0,
        }
    }

    /// Whether it is only kept.
    #[must_use]
    pub fn is_too_much(self) -> bool {
        let turn = self.turn();
        turn >= LAST
            || turn >= LAST_OF_THE_SAME && (self.repeats || self.opens)
            || self.near && self.alike >= MOST_ALIKE
            || self.endless
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_an_exchange_ends() {
        let contact = Step::default();
        let answer = |turn| Step { answers: Some(turn), ..contact };
        for (what, step, turn, ends) in [
            ("a stranger's first", Step { opens: true, ..contact }, 0, false),
            ("an answer to a member", answer(0), 1, false),
            ("the same words to a member", Step { repeats: true, ..answer(0) }, 1, false),
            ("an answer to another contact's answer", answer(1), 2, false),
            ("the same words to another contact's answer", Step { repeats: true, ..answer(1) }, 2, true),
            ("and one more", answer(2), 3, true),
            ("a new ticket that names one that a person opened", Step { opens: true, ..answer(0) }, 1, false),
            ("a new ticket that names such a ticket", Step { opens: true, ..answer(1) }, 2, true),
            ("a member's answer, however late in the exchange", Step { by_member: true, ..answer(2) }, 0, false),
            ("a member's own words again", Step { by_member: true, repeats: true, ..answer(0) }, 1, false),
            ("and again", Step { by_member: true, repeats: true, ..answer(1) }, 2, true),
            ("a second ticket from next to a list", Step { opens: true, alike: 1, near: true, ..contact }, 0, false),
            ("a third ticket from next to a list", Step { opens: true, alike: 2, near: true, ..contact }, 0, true),
            ("a third ticket from anywhere", Step { opens: true, alike: 2, ..contact }, 0, false),
            ("more than may come from anywhere", Step { opens: true, endless: true, ..contact }, 0, true),
            ("no end of turns", answer(255), 255, true),
        ] {
            assert_eq!((step.turn(), step.is_too_much()), (turn, ends), "{what}");
        }
    }
}
