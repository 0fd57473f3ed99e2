//! A connection: one task, which reads requests and answers them in order.
//!
//! A Produce request whose batches are appended, and are to be stored before they are acknowledged,
//! does not hold up the Produce requests behind it: their answers wait together, in their order
//! (`owed.rs`). Any other request waits for these answers first.
//!
//! While a request waits (a long poll, a join, an append without room), the answers before it are
//! sent, and the task goes on reading, up to one frame ahead. So it finds out that the client has
//! gone. Then the request that waits is given up, and so are those behind it. Requests that need not
//! wait are all carried out: a client may send without waiting for answers, and close.

use super::Shared;
use super::api::{Answer, answer};
use super::busy_poll::BusyPoll;
use super::config::AdvertisedAddress;
use super::idle::IdleLimit;
use super::metrics::Metrics;
use super::owed::OwedAnswers;
use super::protocol::frame::{ProtocolError, Request, take_frame};
use super::reader::Readers;
use super::security::session::{AuthenticationError, Session, Taken};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use tracing::{Instrument, Span, debug, debug_span, info};

/// Room for what is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Answers are sent at the latest when they take this many bytes.
const FLUSH_BYTES: usize = 256 * 1024;
/// Bytes that are read ahead while a request waits.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Memory that an idle connection keeps in a buffer.
const KEPT_BYTES: usize = 64 * 1024;

/// How long the end of a connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What the server is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Requests that are there are answered unless they have to wait; then connections are closed.
    Stopping,
    /// Connections are closed.
    Stopped,
}

/// Waits until the server is in one of these phases.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, is_one: fn(&Phase) -> bool) {
    // An error means that the server is gone, without a word.
    let _ = phase.wait_for(is_one).await;
}

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the client closed it")]
    ByClient,
    #[error("nothing was sent or received for as long as is allowed")]
    Idle,
    #[error("the server is shut down")]
    ByShutdown,
    #[error("an error cannot be reported to a client that waits for no answer")]
    Unanswerable,
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a connection's requests work with.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    /// The address of this server that the client is answered.
    pub(super) advertised: AdvertisedAddress,
    /// The client's address, as groups show it.
    pub(super) host: String,
    /// The same with its port, as logs show it.
    pub(super) peer: String,
    pub(super) readers: Readers,
    /// How long the task stays awake after an answer.
    pub(super) busy_poll: Duration,
}

impl Client {
    /// The same client, for work on another thread. Its readers stay here.
    fn elsewhere(&self) -> Client {
        Client {
            shared: self.shared.clone(),
            advertised: self.advertised.clone(),
            host: self.host.clone(),
            peer: self.peer.clone(),
            readers: Readers::default(),
            busy_poll: Duration::ZERO,
        }
    }

    /// Does what may wait for the disk: with a durable broker, on a thread for that. `None` if the
    /// runtime is being shut down.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Option<T> {
        if self.shared.store.is_none() {
            return Some(work(self));
        }
        let client = self.elsewhere();
        tokio::task::spawn_blocking(move || work(&client))
            .await
            .ok()
    }
}

/// Serves a stream until it ends.
pub(super) async fn run<S>(stream: S, client: Client, session: Session) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let phase = client.shared.phase.subscribe();
    let max_idle = client.shared.config.connections.max_idle;
    // The end of a silent connection is not held up.
    let look_for = client.busy_poll.min(max_idle.unwrap_or(Duration::MAX));
    let mut connection = Connection {
        stream,
        input: BytesMut::new(),
        output: BytesMut::new(),
        sent: 0,
        has_ended: false,
        phase,
        session,
        idle: IdleLimit::new(max_idle),
        busy_poll: BusyPoll::new(look_for),
        metrics: client.shared.metrics.clone(),
        owed: OwedAnswers::default(),
    };
    let peer = client.peer.clone();
    let ended = match connection.serve(client).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    };
    // TLS says that nothing more follows. A client that does not read must not hold that up.
    let _ = timeout(CLOSE_LIMIT, connection.stream.shutdown()).await;
    debug!(peer, reason = %ended, "connection closed");
    ended
}

enum Never {}

