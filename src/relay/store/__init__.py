"""The store: the only SQL of the product.

Nouns. A *store* is one SQLite file that one process opens. An *op* is a function of the open transaction
(`Tx`); it runs on the writer thread, in a savepoint of its own. A *batch* is all ops that were waiting when
the thread became free: one transaction, one fsync. A *query* is a named SELECT with the mapper of its rows,
good inside an op (`query.all(tx, ...)`) and on the reading side (`await store.all(query, ...)`). A *row* is a
frozen dataclass.

Flow. `await store.write(op)` -> queue -> BEGIN IMMEDIATE, savepoint per op, COMMIT (synchronous=FULL) ->
callers resume in order. What an awaited write returned is on disk.

Times are integer milliseconds since 1970; the store never reads a clock: `now` is an argument.
"""
