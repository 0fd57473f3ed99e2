// kafkajs through the steps: kafkajs.mjs BOOTSTRAP
// It has neither static members nor cooperative rebalances, and consumes in groups only.
import { readFileSync } from 'node:fs'
import zlib from 'node:zlib'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import { lz4Compress, lz4Decompress } from '@platformatic/wasm-utils'
import { CODECS, LIMIT, RECORDS, compared, endWithTheParent, fresh, key, member, outcome, range, sameNumbers, shown, step, timestamp, until, value, within } from './common.mjs'

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs
const [bootstrap, mode, ...rest] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } })
const admin = kafka.admin()

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4Compress(encoder.buffer),
  decompress: async buffer => lz4Decompress(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => zlib.zstdCompressSync(encoder.buffer),
  decompress: async buffer => zlib.zstdDecompressSync(buffer),
})
const COMPRESSION = [CompressionTypes.None, CompressionTypes.GZIP, CompressionTypes.Snappy, CompressionTypes.LZ4, CompressionTypes.ZSTD]

const headers = i => (i % 2 ? { trace: ['1', '2'], empty: '' } : {})
const pairs = object => Object.entries(object).flatMap(([name, values]) => [values].flat().map(one => [name, one.toString()]))
const kind = error => error.errors?.[0]?.type ?? error.type ?? error.cause?.type ?? error.name

async function create(topic, numPartitions = 1, configEntries = []) {
  await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] })
  return topic
}

async function filled({ acks = -1, compression = 0, idempotent = false } = {}) {
  const topic = await create(fresh('j'))
  const producer = kafka.producer({ idempotent, allowAutoTopicCreation: false })
  await producer.connect()
  const messages = range(RECORDS).map(i => ({
    key: key(i), value: value(i), headers: headers(i), timestamp: `${timestamp(i)}`, partition: 0,
  }))
  await producer.send({ topic, acks, compression, messages })
  await producer.disconnect()
  return topic
}

/// A consumer that runs, and what it has read.
async function consume(groupId, topics, { fromBeginning = true, from = kafka } = {}) {
  const consumer = from.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 200, rebalanceTimeout: 6000, maxWaitTimeInMs: 100 })
  const running = { consumer, found: [], owned: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { running.owned = Object.values(payload.memberAssignment).flat() })
  await consumer.connect()
  await consumer.subscribe({ topics: [topics].flat(), fromBeginning })
  await consumer.run({ autoCommit: false, eachMessage: async ({ topic, message }) => { running.found.push({ ...message, topic }) } })
  running.next = async () => {
    await until('reading', () => running.found.length > 0)
    return running.found.shift()
  }
  return running
}

async function codecsAndAcks() {
  const topics = new Map()
  for (const [i, codec] of CODECS.entries()) {
    for (const acks of [0, 1, -1]) {
      const topic = await filled({ acks, compression: COMPRESSION[i], idempotent: acks === -1 })
      topics.set(topic, `${codec}, acks ${acks}`)
    }
  }
  // One for all: its joins are slow.
  const { consumer, found } = await consume(fresh('g'), [...topics.keys()])
  await until('reading', () => found.length >= RECORDS * topics.size)
  for (const [topic, name] of topics) {
    const lines = found.filter(m => m.topic === topic).map(m => shown(m.offset, m.timestamp, m.key, m.value, pairs(m.headers)))
    step(name, compared(lines, i => pairs(headers(i))))
  }
  await consumer.disconnect()
}

async function seek() {
  const topic = await filled()
  const reader = await consume(fresh('g'), topic)
  await until('reading', () => reader.found.length === RECORDS)
  reader.found.length = 0
  reader.consumer.seek({ topic, partition: 0, offset: '15' })
  step('seek to 15', (await reader.next()).offset)
  await reader.consumer.disconnect()
  const [{ low, high }] = await admin.fetchTopicOffsets(topic)
  step('bounds', [low, high])
  for (const [name, time] of [['record 7', timestamp(7)], ['between', timestamp(7) - 3], ['after all', timestamp(99)]]) {
    step(`offset at the time of ${name}`, (await admin.fetchTopicOffsetsByTimestamp(topic, time))[0].offset)
  }
}

