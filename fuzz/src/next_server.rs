//! What the next server says.

use guichet::relay::client::{Reply, ReplyReader};

use super::{options, pieces};

/// Replies are the same however they arrive; each is one line without controls where it is shown.
///
/// Options: how they are split.
pub fn reply(data: &[u8]) {
    let ([seed], octets) = options(data);
    let whole = read(&[octets]);
    assert_eq!(read(&octets.chunks(1).collect::<Vec<_>>()), whole, "something else octet by octet");
    assert_eq!(read(&pieces(octets, seed)), whole, "something else in pieces");
    for reply in whole.iter().flatten() {
        let shown = reply.to_string();
        assert!(!shown.contains(char::is_control) && shown.chars().count() <= 600, "{shown:?}");
        assert!(reply.code.is_some_and(|code| (200..600).contains(&code)));
        assert!(!(reply.is_positive() && reply.is_permanent()));
    }
}

/// The replies, up to what is none.
fn read(parts: &[&[u8]]) -> Vec<Result<Reply, Reply>> {
    let (mut reader, mut buffer, mut seen) = (ReplyReader::default(), Vec::new(), Vec::new());
    for part in parts {
        buffer.extend_from_slice(part);
        // As a session does: it reads on when the buffer holds no whole reply.
        loop {
            match reader.take(&mut buffer) {
                Ok(Some(reply)) => seen.push(Ok(reply)),
                Ok(None) => break,
                Err(reply) => {
                    seen.push(Err(reply));
                    return seen;
                }
            }
            if buffer.is_empty() {
                break;
            }
        }
    }
    seen
}
