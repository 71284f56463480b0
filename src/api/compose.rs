//! A text and files as the message that an entry keeps.

use std::sync::Arc;

use data_encoding::BASE64;
use jiff::Timestamp;

use super::App;
use super::types::NewAttachment;
use crate::actions::{ActionError, Actor, Desk, post};
use crate::desk::address::Mailbox;
use crate::desk::command::Asked;
use crate::desk::entry::Attachment;
use crate::desk::property::Property;
use crate::mime::attachments::safe_name;
use crate::mime::clean;
use crate::mime::compose::{Composed, File, compose, media_type};
use crate::store::{StoreError, Tx};

/// The most octets of a subject.
const LONGEST_SUBJECT: usize = 500;

/// What somebody writes, checked.
pub(super) struct Written {
    text: String,
    files: Vec<File>,
}

impl Written {
    /// Checks a text and its files against the limits.
    pub(super) fn new(app: &App, text: &str, attachments: &[NewAttachment]) -> Result<Self, ActionError> {
        let text = clean::lines(text).trim_end().to_owned();
        if text.trim().is_empty() && attachments.is_empty() {
            return Err(ActionError::refused("there is nothing to send: neither a text nor an attachment"));
        }
        let most = app.config.limits.attachments;
        if attachments.len() > most {
            return Err(ActionError::refused(format!("at most {most} attachments (limits.attachments)")));
        }
        let file = |attachment: &NewAttachment| {
            let bytes = BASE64.decode(attachment.data.as_bytes()).map_err(|error| {
                ActionError::refused(format!("the attachment {:?} is not base64: {error}", attachment.name))
            })?;
            let name = Some(safe_name(&attachment.name)).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "attachment".to_owned());
            Ok(File { name, content_type: media_type(&attachment.content_type), bytes })
        };
        Ok(Self { text, files: attachments.iter().map(file).collect::<Result<_, ActionError>>()? })
    }

    /// The message that it makes, from whoever acts. Its Message-ID is of no meaning outside: every
    /// copy bears the entry's.
    pub(super) fn message(
        self,
        desk: &Desk,
        property: &Property,
        actor: &Actor,
        to: Vec<Mailbox>,
        cc: Vec<Mailbox>,
        subject: String,
    ) -> Draft {
        let from = match actor {
            Actor::Member { mailbox, .. } => mailbox.clone(),
            Actor::System => Mailbox::new(property.name.clone(), property.forwarding_address(desk.domains.first())),
        };
        let date = Timestamp::now();
        let attachment = |file: &File| Attachment {
            name: file.name.clone(),
            content_type: file.content_type.clone(),
            size: file.bytes.len() as u64,
            inline: false,
        };
        let attachments = self.files.iter().map(attachment).collect();
        let composed = Composed {
            from,
            to,
            cc,
            subject,
            date,
            message_id: desk.mint(),
            in_reply_to: None,
            references: Vec::new(),
            text: self.text,
            attachments: self.files,
        };
        Draft { raw: compose(&composed).into(), date, subject: composed.subject, text: composed.text, attachments }
    }
}

/// A subject that can stand in a header field.
pub(super) fn subject(given: &str) -> Result<String, ActionError> {
    match clean::line(given, LONGEST_SUBJECT) {
        subject if subject.is_empty() => Err(ActionError::refused("the subject is empty")),
        subject => Ok(subject),
    }
}

/// A message that waits to become an entry.
pub(super) struct Draft {
    raw: Arc<[u8]>,
    date: Timestamp,
    subject: String,
    text: String,
    attachments: Vec<Attachment>,
}

impl Draft {
    /// Stores the message; answers what the actions make an entry of. May be called again where
    /// the transaction is attempted again.
    pub(super) fn content(&self, tx: &mut Tx<'_>) -> Result<post::Content, StoreError> {
        Ok(post::Content {
            message_id: None,
            date: Some(self.date),
            subject: self.subject.clone(),
            text: self.text.clone(),
            attachments: self.attachments.clone(),
            raw: tx.put_raw(Arc::clone(&self.raw))?,
            named: Vec::new(),
            mentioned: Vec::new(),
            conversation: None,
            verdict: None,
            arrived_at: None,
            from: None,
            asked: Asked::default(),
        })
    }
}
