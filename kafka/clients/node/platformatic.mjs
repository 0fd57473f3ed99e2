// @platformatic/kafka through the steps: platformatic.mjs BOOTSTRAP
// It has no cooperative rebalances, and its headers are a map: no name occurs twice.
import { Admin, Consumer, Producer } from '@platformatic/kafka'
import { CODECS, RECORDS, compared, endWithTheParent, fresh, key, member, outcome, range, sameNumbers, shown, step, timestamp, until, value, within } from './common.mjs'

const [bootstrap, mode, ...rest] = process.argv.slice(2)
const base = { clientId: 'steps', bootstrapBrokers: [bootstrap], retryDelay: 50 }
const admin = new Admin(base)
const TOPIC = 2 // a kind of resource

const headers = i => (i % 2 ? [['trace', '1'], ['empty', '']] : [])
const buffers = pairs => new Map(pairs.map(pair => pair.map(text => Buffer.from(text))))

/// The names of Kafka's errors in an error and those that it has gathered.
function kind(error) {
  const kinds = new Set()
  const visit = one => {
    if (!one) return
    if (one.apiId) kinds.add(one.apiId)
    for (const inner of [...(one.errors ?? []), one.cause]) visit(inner)
  }
  visit(error)
  return [...kinds].join(' ') || error.code || error.name
}

async function create(topic, partitions = 1, configs = []) {
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  return topic
}

async function filled({ acks = -1, compression = 'none', idempotent = false } = {}) {
  const topic = await create(fresh('p'))
  const producer = new Producer({ ...base, idempotent })
  const messages = range(RECORDS).map(i => ({
    topic, key: key(i), value: value(i), headers: buffers(headers(i)), timestamp: BigInt(timestamp(i)), partition: 0,
  }))
  await producer.send({ messages, acks, compression })
  await producer.close()
  return topic
}

/// A consumer that runs, and what it has read.
async function consume(groupId, topic, { mode = 'committed', instance, ...options } = {}) {
  const consumer = new Consumer({
    ...base, groupId, groupInstanceId: instance, sessionTimeout: 6000, heartbeatInterval: 200, rebalanceTimeout: 6000, maxWaitTime: 100,
  })
  const running = { consumer, found: [], joins: 0, owned: [], error: null }
  consumer.on('consumer:group:join', ({ assignments }) => {
    running.joins += 1
    running.owned = assignments.filter(one => one.topic === topic).flatMap(one => one.partitions)
  })
  const stream = await consumer.consume({ topics: [topic], autocommit: false, mode, fallbackMode: 'earliest', ...options })
  stream.on('data', message => running.found.push(message))
  stream.on('error', error => { running.error = error })
  running.next = async () => {
    await until('reading', () => running.found.length > 0 || running.error)
    if (running.error) throw running.error
    return running.found.shift()
  }
  running.stop = () => consumer.close(true)
  return running
}

async function codecsAndAcks() {
  for (const compression of CODECS) {
    for (const acks of [0, 1, -1]) {
      const topic = await filled({ acks, compression, idempotent: acks === -1 })
      const { found, stop } = await consume(fresh('g'), topic)
      await until('reading', () => found.length >= RECORDS)
      const lines = found.map(m => shown(m.offset, m.timestamp, m.key, m.value, m.headerEntries))
      step(`${compression}, acks ${acks}`, compared(lines, headers))
      await stop()
    }
  }
}

async function seek() {
  const topic = await filled()
  const reader = await consume(fresh('g'), topic, { mode: 'manual', offsets: [{ topic, partition: 0, offset: 15n }] })
  step('seek to 15', (await reader.next()).offset)
  const at = async timestamp => (await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }] }))[0].partitions[0].offset
  step('bounds', [await at(-2n), await at(-1n)])
  for (const [name, time] of [['record 7', timestamp(7)], ['between', timestamp(7) - 3], ['after all', timestamp(99)]]) {
    step(`offset at the time of ${name}`, await at(BigInt(time)))
  }
  await reader.stop()
}

async function offsetOf(groupId, name) {
  const [group] = await admin.listConsumerGroupOffsets({ groups: [{ groupId, topics: [{ name, partitionIndexes: [0] }] }] })
  return group.topics[0].partitions[0]
}

async function commitAndResume() {
  const topic = await filled()
  const groupId = fresh('g')
  let reader = await consume(groupId, topic)
  await reader.next()
  await reader.consumer.commit({ offsets: [{ topic, partition: 0, offset: 12n, leaderEpoch: 0 }] })
  await reader.stop()
  step('committed', (await offsetOf(groupId, topic)).committedOffset)
  reader = await consume(groupId, topic)
  step('resumed at', (await reader.next()).offset)
  await reader.stop()
  step('committed by no one', (await offsetOf(fresh('g'), topic)).committedOffset)
}

async function outOfRange() {
  const topic = await filled()
  const reader = await consume(fresh('g'), topic, { mode: 'manual', offsets: [{ topic, partition: 0, offset: 5000n }] })
  step('out of range', await outcome(reader.next, kind))
  await reader.stop()
}

const settle = async (members, each) => {
  await until(`a balance of ${each}`, () => `${members.map(one => one.owned.length)}` === `${each}`)
  return each
}

