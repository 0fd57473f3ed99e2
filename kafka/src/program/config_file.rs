//! The configuration file: TOML, with Kafka's names for topics' configurations.
//!
//! Whatever is wrong is reported with its line, and without the line's text: it may have a password.

use core::fmt;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ConfigFile {
    pub(crate) node_id: Option<i32>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) auto_create_topics: Option<bool>,
    pub(crate) default_partitions: Option<u32>,
    pub(crate) metrics: Option<String>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) storage: StorageEntry,
    pub(crate) listeners: Vec<ListenerEntry>,
    pub(crate) tls: Option<TlsEntry>,
    pub(crate) users: Vec<UserEntry>,
    pub(crate) topics: Vec<TopicEntry>,
    pub(crate) limits: LimitsEntry,
    pub(crate) groups: GroupsEntry,
    pub(crate) connections: ConnectionsEntry,
}

/// How `data` is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct StorageEntry {
    pub(crate) flush_ms: Option<u64>,
    pub(crate) flush_bytes: Option<u64>,
    pub(crate) file_bytes: Option<u64>,
    pub(crate) disk_full: Option<String>,
    pub(crate) on_write_error: Option<String>,
    #[serde(rename = "acks-1")]
    pub(crate) acks_one: Option<String>,
    pub(crate) acks_all: Option<String>,
    pub(crate) read_up_to: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ListenerEntry {
    pub(crate) address: String,
    pub(crate) advertised: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) mechanisms: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TlsEntry {
    pub(crate) certificate: PathBuf,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_roots: Option<PathBuf>,
    #[serde(default)]
    pub(crate) client_auth: ClientAuth,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientAuth {
    #[default]
    Required,
    Optional,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UserEntry {
    pub(crate) name: String,
    pub(crate) password: Option<Password>,
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TopicEntry {
    pub(crate) name: String,
    pub(crate) partitions: Option<u32>,
    #[serde(default)]
    pub(crate) config: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct LimitsEntry {
    pub(crate) request_bytes: Option<usize>,
    pub(crate) batch_bytes: Option<usize>,
    pub(crate) decompressed_bytes: Option<usize>,
    pub(crate) fetch_bytes: Option<usize>,
    pub(crate) offset_metadata_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct GroupsEntry {
    pub(crate) initial_rebalance_delay_ms: Option<u64>,
    pub(crate) min_session_timeout_ms: Option<u64>,
    pub(crate) max_session_timeout_ms: Option<u64>,
}

/// In milliseconds, 0 is none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ConnectionsEntry {
    pub(crate) max: Option<usize>,
    pub(crate) max_idle_ms: Option<u64>,
    pub(crate) max_reauth_ms: Option<u64>,
    pub(crate) keepalive_ms: Option<u64>,
    pub(crate) busy_poll_us: Option<u64>,
    pub(crate) failed_authentication_delay_ms: Option<u64>,
}

/// Not shown, also not by an error about its type.
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
        struct Text;
        const NOT_TEXT: &str = "a password is a string";
        impl Visitor<'_> for Text {
            type Value = Password;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Password, E> {
                Ok(Password(text.to_owned()))
            }

            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Password, E> {
                Err(E::custom(NOT_TEXT))
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Password, E> {
                Err(E::custom(NOT_TEXT))
            }

            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Password, E> {
                Err(E::custom(NOT_TEXT))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// What is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigFault {
    line: Option<usize>,
    message: String,
}

impl ConfigFault {
    pub(crate) fn new(line: Option<usize>, message: impl ToString) -> ConfigFault {
        let message = message.to_string();
        ConfigFault { line, message }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigFault {}

fn line_at(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|&&byte| byte == b'\n').count()
}

pub(crate) fn parse(text: &str) -> Result<ConfigFile, ConfigFault> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        // Its `Display` shows the line.
        let message = error.message().trim_end();
        // It has the value, which may be a password that was written in another's place.
        let mut kinds = ["invalid type", "invalid value"].iter();
        let is_of_value = kinds.any(|kind| message.starts_with(kind));
        match message.split_once(", expected ") {
            Some((_, expected)) if is_of_value => {
                ConfigFault::new(line, format!("another value is expected: {expected}"))
            }
            _ if is_of_value => ConfigFault::new(line, "the value is of the wrong type"),
            _ => ConfigFault::new(line, message),
        }
    })
}

/// A topic's configurations. `retention.ms = 1` is a table of TOML's in a table.
pub(crate) fn topic_configs(config: &toml::Table) -> Result<Vec<(String, String)>, String> {
    let mut flat = Vec::new();
    flatten("", config, &mut flat)?;
    Ok(flat)
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    flat: &mut Vec<(String, String)>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = match prefix {
            "" => key.clone(),
            prefix => format!("{prefix}.{key}"),
        };
        let value = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(boolean) => boolean.to_string(),
            toml::Value::Table(table) => {
                flatten(&name, table, flat)?;
                continue;
            }
            toml::Value::Array(_) | toml::Value::Datetime(_) => {
                return Err(format!(
                    "{name} is neither a string, a number nor a boolean"
                ));
            }
        };
        flat.push((name, value));
    }
    Ok(())
}

/// The line that has this configuration of the topic at `index`; if not found, the topic's.
pub(crate) fn line_of_topic(text: &str, index: usize, name: Option<&str>) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let DeValue::Array(topics) = root.get_ref().get("topics")?.get_ref() else {
        return None;
    };
    let topic = topics.get(index)?;
    let found = || {
        let DeValue::Table(topic) = topic.get_ref() else {
            return None;
        };
        let DeValue::Table(config) = topic.get("config")?.get_ref() else {
            return None;
        };
        position(config, name?)
    };
    let at = found().unwrap_or_else(|| topic.span().start);
    Some(line_at(text, at))
}

