//! A small Kafka client: a request in, its response out, in any version.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use ringlog::Broker;
use ringlog_kafka::{Server, ServerBuilder};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Generous: a test that reaches it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Awaits, and fails the test if that hangs.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(LIMIT, future).await;
    result.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// A client on a stream to a server.
pub(crate) struct Client {
    pub(crate) stream: DuplexStream,
    correlation_id: i32,
}

/// A server without listeners, and its broker.
pub(crate) struct Served {
    pub(crate) broker: Broker,
    pub(crate) server: Server,
}

impl Served {
    pub(crate) async fn new() -> Served {
        Served::with(Server::builder()).await
    }

    pub(crate) async fn with(builder: ServerBuilder) -> Served {
        let broker = Broker::new();
        let server = builder.bind(&broker).await.unwrap();
        Served { broker, server }
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        let (stream, served) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.server.serve(served));
        Client::over(stream)
    }
}

impl Client {
    pub(crate) fn over(stream: DuplexStream) -> Client {
        Client {
            stream,
            correlation_id: 0,
        }
    }

    /// Sends a request and returns its response.
    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    /// Sends a request.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let api = ApiKey::try_from(R::KEY).unwrap();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut frame = BytesMut::new();
        header
            .encode(&mut frame, api.request_header_version(version))
            .unwrap();
        let encoded = request.encode(&mut frame, version);
        encoded.unwrap_or_else(|error| panic!("{api:?} v{version}: {error}"));
        self.send_frame(&frame).await;
    }

    /// Sends bytes with their length in front.
    pub(crate) async fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = BytesMut::new();
        bytes.put_i32(frame.len() as i32);
        bytes.put_slice(frame);
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        within("a write", self.stream.write_all(bytes))
            .await
            .unwrap();
    }

    /// The response to the last request.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let api = ApiKey::try_from(R::KEY).unwrap();
        let what = format!("the response to {api:?} v{version}");
        let mut frame = self.receive_frame(&what).await.expect(&what);
        let header = ResponseHeader::decode(&mut frame, api.response_header_version(version));
        assert_eq!(header.unwrap().correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut frame, version);
        let response = response.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(frame.remaining(), 0, "{what} has more bytes");
        response
    }

    /// The next frame; `None` if the connection is closed.
    pub(crate) async fn receive_frame(&mut self, what: &str) -> Option<Bytes> {
        let length = within(what, self.stream.read_i32()).await.ok()?;
        let mut frame = vec![0; length as usize];
        within(what, self.stream.read_exact(&mut frame))
            .await
            .unwrap();
        Some(frame.into())
    }

    /// Whether the server closes the connection without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        within("the close", self.stream.read_u8()).await.is_err()
    }
}
