//! `/metrics` over HTTP: the broker's numbers, and the server's, as Prometheus text.

use ringlog::Broker;
use ringlog_kafka::MetricsReader;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

/// The longest request.
const REQUEST_BYTES: usize = 8 * 1024;
/// How long a request and its answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Serves the page until it is dropped.
pub(crate) async fn serve(socket: TcpListener, broker: &Broker, metrics: &MetricsReader) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    let (broker, metrics) = (broker.clone(), metrics.clone());
                    // A client that is too slow, or gone, has no answer.
                    clients.spawn(async move {
                        let _ = timeout(LIMIT, answer(stream, &broker, &metrics)).await;
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection to the page of metrics could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    broker: &Broker,
    metrics: &MetricsReader,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let is_too_long = request.len() >= REQUEST_BYTES;
        if is_too_long || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|&byte| byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next();
    let (status, body) = match (method, path) {
        (Some("GET" | "HEAD"), Some("/metrics")) => {
            let text = broker.snapshot().to_prometheus() + &metrics.read().to_prometheus();
            ("200 OK", text)
        }
        (Some("GET" | "HEAD"), _) => ("404 Not Found", "see /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != Some("HEAD") {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog::TopicConfig;
    use ringlog_kafka::Server;

    async fn ask(request: &str) -> String {
        let broker = Broker::new();
        broker.create_topic("orders", TopicConfig::new()).unwrap();
        let server = Server::builder().bind(&broker).await.unwrap();
        let (mut client, served) = tokio::io::duplex(1024);
        let reader = server.metrics_reader();
        let serving = tokio::spawn(async move { answer(served, &broker, &reader).await });
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        serving.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_has_the_brokers_numbers_and_the_servers() {
        let page = ask("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(
            page.contains("kafka_topic_partitions{topic=\"orders\"} 1\n"),
            "{page}"
        );
        assert!(page.contains("\nringlog_kafka_connections 0\n"), "{page}");
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
    }

    #[tokio::test]
    async fn other_requests_are_refused() {
        let page = ask("GET / HTTP/1.1\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 404 "), "{page}");
        let page = ask("POST /metrics HTTP/1.1\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 405 "), "{page}");
        let page = ask("HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(
            page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\n"),
            "{page}"
        );
        // Neither is there an end of a request that is none.
        assert_eq!(ask(&"x".repeat(REQUEST_BYTES)).await, "");
    }
}
