"""Reads JSON as strict parsers do, which Python's own is not: no number beyond a double, no half of a surrogate pair.

Prints the files that are not such JSON, and fails if there are any.
"""

import json
import math
import sys


def finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond a double")
    return number


def refuse(_constant):
    raise ValueError("not a number of JSON")


def check(path):
    with open(path, "rb") as file:
        text = file.read().decode("utf-8")
    value = json.loads(text, parse_float=finite, parse_int=finite, parse_constant=refuse)
    # Halves of surrogate pairs have no UTF-8.
    json.dumps(value, ensure_ascii=False).encode("utf-8")


faults = 0
for path in sys.argv[1:]:
    try:
        check(path)
    except (ValueError, RecursionError) as error:
        faults += 1
        print(f"{path}: {type(error).__name__}: {error}")
sys.exit(min(faults, 1))
