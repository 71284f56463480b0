//! A SOCKS proxy on a socket of the file system: the only way out for a program that has no network.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Leads names to places of loopback, and keeps what else was asked for (RFC 1928). It ends with the runtime.
pub struct Socks {
    refused: Arc<Mutex<BTreeSet<String>>>,
}

impl Socks {
    /// On a new socket. `NAME:PORT` leads to an address; everything else is refused.
    pub fn start(socket: &Path, ways: BTreeMap<String, SocketAddr>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (ways, refused) = (Arc::new(ways), Arc::<Mutex<BTreeSet<String>>>::default());
        let others = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (ways, others) = (Arc::clone(&ways), Arc::clone(&others));
                tokio::spawn(async move {
                    let _ = serve(stream, &ways, &others).await;
                });
            }
        });
        Self { refused }
    }

    /// What was asked for that there is no way to, as `NAME:PORT`.
    pub fn refused(&self) -> BTreeSet<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    mut stream: UnixStream,
    ways: &BTreeMap<String, SocketAddr>,
    refused: &Mutex<BTreeSet<String>>,
) -> io::Result<()> {
    let (_version, methods) = (stream.read_u8().await?, stream.read_u8().await?);
    stream.read_exact(&mut vec![0; methods.into()]).await?;
    stream.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let name = match request[3] {
        3 => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        1 => std::net::Ipv4Addr::from(stream.read_u32().await?).to_string(),
        _ => std::net::Ipv6Addr::from(stream.read_u128().await?).to_string(),
    };
    let asked = format!("{name}:{}", stream.read_u16().await?);
    let answer = |code: u8| [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    let Some(address) = ways.get(&asked) else {
        refused.lock().unwrap_or_else(PoisonError::into_inner).insert(asked);
        return stream.write_all(&answer(4)).await;
    };
    let mut far = TcpStream::connect(address).await?;
    stream.write_all(&answer(0)).await?;
    copy_bidirectional(&mut stream, &mut far).await?;
    Ok(())
}
