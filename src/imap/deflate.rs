//! A connection whose both directions are compressed (RFC 4978, RFC 1951).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::server::Stream;

/// Octets of each buffer.
const BUFFER: usize = 8 << 10;

/// Compressed on the wire, plain to whoever uses it.
pub struct Deflated {
    stream: Box<dyn Stream>,
    inflate: Decompress,
    /// What came, compressed, and how far it was read.
    came: Vec<u8>,
    read: usize,
    deflate: Compress,
    /// What is to go, compressed, and how far it went.
    goes: Vec<u8>,
    sent: usize,
    /// Something was written since the last flush.
    dirty: bool,
}

impl Deflated {
    /// `came` is what was read of the stream already and is compressed.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>, came: Vec<u8>) -> Self {
        Self {
            stream,
            inflate: Decompress::new(false),
            came,
            read: 0,
            deflate: Compress::new(Compression::fast(), false),
            goes: Vec::new(),
            sent: 0,
            dirty: false,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.goes.len() {
            let went = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.goes[self.sent..]))?;
            if went == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += went;
        }
        self.goes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Compresses some input into the buffer; how much of it.
    fn compress(&mut self, input: &[u8], flush: FlushCompress) -> io::Result<usize> {
        let before = self.deflate.total_in();
        self.goes.reserve(BUFFER);
        self.deflate.compress_vec(input, &mut self.goes, flush).map_err(io::Error::other)?;
        Ok(usize::try_from(self.deflate.total_in() - before).unwrap_or(input.len()))
    }
}

impl AsyncRead for Deflated {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let (before_in, before_out) = (this.inflate.total_in(), this.inflate.total_out());
            let room = buf.initialize_unfilled();
            if room.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let status = this
                .inflate
                .decompress(&this.came[this.read..], room, FlushDecompress::Sync)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX);
            this.read += length(this.inflate.total_in() - before_in);
            let made = length(this.inflate.total_out() - before_out);
            if made > 0 {
                buf.advance(made);
                return Poll::Ready(Ok(()));
            }
            if status == Status::StreamEnd {
                return Poll::Ready(Ok(()));
            }
            // All that came was read: more has to come.
            this.came.resize(BUFFER, 0);
            this.read = 0;
            let mut more = ReadBuf::new(&mut this.came);
            let polled = Pin::new(&mut this.stream).poll_read(cx, &mut more);
            let filled = more.filled().len();
            this.came.truncate(filled);
            ready!(polled)?;
            if filled == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if this.goes.len() >= BUFFER {
                ready!(this.poll_send(cx))?;
            }
            let taken = this.compress(buf, FlushCompress::None)?;
            this.dirty |= taken > 0;
            // What was taken before goes first, and may fill the buffer alone.
            if taken > 0 || buf.is_empty() {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.dirty {
            ready!(this.poll_send(cx))?;
            this.compress(&[], FlushCompress::Sync)?;
            // A buffer that is not full has all of it.
            this.dirty = this.goes.len() == this.goes.capacity();
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_goes_in_comes_out_at_each_flush() {
        let (one, other) = tokio::io::duplex(1_000);
        let mut one = Deflated::new(Box::new(one), Vec::new());
        let mut other = Deflated::new(Box::new(other), Vec::new());
        for length in [1_usize, 10, 5_000, 300_000] {
            let sent: Vec<u8> = (0..length).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
            let expected = sent.clone();
            let sending = tokio::spawn(async move {
                one.write_all(&sent).await.unwrap();
                one.flush().await.unwrap();
                one
            });
            let mut came = vec![0; length];
            other.read_exact(&mut came).await.unwrap();
            assert!(came == expected);
            one = sending.await.unwrap();
        }
        one.shutdown().await.unwrap();
        assert_eq!(other.read(&mut [0; 10]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_can_not_be_made_shorter_arrives_too() {
        let (one, other) = tokio::io::duplex(1_000);
        let mut one = Deflated::new(Box::new(one), Vec::new());
        let mut other = Deflated::new(Box::new(other), Vec::new());
        let mut state = 1_u32;
        let sent: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(500_000)
        .collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            one.write_all(&sent).await.unwrap();
            one.flush().await.unwrap();
        });
        let mut came = vec![0; expected.len()];
        other.read_exact(&mut came).await.unwrap();
        assert!(came == expected);
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_deflate_is_an_error() {
        let (mut one, other) = tokio::io::duplex(1_000);
        let mut other = Deflated::new(Box::new(other), Vec::new());
        one.write_all(b"\xff\xff\xff\xff plain").await.unwrap();
        assert!(other.read(&mut [0; 10]).await.is_err());
    }
}
