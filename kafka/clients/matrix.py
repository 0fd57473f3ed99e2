"""Runs a Kafka client for Python through what a program does with it, against any broker.

    matrix.py BOOTSTRAP CLIENT...

The clients are confluent, kafka-python and aiokafka. Each case asserts what it sees, so the same
program can be run against another broker to compare.
"""

import asyncio
import sys
import time
import uuid

LIMIT = 60
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BEGIN = 1_700_000_000_000
RECORDS = 100


def fresh(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def key(i):
    return None if i % 3 == 0 else b"k%d" % i


def value(i):
    """Null, empty or long: a record without a key has a value."""
    if i % 7 == 0 and key(i) is not None:
        return None
    return b"" if i % 5 == 0 else b"v" * (i * 5)


def headers(i):
    return [("trace", b"1"), ("trace", b"2"), ("empty", b"")] if i % 2 else []


def check(i, offset, timestamp, got_key, got_value, got_headers):
    expected = (i, BEGIN + i, key(i), value(i), headers(i))
    got = (offset, timestamp, got_key, got_value, list(got_headers or []))
    assert got == expected, (got, expected)


def until(what, condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"{what} hangs"


def run(cases):
    for case in cases:
        begin = time.monotonic()
        case()
        print(f"  {case.__name__:34} {time.monotonic() - begin:6.2f} s", flush=True)


def confluent(bootstrap):
    import confluent_kafka as ck
    from confluent_kafka import admin

    servers = {"bootstrap.servers": bootstrap}
    administrator = admin.AdminClient(servers)

    def create(topic, partitions=1, **config):
        new = admin.NewTopic(topic, partitions, 1, config=config)
        administrator.create_topics([new])[topic].result(LIMIT)

    def produce(topic, **config):
        reports = []
        producer = ck.Producer({**servers, "linger.ms": 5, **config})
        for i in range(RECORDS):
            producer.produce(
                topic, key=key(i), value=value(i), headers=headers(i), timestamp=BEGIN + i,
                partition=0, on_delivery=lambda error, message: reports.append(error),
            )
        assert producer.flush(LIMIT) == 0
        assert reports == [None] * RECORDS, reports

    def consumer(group, topic, **config):
        config = {
            **servers, "group.id": group, "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 6000, **config,
        }
        made = ck.Consumer(config)
        made.subscribe([topic])
        return made

    def read(made, count):
        found = []

        def poll():
            message = made.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                found.append(message)
            return len(found) >= count

        until("reading", poll)
        return found

    def codecs_and_acks():
        for codec in CODECS:
            for acks in ["0", "1", "all"]:
                topic = fresh("c")
                produce(topic, **{"compression.type": codec, "acks": acks})
                reader = consumer(fresh("g"), topic)
                for i, message in enumerate(read(reader, RECORDS)):
                    kind, timestamp = message.timestamp()
                    assert kind == ck.TIMESTAMP_CREATE_TIME
                    check(i, message.offset(), timestamp, message.key(), message.value(), message.headers())
                reader.close()

    def idempotence():
        topic = fresh("c")
        produce(topic, **{"enable.idempotence": True, "compression.type": "lz4"})
        assert len(read(consumer(fresh("g"), topic), RECORDS)) == RECORDS

    def commit_and_resume():
        topic, group = fresh("c"), fresh("g")
        produce(topic)
        reader = consumer(group, topic)
        read(reader, 1)
        reader.commit(offsets=[ck.TopicPartition(topic, 0, 40, "here")], asynchronous=False)
        reader.close()
        reader = consumer(group, topic)
        committed = reader.committed([ck.TopicPartition(topic, 0)], LIMIT)[0]
        assert (committed.offset, committed.metadata) == (40, "here"), committed
        assert read(reader, 1)[0].offset() == 40
        reader.close()

    def seek_by_offset_and_time():
        topic = fresh("c")
        produce(topic)
        reader = consumer(fresh("g"), topic)
        read(reader, 1)
        assert reader.get_watermark_offsets(ck.TopicPartition(topic, 0), LIMIT) == (0, RECORDS)
        reader.seek(ck.TopicPartition(topic, 0, 70))
        assert read(reader, 1)[0].offset() == 70
        at = ck.TopicPartition(topic, 0, BEGIN + 50)
        assert reader.offsets_for_times([at], LIMIT)[0].offset == 50
        reader.close()

    def reset_when_out_of_range():
        for reset, expected in [("earliest", 0), ("latest", RECORDS)]:
            topic = fresh("c")
            produce(topic)
            reader = ck.Consumer({**servers, "group.id": fresh("g"), "auto.offset.reset": reset})
            reader.assign([ck.TopicPartition(topic, 0, 5_000)])
            found = []

            def poll():
                message = reader.poll(0.1)
                if message is not None:
                    assert message.error() is None, message.error()
                    found.append(message.offset())
                if expected == RECORDS and reader.position([ck.TopicPartition(topic, 0)])[0].offset < 0:
                    producer = ck.Producer(servers)
                    producer.produce(topic, value=b"new", partition=0)
                    producer.flush(LIMIT)
                return bool(found)

            until("the reset", poll)
            assert found[0] >= expected, found
            reader.close()

    def group_of_three(strategy, **static):
        topic, group = fresh("c"), fresh("g")
        create(topic, 6)
        members = [
            consumer(group, topic, **{"partition.assignment.strategy": strategy, **(
                {"group.instance.id": f"m{i}"} if static else {})})
            for i in range(3)
        ]

        def settled(live):
            owned = [len(member.assignment()) for member in live]
            for member in live:
                member.poll(0.05)
            return sum(owned) == 6 and max(owned) - min(owned) <= 1

        until("the first balance", lambda: settled(members))
        members[0].close()
        if static:
            # It is away, and the group keeps its partitions until its session is over.
            assert sum(len(member.assignment()) for member in members[1:]) == 4
        until("the balance after a leave", lambda: settled(members[1:]))
        members.append(consumer(group, topic, **{"partition.assignment.strategy": strategy}))
        until("the balance after a join", lambda: settled(members[1:]))
        producer = ck.Producer(servers)
        for i in range(60):
            producer.produce(topic, value=b"%d" % i, partition=i % 6)
        producer.flush(LIMIT)
        found = []

        def poll():
            for member in members[1:]:
                message = member.poll(0.02)
                if message is not None and message.error() is None:
                    found.append(int(message.value()))
            return len(found) >= 60

        until("reading by a group", poll)
        assert sorted(found) == list(range(60)), sorted(found)
        for member in members[1:]:
            member.close()

    def group_of_three_range():
        group_of_three("range")

    def group_of_three_cooperative():
        group_of_three("cooperative-sticky")

    def group_of_three_static():
        group_of_three("range", static=True)

    def administration():
        topic = fresh("c")
        compacted = fresh("c")
        create(compacted, 1, **{"cleanup.policy": "compact"})
        reports = []
        producer = ck.Producer(servers)
        for sent in [{"key": b"k", "value": b"v"}, {"value": b"v"}]:
            producer.produce(compacted, on_delivery=lambda error, _: reports.append(error), **sent)
            producer.flush(LIMIT)
        assert reports[0] is None
        assert reports[1].code() == ck.KafkaError.INVALID_RECORD, reports
        create(topic, 2, **{"retention.ms": "60000"})
        try:
            create(topic)
            raise AssertionError("a topic was created twice")
        except ck.KafkaException as error:
            assert error.args[0].code() == ck.KafkaError.TOPIC_ALREADY_EXISTS
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
        described = administrator.describe_configs([resource])[resource].result(LIMIT)
        assert described["cleanup.policy"].value == "delete"
        assert described["retention.ms"].value == "60000"
        administrator.create_partitions([admin.NewPartitions(topic, 5)])[topic].result(LIMIT)
        assert len(administrator.list_topics(topic, LIMIT).topics[topic].partitions) == 5
        produce(topic)
        before = ck.TopicPartition(topic, 0, 30)
        deleted = administrator.delete_records([before])[before].result(LIMIT)
        assert deleted.low_watermark == 30
        cluster = administrator.describe_cluster().result(LIMIT)
        assert len(cluster.nodes) == 1 and cluster.controller is not None
        group = fresh("g")
        reader = consumer(group, topic)
        read(reader, RECORDS - 30)
        reader.commit(asynchronous=False)
        described = administrator.describe_consumer_groups([group])[group].result(LIMIT)
        assert described.state == ck.ConsumerGroupState.STABLE
        assert len(described.members) == 1
        reader.close()
        listed = administrator.list_consumer_groups().result(LIMIT).valid
        assert group in [found.group_id for found in listed]
        offsets = ck.ConsumerGroupTopicPartitions(group)
        found = administrator.list_consumer_group_offsets([offsets])[group].result(LIMIT)
        committed = {p.partition: p.offset for p in found.topic_partitions}
        assert committed[0] == RECORDS, committed
        reset = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(topic, 0, 50)])
        administrator.alter_consumer_group_offsets([reset])[group].result(LIMIT)
        reader = consumer(group, topic)
        assert read(reader, 1)[0].offset() == 50
        reader.close()
        administrator.delete_consumer_groups([group])[group].result(LIMIT)
        administrator.delete_topics([topic])[topic].result(LIMIT)

    def transactions_are_refused_at_once():
        producer = ck.Producer({**servers, "transactional.id": fresh("t")})
        begin = time.monotonic()
        try:
            producer.init_transactions(LIMIT)
        except ck.KafkaException as error:
            assert error.args[0].code() == ck.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, error
        else:
            raise AssertionError("transactions were accepted")
        assert time.monotonic() - begin < 5

    run([
        codecs_and_acks, idempotence, commit_and_resume, seek_by_offset_and_time,
        reset_when_out_of_range, group_of_three_range, group_of_three_cooperative,
        group_of_three_static, administration, transactions_are_refused_at_once,
    ])


