use super::*;
use clap::Parser;
use ringlog::{Broker, DiskFull, Flush, OnWriteError, Storage};

/// The example of the documentation.
const EXAMPLE: &str = include_str!("../../../docs/ringlog-kafka.toml");

fn options(given: &[&str]) -> Options {
    Options::try_parse_from([&["ringlog-kafka"], given].concat()).unwrap()
}

fn built(given: &[&str], text: &str) -> Result<Settings, String> {
    let file = config_file::parse(text).map_err(|fault| fault.to_string())?;
    let built = build(&options(given), text, &file, Path::new("/no/such/folder"));
    built.map_err(|fault| fault.to_string())
}

/// What a server with these settings has.
fn bound(settings: Settings) -> (usize, String, Vec<(String, u32)>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Broker::new();
        let server = settings.server.bind(&broker).await.unwrap();
        let mut names = broker.topic_names();
        names.sort_unstable();
        let partitions = |name: String| {
            let topic = broker.topic(&name).unwrap();
            (name, topic.partitions())
        };
        let topics = names.into_iter().map(partitions).collect();
        (server.addresses().len(), server.bootstrap(), topics)
    })
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let file = config_file::parse(EXAMPLE).unwrap();
    assert!(file.listeners.len() > 1);
    assert!(!file.topics.is_empty() && !file.users.is_empty());
    // Its certificate and its password file are not there.
    let fault = built(&[], EXAMPLE).map(|_| ()).unwrap_err();
    let expected = match cfg!(feature = "tls") {
        true => "cannot read /no/such/folder/",
        false => "built without TLS",
    };
    assert!(fault.contains(expected), "{fault}");
    for (i, entry) in file.topics.iter().enumerate() {
        assert!(topic(EXAMPLE, i, entry).is_ok());
    }
}

#[test]
fn listeners_topics_and_numbers_come_from_the_file() {
    let text = "default-partitions = 3\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nadvertised = \"inside.test:9092\"\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nadvertised = \"outside.test:9093\"\n\
        protocol = \"SASL_PLAINTEXT\"\nmechanisms = [\"PLAIN\"]\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nadvertised = \"second.test:9094\"\n\
        [[users]]\nname = \"alice\"\npassword = \"secret\"\n\
        [[topics]]\nname = \"orders\"\npartitions = 8\nconfig.retention.ms = 1000\n\
        [[topics]]\nname = \"payments\"\n";
    let (addresses, bootstrap, topics) = bound(built(&[], text).unwrap());
    assert_eq!(addresses, 3);
    // Those of the first one's protocol.
    assert_eq!(bootstrap, "inside.test:9092,second.test:9094");
    let expected = [("orders".to_owned(), 8), ("payments".to_owned(), 3)];
    assert_eq!(topics, expected);
}

#[test]
fn the_command_line_counts_more_than_the_file() {
    let text = "default-partitions = 3\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nadvertised = \"file.test:9092\"\n\
        [[topics]]\nname = \"orders\"\npartitions = 8\n\
        [[topics]]\nname = \"payments\"\n";
    let given = [
        "--listen",
        "127.0.0.1:0=line.test:9092",
        "--default-partitions",
        "2",
        "--topic",
        "orders:5",
        "--topic",
        "visits",
    ];
    let (_, bootstrap, topics) = bound(built(&given, text).unwrap());
    assert_eq!(bootstrap, "line.test:9092");
    let expected = [("orders", 5), ("payments", 2), ("visits", 2)];
    let expected = expected.map(|(name, partitions)| (name.to_owned(), partitions));
    assert_eq!(topics, expected);
}

#[test]
fn the_page_of_metrics_has_an_address() {
    let text = "metrics = \"127.0.0.1:1\"";
    let given = ["--metrics", "127.0.0.1:2"];
    for (given, text, expected) in [
        (&[][..], "", None),
        (&[], text, Some("127.0.0.1:1")),
        (&given, text, Some("127.0.0.1:2")),
    ] {
        assert_eq!(built(given, text).unwrap().metrics.as_deref(), expected);
    }
}

