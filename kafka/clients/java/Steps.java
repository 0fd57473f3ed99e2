import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/** Kafka's own client through the steps: Steps BOOTSTRAP. The steps are those of ../python/common.py. */
public class Steps {
    static final int RECORDS = 20;
    static final long BEGIN = 1_700_000_000_000L;
    static final Duration LIMIT = Duration.ofSeconds(60);
    static final Duration POLL = Duration.ofMillis(100);
    static String bootstrap;
    static Admin admin;

    static String fresh(String prefix) {
        return prefix + "-" + UUID.randomUUID().toString().substring(24);
    }

    static byte[] key(int i) {
        return i % 3 == 0 ? null : ("k" + i).getBytes();
    }

    static byte[] value(int i) {
        if (i % 7 == 0 && key(i) != null) return null;
        return i % 5 == 0 ? new byte[0] : "v".repeat(i * 5).getBytes();
    }

    static List<RecordHeader> headers(int i) {
        if (i % 2 == 0) return List.of();
        return List.of(
            new RecordHeader("trace", "1".getBytes()), new RecordHeader("trace", "2".getBytes()),
            new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null));
    }

    static String text(byte[] bytes) {
        return bytes == null ? "null" : '"' + new String(bytes) + '"';
    }

    static String shown(long offset, long time, byte[] key, byte[] value, Iterable<? extends org.apache.kafka.common.header.Header> headers) {
        var pairs = new ArrayList<String>();
        for (var header : headers) pairs.add(header.key() + "=" + text(header.value()));
        return offset + " " + time + " " + text(key) + " " + text(value) + " " + pairs;
    }

    static void step(String name, Object seen) {
        System.out.println(name + ": " + seen);
    }

    interface Action {
        void run() throws Exception;
    }

    /** `ok`, or the name of the error. */
    static String outcome(Action action) throws Exception {
        try {
            action.run();
            return "ok";
        } catch (ExecutionException error) {
            return error.getCause().getClass().getSimpleName();
        } catch (KafkaException error) {
            return error.getClass().getSimpleName();
        }
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        until(what, LIMIT, condition);
    }

    static void until(String what, Duration limit, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > end) throw new IllegalStateException(what + " hangs");
        }
    }

    static Map<String, Object> properties(Map<String, Object> more) {
        var all = new HashMap<String, Object>(more);
        all.put("bootstrap.servers", bootstrap);
        return all;
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, Object> config) {
        return new KafkaProducer<>(properties(config), new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> config) {
        var all = properties(Map.of(
            "group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", false, "session.timeout.ms", 6000,
            "heartbeat.interval.ms", 200, "partition.assignment.strategy", RangeAssignor.class.getName()));
        all.putAll(config);
        if ("consumer".equals(config.get("group.protocol"))) {
            for (var name : List.of("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy")) all.remove(name);
        }
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static String create(String topic, int partitions, Map<String, String> config) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(config))).all().get();
        return topic;
    }

    static String filled(Map<String, Object> config) throws Exception {
        String topic = create(fresh("v"), 1, Map.of());
        try (var producer = producer(config)) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (int i = 0; i < RECORDS; i++) {
                var copy = headers(i).stream().map(header -> (org.apache.kafka.common.header.Header) header).toList();
                sent.add(producer.send(new ProducerRecord<>(topic, 0, BEGIN + 10 * i, key(i), value(i), copy)));
            }
            for (var one : sent) one.get();
        }
        return topic;
    }

    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> reader, int count) throws Exception {
        var found = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        until("reading", () -> {
            reader.poll(POLL).forEach(found::add);
            return found.size() >= count;
        });
        return found;
    }

    static void codecsAndAcks() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (String acks : List.of("0", "1", "all")) {
                String topic = filled(Map.of("compression.type", codec, "acks", acks, "linger.ms", 5, "enable.idempotence", acks.equals("all")));
                try (var reader = consumer(fresh("g"), Map.of())) {
                    reader.assign(List.of(new TopicPartition(topic, 0)));
                    String seen = RECORDS + " as sent";
                    var found = read(reader, RECORDS);
                    for (int i = 0; i < RECORDS; i++) {
                        var record = found.get(i);
                        String sent = shown(i, BEGIN + 10 * i, key(i), value(i), headers(i));
                        String got = shown(record.offset(), record.timestamp(), record.key(), record.value(), record.headers());
                        if (!got.equals(sent)) seen = got + " for " + sent;
                    }
                    step(codec + ", acks " + acks, seen);
                }
            }
        }
    }

    static void seek() throws Exception {
        var partition = new TopicPartition(filled(Map.of()), 0);
        try (var reader = consumer(fresh("g"), Map.of())) {
            reader.assign(List.of(partition));
            reader.seek(partition, 15);
            step("seek to 15", read(reader, 1).get(0).offset());
            step("bounds", reader.beginningOffsets(List.of(partition)).get(partition) + " " + reader.endOffsets(List.of(partition)).get(partition));
            var asked = new LinkedHashMap<String, Long>();
            asked.put("record 7", BEGIN + 70);
            asked.put("between", BEGIN + 67);
            asked.put("after all", BEGIN + 990);
            for (var one : asked.entrySet()) {
                var found = reader.offsetsForTimes(Map.of(partition, one.getValue())).get(partition);
                step("offset at the time of " + one.getKey(), found == null ? null : found.offset());
            }
        }
        var latest = admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition).get();
        step("offset of the latest time", latest.offset());
    }

    static void commitAndResume(String name, Map<String, Object> config) throws Exception {
        String topic = filled(Map.of()), group = fresh("g");
        var partition = new TopicPartition(topic, 0);
        try (var reader = consumer(group, config)) {
            reader.subscribe(List.of(topic));
            read(reader, 1);
            reader.commitSync(Map.of(partition, new OffsetAndMetadata(12, "here")));
        }
        try (var reader = consumer(group, config)) {
            reader.subscribe(List.of(topic));
            var committed = reader.committed(Set.of(partition)).get(partition);
            step(name + ", committed", committed.offset() + " " + committed.metadata());
            step(name + ", resumed at", read(reader, 1).get(0).offset());
        }
        try (var reader = consumer(fresh("g"), config)) {
            step(name + ", committed by no one", reader.committed(Set.of(partition)).get(partition));
        }
    }

    static void resetWhenOutOfRange() throws Exception {
        for (String reset : List.of("earliest", "latest", "none")) {
            var partition = new TopicPartition(filled(Map.of()), 0);
            try (var reader = consumer(fresh("g"), Map.of("auto.offset.reset", reset)); var producer = producer(Map.of())) {
                reader.assign(List.of(partition));
                reader.seek(partition, 5000);
                if (reset.equals("none")) {
                    step("reset by error", outcome(() -> read(reader, 1)));
                } else if (reset.equals("earliest")) {
                    step("reset to earliest", read(reader, 1).get(0).offset());
                } else {
                    var found = new ArrayList<Long>();
                    until("the reset", () -> {
                        producer.send(new ProducerRecord<>(partition.topic(), 0, null, "new".getBytes())).get();
                        reader.poll(POLL).forEach(record -> found.add(record.offset()));
                        return !found.isEmpty();
                    });
                    step("reset to latest", found.get(0) >= RECORDS);
                }
            }
        }
    }

    /** A member, what it has lost, and how often it was assigned. */
    static class Member implements ConsumerRebalanceListener {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<TopicPartition> revoked = new HashSet<>();
        int assigned = 0;

        Member(String group, String topic, Map<String, Object> config) {
            consumer = consumer(group, config);
            consumer.subscribe(List.of(topic), this);
        }

        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assigned++;
        }

        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revoked.addAll(partitions);
        }
    }

    static List<Integer> settle(List<Member> members, Integer... each) throws Exception {
        // By the consumer protocol a member that has crashed is missed after 45 s.
        until("a balance of " + List.of(each), LIMIT.multipliedBy(3), () -> {
            for (var member : members) member.consumer.poll(Duration.ofMillis(20));
            return members.stream().map(member -> member.consumer.assignment().size()).toList().equals(List.of(each));
        });
        return List.of(each);
    }

    static void groupWithACrash(String name, Map<String, Object> config) throws Exception {
        String topic = create(fresh("v"), 6, Map.of()), group = fresh("g");
        var members = new ArrayList<Member>(List.of(new Member(group, topic, config), new Member(group, topic, config)));
        var crashes = new ProcessBuilder(
            ProcessHandle.current().info().command().get(), "-cp", System.getProperty("java.class.path"),
            "Steps", bootstrap, "member", group, topic, name)
            .redirectError(ProcessBuilder.Redirect.DISCARD).start();
        step(name + " group of three", settle(members, 2, 2));
        crashes.destroyForcibly().waitFor();
        step(name + ", after a crash", settle(members, 3, 3));
        members.remove(1).consumer.close();
        step(name + ", after a leave", settle(members, 6));
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 60; i++) producer.send(new ProducerRecord<>(topic, i % 6, null, ("" + i).getBytes()));
        }
        var read = read(members.get(0).consumer, 60).stream().map(record -> new String(record.value())).collect(Collectors.toSet());
        step(name + ", read by the group", read.size() == 60);
        members.get(0).consumer.close();
    }

    static void cooperative() throws Exception {
        String topic = create(fresh("v"), 6, Map.of()), group = fresh("g");
        Map<String, Object> config = Map.of("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        var members = new ArrayList<Member>(List.of(new Member(group, topic, config)));
        settle(members, 6);
        for (int i = 0; i < 2; i++) members.add(new Member(group, topic, config));
        step("cooperative", settle(members, 2, 2, 2));
        var first = members.get(0);
        step("partitions of the first", Collections.disjoint(first.consumer.assignment(), first.revoked) ? "kept" : "taken away");
        for (var member : members) member.consumer.close();
    }

    static void staticMember() throws Exception {
        String topic = create(fresh("v"), 4, Map.of()), group = fresh("g");
        var stays = new Member(group, topic, Map.of("group.instance.id", "stays"));
        var returns = new Member(group, topic, Map.of("group.instance.id", "returns"));
        settle(List.of(stays, returns), 2, 2);
        var owned = returns.consumer.assignment();
        int before = stays.assigned;
        returns.consumer.close();
        returns = new Member(group, topic, Map.of("group.instance.id", "returns"));
        settle(List.of(stays, returns), 2, 2);
        step("static member returns to its partitions", owned.equals(returns.consumer.assignment()));
        step("rebalances of the other", stays.assigned - before);
        stays.consumer.close();
        returns.consumer.close();
    }

    static void administration() throws Exception {
        String topic = create(fresh("v"), 2, Map.of("retention.ms", "60000"));
        step("create again", outcome(() -> create(topic, 1, Map.of())));
        step("create with a bad name", outcome(() -> create("a b", 1, Map.of())));
        step("create without partitions", outcome(() -> create(fresh("v"), 0, Map.of())));
        step("create with an unknown configuration", outcome(() -> create(fresh("v"), 1, Map.of("no.such", "1"))));
        step("create with a bad value", outcome(() -> create(fresh("v"), 1, Map.of("retention.ms", "x"))));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var described = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        for (String name : List.of("retention.ms", "cleanup.policy", "max.message.bytes")) {
            step("described " + name, described.get(name).value() + " " + described.get(name).source());
        }
        step("configurations", described.entries().size());
        for (int count : List.of(5, 3)) {
            step("partitions to " + count, outcome(() -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(count))).all().get()));
        }
        step("partitions", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
        var set = new AlterConfigOp(new ConfigEntry("retention.ms", "120000"), AlterConfigOp.OpType.SET);
        step("alter a configuration", outcome(() -> admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get()));
        String full = filled(Map.of()), group = fresh("g");
        var partition = new TopicPartition(full, 0);
        for (int before : List.of(5, 3, RECORDS + 1)) {
            step("delete records before " + before, outcome(() -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before))).all().get()));
        }
        Action remove = () -> admin.deleteConsumerGroups(List.of(group)).all().get();
        try (var reader = consumer(group, Map.of())) {
            reader.subscribe(List.of(full));
            step("first after that", read(reader, 1).get(0).offset());
            reader.commitSync(Map.of(partition, new OffsetAndMetadata(9)));
            var description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            step("group", description.groupState() + " " + description.members().size() + " " + description.partitionAssignor());
            step("delete a group that has members", outcome(remove));
        }
        step("group listed", admin.listGroups().all().get().stream().filter(one -> one.groupId().equals(group)).map(one -> one.groupState().get()).toList());
        Callable<Long> offset = () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition).offset();
        step("offset of the group", offset.call());
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(14))).all().get();
        step("offset after a reset", offset.call());
        step("delete an offset", outcome(() -> admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get()));
        step("delete the group", outcome(remove));
        step("delete it again", outcome(remove));
        step("log directories", outcome(() -> admin.describeLogDirs(List.of(0)).allDescriptions().get()));
        step("producers", outcome(() -> admin.describeProducers(List.of(partition)).all().get()));
        step("nodes", admin.describeCluster().nodes().get().stream().map(Node::id).toList());
        step("delete a topic", outcome(() -> admin.deleteTopics(List.of(topic)).all().get()));
        step("delete it again", outcome(() -> admin.deleteTopics(List.of(topic)).all().get()));
        String compacted = create(fresh("v"), 1, Map.of("cleanup.policy", "compact"));
        try (var producer = producer(Map.of())) {
            step("compacted, with a key", outcome(() -> producer.send(new ProducerRecord<>(compacted, "k".getBytes(), "v".getBytes())).get()));
            step("compacted, without a key", outcome(() -> producer.send(new ProducerRecord<>(compacted, "v".getBytes())).get()));
        }
    }

    static void transactions() throws Exception {
        try (var producer = producer(Map.of("transactional.id", fresh("t")))) {
            long begin = System.nanoTime();
            String seen = outcome(producer::initTransactions);
            step("transactions", seen.equals("ok") ? seen : seen + within(5, begin));
        }
    }

    static String within(int seconds, long begin) {
        double took = (System.nanoTime() - begin) / 1e9;
        return took < seconds ? " within " + seconds + " s" : " after " + took + " s";
    }

    static Map<String, Object> security(String protocol, String mechanism, String password) {
        var config = new HashMap<String, Object>(Map.of(
            "security.protocol", protocol, "ssl.truststore.type", "PEM", "ssl.truststore.location", System.getenv("CERTIFICATE")));
        if (mechanism != null) {
            String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
            config.put("sasl.mechanism", mechanism);
            config.put("sasl.jaas.config",
                "org.apache.kafka.common.security." + module + " required username=\"alice\" password=\"" + password + "\";");
        }
        return config;
    }

    static void securedListener(String protocol, String address, String mechanism) throws Exception {
        String name = mechanism == null ? protocol : protocol + ", " + mechanism, plain = bootstrap, topic = create(fresh("v"), 1, Map.of());
        var config = security(protocol, mechanism, "alice-secret");
        bootstrap = address;
        try (var producer = producer(config); var reader = consumer(fresh("g"), config)) {
            String sent = outcome(() -> producer.send(new ProducerRecord<>(topic, "v".getBytes())).get());
            reader.subscribe(List.of(topic));
            step(name, sent + " " + text(read(reader, 1).get(0).value()));
        }
        if (mechanism != null) {
            long begin = System.nanoTime();
            try (var refused = Admin.create(properties(security(protocol, mechanism, "wrong")))) {
                String seen = outcome(() -> refused.describeCluster().nodes().get());
                step(name + ", a wrong password", seen + within(10, begin));
            }
        }
        bootstrap = plain;
    }

    /** The listeners with TLS or SASL, in the environment as PROTOCOL=ADDRESS. */
    static void securedListeners() throws Exception {
        for (String one : System.getenv().getOrDefault("SECURED", "").split(" ")) {
            if (one.isEmpty()) continue;
            String[] parts = one.split("=");
            if (parts[0].equals("SSL")) {
                securedListener(parts[0], parts[1], null);
            } else {
                for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256")) securedListener(parts[0], parts[1], mechanism);
            }
        }
    }

    static final Map<String, Map<String, Object>> PROTOCOLS = Map.of("classic", Map.of(), "consumer", Map.of("group.protocol", "consumer"));

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        if (args.length > 1) {
            // Its input ends with this program, and then so does it.
            var watch = new Thread(() -> {
                try {
                    System.in.read();
                } catch (java.io.IOException closed) {
                    // The same.
                }
                Runtime.getRuntime().halt(1);
            });
            watch.setDaemon(true);
            watch.start();
            var member = new Member(args[2], args[3], PROTOCOLS.get(args[4]));
            while (true) member.consumer.poll(POLL);
        }
        admin = Admin.create(properties(Map.of()));
        codecsAndAcks();
        seek();
        for (String name : List.of("classic", "consumer")) commitAndResume(name, PROTOCOLS.get(name));
        resetWhenOutOfRange();
        for (String name : List.of("classic", "consumer")) groupWithACrash(name, PROTOCOLS.get(name));
        cooperative();
        staticMember();
        administration();
        transactions();
        securedListeners();
        System.exit(0);
    }
}
