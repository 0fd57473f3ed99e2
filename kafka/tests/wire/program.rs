//! The program: its log, and how it ends.

use crate::client::{LIMIT, within};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The program, which is killed when a test fails.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Asks it to end, which it does soon, and in order.
    fn terminate(mut self) {
        let stopped = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(stopped.unwrap().success());
        let start = Instant::now();
        let ended = loop {
            if let Some(ended) = self.0.try_wait().unwrap() {
                break ended;
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(ended.success(), "{ended}");
    }
}

/// Starts the program. Returns it when it is ready, with its addresses and what it logs from then on.
fn start(arguments: &[&str]) -> (Program, String, BufReader<ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-kafka"));
    command.args(arguments).stderr(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let mut lines = BufReader::new(program.0.stderr.take().unwrap());
    let mut all = String::new();
    loop {
        let begin = all.len();
        assert!(
            lines.read_line(&mut all).unwrap() > 0,
            "it has ended: {all}"
        );
        if let Some((_, bootstrap)) = all[begin..].split_once("ready bootstrap=\"") {
            let bootstrap = bootstrap.split('"').next().unwrap().to_owned();
            return (program, bootstrap, lines);
        }
    }
}

/// ApiVersions of version 0, on a connection of its own.
async fn ask(address: &str) {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let mut stream = within("the connection", TcpStream::connect(address))
        .await
        .unwrap();
    within("the request", stream.write_all(&request))
        .await
        .unwrap();
    let bytes = within("the answer", stream.read_i32()).await.unwrap();
    assert!(bytes > 0);
    assert_eq!(within("the answer", stream.read_i32()).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_although_the_log_is_not_read() {
    let (child, address, lines) = start(&["--listen", "127.0.0.1:0", "--log", "debug"]);
    // Three lines a connection of a hundred bytes and more: several times what a pipe takes.
    for _ in 0..1_000 {
        ask(&address).await;
    }
    child.terminate();
    drop(lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_although_the_log_is_closed() {
    for level in ["info", "debug"] {
        let (child, address, lines) = start(&["--listen", "127.0.0.1:0", "--log", level]);
        drop(lines);
        for _ in 0..10 {
            ask(&address).await;
        }
        child.terminate();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_line_of_the_log_at_the_level_debug() {
    let (child, address, mut lines) = start(&["--listen", "127.0.0.1:0", "--log", "debug"]);
    ask(&address).await;
    let mut line = String::new();
    while !line.contains("request{") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
    }
    assert!(
        line.contains("ApiVersions") && line.contains("close"),
        "{line}"
    );
    child.terminate();
}

#[test]
fn what_is_wrong_with_a_command_line_is_said() {
    for (arguments, expected) in [
        (
            &["--flush-ms", "-1"][..],
            "invalid value '-1' for '--flush-ms",
        ),
        (
            &["--listen", "foo"],
            "cannot listen on foo: HOST:PORT is expected",
        ),
        (&["--flush-ms", "5"], "are for topics in a directory"),
        (
            &["--topic", "orders:0", "--listen", "127.0.0.1:0"],
            "partitions is 0, but must be from 1 to 16384",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ringlog-kafka"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
