"""Runs leaves and routers of both implementations and waits for what they say. It knows no scenario.

Every wait has a limit that is far above what is needed; what was heard until then is shown where it passes.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time

PATIENCE_S = float(os.environ.get("INTEROP_PATIENCE_S", "40.0"))
QUIET_S = 0.7  # how long something must not happen for it to count as not happening


class Failure(Exception):
    """An expectation that was not met, in words."""


def text_of(value):
    """The canonical text of a descriptor: what both leaves print and look up."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def same(a, b):
    """Equality that tells 1 from 1.0 and from true."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


held_ports = []


def free_port():
    """A port for routers of this test, also when they are started again: while a socket holds it, the system gives it to no other."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    held_ports.append(holder)
    return holder.getsockname()[1]


class Process:
    """A program whose lines are read as they come."""

    running = []

    def __init__(self, name, words):
        self.name, self.words = name, words
        self.lines, self.errors = [], []
        self.broken = None  # in words
        self.heard = threading.Condition()
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE)
        Process.running.append(self)
        self.readers = [threading.Thread(target=self.read, args=pair, daemon=True)
                        for pair in ((self.child.stdout, self.take_line),
                                     (self.child.stderr, self.take_error))]
        for reader in self.readers:
            reader.start()

    def read(self, stream, take):
        for line in stream:
            with self.heard:
                take(line.decode("utf-8", "replace").rstrip("\n"))
                self.heard.notify_all()
        with self.heard:
            self.heard.notify_all()

    def take_line(self, line):
        self.lines.append(line)

    def take_error(self, line):
        self.errors.append(line)

    def wait(self, what, found):
        """Until found() gives something other than None, which is returned."""
        until = time.monotonic() + PATIENCE_S
        with self.heard:
            while True:
                if self.broken:
                    raise Failure(f"{self.broken}\n{self.told()}")
                result = found()
                if result is not None:
                    return result
                if self.child.poll() is not None and not any(r.is_alive() for r in self.readers):
                    raise Failure(f"{self.name} ended with {self.child.returncode} instead of "
                                  f"{what}\n{self.told()}")
                left = until - time.monotonic()
                if left <= 0:
                    raise Failure(f"{self.name}: {what} did not come within {PATIENCE_S} s\n"
                                  f"{self.told()}")
                self.heard.wait(min(left, 0.2))

    def told(self):
        shown = [line[:300] for line in self.lines[-30:]]
        return "\n".join([f"-- {self.name} said last:", *shown, "-- and on stderr:",
                          *[line[:300] for line in self.errors[-30:]]])

    def signal(self, number):
        self.child.send_signal(number)

    def say(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def end(self, number=None, expect=0):
        """Ends it by a signal, or by the end of its input; expect None: in whatever way."""
        if number is not None:
            self.child.send_signal(number)
        else:
            self.child.stdin.close()
        try:
            code = self.child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} does not end\n{self.told()}") from None
        for reader in self.readers:
            reader.join()
        Process.running.remove(self)
        if expect is not None and code != expect:
            raise Failure(f"{self.name} ended with {code} instead of {expect}\n{self.told()}")

    def kill(self):
        self.end(signal.SIGKILL, None)

    @staticmethod
    def kill_all():
        while Process.running:
            Process.running[-1].kill()


