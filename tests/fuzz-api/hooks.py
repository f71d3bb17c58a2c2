"""How Schemathesis writes what is no JSON: the bytes of a batch, as they were made."""

import schemathesis


@schemathesis.serializer("application/vnd.dossier.batch")
def as_bytes(_context, value):
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", errors="replace")
