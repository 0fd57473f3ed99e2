//! A minimal HTTP server for a browser and Prometheus: a thread for each connection, and one
//! response on each.

use ringlog::{Broker, BrokerSnapshot, Overflow};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes of a request that are read.
const MAX_REQUEST: u64 = 16 * 1024;

pub(crate) struct Server(TcpListener);

impl Server {
    pub(crate) fn bind(port: u16) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|e| io::Error::new(e.kind(), format!("127.0.0.1:{port}: {e}")))?;
        listener.set_nonblocking(true)?;
        Ok(Server(listener))
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves requests until `stopped` is set.
    pub(crate) fn serve(
        &self,
        broker: &Broker,
        stopped: &AtomicBool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        thread::scope(|scope| {
            while !stopped.load(Ordering::Relaxed) {
                match self.0.accept() {
                    // A broken connection does not affect the others.
                    Ok((stream, _)) => drop(scope.spawn(|| drop(answer(stream, broker)))),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(10));
                    }
                    Err(e) => return Err(e.into()),
                }
            }
            Ok(())
        })
    }
}

fn answer(mut stream: TcpStream, broker: &Broker) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new((&stream).take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // Read up to the empty line: closing a connection with unread bytes resets it.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/")) => {
            let page = include_str!("page.html").to_owned();
            ("200 OK", "text/html; charset=utf-8", page)
        }
        (Some("GET"), Some("/metrics")) => {
            let text = broker.snapshot().to_prometheus();
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text)
        }
        (Some("GET"), Some("/snapshot.json")) => {
            let json = page_data(&broker.snapshot()).to_string();
            ("200 OK", "application/json", json)
        }
        (Some("GET"), _) => {
            let paths = "the paths are /, /metrics and /snapshot.json\n".to_owned();
            ("404 Not Found", "text/plain", paths)
        }
        _ => ("405 Method Not Allowed", "text/plain", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The data that the page draws: topics with their partitions, and partitions with their readers.
fn page_data(snapshot: &BrokerSnapshot) -> Value {
    let topics = snapshot.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| {
            let here = |name: &str, partition| name == topic.name && partition == p.partition;
            let readers = snapshot.consumers.iter().flat_map(|consumer| {
                let rows = consumer.partitions.iter();
                let rows = rows.filter(move |row| here(&row.topic, row.partition));
                rows.map(move |row| {
                    json!({
                        "name": consumer.client_id, "group": consumer.group,
                        "position": row.position, "position_max": row.position_max,
                        "committed": row.committed, "lag": row.lag, "lead": row.lead,
                        "lost": row.lost, "overtaken": row.overtaken,
                    })
                })
            });
            let unread = snapshot.groups.iter().flat_map(|group| {
                let rows = group.partitions.iter();
                let rows = rows.filter(move |row| here(&row.topic, row.partition));
                let rows = rows.filter(|row| row.owner.is_none());
                rows.map(move |row| {
                    json!({
                        "name": null, "group": group.name, "committed": row.committed,
                        "lag": row.lag, "lead": row.lead, "lost": row.lost, "overtaken": 0,
                    })
                })
            });
            json!({
                "partition": p.partition, "log_start": p.log_start, "log_end": p.log_end,
                "appended": p.appended_records, "bytes": p.appended_bytes,
                "retained_bytes": p.retained_bytes, "rolls": p.rolls,
                "stalls": p.reader_stalls, "blocked": p.blocked_sends,
                "refused": p.refused_sends, "aborted": p.aborted_frames,
                "readers": readers.chain(unread).collect::<Vec<_>>(),
            })
        });
        json!({
            "name": topic.name, "drops": topic.overflow == Overflow::DropOldest,
            "producers": topic.producers, "memory_bytes": topic.memory_bytes,
            "max_records": topic.max_records, "partitions": partitions.collect::<Vec<_>>(),
        })
    });
    let groups = snapshot.groups.iter().map(|group| {
        json!({ "name": group.name, "generation": group.generation, "members": group.members })
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    json!({
        "at": now.map_or(0, |now| now.as_millis() as u64),
        "topics": topics.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
    })
}
