//! `ringlog-kafka`: a broker that Kafka clients connect to, in memory or in a directory.

mod program;

use clap::Parser;
use program::metrics_page;
use program::options::Options;
use program::settings::Settings;
use program::storage::log_recovery;
use ringlog::Broker;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{error, info};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::fmt::format::FmtSpan;

/// How long clients may take to read the last answers.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// The most lines of the log that wait to be written: each has a place from the start.
const LOG_LINES: usize = 10_000;

fn main() -> ExitCode {
    let options = Options::parse();
    // Registers the process for `membarrier(2)`: before it has a second thread, which makes that take
    // more than ten milliseconds.
    let in_memory = Broker::new();
    // A thread of its own writes the lines, and some are dropped while it cannot: a pipe that is not
    // read, or that is closed, must not hold up the clients.
    let writer = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES);
    let (lines, _writer) = writer.finish(std::io::stderr());
    tracing_subscriber::fmt()
        .with_max_level(options.log)
        .with_writer(lines)
        .log_internal_errors(false)
        .with_target(false)
        // At the level debug, a line for each request.
        .with_span_events(FmtSpan::CLOSE)
        // Colours would be in files and pipes, too, where another crate of the build enables them.
        .with_ansi(false)
        .init();
    match start(&options, in_memory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options, in_memory: Broker) -> Result<(), Box<dyn Error>> {
    let mut settings = program::settings::settings(options)?;
    let broker = match settings.storage.take() {
        None => in_memory,
        Some(config) => {
            let (broker, report) = Broker::open(config)?;
            if let Some(storage) = broker.storage() {
                log_recovery(storage, &report);
            }
            broker
        }
    };
    let ran = run(settings, &broker);
    // What was sent until now is written and synced.
    let closed = match broker.storage() {
        Some(storage) => {
            let closed = storage.close();
            info!(directory = %storage.path().display(), "closed");
            closed
        }
        None => Ok(()),
    };
    ran.and(closed.map_err(Into::into))
}

#[tokio::main]
async fn run(settings: Settings, broker: &Broker) -> Result<(), Box<dyn Error>> {
    let page = match settings.metrics {
        None => None,
        Some(address) => {
            let bound = TcpListener::bind(&address).await;
            let bound = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
            info!(address = %bound.local_addr()?, "metrics");
            Some(bound)
        }
    };
    let server = settings.server.bind(broker).await?;
    info!(bootstrap = server.bootstrap(), "ready");
    let metrics = async {
        match page {
            None => std::future::pending().await,
            Some(page) => metrics_page::serve(page, broker, &server.metrics_reader()).await,
        }
    };
    tokio::select! {
        stopped = stop_signal() => stopped?,
        () = metrics => {}
    }
    // A client that does not read its answers must not hold that up, nor a second signal be ignored.
    tokio::select! {
        ended = timeout(SHUTDOWN_LIMIT, server.shutdown()) => {
            if ended.is_err() {
                info!("clients did not read their answers");
            }
        }
        stopped = stop_signal() => stopped?,
    }
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
