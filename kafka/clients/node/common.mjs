// What the programs for JavaScript share: the records that are sent, waiting, and the line of a step.
// The steps and their lines are those of ../python/common.py.
import { randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'

export const LIMIT = 60_000
export const RECORDS = 20
export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const BEGIN = 1_700_000_000_000

export const fresh = prefix => `${prefix}-${randomUUID().slice(24)}`
export const key = i => (i % 3 === 0 ? null : Buffer.from(`k${i}`))
export const value = i => (i % 7 === 0 && key(i) !== null ? null : Buffer.from(i % 5 === 0 ? '' : 'v'.repeat(i * 5)))
export const timestamp = i => BEGIN + 10 * i
export const step = (name, seen) => console.log(`${name}: ${seen}`)
export const range = count => [...Array(count).keys()]

const text = bytes => (bytes === null || bytes === undefined ? 'null' : JSON.stringify(bytes.toString()))

/// A record as text. Headers are pairs of names and values.
export const shown = (offset, time, key, value, headers) =>
  [offset, time, text(key), text(value), headers.map(([name, value]) => `${name}=${value}`)].join(' ')

export function compared(found, headers) {
  for (const i of range(found.length)) {
    const sent = shown(i, timestamp(i), key(i), value(i), headers(i))
    if (found[i] !== sent) return `${found[i]} for ${sent}`
  }
  return `${found.length} as sent`
}

export async function until(what, condition) {
  const end = Date.now() + LIMIT
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} hangs`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/// `ok`, or the name of the error.
export async function outcome(action, name) {
  try {
    await action()
    return 'ok'
  } catch (error) {
    return name(error)
  }
}

export function within(seconds, begin) {
  const took = (Date.now() - begin) / 1000
  return took < seconds ? `within ${seconds} s` : `after ${took} s`
}

/// A member of a group in a process of its own, to be killed. Its input ends with this program, and
/// then so does it.
export function member(...args) {
  const child = spawn(process.execPath, [process.argv[1], ...args], { stdio: ['pipe', 'inherit', 'inherit'] })
  return () => child.kill('SIGKILL')
}

export function endWithTheParent() {
  process.stdin.resume()
  process.stdin.on('end', () => process.exit(1))
}

export const sameNumbers = (one, other) => `${[...one].sort()}` === `${[...other].sort()}`
