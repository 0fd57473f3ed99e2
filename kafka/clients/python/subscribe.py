"""How long it takes from the creation of a consumer, in a group of its own, to its first record:
subscribe.py BOOTSTRAP"""

import asyncio
import sys
import time

import aiokafka
import confluent_kafka as ck
import kafka

from common import fresh

BOOTSTRAP = sys.argv[1]
ROUNDS = 10


def report(client, subscribe):
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        close = subscribe()
        took.append(1000 * (time.perf_counter() - begin))
        close()
    took.sort()
    print(f"{client}: {took[ROUNDS // 2]:.1f} ms ({took[0]:.1f} to {took[-1]:.1f})", flush=True)


def confluent(protocol):
    def subscribe():
        consumer = ck.Consumer({
            "bootstrap.servers": BOOTSTRAP, "group.id": fresh("g"), "group.protocol": protocol,
            "auto.offset.reset": "earliest"})
        consumer.subscribe([TOPIC])
        while (record := consumer.poll(10)) is None or record.error():
            pass
        return consumer.close
    return subscribe


def kafka_python():
    consumer = kafka.KafkaConsumer(
        TOPIC, bootstrap_servers=BOOTSTRAP, group_id=fresh("g"), auto_offset_reset="earliest")
    next(consumer)
    return consumer.close


def of_aiokafka():
    async def subscribe():
        consumer = aiokafka.AIOKafkaConsumer(
            TOPIC, bootstrap_servers=BOOTSTRAP, group_id=fresh("g"), auto_offset_reset="earliest")
        await consumer.start()
        await consumer.getone()
        return consumer.stop
    loop = asyncio.new_event_loop()
    stop = loop.run_until_complete(subscribe())
    return lambda: loop.run_until_complete(stop())


TOPIC = fresh("subscribe")
producer = ck.Producer({"bootstrap.servers": BOOTSTRAP})
for _ in range(20):
    producer.produce(TOPIC, b"value")
assert producer.flush(10) == 0
report("confluent-kafka, classic", confluent("classic"))
report("confluent-kafka, consumer", confluent("consumer"))
report("kafka-python", kafka_python)
report("aiokafka", of_aiokafka)
