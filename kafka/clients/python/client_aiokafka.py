"""aiokafka through the steps: client_aiokafka.py BOOTSTRAP"""

import asyncio
import logging
import sys

import aiokafka
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, for_code

from common import *

BOOTSTRAP = sys.argv[1]
# It says each rebalance and each error again there.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


async def outcome(action):
    try:
        await action
        return "ok"
    except KafkaError as error:
        return type(error).__name__


async def create(admin, topic, partitions=1, **config):
    answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
    code = answer.topic_errors[0][1]
    if code:
        raise for_code(code)
    return topic


async def new_producer(**config):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **config)
    await producer.start()
    return producer


async def filled(admin, **config):
    topic = await create(admin, fresh("a"))
    producer = await new_producer(**config)
    futures = [
        await producer.send(
            topic, key=key(i), value=value(i), headers=headers(i), timestamp_ms=timestamp(i), partition=0)
        for i in range(RECORDS)]
    await asyncio.wait_for(asyncio.gather(*futures), LIMIT)
    await producer.stop()
    return topic


async def consumer(group=None, topic=None, listener=None, **config):
    made = aiokafka.AIOKafkaConsumer(**{
        "bootstrap_servers": BOOTSTRAP, "group_id": group, "auto_offset_reset": "earliest",
        "enable_auto_commit": False, "session_timeout_ms": 6000, "heartbeat_interval_ms": 200,
        "partition_assignment_strategy": (RangePartitionAssignor,), **config})
    if topic:
        made.subscribe([topic], listener=listener)
    await made.start()
    return made


def following(reader):
    return asyncio.wait_for(reader.getone(), LIMIT)


async def codecs_and_acks(admin):
    for codec in CODECS:
        for acks in [0, 1, "all"]:
            topic = await filled(
                admin, acks=acks, compression_type=None if codec == "none" else codec, linger_ms=5,
                enable_idempotence=acks == "all")
            reader = await consumer()
            reader.assign([TopicPartition(topic, 0)])
            records = [await following(reader) for _ in range(RECORDS)]
            found = [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]
            step(f"{codec}, acks {acks}", compared(found))
            await reader.stop()


async def seek(admin):
    partition, reader = TopicPartition(await filled(admin), 0), await consumer()
    reader.assign([partition])
    await following(reader)
    reader.seek(partition, 15)
    step("seek to 15", (await following(reader)).offset)
    begin, end = await reader.beginning_offsets([partition]), await reader.end_offsets([partition])
    step("bounds", (begin[partition], end[partition]))
    for name, asked in [("record 7", timestamp(7)), ("between", timestamp(7) - 3), ("after all", timestamp(99))]:
        found = (await reader.offsets_for_times({partition: asked}))[partition]
        step(f"offset at the time of {name}", found and found.offset)
    await reader.stop()


async def commit_and_resume(admin):
    topic, group = await filled(admin), fresh("g")
    partition, reader = TopicPartition(topic, 0), await consumer(group, topic)
    await following(reader)
    await reader.commit({partition: (12, "here")})
    await reader.stop()
    found = await admin.list_consumer_group_offsets(group)
    step("committed", f"{found[partition].offset} {found[partition].metadata}")
    reader = await consumer(group, topic)
    step("resumed at", (await following(reader)).offset)
    await reader.stop()
    reader = await consumer(fresh("g"), topic)
    step("committed by no one", await reader.committed(partition))
    await reader.stop()


async def reset_when_out_of_range(admin):
    for reset in ["earliest", "latest", "none"]:
        partition = TopicPartition(await filled(admin), 0)
        reader = await consumer(auto_offset_reset=reset)
        reader.assign([partition])
        reader.seek(partition, 5_000)
        if reset == "none":
            step("reset by error", await outcome(following(reader)))
        elif reset == "earliest":
            step("reset to earliest", (await following(reader)).offset)
        else:
            producer, found = await new_producer(), {}
            end = asyncio.get_running_loop().time() + LIMIT
            while not found:
                assert asyncio.get_running_loop().time() < end, "the reset hangs"
                await producer.send_and_wait(partition.topic, b"new", partition=0)
                found = await reader.getmany(timeout_ms=200)
            await producer.stop()
            step("reset to latest", found[partition][0].offset >= RECORDS)
        await reader.stop()


async def settle(members, each):
    end = asyncio.get_running_loop().time() + LIMIT
    while [len(member.assignment()) for member in members] != each:
        assert asyncio.get_running_loop().time() < end, f"a balance of {each} hangs"
        await asyncio.sleep(0.05)
    return each


