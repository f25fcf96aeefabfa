#!/usr/bin/env python3
"""Runs every scenario in one mix of routers and leaves of both implementations.

usage: interop.py --bin DIR --leaf PATH --rust DIR [--only SCENARIO] MIX
       interop.py … bench: a short hakuban-bench --peer rust instead
       interop.py … drop-in: both routers' command lines and signals instead
       interop.py … monitor: both routers' monitor objects instead

--bin has hakuban-router, --leaf is the program made of leaf.c, --rust has hakuban-router of the crate and hakuban-rust-leaf.
Exit code 77: the Rust programs are not there, which is a failure where CI=true.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import routers
import scenarios
from peers import Failure, Leaf, OurRouter, Process, RustRouter, exists


class Mix:
    """Routers from the top down, and places for leaves."""

    def __init__(self, routers, places):
        self.routers, self.places = routers, places
        self.ours = all(isinstance(router, OurRouter) for router in routers)


FAILURES_MAX = 4  # each may have taken its whole patience

# Leaves may ask to be told this often that their router lives.
KEEP_ALIVE = "keep-alive=400ms"


def rust_router(name, upstream=None):
    return RustRouter(name, upstream, parameters=KEEP_ALIVE)


def our_router(name, schemes, upstream=None):
    return OurRouter(name, schemes, upstream, parameters=KEEP_ALIVE)


def rust(router):
    return "rust", router.urls["ws"]


def ours(router, scheme="tcp"):
    return "c", router.urls[scheme]


def rust_rust_rust():
    router = rust_router("middle")
    return Mix([router], [rust(router), rust(router)])


def c_c_c():
    schemes = ["tcp", "zmq+tcp", "ws"]
    router = our_router("middle", schemes)
    return Mix([router], [ours(router, scheme) for scheme in schemes])


def c_under_c():
    top = our_router("top", ["tcp"])
    edge = our_router("edge", ["tcp"], top.urls["tcp"])
    return Mix([top, edge], [ours(edge), ours(top)])


def rust_c_rust():
    router = our_router("middle", ["ws"])
    return Mix([router], [rust(router), rust(router)])


def c_rust_c():
    router = rust_router("middle")
    return Mix([router], [("c", router.urls["ws"]), ("c", router.urls["ws"])])


def rust_c_c_c():
    top = our_router("top", ["tcp"])
    edge = our_router("edge", ["tcp"], top.urls["tcp"])
    # Their clients find us on the port of tcp as well: it is the default one.
    leaf = "rust", edge.urls["tcp"].replace("tcp", "ws", 1)
    return Mix([top, edge], [leaf, ours(top)])


def star():
    """A router of its own for each leaf."""
    top = our_router("top", ["tcp"])
    edges = [our_router(f"edge {n}", ["tcp", "ws"], top.urls["tcp"]) for n in range(2)]
    return Mix([top, *edges], [rust(edge) for edge in edges])


def rust_under_c():
    top = our_router("top", ["tcp", "ws"])
    edge = rust_router("edge", top.urls["ws"])
    return Mix([top, edge], [rust(edge), ours(top)])


def c_under_rust():
    top = rust_router("top")
    edge = our_router("edge", ["tcp"], top.urls["ws"])
    return Mix([top, edge], [rust(top), ours(edge)])


def every_transport():
    router = our_router("middle", ["ws", "tcp", "zmq+tcp"])
    return Mix([router], [rust(router), ours(router), ours(router, "zmq+tcp"), ours(router, "ws")])


MIXES = {"rust-rust-rust": rust_rust_rust, "c-c-c": c_c_c, "c-under-c": c_under_c, "rust-c-rust": rust_c_rust,
         "c-rust-c": c_rust_c, "rust-c-c-c": rust_c_c_c, "star": star, "rust-under-c": rust_under_c,
         "c-under-rust": c_under_rust, "every-transport": every_transport}


def pairs(places):
    """Each place exposes for the next one, in a ring: so each does both. Two equal ones need one round."""
    made = [(place, places[(i + 1) % len(places)]) for i, place in enumerate(places)]
    return list(dict.fromkeys(made))


def run(name, only):
    mix = MIXES[name]()
    tried, failed = 0, 0

    def attempt(what, stage, work):
        nonlocal tried, failed
        tried += 1
        began = time.monotonic()
        try:
            work(stage)
            stage.clear()
        except Failure as failure:
            failed += 1
            print(f"FAILED {what}: {failure}", flush=True)
            if failed == FAILURES_MAX:
                raise Failure("that is enough") from None
        else:
            print(f"passed {what} ({time.monotonic() - began:.1f} s)", flush=True)
        stage.kill()
        for router in mix.routers:
            if router.child.poll() is not None:
                raise Failure(f"{router.name} has ended\n{router.told()}")

    for number, (a, b) in enumerate(pairs(mix.places)):
        for scenario in scenarios.ALL:
            if not only or scenario.__name__ == only:
                attempt(f"{scenario.__name__}: {a[0]} {a[1]} to {b[0]} {b[1]}",
                        scenarios.Stage(a, b, mix.ours, f"{name} {number}"), scenario)
    if not only or only == "routers_return":
        attempt("routers_return", scenarios.Stage(*mix.places[:2], mix.ours, f"{name} restart"),
                lambda stage: scenarios.routers_return(stage, mix.routers))
    for router in reversed(mix.routers):
        if isinstance(router, OurRouter):
            router.end(signal.SIGTERM)
    return failed == 0 and tried > 0


def run_bench(bench, rust_dir):
    """hakuban-bench --peer rust, short: every figure that it can take is there."""
    words = [bench, "--peer", "rust", "--rust", rust_dir, "--runs", "1", "--count", "50", "--objects", "200",
             "--observers", "2", "--seconds", "0.2", "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240, check=False)
    if done.returncode != 0:
        raise Failure(f"hakuban-bench: {done.returncode}: {done.stderr.decode()}")
    figures = json.loads(done.stdout.decode().splitlines()[-1])
    for key in ("round_trips_per_s", "large_ms", "states_per_s", "join_per_s", "object_bytes", "idle_bytes"):
        for side in ("rust_router_rust_clients", "rust_router", "rust_clients", "ours"):
            value = figures[key][side]
            # With few objects and connections a router's memory may not have grown at all.
            if value is None or value <= 0 and not key.endswith("_bytes"):
                raise Failure(f"{key} of {side} is {value}\n{done.stdout.decode()}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--leaf", required=True)
    parser.add_argument("--rust", required=True)
    parser.add_argument("--only")
    parser.add_argument("mix", choices=[*MIXES, "bench", "drop-in", "monitor"])
    arguments = parser.parse_args()
    OurRouter.program = os.path.join(arguments.bin, "hakuban-router")
    RustRouter.program = os.path.join(arguments.rust, "hakuban-router")
    Leaf.programs = {"c": arguments.leaf, "rust": os.path.join(arguments.rust, "hakuban-rust-leaf")}
    if not set(arguments.mix.split("-")) <= {"c", "under"} and not (exists(RustRouter.program) and exists(Leaf.programs["rust"])):
        print("the Rust programs were not built")
        return 1 if os.environ.get("CI") == "true" else 77
    try:
        if arguments.mix == "bench":
            return 0 if run_bench(os.path.join(arguments.bin, "hakuban-bench"), arguments.rust) else 1
        if arguments.mix in ("drop-in", "monitor"):
            return 0 if {"drop-in": routers.run_drop_in, "monitor": routers.run_monitor}[arguments.mix]() else 1
        return 0 if run(arguments.mix, arguments.only) else 1
    except Failure as failure:
        print(f"FAILED: {failure}")
        return 1
    finally:
        Process.kill_all()


if __name__ == "__main__":
    sys.exit(main())
