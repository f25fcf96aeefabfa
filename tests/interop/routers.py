"""Theirs and our router side by side: the same command lines, signals and monitor objects."""

import json
import signal
import socket
import subprocess

from peers import PATIENCE_S, Failure, Leaf, OurRouter, Process, Router, RustRouter, free_port, same, text_of

# What both routers take, with the URL where {} stands, and what both refuse.
TAKEN = [["-b", "{}"], ["-b{}"], ["-b={}"], ["--bind={}"], ["--bind", "{}", "-t", "2"], ["-b", "{}", "-t=2"],
         ["-b", "{}", "--threads=2", "--rebalance-threshold", "0.5"], ["-b", "{}", "--rebalance-threshold=.1"],
         ["-b", "{}", "--monitor-tag=m"], ["-b", "{}", "-c", "ws://127.0.0.1:1"], ["-b", "{}", "--connect=ws://127.0.0.1:1#name=edge"],
         ["-b", "{}#name=edge-1,timeout=120s,keep-alive=60s,nodelay=true,load-limit=2:0-2:5-5:7"],
         ["-b", "{}#,name=a,,timeout=90,"], ["-b", "{}#timeout=1m30s,keep-alive=1m+10s"],
         ["-b", "{}#timeout=2*30s,keep-alive=5sec,load-limit=3"], ["-b", "{}#timeout=7d,keep-alive=1Y"]]
REFUSED = [["-b", "{}", "-t", "0"], ["-b", "{}", "-t", "x"], ["-b", "{}", "--nonsense"], ["-b", "{}", "extra"],
           ["-b", "{}#colour=red"], ["-b", "{}#timeout=soon"], ["-b", "{}#timeout=1.5s"], ["-b", "{}#timeout"],
           ["-b", "{}#nodelay=1"], ["-b", "{}#load-limit=x"], ["-b", "nonsense"], ["-b"],
           ["-b", "{}", "-c", "ws://a:1", "-c", "ws://b:1"], ["-b", "{}", "--rebalance-threshold", "much"]]


def pictured(line):
    """Not a line of either's log."""
    return line.strip() and not line.startswith(("[", "hakuban-router: "))


def run_drop_in():
    """Both routers take the same command lines and signals."""
    programs = {"rust": RustRouter.program, "our": OurRouter.program}
    signals = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    for number, words in enumerate(TAKEN):
        end = signals[number % 3]
        for name, program in programs.items():
            port = free_port()
            filled = [word.format(f"ws://127.0.0.1:{port}") for word in words]
            router = Router(f"{name} router {filled}", [program, *filled])
            router.wait_listening(port)
            if name == "rust":
                router.wait_ready(signal.SIGUSR2)
                router.wait_ready(end)
            for ask in (lambda: router.say("\n"), lambda: router.signal(signal.SIGUSR2)):
                before = len(router.errors)
                ask()
                router.wait("a picture", lambda: next((line for line in router.errors[before:] if pictured(line)), None))
            router.end(end)
    for words in REFUSED:
        for name, program in programs.items():
            filled = [word.format(f"ws://127.0.0.1:{free_port()}") for word in words]
            done = subprocess.run([program, *filled], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False)
            if done.returncode == 0 or not done.stderr:
                raise Failure(f"{name} router {filled}: {done.returncode}, {done.stderr}")
    run_without_binds()
    return True


def run_without_binds():
    """Ours listens where theirs would, to leaves of both kinds."""
    port, thing = 3001, {"where": "usual"}
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            print(f"not tried without -b: somebody has port {port}")
            return
    router = Router("our router without -b", [OurRouter.program])
    router.wait_listening(port)
    theirs = Leaf("rust", f"ws://127.0.0.1:{port}", "observer")
    ours = Leaf("c", f"tcp://127.0.0.1:{port}", "exposer")
    theirs.observe("o", thing)
    ours.expose("e", thing)
    ours.wait_sink("e", thing)
    ours.send("e", thing, "found", [1])
    theirs.wait_state("o", thing, "found")
    for process in (theirs, ours):
        process.end()
    router.end(signal.SIGTERM)


