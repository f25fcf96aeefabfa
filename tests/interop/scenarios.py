"""What must hold between any two leaves, whatever is between them. Each takes a Stage and makes its own leaves there.

`a` is where states are exposed, `b` where they are observed. They say only what both implementations promise; what ours
promises beyond that is asked where Stage.ours says that nothing of theirs is in the way.
"""

import time

from peers import PATIENCE_S, QUIET_S, Failure, Leaf, eventually, stay_quiet, text_of


class Stage:
    """Two places for leaves in a tree of routers: (kind, url) each."""

    def __init__(self, a, b, our_routers, label):
        self.a, self.b, self.label = a, b, label
        self.our_routers = our_routers
        self.ours = our_routers and a[0] == b[0] == "c"
        self.leaves = []

    def leaf(self, place, name, parameters=""):
        kind, url = place
        made = Leaf(kind, url, name, parameters)
        self.leaves.append(made)
        return made

    def clear(self):
        for leaf in self.leaves:
            if leaf.child.poll() is None:
                leaf.end()
        self.leaves.clear()

    def kill(self):
        """What a failure left."""
        for leaf in self.leaves:
            if leaf in Leaf.running:
                leaf.kill()

    def thing(self, name, **more):
        """An object of this stage only."""
        return {"stage": self.label, "name": name, **more}


def states_change(stage):
    thing = stage.thing("states")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing, ["states"])
    a.expose("e", thing, ["states"])
    a.wait_sink("e", thing)
    for n in range(1, 21):
        a.send("e", thing, {"n": n, "pad": "x" * 200}, [n])
    seen = b.wait_state("o", thing, {"n": 20, "pad": "x" * 200})
    if seen["version"] != [20] or seen["tags"] != ["states"]:
        raise Failure(f"not what was sent: {seen}")
    for n in range(21, 30):  # each awaited: differences, one after the other
        a.send("e", thing, {"n": n, "pad": "x" * n}, [n])
        b.wait_state("o", thing, {"n": n, "pad": "x" * n})
    a.send("e", thing, "automatic", [30, 1])
    b.wait_state("o", thing, "automatic")
    b.check_versions("o")
    # Nobody exposes it any more: what is known stays, and is known to be old.
    a.drop("e")
    b.wait_state("o", thing, "automatic", synchronized=False)


def data_are_intact(stage):
    thing = stage.thing("intact", numbers=[1, 1.5, -2, 2**64 - 1], text="ä\u2028\"\\ 🦀", none=None)
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing, [{"kind": ["tag", 1]}, "another"])
    a.expose("e", thing, ["another", {"kind": ["tag", 1]}])
    a.wait_sink("e", thing)
    values = [None, True, [], {}, "", "🦀 \u0000 \u001f \u2028", 0, -1, 1.0, 0.5, -3.75e10, 2**63 - 1, -(2**63),
              2**64 - 1, [[[[1, [2.5, {"deep": {"er": ["x"]}}]]]]], {"b": 1, "a": {"ä": [1, 2.0]}}]
    versions = [[-5], [0], [1], [1, -5], [1, 0], [1, 0, 0, 0], [1, 2**63 - 1], [2]]
    versions += [[2, n] for n in range(len(values) - len(versions))]
    for value, version in zip(values, versions):
        a.send("e", thing, value, version)
        seen = b.wait_state("o", thing, value)
        if seen["version"] != version or seen["format"] != ["JSON"]:
            raise Failure(f"version {version} format JSON became {seen}")
    formats = [[], ["text/plain"], ["one", "two", "three"], ["inner", "JSON"]]
    for n, names in enumerate(formats):
        value = f"plain {n}"
        a.send("e", thing, value, [3, n], names)
        seen = b.wait_state("o", thing, value)
        if seen["format"] != names or seen["version"] != [3, n]:
            raise Failure(f"format {names} became {seen}")