/// Where the key is that has this name, or the rest of it in tables below.
fn position(table: &DeTable<'_>, name: &str) -> Option<usize> {
    for (key, value) in table {
        if name == key.get_ref() {
            return Some(key.span().start);
        }
        let rest = name.strip_prefix(key.get_ref().as_ref());
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        if let (Some(rest), DeValue::Table(below)) = (rest, value.get_ref())
            && let Some(found) = position(below, rest)
        {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_and_line() {
        for (text, expected) in [
            (
                "node-id = 1\nnode-ids = 2",
                "line 2: unknown field `node-ids`",
            ),
            (
                "[[topics]]\nname = \"a\"\npartition = 2",
                "line 3: unknown field `partition`",
            ),
            ("[limits]\nbytes = 2", "line 2: unknown field `bytes`"),
            (
                "[[listeners]]\nadress = \"x\"",
                "line 2: unknown field `adress`",
            ),
            ("[topic.a]\n", "line 1: unknown field `topic`"),
        ] {
            let fault = fault(text);
            assert!(fault.starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn values_of_another_type_and_text_that_is_no_toml_are_refused_with_their_lines() {
        assert!(fault("\nnode-id = \"one\"").starts_with("line 2: another value is expected"));
        assert!(fault("node-id = 1\n\nnode-id").starts_with("line 3: "));
        assert!(fault("[[listeners]]\nprotocol = \"SSL\"").contains("missing field `address`"));
        let auth = "[tls]\ncertificate = \"a\"\nclient-auth = \"maybe\"";
        assert!(fault(auth).starts_with("line 3: unknown variant `maybe`"));
    }

    #[test]
    fn no_fault_and_no_debug_output_has_a_password() {
        let user = "[[users]]\nname = \"alice\"\n";
        for wrong in [
            "pasword = \"secret\"",
            "password = secret",
            "password = \"secret",
            "password = [\"secret\"]",
            "[[topics]]\nname = \"a\"\npartitions = \"secret\"",
            "password = { secret = 1 }",
            "password = 5377",
            "password = 5377.5",
            "password = \"secret\"\npassword = \"secret\"",
        ] {
            let fault = fault(&format!("{user}{wrong}"));
            assert!(
                !fault.contains("secret") && !fault.contains("5377"),
                "{fault}"
            );
        }
        let file = parse(&format!("{user}password = \"secret\"")).unwrap();
        let shown = format!("{file:?}");
        assert!(
            shown.contains("alice") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn a_topics_configurations_have_kafkas_names_with_quotes_and_without() {
        let text = "[[topics]]\nname = \"a\"\n[[topics]]\nname = \"b\"\n[topics.config]\n\
            \"max.message.bytes\" = \"1000\"\nretention.ms = 5\nretention.bytes = -1\n\
            preallocate = true\nmin.cleanable.dirty.ratio = 0.25\n";
        let file = parse(text).unwrap();
        let configs = topic_configs(&file.topics[1].config).unwrap();
        let mut configs: Vec<_> = configs.iter().map(|(k, v)| (&**k, &**v)).collect();
        configs.sort_unstable();
        let expected = [
            ("max.message.bytes", "1000"),
            ("min.cleanable.dirty.ratio", "0.25"),
            ("preallocate", "true"),
            ("retention.bytes", "-1"),
            ("retention.ms", "5"),
        ];
        assert_eq!(configs, expected);
        for (name, line) in [
            (Some("max.message.bytes"), 6),
            (Some("retention.bytes"), 8),
            (Some("preallocate"), 9),
        ] {
            assert_eq!(line_of_topic(text, 1, name), Some(line));
        }
        assert_eq!(line_of_topic(text, 0, None), Some(1));
        let list = parse("[[topics]]\nname = \"a\"\nconfig.retention.ms = [1]").unwrap();
        let error = topic_configs(&list.topics[0].config).unwrap_err();
        assert!(error.starts_with("retention.ms is neither"), "{error}");
    }
}