async function commitAndResume() {
  const topic = await filled()
  const groupId = fresh('g')
  let reader = await consume(groupId, topic)
  await reader.next()
  await reader.consumer.commitOffsets([{ topic, partition: 0, offset: '12', metadata: 'here' }])
  await reader.consumer.disconnect()
  const [committed] = (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions
  step('committed', `${committed.offset} ${committed.metadata}`)
  reader = await consume(groupId, topic)
  step('resumed at', (await reader.next()).offset)
  await reader.consumer.disconnect()
  step('committed by no one', (await admin.fetchOffsets({ groupId: fresh('g'), topics: [topic] }))[0].partitions[0].offset)
}

async function resetWhenOutOfRange() {
  for (const fromBeginning of [true, false]) {
    const topic = await filled()
    const groupId = fresh('g')
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '5000' }] })
    const { consumer, found } = await consume(groupId, topic, { fromBeginning })
    const producer = kafka.producer()
    await producer.connect()
    const end = Date.now() + LIMIT
    while (found.length === 0 && Date.now() < end) {
      if (!fromBeginning) await producer.send({ topic, messages: [{ value: 'new' }] })
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    step(fromBeginning ? 'reset to earliest' : 'reset to latest', fromBeginning ? found[0].offset : found[0].offset >= RECORDS)
    await producer.disconnect()
    await consumer.disconnect()
  }
}

const settle = async (members, each) => {
  await until(`a balance of ${each}`, () => `${members.map(one => one.owned.length)}` === `${each}`)
  return each
}

async function groupWithACrash() {
  const topic = await create(fresh('j'), 6)
  const groupId = fresh('g')
  const members = [await consume(groupId, topic), await consume(groupId, topic)]
  const kill = member(bootstrap, 'member', groupId, topic)
  step('group of three', await settle(members, [2, 2]))
  kill()
  step('after a crash', await settle(members, [3, 3]))
  await members.pop().consumer.disconnect()
  step('after a leave', await settle(members, [6]))
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: range(60).map(i => ({ value: `${i}`, partition: i % 6 })) })
  await producer.disconnect()
  const [{ consumer, found }] = members
  await until('reading by the group', () => found.length >= 60)
  step('read by the group', sameNumbers(found.map(m => m.value.toString()), range(60).map(String)))
  await consumer.disconnect()
}