def large_states(stage):
    thing = stage.thing("large")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    letters = "".join(chr(97 + (n * n + n // 7) % 26) for n in range(4096))
    data = {"head": 1, "body": letters * 256, "tail": 1}
    half = len(data["body"]) // 2
    changes = [lambda: None, lambda: data.update(head=2),
               lambda: data.update(body=data["body"][:half] + "HERE" + data["body"][half:]),
               lambda: data.update(body=data["body"][5000:]), lambda: data.update(tail=[1, 2]),
               lambda: data.update(body=data["body"][half:] + data["body"][:half]),
               lambda: data.update(body="")]
    for n, change in enumerate(changes):
        change()
        a.send("e", thing, data, [n])
        b.wait_state("o", thing, data)


def larger_than_their_frames(stage):
    """Theirs takes frames of 16 MiB and messages of 64 MiB, and sends nothing in pieces: ours has to."""
    if not stage.our_routers or stage.a[0] != "c":
        return
    thing = stage.thing("larger")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "small", [1])
    b.wait_state("o", thing, "small")
    before = b.mark()
    a.send("e", thing, "x" * (20 << 20), [2], ["text"])
    b.wait_state("o", thing, "x" * (20 << 20))
    a.send("e", thing, "small again", [3])
    b.wait_state("o", thing, "small again")
    if any(e["event"] == "state" and not e["synchronized"] for e in b.of("o", since=before)):
        raise Failure("the connection was lost on the way")
    if b.kind == "rust":
        # Over what fits into one of their messages: not sent, and what they have is known to be old; the connection stays.
        a.send("e", thing, "x" * (64 << 20), [4], ["text"])
        b.wait_state("o", thing, "small again", synchronized=False)
        a.send("e", thing, "small at last", [5])
        b.wait_state("o", thing, "small at last")
        if any(e["event"] == "close" for e in b.of("o", since=before)):
            raise Failure("the connection was lost by a state that is too large")


def tags_cover(stage):
    one, two = f"one {stage.label}", {"two": stage.label}
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    # A tag is observed: every object of it comes, and goes.
    b.observe_tag("t", one)
    things = [stage.thing("tagged", n=n) for n in range(6)]
    for n, thing in enumerate(things):
        a.expose(f"e{n}", thing, [one, "other"] if n % 2 else [one])
    for n, thing in enumerate(things):
        a.wait_sink(f"e{n}", thing)
        a.send(f"e{n}", thing, [n])
        seen = b.wait_state("t", thing, [n])
        if sorted(seen["tags"], key=text_of) != sorted([one, "other"] if n % 2 else [one]):
            raise Failure(f"tags became {seen['tags']}")
    a.drop("e3")
    b.wait_event("t", "close", things[3])
    a.send("e4", things[4], "after")
    b.wait_state("t", things[4], "after")
    # The same JSON without the tag is another object.
    a.expose("alien", things[3])
    stay_quiet(lambda: "a sink for an object that nobody observes" if a.has_sink("alien", things[3]) else None)
    # A tag is exposed: every object of it that somebody observes is served.
    a.expose_tag("x", two)
    wanted = [stage.thing("wanted", n=n) for n in range(4)]
    for n, thing in enumerate(wanted):
        b.observe(f"o{n}", thing, [two])
    for n, thing in enumerate(wanted):
        a.wait_sink("x", thing)
        a.send("x", thing, {"served": n})
        b.wait_state(f"o{n}", thing, {"served": n})
    b.drop("o1")
    a.wait_event("x", "unsink", wanted[1])
    if a.open_sinks("x") != {text_of(thing) for n, thing in enumerate(wanted) if n != 1}:
        raise Failure(f"sinks are {a.open_sinks('x')}")
    b.observe("again", wanted[1], [two])
    a.wait_sink("x", wanted[1], a.mark() - 1)
    a.send("x", wanted[1], "again")
    b.wait_state("again", wanted[1], "again")


def observers_return(stage):
    thing = stage.thing("observers return")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    stays = stage.leaf(stage.b, "observer that stays")
    stays.observe("o", thing)
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "first")
    b.wait_state("o", thing, "first")
    stays.wait_state("o", thing, "first")
    b.disconnect()
    b.wait_state("o", thing, "first", synchronized=False)
    a.send("e", thing, "meanwhile")
    stays.wait_state("o", thing, "meanwhile")
    b.connect()
    b.wait_state("o", thing, "meanwhile")
    a.send("e", thing, "after")
    b.wait_state("o", thing, "after")
    b.check_versions("o")


def what_was_not_needed_is_forgotten(stage):
    """Theirs forgets a state once its last observer has left. Ours does not, but shows it to none of theirs."""
    thing = stage.thing("not needed")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("before", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "old", [1])
    b.wait_state("before", thing, "old")
    b.drop("before")
    a.wait_event("e", "unsink", thing)
    time.sleep(0.4)
    before = a.mark()
    b.observe("o", thing)
    a.wait_sink("e", thing, before)
    if b.kind == "rust":
        stay_quiet(lambda: "a state that was not needed is shown" if b.newest("o", thing) else None)
    a.send("e", thing, "new", [2])
    b.wait_state("o", thing, "new")


def exposers_return(stage):
    thing = stage.thing("exposers return")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "first")
    b.wait_state("o", thing, "first")
    before = a.mark()
    a.disconnect()
    a.wait_event("e", "unsink", thing, before)
    b.wait_state("o", thing, "first", synchronized=False)
    a.connect()
    a.wait_sink("e", thing, before)
    a.send("e", thing, "second")
    b.wait_state("o", thing, "second")
    # One that dies without a word is replaced.
    other = stage.leaf(stage.a, "successor")
    other.expose("e", thing)
    a.kill()
    other.wait_sink("e", thing)
    other.send("e", thing, "third")
    b.wait_state("o", thing, "third")
    b.check_versions("o")


