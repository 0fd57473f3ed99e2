"""confluent-kafka (librdkafka) through the steps: client_confluent.py BOOTSTRAP"""

import sys
import time

import confluent_kafka as ck
from confluent_kafka import admin

from common import *

SERVERS = {"bootstrap.servers": sys.argv[1]}
ADMIN = admin.AdminClient(SERVERS)


def outcome(action):
    """`ok`, or the name of the error."""
    try:
        action()
        return "ok"
    except ck.KafkaException as error:
        return error.args[0].name()


def create(topic, partitions=1, **config):
    ADMIN.create_topics([admin.NewTopic(topic, partitions, 1, config=config)])[topic].result(LIMIT)
    return topic


def filled(**config):
    """A topic with the records, sent with this configuration."""
    topic, errors = create(fresh("c")), []
    producer = ck.Producer({**SERVERS, "linger.ms": 5, **config})
    for i in range(RECORDS):
        producer.produce(
            topic, key=key(i), value=value(i), headers=headers(i), timestamp=timestamp(i), partition=0,
            on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(LIMIT) == 0
    assert errors == [None] * RECORDS, errors
    return topic


def consumer(group, topic=None, **config):
    times = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200}
    # By the consumer protocol these are the server's.
    times = {} if config.get("group.protocol") == "consumer" else times
    made = ck.Consumer({
        **SERVERS, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        **times, **config})
    if topic is not None:
        made.subscribe([topic])
    return made


def read(made, count):
    found = []

    def poll():
        message = made.poll(0.1)
        if message is not None:
            if message.error() is not None:
                raise ck.KafkaException(message.error())
            found.append(message)
        return len(found) >= count

    until("reading", poll)
    return found


def codecs_and_acks():
    for codec in CODECS:
        for acks in ["0", "1", "all"]:
            topic = filled(**{"compression.type": codec, "acks": acks})
            reader = consumer(fresh("g"))
            reader.assign([ck.TopicPartition(topic, 0, 0)])
            found = [
                (m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers() or [])
                for m in read(reader, RECORDS)]
            step(f"{codec}, acks {acks}", compared(found))
            reader.close()
    filled(**{"enable.idempotence": True, "compression.type": "lz4"})
    step("idempotent", "ok")


def seek():
    topic = filled()
    reader, at = consumer(fresh("g")), lambda offset: ck.TopicPartition(topic, 0, offset)
    reader.assign([at(0)])
    read(reader, 1)
    reader.seek(at(15))
    step("seek to 15", read(reader, 1)[0].offset())
    step("bounds", reader.get_watermark_offsets(at(0), LIMIT))
    for name, time_asked in [("record 7", timestamp(7)), ("between", timestamp(7) - 3), ("after all", timestamp(99))]:
        step(f"offset at the time of {name}", reader.offsets_for_times([at(time_asked)], LIMIT)[0].offset)
    reader.close()


PROTOCOLS = {
    "classic": {"partition.assignment.strategy": "range"},
    "consumer protocol": {"group.protocol": "consumer"},
}


def named(protocol):
    """What the steps of a protocol are called: the classic one goes without saying."""
    return lambda name: name if protocol == "classic" else f"{protocol}, {name}"


def commit_and_resume(protocol):
    topic, group = filled(), fresh("g")
    config, name = PROTOCOLS[protocol], named(protocol)
    reader = consumer(group, topic, **config)
    read(reader, 1)
    reader.commit(offsets=[ck.TopicPartition(topic, 0, 12, "here")], asynchronous=False)
    reader.close()
    reader = consumer(group, topic, **config)
    committed = reader.committed([ck.TopicPartition(topic, 0)], LIMIT)[0]
    step(name("committed"), f"{committed.offset} {committed.metadata}")
    step(name("resumed at"), read(reader, 1)[0].offset())
    reader.close()
    none = consumer(fresh("g"), **config).committed([ck.TopicPartition(topic, 0)], LIMIT)[0]
    step(name("committed by no one"), none.offset)


