"""What Schemathesis is told of this API: how the bytes of a batch are written, and how long a URL may be."""

from urllib.parse import urlencode

import schemathesis

# Beyond 65,534 bytes hyper answers by itself: tests/tests/end_to_end/api/contract.rs looks at that.
MOST_URL_BYTES = 65_000


@schemathesis.serializer("application/vnd.dossier.batch")
def as_bytes(_context, value):
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", errors="replace")


@schemathesis.hook
def filter_query(_context, query):
    return len(urlencode(query or {}, doseq=True, errors="replace")) <= MOST_URL_BYTES
