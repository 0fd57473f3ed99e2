//! A server's settings, from the configuration file and the command line, which counts more.

use super::config_file::{
    self, ClientAuth, ConfigFault, ConfigFile, ListenerEntry, TlsEntry, TopicEntry, UserEntry,
    line_of_topic, topic_configs,
};
use super::options::{Advertised, Options};
use super::{storage, users_file};
use ringlog::StorageConfig;
use ringlog_kafka::{
    GroupTimes, Listener, NewTopic, SaslMechanism, Security, Server, ServerBuilder, ServerLimits,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) type Fault = Box<dyn std::error::Error>;

const DEFAULT_ADDRESS: &str = "127.0.0.1:9092";

fn read(path: &Path) -> Result<String, Fault> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// What the program serves.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: ServerBuilder,
    /// The address of the page of metrics.
    pub(crate) metrics: Option<String>,
    /// Where topics are kept; `None` for memory alone.
    pub(crate) storage: Option<StorageConfig>,
}

/// The settings that the options, and the file that they name, ask for.
pub(crate) fn settings(options: &Options) -> Result<Settings, Fault> {
    let Some(path) = &options.config else {
        return build(options, "", &ConfigFile::default(), Path::new(""));
    };
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let in_file = |fault: Fault| -> Fault { format!("{}: {fault}", path.display()).into() };
    let file = config_file::parse(&text).map_err(|fault| in_file(fault.into()))?;
    build(options, &text, &file, folder).map_err(in_file)
}

/// Paths in the file are relative to its folder.
fn build(
    options: &Options,
    text: &str,
    file: &ConfigFile,
    folder: &Path,
) -> Result<Settings, Fault> {
    let mut builder = Server::builder()
        .limits(limits(file))
        .group_times(groups(file));
    if let Some(id) = options.node_id.or(file.node_id) {
        builder = builder.node_id(id);
    }
    if let Some(id) = options.cluster_id.as_ref().or(file.cluster_id.as_ref()) {
        builder = builder.cluster_id(id);
    }
    if let Some(partitions) = options.default_partitions.or(file.default_partitions) {
        builder = builder.default_partitions(partitions);
    }
    let auto_create = file.auto_create_topics.unwrap_or(true) && !options.no_auto_create;
    builder = connections(builder.auto_create_topics(auto_create), file);
    for listener in listeners(options, file, folder)? {
        builder = builder.listener(listener);
    }
    for user in &file.users {
        builder = builder.user(&user.name, &password(user, folder)?);
    }
    if let Some(path) = &options.users {
        let text = read(path)?;
        let users = users_file::parse(&text);
        for (name, password) in users.map_err(|error| format!("{}: {error}", path.display()))? {
            builder = builder.user(name, password);
        }
    }
    for (i, entry) in file.topics.iter().enumerate() {
        if !options.topic.iter().any(|topic| topic.name == entry.name) {
            builder = builder.topic(topic(text, i, entry)?);
        }
    }
    for topic in &options.topic {
        // Its configurations are those of the file, if it is there.
        let in_file = file
            .topics
            .iter()
            .position(|entry| entry.name == topic.name);
        let mut new = match in_file {
            Some(i) => self::topic(text, i, &file.topics[i])?,
            None => NewTopic::new(&topic.name),
        };
        if let Some(partitions) = topic.partitions {
            new = new.partitions(partitions);
        }
        builder = builder.topic(new);
    }
    let metrics = options.metrics.clone().or(file.metrics.clone());
    Ok(Settings {
        server: storage::levels(builder, options, file)?,
        metrics,
        storage: storage::storage(options, file, folder)?,
    })
}

fn limits(file: &ConfigFile) -> ServerLimits {
    let mut limits = ServerLimits::default();
    let given = &file.limits;
    for (limit, given) in [
        (&mut limits.request_bytes, given.request_bytes),
        (&mut limits.batch_bytes, given.batch_bytes),
        (&mut limits.decompressed_bytes, given.decompressed_bytes),
        (&mut limits.fetch_bytes, given.fetch_bytes),
        (
            &mut limits.offset_metadata_bytes,
            given.offset_metadata_bytes,
        ),
    ] {
        *limit = given.unwrap_or(*limit);
    }
    limits
}

fn groups(file: &ConfigFile) -> GroupTimes {
    let mut times = GroupTimes::default();
    let given = &file.groups;
    for (time, given) in [
        (
            &mut times.initial_rebalance_delay,
            given.initial_rebalance_delay_ms,
        ),
        (&mut times.min_session_timeout, given.min_session_timeout_ms),
        (&mut times.max_session_timeout, given.max_session_timeout_ms),
    ] {
        *time = given.map_or(*time, Duration::from_millis);
    }
    times
}

fn connections(mut builder: ServerBuilder, file: &ConfigFile) -> ServerBuilder {
    let given = &file.connections;
    let time =
        |milliseconds| Some(Duration::from_millis(milliseconds)).filter(|time| !time.is_zero());
    if let Some(milliseconds) = given.max_idle_ms {
        builder = builder.max_idle(time(milliseconds));
    }
    if let Some(milliseconds) = given.keepalive_ms {
        builder = builder.tcp_keepalive(time(milliseconds));
    }
    if let Some(microseconds) = given.busy_poll_us {
        builder = builder.busy_poll(Duration::from_micros(microseconds));
    }
    if let Some(milliseconds) = given.failed_authentication_delay_ms {
        builder = builder.failed_authentication_delay(Duration::from_millis(milliseconds));
    }
    builder
        .max_session(given.max_reauth_ms.and_then(time))
        .max_connections(given.max)
}

