//! A client whose stream counts how often the server reads it: each time that the connection's task has
//! been woken, also for something else.

use crate::client::{Client, Served};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How often a stream was read.
#[derive(Clone, Default)]
pub(crate) struct Reads(Arc<AtomicU64>);

impl Reads {
    /// How often the stream was read, in a while.
    pub(crate) async fn in_a_while(&self) -> u64 {
        let before = self.0.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.load(Ordering::Relaxed) - before
    }
}

/// A stream that counts how often it is read.
struct Counted {
    stream: DuplexStream,
    reads: Reads,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.0.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A client of this server.
pub(crate) fn counted(served: &Served) -> (Client, Reads) {
    let (stream, other) = tokio::io::duplex(64 * 1024);
    let reads = Reads::default();
    tokio::spawn(served.server.serve(Counted {
        stream: other,
        reads: reads.clone(),
    }));
    (Client::over(stream), reads)
}