async def group_with_a_crash(admin):
    topic, group = await create(admin, fresh("a"), 6), fresh("g")
    members = [await consumer(group, topic) for _ in range(2)]
    crashes = Member(BOOTSTRAP, "member", group, topic)
    step("group of three", await settle(members, [2, 2]))
    crashes.kill()
    step("after a crash", await settle(members, [3, 3]))
    await members.pop().stop()
    step("after a leave", await settle(members, [6]))
    producer = await new_producer()
    for i in range(60):
        await producer.send(topic, b"%d" % i, partition=i % 6)
    await producer.stop()
    read = [int((await following(members[0])).value) for _ in range(60)]
    step("read by the group", sorted(read) == list(range(60)))
    await members[0].stop()


class Listener(aiokafka.ConsumerRebalanceListener):
    assigned = 0
    last = 0

    async def on_partitions_assigned(self, assigned):
        self.assigned += 1
        self.last = len(assigned)

    async def on_partitions_revoked(self, revoked):
        pass


async def static_member(admin):
    topic, group, listener = await create(admin, fresh("a"), 4), fresh("g"), Listener()
    stays = await consumer(group, topic, listener, group_instance_id="stays")
    returns = await consumer(group, topic, group_instance_id="returns")
    await settle([stays, returns], [2, 2])
    # It is called after the assignment is there.
    while listener.last != 2:
        await asyncio.sleep(0.01)
    owned, before = returns.assignment(), listener.assigned
    await returns.stop()
    returns = await consumer(group, topic, group_instance_id="returns")
    await settle([stays, returns], [2, 2])
    step("static member returns to its partitions", returns.assignment() == owned)
    step("rebalances of the other", listener.assigned - before)
    await stays.stop()
    await returns.stop()


async def administration(admin):
    topic = await create(admin, fresh("a"), 2, **{"retention.ms": "60000"})
    step("create again", await outcome(create(admin, topic)))
    step("create with a bad name", await outcome(create(admin, "a b")))
    step("create without partitions", await outcome(create(admin, fresh("a"), 0)))
    step("create with an unknown configuration", await outcome(create(admin, fresh("a"), 1, **{"no.such": "1"})))
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    entries = (await admin.describe_configs([resource]))[0].resources[0][4]
    described = {entry[0]: entry for entry in entries}
    for name in ["retention.ms", "cleanup.policy", "max.message.bytes"]:
        step(f"described {name}", " ".join(str(part) for part in described[name][1:4]))
    step("configurations", len(described))
    step("partitions to 5", await outcome(admin.create_partitions({topic: NewPartitions(5)})))
    step("partitions to 3", await outcome(admin.create_partitions({topic: NewPartitions(3)})))
    step("partitions", len((await admin.describe_topics([topic]))[0]["partitions"]))
    change = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "120000"})
    try:
        altered = (await admin.alter_configs([change]))[0].resources[0][0]
    except KafkaError as error:
        altered = type(error).__name__
    step("alter a configuration", altered)
    full = await filled(admin)
    partition = TopicPartition(full, 0)
    for before in [5, 3, RECORDS + 1]:
        try:
            seen = (await admin.delete_records({partition: RecordsToDelete(before)}))[partition]
        except KafkaError as error:
            seen = type(error).__name__
        step(f"delete records before {before}", seen)
    group = fresh("g")
    reader = await consumer(group, full)
    step("first after that", (await following(reader)).offset)
    await reader.commit({partition: 9})
    description = (await admin.describe_consumer_groups([group]))[0].groups[0]
    step("group", f"{description[2]} {len(description[5])} {description[4]}")
    await reader.stop()
    step("group listed", [one[1] for one in await admin.list_consumer_groups() if one[0] == group])
    step("offset of the group", (await admin.list_consumer_group_offsets(group))[partition].offset)
    step("nodes", [node["node_id"] for node in (await admin.describe_cluster())["brokers"]])
    for name in ["delete a topic", "delete it again"]:
        answer = await admin.delete_topics([topic])
        step(name, for_code(answer.topic_error_codes[0][1]).__name__)
    compacted = await create(admin, fresh("a"), 1, **{"cleanup.policy": "compact"})
    producer = await new_producer()
    for name, sent_key in [("with", b"k"), ("without", None)]:
        step(f"compacted, {name} a key", await outcome(producer.send_and_wait(compacted, b"v", key=sent_key)))
    await producer.stop()


async def transactions(admin):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=fresh("t"))
    begin = time.monotonic()
    seen = await outcome(producer.start())
    step("transactions", f"{seen} {within(5, begin) if seen != 'ok' else ''}".strip())
    await producer.stop()


async def main():
    if sys.argv[2:3] == ["member"]:
        end_with_the_parent()
        await consumer(*sys.argv[3:5])
        await asyncio.sleep(3600)
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    for case in [
        codecs_and_acks, seek, commit_and_resume, reset_when_out_of_range, group_with_a_crash, static_member,
        administration, transactions,
    ]:
        await case(admin)
    await admin.close()


asyncio.run(main())
