//! A name server of the tests' own, on UDP and TCP of one loopback port: a table of records, and
//! names that it refuses to serve, keeps silent or lies about.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// The longest answer by UDP; what is longer has to be asked for by TCP.
const UDP_LIMIT: usize = 1232;

#[derive(Default)]
struct Table {
    records: HashMap<String, Vec<RData>>,
    failing: HashSet<String>,
    /// Fail for types that they have no record of.
    partly_failing: HashSet<String>,
    silent: HashSet<String>,
    /// The names that were asked for, in order.
    asked: Vec<String>,
    /// What the answers about a name are about instead.
    lies: HashMap<String, Name>,
    truncated: HashSet<String>,
    /// Names whose answers are authentic, as a validating name server has found.
    authentic: HashSet<String>,
}

impl Table {
    /// Adds what an alias leads to, as a name server that asks others does; whether all of it is
    /// authentic.
    fn follow(&self, alias: &str, kind: RecordType, answer: &mut Message) -> bool {
        let target = self.records.get(alias).into_iter().flatten().find_map(|data| match data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        });
        // A ring ends somewhere.
        let Some(target) = target.filter(|_| answer.answers.len() < 8) else { return true };
        let name = key(&target.to_ascii());
        for data in self.records.get(&name).into_iter().flatten() {
            if data.record_type() == kind || data.record_type() == RecordType::CNAME {
                answer.add_answer(Record::from_rdata(target.clone(), 60, data.clone()));
            }
        }
        self.authentic.contains(&name) && self.follow(&name, kind, answer)
    }
}

/// A running name server; it ends with the runtime.
#[derive(Clone)]
pub struct Dns {
    address: SocketAddr,
    table: Arc<Mutex<Table>>,
}

