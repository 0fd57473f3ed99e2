//! `ringlog-kafka`: a broker in memory that Kafka clients connect to.

mod program;

use clap::Parser;
use program::metrics_page;
use program::options::Options;
use ringlog::Broker;
use std::error::Error;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tracing::{error, info};

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(options.log)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let broker = Broker::new();
    let settings = program::settings::settings(options)?;
    let page = match settings.metrics {
        None => None,
        Some(address) => {
            let bound = TcpListener::bind(&address).await;
            let bound = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
            info!(address = %bound.local_addr()?, "metrics");
            Some(bound)
        }
    };
    let server = settings.server.bind(&broker).await?;
    info!(bootstrap = server.bootstrap(), "ready");
    let metrics = async {
        match page {
            None => std::future::pending().await,
            Some(page) => metrics_page::serve(page, &broker, &server.metrics_reader()).await,
        }
    };
    tokio::select! {
        stopped = stop_signal() => stopped?,
        () = metrics => {}
    }
    server.shutdown().await;
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