async function administration() {
  const topic = await create(fresh('j'), 2, [{ name: 'retention.ms', value: '60000' }])
  step('create again', await admin.createTopics({ topics: [{ topic }] }))
  step('create with a bad name', await outcome(() => create('a b'), kind))
  step('create without partitions', await outcome(() => create(fresh('j'), 0), kind))
  step('create with an unknown configuration', await outcome(() => create(fresh('j'), 1, [{ name: 'no.such', value: '1' }]), kind))
  step('create with a bad value', await outcome(() => create(fresh('j'), 1, [{ name: 'retention.ms', value: 'x' }]), kind))
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const [described] = (await admin.describeConfigs({ resources: [resource], includeSynonyms: false })).resources
  for (const name of ['retention.ms', 'cleanup.policy', 'max.message.bytes']) {
    const { configValue, configSource } = described.configEntries.find(entry => entry.configName === name)
    step(`described ${name}`, `${configValue} ${configSource}`)
  }
  step('configurations', described.configEntries.length)
  for (const count of [5, 3]) {
    step(`partitions to ${count}`, await outcome(() => admin.createPartitions({ topicPartitions: [{ topic, count }] }), kind))
  }
  step('partitions', (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length)
  const change = { ...resource, configEntries: [{ name: 'retention.ms', value: '120000' }] }
  step('alter a configuration', await outcome(() => admin.alterConfigs({ resources: [change], validateOnly: false }), kind))
  const full = await filled()
  for (const offset of ['5', '3', `${RECORDS + 1}`]) {
    const seen = await outcome(() => admin.deleteTopicRecords({ topic: full, partitions: [{ partition: 0, offset }] }), kind)
    step(`delete records before ${offset}`, seen)
  }
  const groupId = fresh('g')
  const reader = await consume(groupId, full)
  step('first after that', (await reader.next()).offset)
  await reader.consumer.commitOffsets([{ topic: full, partition: 0, offset: '9' }])
  const [group] = (await admin.describeGroups([groupId])).groups
  step('group', `${group.state} ${group.members.length} ${group.protocol}`)
  const remove = () => admin.deleteGroups([groupId])
  const groupKind = error => error.groups?.[0]?.error?.type ?? kind(error)
  step('delete a group that has members', await outcome(remove, groupKind))
  await reader.consumer.disconnect()
  step('group listed', (await admin.listGroups()).groups.filter(one => one.groupId === groupId).map(one => one.protocolType))
  const offset = async () => (await admin.fetchOffsets({ groupId, topics: [full] }))[0].partitions[0].offset
  step('offset of the group', await offset())
  await admin.setOffsets({ groupId, topic: full, partitions: [{ partition: 0, offset: '14' }] })
  step('offset after a reset', await offset())
  step('delete the group', await outcome(remove, groupKind))
  step('delete it again', await outcome(remove, groupKind))
  step('nodes', (await admin.describeCluster()).brokers.map(node => node.nodeId))
  const removeTopic = () => admin.deleteTopics({ topics: [topic] })
  step('delete a topic', await outcome(removeTopic, kind))
  step('delete it again', await outcome(removeTopic, kind))
  const compacted = await create(fresh('j'), 1, [{ name: 'cleanup.policy', value: 'compact' }])
  const producer = kafka.producer()
  await producer.connect()
  for (const [name, key] of [['with', 'k'], ['without', null]]) {
    step(`compacted, ${name} a key`, await outcome(() => producer.send({ topic: compacted, messages: [{ key, value: 'v' }] }), kind))
  }
  await producer.disconnect()
}

async function transactions() {
  const producer = kafka.producer({ transactionalId: fresh('t'), maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  const begin = Date.now()
  const seen = await outcome(() => producer.transaction(), kind)
  step('transactions', seen === 'ok' ? seen : `${seen} ${within(5, begin)}`)
  await producer.disconnect()
}

async function securedListener(protocol, address, mechanism) {
  const name = mechanism ? `${protocol}, ${mechanism.toUpperCase()}` : protocol
  const ssl = protocol.endsWith('SSL') && { ca: [readFileSync(process.env.CERTIFICATE)] }
  const connected = password => new Kafka({
    brokers: [address], ssl, sasl: mechanism && { mechanism, username: 'alice', password }, logLevel: logLevel.NOTHING,
  })
  const topic = await create(fresh('j'))
  const producer = connected('alice-secret').producer()
  await producer.connect()
  const sent = await outcome(() => producer.send({ topic, messages: [{ value: 'v' }] }), kind)
  await producer.disconnect()
  const { consumer, next } = await consume(fresh('g'), topic, { from: connected('alice-secret') })
  step(name, `${sent} ${(await next()).value}`)
  await consumer.disconnect()
  if (mechanism) {
    const begin = Date.now()
    const seen = await outcome(() => connected('wrong').admin().connect(), error => error.name)
    step(`${name}, a wrong password`, `${seen} ${within(10, begin)}`)
  }
}

/// The listeners with TLS or SASL, in the environment as PROTOCOL=ADDRESS.
async function securedListeners() {
  for (const one of (process.env.SECURED ?? '').split(' ').filter(Boolean)) {
    const [protocol, address] = one.split('=')
    for (const mechanism of protocol === 'SSL' ? [undefined] : ['plain', 'scram-sha-256']) {
      await securedListener(protocol, address, mechanism)
    }
  }
}

if (mode === 'member') {
  endWithTheParent()
  await consume(...rest)
} else {
  await admin.connect()
  for (const one of [codecsAndAcks, seek, commitAndResume, resetWhenOutOfRange, groupWithACrash, administration, transactions, securedListeners]) {
    await one()
  }
  await admin.disconnect()
  process.exit(0)
}