#[test]
fn the_directory_of_the_file_is_in_the_files_folder() {
    let text = "data = \"kept\"\n[storage]\nflush-ms = 7\nflush-bytes = 100\n\
        file-bytes = 1_000_000\ndisk-full = \"forget-oldest\"\non-write-error = \"go-on\"\n";
    let expected = |dir: &str, time, bytes| {
        let time = Duration::from_millis(time);
        let config = Storage::dir(dir).flush(Flush::Within { time, bytes });
        let config = config
            .file_bytes(1_000_000)
            .disk_full(DiskFull::ForgetOldest);
        format!("{:?}", Some(config.on_write_error(OnWriteError::GoOn)))
    };
    let storage = |given: &[&str]| format!("{:?}", built(given, text).unwrap().storage);
    assert_eq!(storage(&[]), expected("/no/such/folder/kept", 7, 100));
    let given = ["--data", "other", "--flush-ms", "9", "--flush-bytes", "200"];
    assert_eq!(storage(&given), expected("other", 9, 200));
    assert!(built(&[], "").unwrap().storage.is_none());
}

#[test]
fn what_is_wrong_with_a_value_is_said_with_its_place() {
    let topic = "[[topics]]\nname = \"orders\"\n[topics.config]\n";
    for (text, expected) in [
        (
            format!("{topic}retention.ms = 5\nretention.sm = 5"),
            "line 5: Unknown topic config name: retention.sm",
        ),
        (
            format!("{topic}cleanup.policy = \"squash\""),
            "line 4: Invalid value \"squash\" for configuration cleanup.policy",
        ),
        (
            "[[listeners]]\naddress = \"a:1\"\nprotocol = \"TLS\"".to_owned(),
            "the listener a:1: \"TLS\" is none of the protocols",
        ),
        (
            "[[listeners]]\naddress = \"a:1\"\nadvertised = \"b\"".to_owned(),
            "the listener a:1: \"b\" is not HOST:PORT",
        ),
        (
            "[[listeners]]\naddress = \"a:1\"\nprotocol = \"SSL\"".to_owned(),
            "the listener a:1: SSL needs a certificate for TLS",
        ),
        (
            "[[listeners]]\naddress = \"a:1\"\nprotocol = \"SASL_SSL\"\nmechanisms = [\"GSSAPI\"]"
                .to_owned(),
            "the listener a:1: \"GSSAPI\" is none of the SASL mechanisms",
        ),
        (
            "[[users]]\nname = \"alice\"".to_owned(),
            "the user \"alice\" needs password or password-file",
        ),
        (
            "data = \"d\"\n[storage]\ndisk-full = \"ignore\"".to_owned(),
            "disk-full: \"ignore\" is none of block, forget-oldest",
        ),
        (
            "data = \"d\"\nstorage.acks-all = \"disk\"".to_owned(),
            "acks-all: \"disk\" is none of memory, written and durable",
        ),
        (
            "data = \"d\"\nstorage.read-up-to = \"memory\"".to_owned(),
            "read-up-to: \"memory\" is none of sent, written, durable",
        ),
        (
            "[storage]\nacks-all = \"written\"".to_owned(),
            "flush-ms, flush-bytes, file-bytes, disk-full, on-write-error, acks-1, acks-all and read-up-to are",
        ),
    ] {
        let fault = built(&[], &text).map(|_| ()).unwrap_err();
        assert!(fault.starts_with(expected), "{fault}");
    }
    let fault = built(&["--users", "/no/such/users"], "")
        .map(|_| ())
        .unwrap_err();
    assert!(fault.starts_with("cannot read /no/such/users: "), "{fault}");
    let fault = settings(&options(&["--config", "/no/such/file"]))
        .map(|_| ())
        .unwrap_err();
    assert!(
        fault.to_string().starts_with("cannot read /no/such/file: "),
        "{fault}"
    );
}
