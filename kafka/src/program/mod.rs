//! The program's own parts: what it is configured by, and its page of metrics.
//!
//! | file | |
//! |---|---|
//! | `options.rs` | the command line |
//! | `config_file.rs` | the configuration file, as it is written |
//! | `settings.rs` | both, as a server's settings |
//! | `storage.rs` | the part of it about files; what was found in them |
//! | `metrics_page.rs` | `/metrics` over HTTP |
//! | `users_file.rs` | a file of users |

pub(crate) mod config_file;
pub(crate) mod metrics_page;
pub(crate) mod options;
pub(crate) mod settings;
pub(crate) mod storage;
mod users_file;
