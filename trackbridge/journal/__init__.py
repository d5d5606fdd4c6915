"""The journal: an append-only file per process that survives ``kill -9``. ``format.md`` specifies it."""