class Leaf(Process):
    """One of the two leaf programs: README.md has its commands and events."""

    programs = {}  # "c", "rust": path

    def __init__(self, kind, url, name, parameters=""):
        self.kind, self.url = kind, url
        self.events, self.answers = [], []
        self.dropped = {}  # identity: its events before this one are of a contract that is gone
        super().__init__(f"{kind} leaf {name}", [Leaf.programs[kind]])
        self.connect(parameters)

    def take_line(self, line):
        super().take_line(line)
        said = json.loads(line)
        if "event" in said:
            said["key"] = text_of(said["object"])
            self.events.append(said)
        else:
            if "error" in said:
                self.broken = f"{self.name} could not obey: {line}"
            self.answers.append(said)

    def order(self, *words):
        """One command; returns its answer."""
        before = len(self.answers)
        try:
            self.child.stdin.write("\t".join(map(str, words)).encode() + b"\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{self.name} has gone\n{self.told()}") from None
        return self.wait(f"an answer to {words[0]}",
                         lambda: self.answers[before] if len(self.answers) > before else None)

    def connect(self, parameters=""):
        self.order("connect", self.url + ("#" + parameters if parameters else ""))

    def disconnect(self):
        self.order("disconnect")

    def observe(self, identity, thing, tags=()):
        self.order("observe", identity, text_of(thing), *map(text_of, tags))

    def observe_tag(self, identity, tag):
        self.order("observe-tag", identity, text_of(tag))

    def expose(self, identity, thing, tags=(), capacity=1):
        self.order("expose", identity, capacity, text_of(thing), *map(text_of, tags))

    def expose_tag(self, identity, tag, capacity=1):
        self.order("expose-tag", identity, capacity, text_of(tag))

    def try_send(self, identity, thing, data, version=(), formats=("JSON",)):
        """False: no sink is open. What was heard of it may be older."""
        text = text_of(data) if formats and formats[-1] == "JSON" else data
        return "done" in self.order("send", identity, text_of(thing), " ".join(map(str, version)),
                                    " ".join(formats), text)

    def send(self, *words):
        """Where nothing may close the sink."""
        if not self.try_send(*words):
            raise Failure(f"{self.name}: the sink has closed\n{self.told()}")

    def drop(self, identity):
        self.order("drop", identity)
        self.dropped[identity] = self.mark()

    def mark(self):
        """How much was heard: with `since` only what comes later counts."""
        with self.heard:
            return len(self.events)

    def of(self, identity, thing=None, since=0):
        key = None if thing is None else text_of(thing)
        return [e for e in self.events[since:]
                if e["id"] == identity and (key is None or e["key"] == key)]

    def wait_event(self, identity, kind, thing=None, since=0):
        def found():
            return next((e for e in self.of(identity, thing, since) if e["event"] == kind), None)
        return self.wait(f"{kind} of {identity}", found)

    def wait_sink(self, identity, thing, since=0):
        """Until a sink is open now."""
        def found():
            sinks = [e for e in self.of(identity, thing, since) if e["event"] == "sink"]
            return sinks[-1] if sinks and self.has_sink(identity, thing) else None
        return self.wait(f"an open sink of {identity}", found)

    def open_sinks(self, *identities):
        """The objects whose sinks are open now. Theirs may tell of a new sink before the end of the old one."""
        with self.heard:
            now = {}
            for identity in identities:
                for e in self.of(identity, since=self.dropped.get(identity, 0)):
                    if e["event"] in ("sink", "unsink"):
                        change = 1 if e["event"] == "sink" else -1
                        now[identity, e["key"]] = now.get((identity, e["key"]), 0) + change
            return {key for (_, key), count in now.items() if count > 0}

    def has_sink(self, identity, thing):
        return text_of(thing) in self.open_sinks(identity)

    def newest(self, identity, thing, since=0):
        states = [e for e in self.of(identity, thing, since) if e["event"] == "state"]
        return states[-1] if states else None

    def wait_state(self, identity, thing, data, synchronized=True, since=0):
        """Until the newest state has these data."""
        def found():
            e = self.newest(identity, thing, since)
            good = e and same(e.get("data", e.get("text")), data)
            return e if good and e["synchronized"] == synchronized else None
        shown = text_of(data)
        return self.wait(f"a state {shown[:60]}, synchronized {synchronized}, of {identity}", found)

    def check_versions(self, identity):
        """What an observer sees never goes back."""
        with self.heard:
            last = {}
            for e in self.of(identity):
                if e["event"] == "open" and self.kind == "rust":
                    last.pop(e["key"], None)  # a new stream begins anew there
                if e["event"] == "state":
                    before = last.get(e["key"])
                    if before is not None and e["version"] < before:
                        raise Failure(f"{self.name}: version {e['version']} after {before}")
                    last[e["key"]] = e["version"]


class Router(Process):
    def wait_listening(self, port):
        def found():
            with socket.socket() as probe:
                return True if probe.connect_ex(("127.0.0.1", port)) == 0 else None
        self.wait("listening", found)

    def wait_ready(self, number):
        """Until it would be given this signal instead of being ended by it: theirs listens, and answers, before."""
        def found():
            with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
                caught = next(line.split()[1] for line in status if line.startswith("SigCgt:"))
            return True if int(caught, 16) >> (number - 1) & 1 else None
        self.wait(f"being ready for signal {number}", found)


class RustRouter(Router):
    program = None

    def __init__(self, name, upstream=None, port=None, parameters=""):
        self.port = port or free_port()
        self.upstream, self.parameters = upstream, parameters
        self.urls = {"ws": f"ws://127.0.0.1:{self.port}"}
        # With one worker thread it hangs: reading its input takes that one.
        words = [RustRouter.program, "-t", "2", "-b",
                 self.urls["ws"] + ("#" + parameters if parameters else "")]
        super().__init__(f"rust router {name}", words + (["-c", upstream] if upstream else []))
        self.wait_listening(self.port)

    def restart(self):
        self.kill()
        return RustRouter(self.name, self.upstream, self.port, self.parameters)


class OurRouter(Router):
    program = None

    def __init__(self, name, schemes, upstream=None, urls=None, parameters=""):
        self.upstream, self.parameters, self.urls = upstream, parameters, {}
        words = [OurRouter.program]
        for scheme in schemes:
            bind = urls[scheme] if urls else f"{scheme}://127.0.0.1:{free_port()}"
            words += ["-b", bind + ("#" + parameters if parameters else "")]
        super().__init__(f"our router {name}", words + (["-c", upstream] if upstream else []))
        for count, scheme in enumerate(schemes, 1):
            self.wait("listening", lambda: True if len(self.lines) >= count else None)
            self.urls[scheme] = self.lines[count - 1].removeprefix("listening ")

    def restart(self):
        self.kill()
        return OurRouter(self.name, list(self.urls), self.upstream, self.urls, self.parameters)


def stay_quiet(check):
    """Fails where check() gives words within a while."""
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        words = check()
        if words:
            raise Failure(words)
        time.sleep(0.02)


def eventually(what, check):
    until = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > until:
            raise Failure(what() if callable(what) else what)
        time.sleep(0.02)


def exists(path):
    return path and os.access(path, os.X_OK)