def kafka_python(bootstrap):
    import kafka
    from kafka import TopicPartition

    def produce(topic, **config):
        producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, **config)
        sent = [
            producer.send(topic, key=key(i), value=value(i), headers=headers(i),
                          timestamp_ms=BEGIN + i, partition=0)
            for i in range(RECORDS)
        ]
        producer.flush()
        assert [one.get(LIMIT).offset for one in sent] == list(range(RECORDS))
        producer.close()

    def consumer(topic, group):
        return kafka.KafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
            enable_auto_commit=False, consumer_timeout_ms=LIMIT * 1000,
        )

    def codecs():
        for codec in CODECS:
            topic = fresh("k")
            produce(topic, acks="all", compression_type=None if codec == "none" else codec)
            reader = consumer(topic, fresh("g"))
            for i in range(RECORDS):
                record = next(reader)
                check(i, record.offset, record.timestamp, record.key, record.value, record.headers)
            reader.close()

    def commit_seek_and_resume():
        topic, group = fresh("k"), fresh("g")
        produce(topic)
        reader, partition = consumer(topic, group), TopicPartition(topic, 0)
        next(reader)
        reader.commit({partition: kafka.OffsetAndMetadata(40, "here", -1)})
        assert reader.offsets_for_times({partition: BEGIN + 50})[partition].offset == 50
        assert reader.beginning_offsets([partition]) == {partition: 0}
        assert reader.end_offsets([partition]) == {partition: RECORDS}
        reader.seek(partition, 70)
        assert next(reader).offset == 70
        reader.close(autocommit=False)
        reader = consumer(topic, group)
        assert next(reader).offset == 40
        reader.close(autocommit=False)

    run([codecs, commit_seek_and_resume])


def aiokafka(bootstrap):
    import aiokafka

    async def round_trip(codec):
        topic = fresh("a")
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=True,
            compression_type=None if codec == "none" else codec,
        )
        await producer.start()
        for i in range(RECORDS):
            sent = await producer.send_and_wait(
                topic, key=key(i), value=value(i), headers=headers(i), timestamp_ms=BEGIN + i,
                partition=0)
            assert sent.offset == i
        await producer.stop()
        reader = aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id=fresh("g"),
            auto_offset_reset="earliest", enable_auto_commit=False)
        await reader.start()
        for i in range(RECORDS):
            record = await asyncio.wait_for(reader.getone(), LIMIT)
            check(i, record.offset, record.timestamp, record.key, record.value, record.headers)
        await reader.commit()
        await reader.stop()

    def codecs():
        for codec in CODECS:
            asyncio.run(round_trip(codec))

    run([codecs])


if __name__ == "__main__":
    for client in sys.argv[2:]:
        print(client, flush=True)
        {"confluent": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}[client](sys.argv[1])
