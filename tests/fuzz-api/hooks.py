"""What Schemathesis is told of this API: how the bytes of a batch are written, how long a URL may be, and values at and
beyond the bounds of dates, cursors, ids, integers and texts, which it would hardly make by itself."""

import json
import math
import pathlib
from urllib.parse import urlencode

import schemathesis
from hypothesis import strategies as st

# Beyond 65,534 bytes hyper answers by itself: tests/tests/end_to_end/api/contract.rs looks at that.
MOST_URL_BYTES = 65_000

EXTREMES = json.loads(pathlib.Path(__file__).with_name("extremes.json").read_text(encoding="utf-8"))
# Integers stand there as JSON spells them; some are beyond a double.
INTEGERS = [value for value in map(json.loads, EXTREMES["integers"]) if math.isfinite(value)]


def extremes_of(name, schema):
    """Values for a field; none for a kind that has no extremes."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if name == "cursor":
        return EXTREMES["cursors"]
    if name.endswith("_date"):
        return EXTREMES["dates"]
    if schema.get("format") == "uuid":
        return EXTREMES["ids"]
    if "integer" in kinds:
        return INTEGERS
    if "string" in kinds:
        bound = schema.get("maxLength", 64)
        return [character * length for character in "a%\U0001f600" for length in (0, bound - 1, bound, bound + 1)]
    return []


def with_extremes(generated, fields):
    """Half of what is generated, with one to three fields in the place of its own."""
    fields = {name: values for name, values in fields.items() if values}
    if not fields:
        return generated
    chosen = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3, unique=True)
    chosen = chosen.flatmap(lambda names: st.fixed_dictionaries({name: st.sampled_from(fields[name]) for name in names}))
    changed = st.tuples(generated, chosen).map(
        lambda pair: {**pair[0], **pair[1]} if isinstance(pair[0], dict) else pair[0]
    )
    return st.one_of(generated, changed)


@schemathesis.hook
def before_generate_body(context, strategy):
    fields = {}
    for body in context.operation.body:
        # Schemathesis puts what a schema refers to into the schema itself.
        whole = schema = body.definition.get("schema", {})
        while "$ref" in schema:
            reference, schema = schema["$ref"], whole
            for part in reference.removeprefix("#/").split("/"):
                schema = schema[part]
        fields |= {name: extremes_of(name, field) for name, field in schema.get("properties", {}).items()}
    return with_extremes(strategy, fields)


@schemathesis.hook
def before_generate_query(context, strategy):
    query = context.operation.query
    fields = {item.name: extremes_of(item.name, item.definition.get("schema", {})) for item in query}
    return with_extremes(strategy, fields)


@schemathesis.serializer("application/vnd.dossier.batch", "application/x-ndjson")
def as_bytes(_context, value):
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", errors="replace")


@schemathesis.hook
def filter_query(_context, query):
    return len(urlencode(query or {}, doseq=True, errors="replace")) <= MOST_URL_BYTES
