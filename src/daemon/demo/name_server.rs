//! A name server for the demonstration: it says of every domain that mail from this machine is
//! genuine, so that the judgement of mail has something to find, at once and without a network.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

/// The SPF record (RFC 7208) of every domain.
const SPF: &str = "v=spf1 ip4:127.0.0.1 -all";

/// Starts it on a free port of loopback; it ends with the runtime.
pub(super) async fn start() -> std::io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut query = [0; 4096];
        loop {
            // An answer that nobody waits for any more shows as an error here, and is none.
            let Ok((length, from)) = socket.recv_from(&mut query).await else { continue };
            if let Some(bytes) = query.get(..length).and_then(answer) {
                let _ = socket.send_to(&bytes, from).await;
            }
        }
    });
    Ok(address)
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    // Names below a domain, as of DKIM keys and of DMARC policies, begin with an underscore.
    let below = question.name().to_ascii().split('.').any(|label| label.starts_with('_'));
    if below {
        answer.metadata.response_code = ResponseCode::NXDomain;
    } else if question.query_type() == RecordType::TXT {
        let spf = RData::TXT(TXT::from_bytes(vec![SPF.as_bytes()]));
        answer.add_answer(Record::from_rdata(question.name().clone(), 3_600, spf));
    }
    answer.to_vec().ok()
}
