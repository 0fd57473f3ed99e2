//! The program, killed while idempotent producers send with `acks=all`: each record that was
//! acknowledged is there, once.
//!
//! `RINGLOG_KILLS` sets how often it is killed, and `RINGLOG_SEED` begins the random times.

use super::under_load::Producers;
use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Starts the program. Returns it with its address, when it is ready.
fn start(dir: &Path, more: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog-kafka"))
        .args(["--listen", "127.0.0.1:0", "--topic", "orders:4", "--data"])
        .arg(dir)
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let address = ready(&mut lines);
    // What it says later must not fill the pipe.
    std::thread::spawn(move || for _ in lines.lines() {});
    (child, address)
}

fn ready(lines: &mut BufReader<ChildStderr>) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "it has ended:\n{all}"
        );
        if let Some((_, bootstrap)) = line.split_once("bootstrap=\"") {
            return bootstrap.split('"').next().unwrap().to_owned();
        }
        all += &line;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_each_acknowledged_record_once() {
    let dir = dir();
    let producers = Producers::start(4);
    let mut random = number("RINGLOG_SEED", 1);
    for _ in 0..number("RINGLOG_KILLS", 5) {
        let (mut child, address) = start(dir.path(), &[]);
        producers.set_address(Some(address));
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(20 + (random >> 33) % 300)).await;
        producers.set_address(None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (mut child, address) = start(dir.path(), &[]);
    producers.set_address(Some(address));
    let records = producers.check().await;
    println!("{records} records");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_program_says_what_it_has_recovered_and_stops_in_order() {
    use std::io::Read;
    let dir = dir();
    let (mut child, _) = start(dir.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog-kafka"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(
        first.contains("recovered") && first.contains("topics=1"),
        "{first}"
    );
    ready(&mut lines);
    let second = Command::new(env!("CARGO_BIN_EXE_ringlog-kafka"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        !second.status.success() && said.contains("is in use by another"),
        "{said}"
    );
    #[cfg(unix)]
    {
        let stopped = Command::new("kill").arg(child.id().to_string()).status();
        assert!(stopped.unwrap().success());
        assert!(child.wait().unwrap().success());
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(
            rest.contains("no clients are served any more") && rest.contains("closed directory="),
            "{rest}"
        );
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Sealed files in a directory and below.
fn files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let counts = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => files(&entry.path()),
        false => entry
            .path()
            .extension()
            .is_some_and(|end| end == "rl")
            .into(),
    });
    counts.sum()
}

/// From `kill -9` to the first acknowledged batch, `RINGLOG_FILES` files.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_killed_server_with_a_thousand_files_is_back_soon() {
    use super::under_load::ask;
    use crate::requests::{idempotent, produce};
    use std::time::Instant;
    use tokio::net::TcpStream;
    let (dir, config) = (dir(), dir());
    let config = config.path().join("config.toml");
    std::fs::write(
        &config,
        "[storage]\nfile-bytes = 65536\nacks-all = \"written\"\n",
    )
    .unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let value = "x".repeat(1000);
    let values = vec![value.as_str(); 100];
    let send = async |stream: &mut TcpStream, number: i32| {
        let batch = idempotent(7, 0, 100 * (number / 4), &values);
        let request = produce("orders", number % 4, batch);
        let response = ask(stream, 9, &request).await.unwrap();
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    };
    let (mut child, address) = start(dir.path(), &more);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let (wanted, mut number) = (number("RINGLOG_FILES", 1000), 0);
    while (files(dir.path()) as u64) < wanted {
        for _ in 0..100 {
            send(&mut stream, number).await;
            number += 1;
        }
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begin = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = begin.elapsed();
        let address;
        (child, address) = start(dir.path(), &more);
        let ready = begin.elapsed();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        send(&mut stream, number).await;
        number += 1;
        let all = begin.elapsed();
        let files = files(dir.path());
        println!("{files} files: killed {killed:?}, ready {ready:?}, acknowledged {all:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