struct Connection<S> {
    stream: S,
    /// What was read, and is no complete frame yet or has not been taken.
    input: BytesMut,
    /// Answers that were not sent yet, or not all of them.
    output: BytesMut,
    /// The bytes of `output` that were sent.
    sent: usize,
    /// The client sends nothing more.
    has_ended: bool,
    phase: watch::Receiver<Phase>,
    session: Session,
    idle: IdleLimit,
    busy_poll: BusyPoll,
    metrics: Arc<Metrics>,
    /// Answers that come later, before all others.
    owed: OwedAnswers,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve(&mut self, mut client: Client) -> Result<Never, Ended> {
        let limit = client.shared.config.limits.request_bytes;
        loop {
            while let Some(frame) = take_frame(&mut self.input, self.session.frame_limit(limit))? {
                if !(self.session.is_open() && self.owed.may_grow(&frame)) {
                    self.wait_for_owed().await?;
                }
                self.answer(&mut client, frame).await?;
                if self.output.len() >= FLUSH_BYTES {
                    self.flush().await?;
                }
                // Requests that follow one another without a wait must not starve other tasks.
                tokio::task::consume_budget().await;
            }
            self.flush().await?;
            if self.has_ended {
                return Err(Ended::ByClient);
            }
            if *self.phase.borrow_and_update() != Phase::Running {
                return Err(Ended::ByShutdown);
            }
            if self.owed.is_full() {
                self.wait_for_owed().await?;
                continue;
            }
            if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
                self.input = BytesMut::new();
            }
            self.input.reserve(READ_BYTES);
            if let Some(read) = self.look_for_more().await {
                self.has_read(read)?;
                continue;
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.input) => self.has_read(read)?,
                _ = self.phase.changed() => {}
                frames = self.owed.next() => {
                    self.idle.touch();
                    self.output.extend_from_slice(&frames?);
                }
                () = self.idle.reached(), if self.owed.is_empty() => return Err(Ended::Idle),
            }
        }
    }

    /// Waits for all answers that come later.
    async fn wait_for_owed(&mut self) -> Result<(), Ended> {
        while !self.owed.is_empty() {
            let mut owed = std::mem::take(&mut self.owed);
            let frames = self.work_on(None, owed.next()).await;
            self.owed = owed;
            self.output.extend_from_slice(&frames??);
        }
        Ok(())
    }

    /// Reads what comes soon, if it is looked for. Meanwhile the thread does not sleep.
    async fn look_for_more(&mut self) -> Option<io::Result<usize>> {
        // An answer that is owed may come first, and the client may wait for it.
        if !self.owed.is_empty() {
            return None;
        }
        let begin = Instant::now();
        let look_for = self.busy_poll.answered(begin)?;
        loop {
            let read = pin!(self.stream.read_buf(&mut self.input));
            if let Poll::Ready(read) = poll_once(read).await {
                return Some(read);
            }
            // Nothing holds up a shutdown. (An error means that the server is gone.)
            let is_stopped = self.phase.has_changed().unwrap_or(true);
            if is_stopped || begin.elapsed() >= look_for {
                self.busy_poll.was_in_vain();
                return None;
            }
            tokio::task::yield_now().await;
        }
    }

    fn has_read(&mut self, read: io::Result<usize>) -> Result<(), Ended> {
        if read? == 0 {
            self.has_ended = true;
        }
        self.busy_poll.received(Instant::now());
        self.idle.touch();
        Ok(())
    }

    async fn answer(&mut self, client: &mut Client, frame: Bytes) -> Result<(), Ended> {
        let begin = Instant::now();
        let received = 4 + frame.len();
        let frame = match self.authenticate(client, frame).await? {
            Some(frame) => frame,
            None => return Ok(()),
        };
        let request = Request::read(frame)?;
        let (key, span) = describe(&request, client);
        let answered = self.work_on(Some(key), answer(client, request).instrument(span));
        let answer = answered.await??;
        let metrics = self.metrics.clone();
        match answer {
            Answer::Later(later) => {
                let waits = metrics.waits(key);
                self.owed.push(Box::pin(async move {
                    let frame = later.await?;
                    drop(waits);
                    metrics.answered(key, received, frame.len(), begin.elapsed());
                    Ok(frame)
                }));
                Ok(())
            }
            Answer::Frame(frame) => {
                metrics.answered(key, received, frame.len(), begin.elapsed());
                if !self.owed.is_empty() {
                    // Behind the answers that come later.
                    self.owed.push(Box::pin(std::future::ready(Ok(frame))));
                } else if self.output.is_empty() {
                    // A long one is not copied.
                    self.output = frame;
                } else {
                    self.output.extend_from_slice(&frame);
                }
                Ok(())
            }
            Answer::None => {
                metrics.answered(key, received, 0, begin.elapsed());
                Ok(())
            }
            Answer::Close => {
                metrics.answered(key, received, 0, begin.elapsed());
                self.wait_for_owed().await?;
                self.flush().await?;
                Err(Ended::Unanswerable)
            }
        }
    }

    /// Gives the session what is its. Returns the frame if it is a request for the APIs.
    async fn authenticate(
        &mut self,
        client: &Client,
        frame: Bytes,
    ) -> Result<Option<Bytes>, Ended> {
        let was_open = self.session.is_open();
        let begin = Instant::now();
        let received = 4 + frame.len();
        let key = self.session.api(&frame);
        // The session is in `self`, which the wait for a check of a password borrows.
        let mut session = std::mem::replace(&mut self.session, Session::new(None));
        let taken = self
            .work_on(None, session.take(&client.shared, frame))
            .await;
        self.session = session;
        let (answer, refused) = match taken?? {
            Taken::Request(frame) => return Ok(Some(frame)),
            Taken::Answer(frame) => (frame, None),
            Taken::Refused(frame, reason) => (frame.unwrap_or_default(), Some(reason)),
        };
        if let Some(key) = key {
            self.metrics
                .answered(key, received, answer.len(), begin.elapsed());
        }
        // A session may end while they are owed.
        self.wait_for_owed().await?;
        let mechanism = self.session.mechanism();
        self.output.extend_from_slice(&answer);
        let Some(reason) = refused else {
            if !was_open && self.session.is_open() {
                self.metrics.authenticated(mechanism, true);
            }
            return Ok(None);
        };
        match reason {
            AuthenticationError::Expired => self.metrics.expired(),
            _ => self.metrics.authenticated(mechanism, false),
        }
        // Before the pause, in which the client may close the connection.
        info!(peer = client.peer, %reason, "authentication failed");
        let delay = client.shared.config.sasl.failure_delay;
        // Nothing of the answer goes before the pause is over.
        let answer = std::mem::take(&mut self.output);
        self.work_on(None, tokio::time::sleep(delay)).await?;
        self.output = answer;
        self.flush().await?;
        Err(reason.into())
    }

    /// Works on a request of this API, or on something else.
    async fn work_on<T>(
        &mut self,
        key: Option<ApiKey>,
        work: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        let mut work = pin!(work);
        match poll_once(work.as_mut()).await {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => {
                let _waits = key.map(|key| self.metrics.waits(key));
                self.wait_for(work).await
            }
        }
    }

    /// Waits for an answer, which is given up when the client has gone or the server stops.
    async fn wait_for<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Ended> {
        // The work goes on although the client reads no answers: it may hold a lock.
        tokio::select! {
            biased;
            answered = &mut work => return Ok(answered),
            flushed = self.flush() => flushed?,
        }
        loop {
            if self.has_ended {
                return Err(Ended::ByClient);
            }
            if *self.phase.borrow_and_update() != Phase::Running {
                return Err(Ended::ByShutdown);
            }
            let may_read = self.input.len() < READ_AHEAD_BYTES;
            if may_read {
                self.input.reserve(READ_BYTES);
            }
            tokio::select! {
                biased;
                answered = &mut work => {
                    // The client was not silent: it waited.
                    self.idle.touch();
                    return Ok(answered);
                }
                _ = self.phase.changed() => {}
                read = self.stream.read_buf(&mut self.input), if may_read => {
                    self.has_read(read)?;
                }
            }
        }
    }

    /// Sends the answers. If this is given up, the next call goes on where it was.
    async fn flush(&mut self) -> Result<(), Ended> {
        if !self.output.is_empty() {
            let write = async {
                while self.sent < self.output.len() {
                    let write = self.stream.write(&self.output[self.sent..]);
                    let written = tokio::select! {
                        biased;
                        written = write => written?,
                        // It does not read its answers.
                        () = self.idle.reached() => return Err(Ended::Idle),
                    };
                    if written == 0 {
                        return Err(Ended::Io(io::ErrorKind::WriteZero.into()));
                    }
                    self.sent += written;
                    self.idle.touch();
                }
                Ok(self.stream.flush().await?)
            };
            tokio::select! {
                biased;
                written = write => written?,
                () = reached(&mut self.phase, |phase| *phase == Phase::Stopped) => {
                    return Err(Ended::ByShutdown);
                }
            }
            self.output.clear();
            self.sent = 0;
            if self.output.capacity() > KEPT_BYTES {
                self.output = BytesMut::new();
            }
        }
        Ok(())
    }
}

/// A request's API, and its span: nothing of what it contains.
fn describe(request: &Request, client: &Client) -> (ApiKey, Span) {
    let (key, version, correlation_id, client_id) = match request {
        Request::Known { api, head, .. } => {
            (api.key, head.version, head.correlation_id, &*head.client_id)
        }
        Request::UnknownApiVersions { correlation_id } => {
            (ApiKey::ApiVersions, -1, *correlation_id, "")
        }
    };
    let peer = &*client.peer;
    let span = debug_span!("request", api = ?key, version, correlation_id, client_id, peer);
    (key, span)
}

/// Polls once, and returns what comes of it.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