async function groupWithACrash() {
  const topic = await create(fresh('p'), 6)
  const groupId = fresh('g')
  const members = [await consume(groupId, topic), await consume(groupId, topic)]
  const kill = member(bootstrap, 'member', groupId, topic)
  step('group of three', await settle(members, [2, 2]))
  kill()
  step('after a crash', await settle(members, [3, 3]))
  await members.pop().stop()
  step('after a leave', await settle(members, [6]))
  const producer = new Producer(base)
  await producer.send({ messages: range(60).map(i => ({ topic, value: Buffer.from(`${i}`), partition: i % 6 })), acks: -1 })
  await producer.close()
  const [{ found, stop }] = members
  await until('reading by the group', () => found.length >= 60)
  step('read by the group', sameNumbers(found.map(m => m.value.toString()), range(60).map(String)))
  await stop()
}

async function staticMember() {
  const topic = await create(fresh('p'), 4)
  const groupId = fresh('g')
  const stays = await consume(groupId, topic, { instance: 'stays' })
  let returns = await consume(groupId, topic, { instance: 'returns' })
  await settle([stays, returns], [2, 2])
  await returns.stop()
  // It leaves when it is closed, static or not.
  returns = await consume(groupId, topic, { instance: 'returns' })
  step('static member returns', await settle([stays, returns], [2, 2]))
  await stays.stop()
  await returns.stop()
}

async function administration() {
  const topic = await create(fresh('p'), 2, [{ name: 'retention.ms', value: '60000' }])
  step('create again', await outcome(() => create(topic), kind))
  step('create with a bad name', await outcome(() => create('a b'), kind))
  step('create with an unknown configuration', await outcome(() => create(fresh('p'), 1, [{ name: 'no.such', value: '1' }]), kind))
  step('create with a bad value', await outcome(() => create(fresh('p'), 1, [{ name: 'retention.ms', value: 'x' }]), kind))
  const resource = { resourceType: TOPIC, resourceName: topic }
  const [{ configs }] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: null }] })
  for (const name of ['retention.ms', 'cleanup.policy', 'max.message.bytes']) {
    const { value, configSource } = configs.find(entry => entry.name === name)
    step(`described ${name}`, `${value} ${configSource}`)
  }
  step('configurations', configs.length)
  for (const count of [5, 3]) {
    step(`partitions to ${count}`, await outcome(() => admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] }), kind))
  }
  step('partitions', (await admin.metadata({ topics: [topic] })).topics.get(topic).partitionsCount)
  const change = { ...resource, configs: [{ name: 'retention.ms', configOperation: 0, value: '120000' }] }
  step('alter a configuration', await outcome(() => admin.incrementalAlterConfigs({ resources: [change] }), kind))
  const full = await filled()
  for (const offset of [5n, 3n, BigInt(RECORDS + 1)]) {
    let seen
    const remove = async () => { seen = (await admin.deleteRecords({ topics: [{ name: full, partitions: [{ partition: 0, offset }] }] }))[0].partitions[0].lowWatermark }
    const failed = await outcome(remove, kind)
    step(`delete records before ${offset}`, failed === 'ok' ? seen : failed)
  }
  const groupId = fresh('g')
  const reader = await consume(groupId, full)
  step('first after that', (await reader.next()).offset)
  await reader.consumer.commit({ offsets: [{ topic: full, partition: 0, offset: 9n, leaderEpoch: 0 }] })
  const group = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
  step('group', `${group.state} ${group.members.size} ${group.protocol}`)
  const remove = () => admin.deleteGroups({ groups: [groupId] })
  step('delete a group that has members', await outcome(remove, kind))
  await reader.stop()
  step('group listed', (await admin.listGroups()).get(groupId).state)
  step('offset of the group', (await offsetOf(groupId, full)).committedOffset)
  await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: full, partitionOffsets: [{ partition: 0, offset: 14n }] }] })
  step('offset after a reset', (await offsetOf(groupId, full)).committedOffset)
  const forget = () => admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: full, partitionIndexes: [0] }] })
  step('delete an offset', await outcome(forget, kind))
  step('delete the group', await outcome(remove, kind))
  step('delete it again', await outcome(remove, kind))
  const removeTopic = () => admin.deleteTopics({ topics: [topic] })
  step('delete a topic', await outcome(removeTopic, kind))
  step('delete it again', await outcome(removeTopic, kind))
  const compacted = await create(fresh('p'), 1, [{ name: 'cleanup.policy', value: 'compact' }])
  const producer = new Producer({ ...base, retries: 0 })
  for (const [name, key] of [['with', Buffer.from('k')], ['without', undefined]]) {
    const send = () => producer.send({ messages: [{ topic: compacted, key, value: Buffer.from('v') }], acks: -1 })
    step(`compacted, ${name} a key`, await outcome(send, kind))
  }
  await producer.close()
}

async function transactions() {
  const producer = new Producer({ ...base, transactionalId: fresh('t'), idempotent: true, retries: 3 })
  const begin = Date.now()
  const seen = await outcome(async () => { await producer.beginTransaction() }, kind)
  step('transactions', seen === 'ok' ? seen : `${seen} ${within(5, begin)}`)
  await producer.close()
}

if (mode === 'member') {
  endWithTheParent()
  await consume(...rest)
} else {
  for (const one of [codecsAndAcks, seek, commitAndResume, outOfRange, groupWithACrash, staticMember, administration, transactions]) {
    await one()
  }
  process.exit(0)
}
