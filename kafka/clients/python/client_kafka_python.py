"""kafka-python through the steps: client_kafka_python.py BOOTSTRAP"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import kafka
from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from common import *

BOOTSTRAP = sys.argv[1]
ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def outcome(action):
    try:
        action()
        return "ok"
    except KafkaError as error:
        return type(error).__name__


def create(topic, partitions=1, **configs):
    ADMIN.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})
    return topic


def filled(**config):
    topic = create(fresh("k"))
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)
    futures = [
        producer.send(topic, key=key(i), value=value(i), headers=headers(i), timestamp_ms=timestamp(i), partition=0)
        for i in range(RECORDS)]
    producer.flush(LIMIT)
    for future in futures:
        future.get(LIMIT)
    producer.close()
    return topic


def consumer(group=None, **config):
    return kafka.KafkaConsumer(**{
        "bootstrap_servers": BOOTSTRAP, "group_id": group, "auto_offset_reset": "earliest",
        "enable_auto_commit": False, "consumer_timeout_ms": LIMIT * 1000, "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 200, "partition_assignment_strategy": (RangePartitionAssignor,), **config})


def codecs_and_acks():
    for codec in CODECS:
        for acks in [0, 1, "all"]:
            topic = filled(
                acks=acks, compression_type=None if codec == "none" else codec, linger_ms=5,
                enable_idempotence=acks == "all")
            reader = consumer()
            reader.assign([TopicPartition(topic, 0)])
            records = [next(reader) for _ in range(RECORDS)]
            found = [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]
            step(f"{codec}, acks {acks}", compared(found))
            reader.close()


def seek():
    partition, reader = TopicPartition(filled(), 0), consumer()
    reader.assign([partition])
    next(reader)
    reader.seek(partition, 15)
    step("seek to 15", next(reader).offset)
    bounds = reader.beginning_offsets([partition])[partition], reader.end_offsets([partition])[partition]
    step("bounds", bounds)
    for name, asked in [("record 7", timestamp(7)), ("between", timestamp(7) - 3), ("after all", timestamp(99))]:
        found = reader.offsets_for_times({partition: asked})[partition]
        step(f"offset at the time of {name}", found and found.offset)
    reader.close()


def commit_and_resume():
    topic, group = filled(), fresh("g")
    partition, reader = TopicPartition(topic, 0), consumer(group)
    reader.subscribe([topic])
    next(reader)
    reader.commit({partition: OffsetAndMetadata(12, "here", -1)})
    reader.close(autocommit=False)
    reader = consumer(group)
    reader.subscribe([topic])
    committed = reader.committed(partition, metadata=True)
    step("committed", f"{committed.offset} {committed.metadata}")
    step("resumed at", next(reader).offset)
    reader.close(autocommit=False)
    reader = consumer(fresh("g"))
    step("committed by no one", reader.committed(partition))
    reader.close()


def reset_when_out_of_range():
    for reset in ["earliest", "latest", "none"]:
        partition = TopicPartition(filled(), 0)
        reader = consumer(auto_offset_reset=reset)
        reader.assign([partition])
        reader.seek(partition, 5_000)
        if reset == "none":
            step("reset by error", outcome(lambda: next(reader)))
        elif reset == "earliest":
            step("reset to earliest", next(reader).offset)
        else:
            producer, found = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP), []

            def poll():
                producer.send(partition.topic, b"new", partition=0).get(LIMIT)
                found.extend(r.offset for records in reader.poll(200).values() for r in records)
                return found

            until("the reset", poll)
            producer.close()
            step("reset to latest", found[0] >= RECORDS)
        reader.close()


class Listener(ConsumerRebalanceListener):
    def __init__(self):
        self.assigned, self.revoked = 0, []

    def on_partitions_assigned(self, assigned):
        self.assigned += 1

    def on_partitions_revoked(self, revoked):
        self.revoked.extend(revoked)


def member(group, topic, listener=None, **config):
    made = consumer(group, **config)
    made.subscribe([topic], listener=listener)
    return made


def settle(members, each):
    def settled():
        # A thread for each: a poll that waits for the group waits for the other members.
        list(pool.map(lambda one: one.poll(200), members))
        return [len(one.assignment()) for one in members] == each

    with ThreadPoolExecutor(len(members)) as pool:
        until(f"a balance of {each}", settled)
    return each


def group_with_a_crash():
    topic, group = create(fresh("k"), 6), fresh("g")
    members = [member(group, topic) for _ in range(2)]
    crashes = Member(BOOTSTRAP, "member", group, topic)
    step("group of three", settle(members, [2, 2]))
    crashes.kill()
    step("after a crash", settle(members, [3, 3]))
    members.pop().close()
    step("after a leave", settle(members, [6]))
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for i in range(60):
        producer.send(topic, b"%d" % i, partition=i % 6)
    producer.flush()
    read = sorted(int(next(members[0]).value) for _ in range(60))
    step("read by the group", read == list(range(60)))
    members[0].close()


def cooperative():
    topic, group, listener = create(fresh("k"), 6), fresh("g"), Listener()
    config = {"partition_assignment_strategy": (CooperativeStickyAssignor,)}
    members = [member(group, topic, listener, **config)]
    settle(members, [6])
    begin = members[0].assignment()
    members += [member(group, topic, **config) for _ in range(2)]
    step("cooperative", settle(members, [2, 2, 2]))
    step("partitions of the first", kept_of(begin, members[0].assignment(), listener.revoked))
    for one in members:
        one.close()


def static_member():
    topic, group, listener = create(fresh("k"), 4), fresh("g"), Listener()
    stays = member(group, topic, listener, group_instance_id="stays")
    returns = member(group, topic, group_instance_id="returns")
    settle([stays, returns], [2, 2])
    owned, before = returns.assignment(), listener.assigned
    returns.close()
    returns = member(group, topic, group_instance_id="returns")
    settle([stays, returns], [2, 2])
    step("static member returns to its partitions", returns.assignment() == owned)
    step("rebalances of the other", listener.assigned - before)
    stays.close()
    returns.close()


def administration():
    topic = create(fresh("k"), 2, **{"retention.ms": "60000"})
    step("create again", outcome(lambda: create(topic)))
    step("create with a bad name", outcome(lambda: create("a b")))
    step("create without partitions", outcome(lambda: create(fresh("k"), 0)))
    step("create with an unknown configuration", outcome(lambda: create(fresh("k"), 1, **{"no.such": "1"})))
    step("create with a bad value", outcome(lambda: create(fresh("k"), 1, **{"retention.ms": "x"})))
    described = ADMIN.describe_configs([ConfigResource("topic", topic)], config_filter="all")["topic"][topic]
    for name in ["retention.ms", "cleanup.policy", "max.message.bytes"]:
        step(f"described {name}", f"{described[name]['value']} {described[name]['config_source']}")
    step("configurations", len(described))
    step("partitions to 5", outcome(lambda: ADMIN.create_partitions({topic: 5})))
    step("partitions to 3", outcome(lambda: ADMIN.create_partitions({topic: 3})))
    step("partitions", len(ADMIN.describe_topics([topic])[0]["partitions"]))
    for incremental in [True, False]:
        change = ConfigResource("topic", topic, {"retention.ms": "120000"})
        step(f"alter a configuration, incremental {incremental}", outcome(
            lambda: ADMIN.alter_configs([change], incremental=incremental)))
    full = filled()
    partition = TopicPartition(full, 0)
    for before in [5, 3, RECORDS + 1]:
        try:
            seen = ADMIN.delete_records({partition: before})[partition]["low_watermark"]
        except KafkaError as error:
            seen = type(error).__name__
        step(f"delete records before {before}", seen)
    group = fresh("g")
    reader = member(group, full)
    step("first after that", next(reader).offset)
    reader.commit({partition: OffsetAndMetadata(9, "", -1)})
    description = ADMIN.describe_groups([group])[group]
    step("group", f"{description['group_state']} {len(description['members'])} {description['protocol_data']}")
    remove = lambda: ADMIN.delete_groups([group])
    step("delete a group that has members", remove()[group])
    reader.close(autocommit=False)
    step("group listed", [one["group_state"] for one in ADMIN.list_groups() if one["group_id"] == group])
    offset = lambda: ADMIN.list_group_offsets({group: [partition]})[group][partition].offset
    step("offset of the group", offset())
    ADMIN.alter_group_offsets(group, {partition: OffsetAndMetadata(14, "", -1)})
    step("offset after a reset", offset())
    step("delete an offset", ADMIN.delete_group_offsets(group, [partition])[partition].__name__)
    step("delete the group", remove()[group])
    step("delete it again", remove()[group])
    step("nodes", [node["broker_id"] for node in ADMIN.describe_cluster()["brokers"]])
    step("delete a topic", outcome(lambda: ADMIN.delete_topics([topic])))
    step("delete it again", outcome(lambda: ADMIN.delete_topics([topic])))
    compacted = create(fresh("k"), 1, **{"cleanup.policy": "compact"})
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for name, sent_key in [("with", b"k"), ("without", None)]:
        seen = outcome(lambda: producer.send(compacted, b"v", key=sent_key).get(LIMIT))
        step(f"compacted, {name} a key", seen)
    producer.close()


def transactions():
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=fresh("t"))
    begin = time.monotonic()
    seen = outcome(producer.init_transactions)
    step("transactions", f"{seen} {within(5, begin) if seen != 'ok' else ''}".strip())


def secured_listeners():
    for protocol, address, mechanism in secured():
        name, servers = name_of(protocol, mechanism), {
            "bootstrap_servers": address, "security_protocol": protocol, "ssl_cafile": CERTIFICATE}
        if mechanism:
            servers |= {"sasl_mechanism": mechanism, "sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
        topic = create(fresh("k"))
        producer = kafka.KafkaProducer(**servers)
        sent = outcome(lambda: producer.send(topic, b"v").get(LIMIT))
        producer.close()
        reader = member(fresh("g"), topic, **servers)
        step(name, f"{sent} {next(reader).value}")
        reader.close()
        if mechanism:
            # It tries again until this time is over, whatever the server answers.
            begin, wrong = time.monotonic(), {"sasl_plain_password": "wrong", "bootstrap_timeout_ms": 3000}
            seen = outcome(lambda: KafkaAdminClient(**{**servers, **wrong}))
            step(f"{name}, a wrong password", f"{seen} {within(10, begin)}")


if sys.argv[2:3] == ["member"]:
    end_with_the_parent()
    crashes = member(*sys.argv[3:5])
    while True:
        crashes.poll(100)

codecs_and_acks()
seek()
commit_and_resume()
reset_when_out_of_range()
group_with_a_crash()
cooperative()
static_member()
administration()
transactions()
secured_listeners()