def reset_when_out_of_range():
    for reset in ["earliest", "latest", "error"]:
        topic = filled()
        reader = consumer(fresh("g"), **{"auto.offset.reset": reset})
        reader.assign([ck.TopicPartition(topic, 0, 5_000)])
        if reset == "error":
            step("reset by error", outcome(lambda: read(reader, 1)))
        elif reset == "earliest":
            step("reset to earliest", read(reader, 1)[0].offset())
        else:
            producer, found = ck.Producer(SERVERS), []

            def poll():
                producer.produce(topic, value=b"new", partition=0)
                producer.flush(LIMIT)
                message = reader.poll(0.2)
                found.extend([message.offset()] if message else [])
                return found

            until("the reset", poll)
            step("reset to latest", found[0] >= RECORDS)
        reader.close()


def settle(members, each):
    def settled():
        for member in members:
            member.poll(0.02)
        return [len(member.assignment()) for member in members] == each

    # By the consumer protocol a member that has crashed is missed after 45 s.
    until(f"a balance of {each}", settled, 3 * LIMIT)
    return each


def group_with_a_crash(protocol):
    topic, group = create(fresh("c"), 6), fresh("g")
    config, name = PROTOCOLS[protocol], named(protocol)
    members = [consumer(group, topic, **config) for _ in range(2)]
    crashes = Member(sys.argv[1], "member", group, topic, protocol)
    step(name("group of three"), settle(members, [2, 2]))
    crashes.kill()
    step(name("after a crash"), settle(members, [3, 3]))
    members.pop().close()
    step(name("after a leave"), settle(members, [6]))
    producer = ck.Producer(SERVERS)
    for i in range(60):
        producer.produce(topic, value=b"%d" % i, partition=i % 6)
    producer.flush(LIMIT)
    step(name("read by the group"), sorted(int(m.value()) for m in read(members[0], 60)) == list(range(60)))
    members[0].close()


def cooperative():
    topic, group, revoked = create(fresh("c"), 6), fresh("g"), []
    config = {"partition.assignment.strategy": "cooperative-sticky"}
    first = consumer(group, **config)
    first.subscribe([topic], on_revoke=lambda _, partitions: revoked.extend(p.partition for p in partitions))
    members = [first]
    settle(members, [6])
    begin = [p.partition for p in first.assignment()]
    members += [consumer(group, topic, **config) for _ in range(2)]
    step("cooperative", settle(members, [2, 2, 2]))
    step("partitions of the first", kept_of(begin, [p.partition for p in first.assignment()], revoked))
    for member in members:
        member.close()


def static_member():
    topic, group, balances = create(fresh("c"), 4), fresh("g"), []
    made = lambda name, **more: consumer(
        group, **{"group.instance.id": name, "partition.assignment.strategy": "range", **more})
    stays, returns = made("stays"), made("returns")
    stays.subscribe([topic], on_assign=lambda _, partitions: balances.append(len(partitions)))
    returns.subscribe([topic])
    settle([stays, returns], [2, 2])
    owned, before = returns.assignment(), len(balances)
    returns.close()
    returns = made("returns")
    returns.subscribe([topic])
    settle([stays, returns], [2, 2])
    step("static member returns to its partitions", returns.assignment() == owned)
    step("rebalances of the other", len(balances) - before)
    stays.close()
    returns.close()


