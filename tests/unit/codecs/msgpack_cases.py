"""Random values as JSON and as MessagePack, in hexadecimal, as Python packs them. Exit code 77 without the module msgpack."""

import json
import random
import sys

try:
    import msgpack
except ImportError:
    sys.exit(77)

random.seed(7)


def integer():
    bits = random.choice([4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 62, 63])
    edge = 2**bits + random.choice([-2, -1, 0, 1, random.randrange(2**bits)])
    return random.choice([edge, -edge - 1]) if edge < 2**63 else edge


def text():
    length = random.choice([0, 1, 5, 31, 32, 33, 255, 256, 300])
    return "".join(random.choice('abcdefghij "\\/\n\t\0\x1fé€𝄞') for _ in range(length))


def value(depth):
    kind = random.randrange(8 if depth < 5 else 6)
    if kind == 0:
        return random.choice([None, True, False])
    if kind <= 2:
        return integer()
    if kind == 3:
        return random.choice([0.0, 1.0, -1.5, 0.1, 1e300, 5e-324, random.random(), random.gauss(0, 1e9)])
    if kind <= 5:
        return text()
    count = random.choice([0, 1, 2, 15, 16, 17] if depth < 3 else [0, 1, 2])
    if kind == 6:
        return [value(depth + 1) for _ in range(count)]
    return {text(): value(depth + 1) for _ in range(count)}


for _ in range(500):
    one = value(0)
    print(json.dumps(one, ensure_ascii=random.random() < 0.5), msgpack.packb(one, use_bin_type=True).hex(), sep="\t")