impl Dns {
    pub async fn start() -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // Somebody else may have the same port on UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let dns = Self { address: tcp.local_addr().unwrap(), table: Arc::default() };
        tokio::spawn(dns.clone().serve_udp(udp));
        tokio::spawn(dns.clone().serve_tcp(tcp));
        dns
    }

    /// As `[dns] resolvers` names it.
    pub fn servers(&self) -> Vec<String> {
        vec![self.address.to_string()]
    }

    /// The project's resolver, asking this server.
    pub fn resolver(&self) -> TokioResolver {
        guichet::net::resolver::resolver(&self.servers()).unwrap()
    }

    pub fn txt(&self, name: &str, value: &str) -> &Self {
        let strings = value.as_bytes().chunks(255).collect();
        self.record(name, RData::TXT(TXT::from_bytes(strings)))
    }

    pub fn address(&self, name: &str, address: IpAddr) -> &Self {
        self.record(
            name,
            match address {
                IpAddr::V4(v4) => RData::A(A(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
            },
        )
    }

    /// A record of several strings (RFC 1035 §3.3.14).
    pub fn strings(&self, name: &str, strings: &[&str]) -> &Self {
        self.record(name, RData::TXT(TXT::from_bytes(strings.iter().map(|string| string.as_bytes()).collect())))
    }

    pub fn exchange(&self, name: &str, preference: u16, host: &str) -> &Self {
        self.record(name, RData::MX(MX::new(preference, named(host))))
    }

    pub fn pointer(&self, name: &str, host: &str) -> &Self {
        self.record(name, RData::PTR(PTR(named(host))))
    }

    /// A service is at a host's port, or nowhere: at port 0 of no host.
    pub fn service(&self, name: &str, host: &str, port: u16) -> &Self {
        self.record(name, RData::SRV(SRV::new(0, u16::from(port != 0), port, named(host))))
    }

    pub fn alias(&self, name: &str, of: &str) -> &Self {
        self.record(name, RData::CNAME(CNAME(named(of))))
    }

    pub fn tlsa(&self, host: &str, usage: u8, selector: u8, matching: u8, data: &[u8]) -> &Self {
        let tlsa = TLSA::new(usage.into(), selector.into(), matching.into(), data.to_vec());
        self.record(&format!("_25._tcp.{host}"), RData::TLSA(tlsa))
    }

    /// Says from now on that what it answers about a name is authentic; also where there is nothing.
    pub fn authentic(&self, name: &str) -> &Self {
        self.table().authentic.insert(key(name));
        self
    }

    /// Has no records of a name any more.
    pub fn forget(&self, name: &str) -> &Self {
        self.table().records.remove(&key(name));
        self
    }

    /// Serves a name again that was failing.
    pub fn mend(&self, name: &str) -> &Self {
        self.table().failing.remove(&key(name));
        self
    }

    /// Answers SERVFAIL for a name and every type that it has no record of.
    pub fn fail_others(&self, name: &str) -> &Self {
        self.table().partly_failing.insert(key(name));
        self
    }

    /// The name is there, and has no records.
    pub fn empty(&self, name: &str) -> &Self {
        self.table().records.entry(key(name)).or_default();
        self
    }

    /// Answers with the records of a name as if they were another's.
    pub fn lie(&self, name: &str, about: &str) -> &Self {
        self.table().lies.insert(key(name), Name::from_ascii(format!("{about}.")).unwrap());
        self
    }

    /// Says by UDP and by TCP that the answer is too long.
    pub fn truncate(&self, name: &str) -> &Self {
        self.table().truncated.insert(key(name));
        self
    }

    /// Answers SERVFAIL for a name from now on.
    pub fn fail(&self, name: &str) -> &Self {
        self.table().failing.insert(key(name));
        self
    }

    /// Answers nothing at all for a name from now on.
    pub fn silence(&self, name: &str) -> &Self {
        self.table().silent.insert(key(name));
        self
    }

    /// How many queries came in all.
    pub fn queries(&self) -> usize {
        self.table().asked.len()
    }

    /// The names that were asked for, in order and in lower case.
    pub fn asked(&self) -> Vec<String> {
        self.table().asked.clone()
    }

    fn record(&self, name: &str, data: RData) -> &Self {
        self.table().records.entry(key(name)).or_default().push(data);
        self
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve_udp(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = self.answer(&buffer[..length]) {
                let mut bytes = answer.to_vec().unwrap();
                if bytes.len() > UDP_LIMIT {
                    bytes = answer.truncate().to_vec().unwrap();
                }
                let _ = socket.send_to(&bytes, from).await;
            }
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let dns = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    if stream.read_exact(&mut query).await.is_err() {
                        return;
                    }
                    if let Some(answer) = dns.answer(&query) {
                        let bytes = answer.to_vec().unwrap();
                        let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
                        framed.extend(bytes);
                        if stream.write_all(&framed).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    }

    fn answer(&self, query: &[u8]) -> Option<Message> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        let name = key(&question.name().to_ascii());
        let mut table = self.table();
        table.asked.push(name.clone());
        if table.silent.contains(&name) {
            return None;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(question.clone());
        // Only whoever asks for it is told (RFC 6840 §5.7).
        let asks = query.metadata.authentic_data;
        answer.metadata.authentic_data = asks && table.authentic.contains(&name);
        let has = |records: &Vec<RData>| records.iter().any(|data| data.record_type() == question.query_type());
        let lacks = || !table.records.get(&name).is_some_and(has);
        if table.failing.contains(&name) || table.partly_failing.contains(&name) && lacks() {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if let Some(records) = table.records.get(&name) {
            let wanted =
                |data: &&RData| data.record_type() == question.query_type() || data.record_type() == RecordType::CNAME;
            for data in records.iter().filter(wanted) {
                let owner = table.lies.get(&name).unwrap_or(question.name());
                answer.add_answer(Record::from_rdata(owner.clone(), 60, data.clone()));
            }
            if asks && question.query_type() != RecordType::CNAME {
                answer.metadata.authentic_data &= table.follow(&name, question.query_type(), &mut answer);
            }
            if table.truncated.contains(&name) {
                return Some(answer.truncate());
            }
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        if answer.answers.is_empty() && answer.metadata.response_code != ResponseCode::ServFail {
            // Who denies something says who is responsible (RFC 2308 §2.2); not for long, since a test may
            // put it there.
            let soa = SOA::new(named("ns.example"), named("root.example"), 1, 60, 60, 60, 0);
            answer.add_authority(Record::from_rdata(question.name().clone(), 0, RData::SOA(soa)));
        }
        Some(answer)
    }
}

/// A name of any labels, host name or not.
fn named(name: &str) -> Name {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    let mut name = Name::from_labels(labels).unwrap();
    name.set_fqdn(true);
    name
}

fn key(name: &str) -> String {
    named(name).to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned()
}