fn listeners(options: &Options, file: &ConfigFile, folder: &Path) -> Result<Vec<Listener>, Fault> {
    let tls = TlsFiles::new(options, file, folder);
    let mut listeners = Vec::new();
    if !options.listen.is_empty() {
        let mechanisms = Some(&options.sasl_mechanism).filter(|given| !given.is_empty());
        for listen in &options.listen {
            let protocol = listen.protocol.as_deref();
            let security = security(protocol, mechanisms, tls.as_ref())?;
            let listener = Listener::new(&listen.address).security(security);
            listeners.push(advertised(listener, listen.advertised.clone()));
        }
    } else if !file.listeners.is_empty() {
        for entry in &file.listeners {
            listeners.push(listener(entry, tls.as_ref())?);
        }
    } else {
        listeners.push(Listener::new(DEFAULT_ADDRESS));
    }
    Ok(listeners)
}

fn advertised(listener: Listener, advertised: Option<Advertised>) -> Listener {
    match advertised {
        None => listener,
        Some(Advertised { host, port }) => listener.advertised(host, port),
    }
}

fn listener(entry: &ListenerEntry, tls: Option<&TlsFiles>) -> Result<Listener, Fault> {
    let address = &entry.address;
    let in_entry = |fault: Fault| -> Fault { format!("the listener {address}: {fault}").into() };
    let given = entry.advertised.as_ref().map(|given| given.parse());
    let given = given
        .transpose()
        .map_err(|fault: String| in_entry(fault.into()))?;
    let security = security(entry.protocol.as_deref(), entry.mechanisms.as_ref(), tls);
    let listener = Listener::new(address).security(security.map_err(in_entry)?);
    Ok(advertised(listener, given))
}

fn security(
    protocol: Option<&str>,
    mechanisms: Option<&Vec<String>>,
    tls: Option<&TlsFiles>,
) -> Result<Security, Fault> {
    let protocol = protocol.unwrap_or("PLAINTEXT");
    let (has_sasl, has_tls) = match protocol {
        "PLAINTEXT" => (false, false),
        "SASL_PLAINTEXT" => (true, false),
        "SSL" => (false, true),
        "SASL_SSL" => (true, true),
        other => {
            let known = "PLAINTEXT, SASL_PLAINTEXT, SSL and SASL_SSL";
            return Err(format!("{other:?} is none of the protocols {known}").into());
        }
    };
    let mut security = Security::plaintext();
    if has_sasl {
        let offered = match mechanisms {
            None => SaslMechanism::ALL.to_vec(),
            Some(names) => {
                let parsed: Result<_, _> = names.iter().map(|name| name.parse()).collect();
                parsed?
            }
        };
        security = security.sasl(offered);
    }
    if has_tls {
        let files = tls.ok_or_else(|| format!("{protocol} needs a certificate for TLS"))?;
        security = files.secure(security)?;
    }
    Ok(security)
}

/// The files of TLS.
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS"))]
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_roots: Option<PathBuf>,
    client_auth: ClientAuth,
}

impl TlsFiles {
    fn new(options: &Options, file: &ConfigFile, folder: &Path) -> Option<TlsFiles> {
        let none = TlsEntry::default();
        let entry = file.tls.as_ref();
        let in_file = |path: &PathBuf| folder.join(path);
        let of_entry = entry.map(|entry| in_file(&entry.certificate));
        let certificate = options.tls_certificate.clone().or(of_entry)?;
        // A key belongs to its certificate.
        let key = match (&options.tls_key, &options.tls_certificate) {
            (None, None) => entry.and_then(|entry| entry.key.as_ref()).map(in_file),
            (key, _) => key.clone(),
        };
        let entry = entry.unwrap_or(&none);
        let client_roots = options.tls_client_roots.clone();
        Some(TlsFiles {
            key: key.unwrap_or_else(|| certificate.clone()),
            certificate,
            client_roots: client_roots.or(entry.client_roots.as_ref().map(in_file)),
            client_auth: entry.client_auth,
        })
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: Security) -> Result<Security, Fault> {
        Err("this program was built without TLS".into())
    }

    #[cfg(feature = "tls")]
    fn secure(&self, security: Security) -> Result<Security, Fault> {
        use ringlog_kafka::{ClientCertificates, Tls};
        let mut tls = Tls::from_pem_files(&self.certificate, &self.key)?;
        if let Some(roots) = &self.client_roots {
            let asked = match self.client_auth {
                ClientAuth::Required => ClientCertificates::Required,
                ClientAuth::Optional => ClientCertificates::Optional,
            };
            tls = tls.client_certificates_file(roots, asked)?;
        }
        Ok(security.tls(tls))
    }
}

fn password(user: &UserEntry, folder: &Path) -> Result<String, Fault> {
    match (&user.password, &user.password_file) {
        (Some(password), None) => Ok(password.0.clone()),
        (None, Some(path)) => {
            let text = read(&folder.join(path))?;
            Ok(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        _ => Err(format!("the user {:?} needs password or password-file", user.name).into()),
    }
}

fn topic(text: &str, index: usize, entry: &TopicEntry) -> Result<NewTopic, Fault> {
    let at = |name: Option<&str>, fault: String| -> Fault {
        ConfigFault::new(line_of_topic(text, index, name), fault).into()
    };
    let mut topic = NewTopic::new(&entry.name);
    if let Some(partitions) = entry.partitions {
        topic = topic.partitions(partitions);
    }
    for (name, value) in topic_configs(&entry.config).map_err(|fault| at(None, fault))? {
        let configured = topic.config(&*name, value);
        topic = configured.map_err(|error| at(Some(&name), error.to_string()))?;
    }
    Ok(topic)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
