import com.lmax.disruptor.EventPoller;
import com.lmax.disruptor.InsufficientCapacityException;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.YieldingWaitStrategy;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashSet;
import java.util.concurrent.CyclicBarrier;

/**
 * Runs the LMAX Disruptor with one producer and one consumer. Each line of standard input is a
 * run: "multi slots words batch messages". The answer is "nanoseconds messages sum disorder", or
 * "error" and a message.
 */
public final class Lmax {
    static final class Event {
        final long[] words;

        Event(int words) {
            this.words = new long[words];
        }
    }

    /** The result of one thread of a run. */
    static final class Result {
        long time;
        long count;
        long sum;
        long disorder;
        String failure;
    }

    /** Waits as the harness does for all systems: 16 spin hints, then yields, then gives up. */
    static final class Backoff {
        private int attempts;
        private long since;

        void reset() {
            attempts = 0;
        }

        void snooze() {
            if (++attempts <= 1024) {
                for (int i = 0; i < 16; i++) {
                    Thread.onSpinWait();
                }
                return;
            }
            if (attempts == 1025) {
                since = System.nanoTime();
            } else if (System.nanoTime() - since > 20_000_000_000L) {
                throw new IllegalStateException("nothing moved for 20 s");
            }
            Thread.yield();
        }
    }

    /** Word {@code word} of every message, as message/content.rs defines it. */
    static long filler(int word) {
        return word * 0x9E3779B97F4A7C15L;
    }

    static void produce(RingBuffer<Event> ring, long[] message, int batch, long messages) {
        Backoff backoff = new Backoff();
        long next = 0;
        while (next < messages) {
            long high;
            try {
                high = ring.tryNext(batch);
            } catch (InsufficientCapacityException full) {
                backoff.snooze();
                continue;
            }
            backoff.reset();
            for (long slot = high - batch + 1; slot <= high; slot++) {
                message[0] = next++;
                System.arraycopy(message, 0, ring.get(slot).words, 0, message.length);
            }
            ring.publish(high - batch + 1, high);
        }
    }

    static void consume(EventPoller<Event> poller, boolean multi, long messages, Result out)
            throws Exception {
        Backoff backoff = new Backoff();
        // The poller's sequence advances after a poll, so 256 events at a time return room to the
        // producer early. But the ring for many producers is scanned at every poll: take all.
        long mask = multi ? -1 : 255;
        EventPoller.Handler<Event> handler = (event, sequence, last) -> {
            long sum = 0;
            for (long word : event.words) {
                sum += word;
            }
            out.sum += sum;
            out.disorder |= event.words[0] ^ out.count;
            return (++out.count & mask) != 0;
        };
        while (out.count < messages) {
            if (poller.poll(handler) == EventPoller.PollState.PROCESSING) {
                backoff.reset();
            } else {
                backoff.snooze();
            }
        }
    }

    static String run(boolean multi, int slots, int words, int batch, long messages)
            throws Exception {
        RingBuffer<Event> ring = multi
            ? RingBuffer.createMultiProducer(() -> new Event(words), slots, new YieldingWaitStrategy())
            : RingBuffer.createSingleProducer(() -> new Event(words), slots, new YieldingWaitStrategy());
        EventPoller<Event> poller = ring.newPoller();
        ring.addGatingSequences(poller.getSequence());
        long[] message = new long[words];
        for (int word = 1; word < words; word++) {
            message[word] = filler(word);
        }
        CyclicBarrier ready = new CyclicBarrier(2);
        Result sent = new Result();
        Result read = new Result();
        Thread producer = new Thread(() -> {
            try {
                ready.await();
                sent.time = System.nanoTime();
                produce(ring, message, batch, messages);
            } catch (Exception failure) {
                sent.failure = failure.toString();
            }
        });
        Thread consumer = new Thread(() -> {
            try {
                ready.await();
                consume(poller, multi, messages, read);
                read.time = System.nanoTime();
            } catch (Exception failure) {
                read.failure = failure.toString();
            }
        });
        producer.start();
        consumer.start();
        producer.join();
        consumer.join();
        if (read.failure != null || sent.failure != null) {
            return "error " + (read.failure != null ? read.failure : sent.failure);
        }
        return (read.time - sent.time) + " " + read.count + " " + Long.toUnsignedString(read.sum)
            + " " + Long.toUnsignedString(read.disorder);
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        HashSet<String> warm = new HashSet<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] job = line.split(" ");
            boolean multi = job[0].equals("multi");
            int slots = Integer.parseInt(job[1]);
            int words = Integer.parseInt(job[2]);
            int batch = Integer.parseInt(job[3]);
            long messages = Long.parseLong(job[4]);
            if (warm.add(job[0] + " " + words + " " + batch)) {
                // The just-in-time compiler compiles only code that has run for some time.
                for (int i = 0; i < 5; i++) {
                    run(multi, slots, words, batch, 100_000 / batch * batch);
                }
            }
            System.out.println(run(multi, slots, words, batch, messages));
        }
    }
}