def shape(value, path, ret):
    """Every path in a JSON value with the kinds of what is found there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            shape(inner, f"{path}.{key}", ret)
    elif isinstance(value, list):
        for inner in value:
            shape(inner, f"{path}[]", ret)
    ret.add((path, type(value).__name__))
    return ret


def plain(value):
    """Without the numbers that connections and objects happen to have, and without addresses."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()
                if not key.endswith("id") and not key.endswith("address") and key != "assigned_exposer"}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def monitored(program):
    """What both routers of a small tree of theirs or ours tell of themselves, and of the one object in it."""
    def router(name, tag, *more):
        port = free_port()
        url = f"ws://127.0.0.1:{port}"
        made = Router(f"router {name}", [program, "-t", "2", "-b", f"{url}#name={name}", "--monitor-tag", tag, *more])
        made.wait_listening(port)
        return url

    top_url = router("top", "above")
    edge_url = router("edge", "below", "-c", top_url + "#name=edge-up,load-limit=5")
    thing = {"lamp": 1}
    a = Leaf("rust", edge_url, "a", "name=a,load-limit=4")
    b = Leaf("rust", top_url, "b", "name=b")
    b.observe("o", thing, ["lamps"])
    a.expose("e", thing, ["lamps"], 3)
    a.expose_tag("t", "others", 2)  # a load is counted by the capacity of that moment: the same in both
    a.wait_sink("e", thing)
    a.send("e", thing, "on", [1, 2])
    b.wait_state("o", thing, "on")
    watchers = [(Leaf("rust", top_url, "watcher", "name=w"), "above", ["exchange", "websocket-listener"]),
                (Leaf("rust", edge_url, "watcher", "name=w"), "below",
                 ["exchange", "websocket-listener", "websocket-connector"])]
    told = {}
    for watcher, tag, names in watchers:
        for name in names:
            watcher.observe(name, name, [tag])

        def complete():
            """The newest of each, once each knows of the other things that are observed."""
            told.update({(tag, name): (watcher.newest(name, name) or {}).get("data") for name in names})
            listener, exchange = told[tag, "websocket-listener"], told[tag, "exchange"]
            if None in [told[tag, name] for name in names] or len(listener["downstream_connections"]) < 2:
                return None
            objects = {text_of(o["descriptor"]["json"]): o for o in exchange["objects"] if tag in o["descriptor"]["tags"]}
            needed = all(name in objects and objects[name]["data_state"] for name in map(text_of, names))
            return True if needed and any(c["load"] for c in listener["downstream_connections"]) else None

        watcher.wait(f"complete pictures of {tag}", complete)
    lamps = {tag: [o for o in told[tag, "exchange"]["objects"] if o["descriptor"]["json"] == thing]
             for tag in ("above", "below")}
    connections = {tag: sorted(told[tag, "websocket-listener"]["downstream_connections"], key=remote_name)
                   for tag in ("above", "below")}
    shapes = {key: shape(value, "", set()) for key, value in told.items()}
    Process.kill_all()
    return shapes, plain(lamps), plain(connections)


def remote_name(connection):
    return str(connection["remote_name"])


def run_monitor():
    """Both routers' monitor objects have the same fields, and say the same of the same object."""
    theirs, ours = monitored(RustRouter.program), monitored(OurRouter.program)
    for key in theirs[0]:
        # What is empty at one moment has no kind: what both have must be of the same kinds.
        missing = {path for path, _ in theirs[0][key]} ^ {path for path, _ in ours[0][key]}
        if missing:
            raise Failure(f"{key}: one of the routers only has {sorted(missing)}")
        kinds = {path: {kind for at, kind in theirs[0][key] if at == path} for path, _ in theirs[0][key]}
        for path, kind in ours[0][key]:
            if kind not in kinds[path] | {"NoneType"} and kinds[path] != {"NoneType"}:
                raise Failure(f"{key}{path} is {kind}, theirs {kinds[path]}")
    for what, mine in zip(theirs[1:], ours[1:]):
        if not same(what, mine):
            raise Failure(f"theirs\n{json.dumps(what)}\nours\n{json.dumps(mine)}")
    return True
