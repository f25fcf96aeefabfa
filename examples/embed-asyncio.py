#!/usr/bin/env python3
"""Hakuban inside Python's asyncio, through ctypes: loop.add_reader() on the exchange's descriptor, one timer, no thread.

    embed-asyncio.py LIBRARY URL [COUNT]

Observes everything with the tag "hello" at a router and prints COUNT states (3). LIBRARY is the path of libhakuban.so."""
import asyncio
import ctypes as c
import sys
import types

DRIVE_MANUAL = 1
EVENT_STATE = 2


class Log(c.Structure):
    _fields_ = [("ctx", c.c_void_p), ("write", c.c_void_p), ("level", c.c_int)]


class Options(c.Structure):
    _fields_ = [("size", c.c_uint32), ("drive", c.c_int), ("alloc", c.c_void_p), ("log", Log),
                ("rebalance_threshold", c.c_double)]


class Slice(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_size_t)]


class Event(c.Structure):
    _fields_ = [("size", c.c_uint32), ("kind", c.c_int), ("contract", c.c_void_p), ("connection", c.c_void_p),
                ("user", c.c_void_p), ("object", c.c_void_p), ("state", c.c_void_p),
                ("freshness", c.c_int), ("source", c.c_int), ("age_ns", c.c_uint64),
                ("sink", c.c_void_p), ("version", c.c_void_p), ("version_count", c.c_size_t),
                ("internal", c.c_void_p * 2)]


# Result and arguments of each function that is called. Without them ctypes cuts pointers to 32 bits, and the program crashes.
POINTER = c.c_void_p
SIGNATURES = {
    "hakuban_exchange_new": (c.c_int, [c.POINTER(Options), c.POINTER(POINTER)]),
    "hakuban_exchange_free": (POINTER, [POINTER]),
    "hakuban_exchange_connect": (c.c_int, [POINTER, c.c_char_p, POINTER, c.POINTER(POINTER), POINTER]),
    "hakuban_exchange_fd": (c.c_int, [POINTER]),
    "hakuban_exchange_timeout_ms": (c.c_int, [POINTER]),
    "hakuban_exchange_turn": (c.c_int, [POINTER]),
    "hakuban_connection_free": (POINTER, [POINTER]),
    "hakuban_observe_tag": (c.c_int, [POINTER, c.c_char_p, POINTER, c.POINTER(POINTER), POINTER]),
    "hakuban_contract_queue": (POINTER, [POINTER]),
    "hakuban_contract_free": (POINTER, [POINTER]),
    "hakuban_queue_next_sized": (c.c_int, [POINTER, c.c_int, c.POINTER(Event), c.c_size_t]),
    "hakuban_event_done": (None, [c.POINTER(Event)]),
    "hakuban_descriptor_json": (c.c_char_p, [POINTER]),
    "hakuban_state_data": (Slice, [POINTER]),
}


def load(path):
    """The functions of SIGNATURES and no others: what is not declared is an AttributeError, not a crash."""
    library = c.CDLL(path)
    functions = types.SimpleNamespace()
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
        setattr(functions, name, function)
    return functions


class Exchange:
    """Turns whenever its descriptor is readable or its time has come, and hands states to on_state."""

    def __init__(self, lib, url, on_state):
        self.lib, self.on_state, self.timer = lib, on_state, None
        self.exchange, self.connection, self.contract = c.c_void_p(), c.c_void_p(), c.c_void_p()
        options = Options(size=c.sizeof(Options), drive=DRIVE_MANUAL)
        self.check(lib.hakuban_exchange_new(c.byref(options), c.byref(self.exchange)))
        self.check(lib.hakuban_exchange_connect(self.exchange, url.encode(), None,
                                                c.byref(self.connection), None))
        self.check(lib.hakuban_observe_tag(self.exchange, b'"hello"', None,
                                           c.byref(self.contract), None))
        self.queue = c.c_void_p(lib.hakuban_contract_queue(self.contract))
        self.loop = asyncio.get_running_loop()
        self.fd = lib.hakuban_exchange_fd(self.exchange)
        self.loop.add_reader(self.fd, self.turn)
        self.turn()

    def check(self, status):
        if status < 0:
            raise RuntimeError(f"hakuban: status {status}")

    def turn(self):
        if self.timer:
            self.timer.cancel()
        self.check(self.lib.hakuban_exchange_turn(self.exchange))
        event = Event()
        while self.lib.hakuban_queue_next_sized(self.queue, 0, c.byref(event), c.sizeof(event)) >= 0:
            if event.kind == EVENT_STATE:
                data = self.lib.hakuban_state_data(event.state)
                self.on_state(self.lib.hakuban_descriptor_json(event.object).decode(),
                              c.string_at(data.data, data.bytes).decode())
            self.lib.hakuban_event_done(c.byref(event))
        wait_ms = self.lib.hakuban_exchange_timeout_ms(self.exchange)
        self.timer = self.loop.call_later(wait_ms / 1000, self.turn) if wait_ms >= 0 else None

    def close(self):
        self.loop.remove_reader(self.fd)
        if self.timer:
            self.timer.cancel()
        self.lib.hakuban_contract_free(self.contract)
        self.lib.hakuban_connection_free(self.connection)
        self.lib.hakuban_exchange_free(self.exchange)


async def main(library, url, count):
    states = asyncio.Queue()
    exchange = Exchange(load(library), url, lambda name, text: states.put_nowait((name, text)))
    for _ in range(count):
        print(*await states.get(), flush=True)
    exchange.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3))