def administration():
    topic = create(fresh("c"), 2, **{"retention.ms": "60000"})
    step("create again", outcome(lambda: create(topic)))
    step("create with a bad name", outcome(lambda: create("a b")))
    step("create without partitions", outcome(lambda: create(fresh("c"), 0)))
    step("create with an unknown configuration", outcome(lambda: create(fresh("c"), 1, **{"no.such": "1"})))
    step("create with a bad value", outcome(lambda: create(fresh("c"), 1, **{"retention.ms": "x"})))
    resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
    described = ADMIN.describe_configs([resource])[resource].result(LIMIT)
    for name in ["retention.ms", "cleanup.policy", "max.message.bytes"]:
        entry = described[name]
        step(f"described {name}", f"{entry.value} {admin.ConfigSource(entry.source).name}")
    step("configurations", len(described))
    grow = lambda count: ADMIN.create_partitions([admin.NewPartitions(topic, count)])[topic].result(LIMIT)
    step("partitions to 5", outcome(lambda: grow(5)))
    step("partitions to 3", outcome(lambda: grow(3)))
    step("partitions", len(ADMIN.list_topics(topic, LIMIT).topics[topic].partitions))
    change = admin.ConfigResource(admin.ResourceType.TOPIC, topic, incremental_configs=[
        admin.ConfigEntry("retention.ms", "120000", incremental_operation=admin.AlterConfigOpType.SET)])
    step("alter a configuration", outcome(
        lambda: ADMIN.incremental_alter_configs([change])[change].result(LIMIT)))
    full = filled()
    for before in [5, 3, RECORDS + 1]:
        asked = ck.TopicPartition(full, 0, before)
        try:
            seen = ADMIN.delete_records([asked])[asked].result(LIMIT).low_watermark
        except ck.KafkaException as error:
            seen = error.args[0].name()
        step(f"delete records before {before}", seen)
    group = fresh("g")
    reader = consumer(group, full)
    step("first after that", read(reader, 1)[0].offset())
    reader.commit(offsets=[ck.TopicPartition(full, 0, 9)], asynchronous=False)
    description = ADMIN.describe_consumer_groups([group])[group].result(LIMIT)
    step("group", f"{description.state.name} {len(description.members)} {description.partition_assignor}")
    remove = lambda name: ADMIN.delete_consumer_groups([name])[name].result(LIMIT)
    step("delete a group that has members", outcome(lambda: remove(group)))
    reader.close()
    listed = ADMIN.list_consumer_groups().result(LIMIT).valid
    step("group listed", [one.state.name for one in listed if one.group_id == group])
    asked = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(full, 0)])
    offsets = lambda: ADMIN.list_consumer_group_offsets([asked])[group].result(LIMIT).topic_partitions[0].offset
    step("offset of the group", offsets())
    reset = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(full, 0, 14)])
    ADMIN.alter_consumer_group_offsets([reset])[group].result(LIMIT)
    step("offset after a reset", offsets())
    step("delete the group", outcome(lambda: remove(group)))
    step("delete it again", outcome(lambda: remove(group)))
    cluster = ADMIN.describe_cluster().result(LIMIT)
    step("nodes", [node.id for node in cluster.nodes])
    remove_topic = lambda: ADMIN.delete_topics([topic], operation_timeout=LIMIT)[topic].result(LIMIT)
    step("delete a topic", outcome(remove_topic))
    step("delete it again", outcome(remove_topic))
    compacted, errors = create(fresh("c"), 1, **{"cleanup.policy": "compact"}), []
    producer = ck.Producer(SERVERS)
    for record in [{"key": b"k", "value": b"v"}, {"value": b"v"}]:
        producer.produce(compacted, on_delivery=lambda error, _: errors.append(error and error.name()), **record)
        producer.flush(LIMIT)
    step("compacted, with and without a key", errors)


def transactions():
    producer = ck.Producer({**SERVERS, "transactional.id": fresh("t")})
    begin = time.monotonic()
    seen = outcome(lambda: producer.init_transactions(LIMIT))
    step("transactions", f"{seen} {within(5, begin) if seen != 'ok' else ''}".strip())


def secured_listeners():
    for protocol, address, mechanism in secured():
        name, servers = name_of(protocol, mechanism), {
            "bootstrap.servers": address, "security.protocol": protocol, "ssl.ca.location": CERTIFICATE}
        if mechanism:
            servers |= {"sasl.mechanism": mechanism, "sasl.username": USER, "sasl.password": PASSWORD}
        topic, errors = create(fresh("c")), []
        producer = ck.Producer(servers)
        producer.produce(topic, value=b"v", on_delivery=lambda error, _: errors.append(error))
        producer.flush(LIMIT)
        reader = consumer(fresh("g"), topic, **servers)
        step(name, f"{errors} {[m.value() for m in read(reader, 1)]}")
        reader.close()
        if mechanism:
            begin, errors = time.monotonic(), []
            producer = ck.Producer({
                **servers, "sasl.password": "wrong", "error_cb": lambda error: errors.append(error.name())})
            until("the refusal", lambda: producer.poll(0.1) or "_AUTHENTICATION" in errors)
            step(f"{name}, a wrong password", f"{errors[0]} {within(10, begin)}")


if sys.argv[2:3] == ["member"]:
    end_with_the_parent()
    member = consumer(sys.argv[3], sys.argv[4], **PROTOCOLS[sys.argv[5]])
    while True:
        member.poll(0.1)

codecs_and_acks()
seek()
commit_and_resume("classic")
commit_and_resume("consumer protocol")
reset_when_out_of_range()
group_with_a_crash("classic")
group_with_a_crash("consumer protocol")
cooperative()
static_member()
administration()
transactions()
secured_listeners()
