"""What the programs for Python share: the records that are sent, waiting, and the line of a step.

Each program runs the same steps, as those for other languages do, and prints one line for a step:
its name and what was seen. There are no times or random names in it, so that the lines of two
brokers can be compared by diff.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid

LIMIT = 60
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BEGIN = 1_700_000_000_000
RECORDS = 20


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


def timestamp(i):
    return BEGIN + 10 * i


def sent(i):
    return (i, timestamp(i), key(i), value(i), headers(i))


def compared(found):
    """Says whether the records found, each as `sent` makes it, are those sent."""
    for i, record in enumerate(found):
        if record != sent(i):
            return f"{record} for {sent(i)}"
    return f"{len(found)} as sent"


def until(what, condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} hangs")


def step(name, seen):
    print(f"{name}: {seen}", flush=True)


def within(seconds, begin):
    took = time.monotonic() - begin
    return f"within {seconds} s" if took < seconds else f"after {took:.1f} s"


def secured():
    """The listeners with TLS or SASL: each with its protocol, address and mechanism (None: no SASL)."""
    for protocol, address in (one.split("=") for one in os.environ.get("SECURED", "").split()):
        for mechanism in ["PLAIN", "SCRAM-SHA-256"] if protocol.startswith("SASL") else [None]:
            yield protocol, address, mechanism


def name_of(protocol, mechanism):
    return f"{protocol}, {mechanism}" if mechanism else protocol


# The authority of the listeners' certificate, and the one user that there is.
CERTIFICATE = os.environ.get("CERTIFICATE")
USER, PASSWORD = "alice", "alice-secret"


class Member:
    """A member of a group in a process of its own, to be killed."""

    def __init__(self, *arguments):
        # Its input ends with this program, and then so does it.
        self.process = subprocess.Popen([sys.executable, sys.argv[0], *arguments], stdin=subprocess.PIPE)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def end_with_the_parent():
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()


def kept_of(first, last, revoked):
    """Whether what a member owns after a cooperative rebalance never left it."""
    return "kept" if set(last) <= set(first) and not set(last) & set(revoked) else "taken away"