def the_holder(leaves, identity, thing):
    """The only one whose sink is open, once that has stayed so for a while: a choice may move on its way through the tree."""
    since, holder = time.monotonic(), None

    def rests():
        nonlocal since, holder
        holders = [leaf for leaf in leaves if leaf.has_sink(identity, thing)]
        if len(holders) != 1 or holders[0] is not holder:
            since, holder = time.monotonic(), holders[0] if len(holders) == 1 else None
        return holder is not None and time.monotonic() - since > QUIET_S

    eventually(lambda: "not one of them alone has the object for a while: " +
               str([leaf.has_sink(identity, thing) for leaf in leaves]), rests)
    return holder


def send_as_holder(leaves, identity, thing, data, observers):
    """The one that has the object sends, and all observers see it; once more where the choice has moved meanwhile. Returns it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        holder = the_holder(leaves, identity, thing)

        def seen():
            newest = [leaf.newest("o", thing) for leaf in observers]
            return all(e and e["synchronized"] and e.get("data") == data for e in newest)

        if holder.try_send(identity, thing, data):
            eventually(f"{data} of {holder.name} was not seen", lambda: seen() or not holder.has_sink(identity, thing))
            if seen():
                return holder
        if time.monotonic() > until:
            raise Failure(f"{data} was not seen")


def objects_move(stage):
    thing = stage.thing("moves")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "exposer beside the observer")
    third = stage.leaf(stage.b, "observer")
    third.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "of a")
    third.wait_state("o", thing, "of a")
    b.expose("e", thing)
    # In a tree b may be nearer.
    holder = send_as_holder([a, b], "e", thing, "of the holder", [third])
    heir = b if holder is a else a
    holder.drop("e")
    heir.wait_sink("e", thing)
    heir.send("e", thing, "of the heir")
    third.wait_state("o", thing, "of the heir")
    holder.expose("again", thing)
    heir.drop("e")
    holder.wait_sink("again", thing)
    holder.send("again", thing, "back")
    third.wait_state("o", thing, "back")
    third.check_versions("o")


def one_leader(stage):
    thing = stage.thing("leader")
    leaves = [stage.leaf(place, "candidate") for place in (stage.a, stage.b, stage.b)]
    for leaf in leaves:
        leaf.observe("o", thing)
        leaf.expose("e", thing)
    while leaves:
        leader = send_as_holder(leaves, "e", thing, f"{len(leaves)} left", leaves)
        leaves.remove(leader)
        leader.kill()


def capacities_count(stage):
    tag = f"work {stage.label}"
    things = [stage.thing("work", n=n) for n in range(12)]
    a, b = stage.leaf(stage.a, "strong"), stage.leaf(stage.b, "observer")
    weak = stage.leaf(stage.a, "weak")
    a.expose_tag("w", tag, 3)
    weak.expose_tag("w", tag, 1)
    for n, thing in enumerate(things):
        b.observe(f"o{n}", thing, [tag])

    def split(*identities):
        return len(a.open_sinks(*identities)), len(weak.open_sinks("w"))

    eventually(lambda: f"9 and 3 objects were to be, not {split('w')}", lambda: split("w") == (9, 3))
    for n, thing in enumerate(things):
        holder = a if text_of(thing) in a.open_sinks("w") else weak
        holder.send("w", thing, n)
        b.wait_state(f"o{n}", thing, n)
    # The strong one goes: the weak one does everything.
    a.drop("w")
    eventually(lambda: f"0 and 12 objects were to be, not {split('w')}", lambda: split("w") == (0, 12))
    for n in range(12):
        b.drop(f"o{n}")
    eventually("sinks without observers", lambda: split("w") == (0, 0))
    # Capacities add up where they change: 1 and 2 more are 3.
    a.expose_tag("w", tag, 1)
    if a.kind == "c":
        a.order("capacity", "w", 3)
    else:
        a.expose_tag("more", tag, 2)
    # Whoever chooses may hear of objects first and of capacities afterwards: then they are asked for once more.
    until = time.monotonic() + PATIENCE_S
    while True:
        for n, thing in enumerate(things[:8]):
            b.observe(f"o{n}", thing, [tag])
        eventually("objects without an exposer", lambda: sum(split("w", "more")) == 8)
        if split("w", "more") == (6, 2):
            break
        if time.monotonic() > until:
            raise Failure(f"6 and 2 objects were to be, not {split('w', 'more')}")
        for n in range(8):
            b.drop(f"o{n}")
        eventually("sinks without observers", lambda: split("w", "more") == (0, 0))


def load_is_limited(stage):
    tag = f"limited {stage.label}"
    a, b = stage.leaf(stage.a, "limited", "load-limit=3"), stage.leaf(stage.b, "observer")
    a.expose_tag("w", tag)
    for n in range(5):
        b.observe(f"o{n}", stage.thing("limited", n=n), [tag])
    eventually(lambda: f"3 objects were to be, not {len(a.open_sinks('w'))}",
               lambda: len(a.open_sinks("w")) == 3)
    stay_quiet(lambda: "the limit does not hold" if len(a.open_sinks("w")) != 3 else None)


def ends_are_orderly(stage):
    thing = stage.thing("ends")
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "first", [1])
    b.wait_state("o", thing, "first")
    a.send("e", thing, "last", [2])
    a.end()
    stage.leaves.remove(a)
    if stage.ours:
        b.wait_state("o", thing, "last", synchronized=False)
    else:  # theirs may lose what was sent just before the end
        b.wait("an end", lambda: True if not b.newest("o", thing)["synchronized"] else None)


def many_objects(stage):
    tag, count = f"many {stage.label}", 300
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    things = [stage.thing("many", n=n) for n in range(count)]
    for n, thing in enumerate(things):
        a.expose(f"e{n}", thing, [tag])
    b.observe_tag("t", tag)
    for n, thing in enumerate(things):
        a.wait_sink(f"e{n}", thing)
        a.send(f"e{n}", thing, n)
    for n, thing in enumerate(things):
        b.wait_state("t", thing, n)


def silence_is_bridged(stage):
    """Keep-alives reach the other side: nothing is cut while nothing is said."""
    thing = stage.thing("silence")
    parameters = "timeout=4s,keep-alive=400ms"
    a = stage.leaf(stage.a, "exposer", parameters)
    b = stage.leaf(stage.b, "observer", parameters)
    b.observe("o", thing)
    a.expose("e", thing)
    a.wait_sink("e", thing)
    a.send("e", thing, "before")
    b.wait_state("o", thing, "before")
    a_mark, b_mark = a.mark(), b.mark()
    time.sleep(5)
    if a.mark() != a_mark or b.mark() != b_mark:
        raise Failure(f"something happened in the silence\n{a.told()}\n{b.told()}")
    a.send("e", thing, "after")
    b.wait_state("o", thing, "after")


def routers_return(stage, routers):
    """Every router dies and comes back, one after the other: leaves and the tree find together again."""
    thing, tag = stage.thing("routers return"), f"routers {stage.label}"
    a, b = stage.leaf(stage.a, "exposer"), stage.leaf(stage.b, "observer")
    b.observe("o", thing, [tag])
    b.observe_tag("t", tag)
    a.expose("e", thing, [tag])
    a.wait_sink("e", thing)
    a.send("e", thing, -1)
    b.wait_state("o", thing, -1)
    for n, router in enumerate(routers):
        before = a.mark()
        routers[n] = router.restart()
        b_before = b.mark()
        # With grace a sink may have outlived the router, elsewhere in the tree; else it comes again.
        if not a.has_sink("e", thing):
            a.wait_sink("e", thing, before)
        until = time.monotonic() + PATIENCE_S
        sent = 0
        while True:
            # A sink goes and comes while the tree finds together.
            if a.has_sink("e", thing) and a.try_send("e", thing, {"round": n, "try": sent}):
                sent += 1
            time.sleep(0.2)
            last = b.newest("o", thing, b_before)
            if sent and last and last["synchronized"] and last["data"] == {"round": n, "try": sent - 1}:
                break
            if time.monotonic() > until:
                raise Failure(f"round {n}: not together again\n{a.told()}\n{b.told()}")
        b.wait_state("t", thing, {"round": n, "try": sent - 1})
    b.check_versions("o")


ALL = [states_change, data_are_intact, large_states, larger_than_their_frames, tags_cover, observers_return,
       what_was_not_needed_is_forgotten, exposers_return, objects_move,
       one_leader, capacities_count, load_is_limited, ends_are_orderly, many_objects, silence_is_bridged]
