# Numbers and values with their canonical form as Python works it out: text, tab, form ("error" where there is none).
import json
import random
import struct
from decimal import Decimal, getcontext

random.seed(7)
getcontext().prec = 1500


def double_form(value):
    if value == 0:
        return "0.0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digits))
    kept = digits.rstrip("0")
    exponent += len(digits) - len(kept)
    point = len(kept) + exponent
    sign = "-" if sign else ""
    if point > 16 or point <= -5:
        fraction = "." + kept[1:] if len(kept) > 1 else ""
        return f"{sign}{kept[0]}{fraction}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{kept}"
    if exponent >= 0:
        return f"{sign}{kept}{'0' * exponent}.0"
    return f"{sign}{kept[:point]}.{kept[point:]}"


def number_form(text):
    if not any(c in text for c in ".eE") and text != "-0" and -(2**63) <= int(text) < 2**64:
        return str(int(text))
    value = float(text)
    return "error" if value in (float("inf"), float("-inf")) else double_form(value)


def form(value):
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode())
        return "{" + ",".join(form(k) + ":" + form(v) for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(form, value)) + "]"
    if isinstance(value, float):
        return double_form(value)
    return json.dumps(value, ensure_ascii=False)


def any_double():
    while True:
        value = struct.unpack("d", struct.pack("Q", random.getrandbits(64)))[0]
        if abs(value) < float("inf"):
            return value


def next_up(value):
    return struct.unpack("d", struct.pack("Q", struct.unpack("Q", struct.pack("d", value))[0] + 1))[0]


def any_value(depth):
    kind = random.randrange(8 if depth < 4 else 5)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.randrange(-(2**63), 2**64)
    if kind == 2:
        return any_double()
    if kind < 5:
        return "".join(random.choice('a"\\\n\x01é\ufffd😀 /') for _ in range(random.randrange(6)))
    if kind == 5:
        return [any_value(depth + 1) for _ in range(random.randrange(5))]
    return {str(any_value(9)): any_value(depth + 1)
            for _ in range(random.randrange(5))}


def number(text):
    print(text, number_form(text), sep="\t")


for power in range(-1074, 1024):
    number(repr(2.0**power))
for _ in range(5000):
    value = any_double()
    number(repr(value))
    number("%.17e" % value)
    number("%d" % random.getrandbits(random.randint(1, 140)))
    number("-%d" % random.getrandbits(random.randint(1, 70)))
    number("%de%d" % (random.getrandbits(random.randint(1, 140)), random.randint(-400, 400)))
    number("%.*g" % (random.randint(1, 17), random.random() * 10.0 ** random.randint(-10, 20)))
for _ in range(300):
    # Exactly between two doubles, and a bit more than that.
    low = abs(any_double()) / 4
    middle = format((Decimal(low) + Decimal(next_up(low))) / 2, "f")
    middle = middle if "." in middle else middle + ".0"
    number(middle)
    number(middle + "0" * 900 + "1")
for _ in range(3000):
    value = any_value(0)
    print(json.dumps(value, ensure_ascii=random.random() < 0.5), form(value), sep="\t")
