"""What the `database` source is made of.

statement   the query: one SELECT, its parameters
drivers     the connection: URL → engine, or the package that is missing
sqlite      an SQLite file, opened so that nothing can be written
stream      the rows, batch by batch, inside a transaction that may only read
values      a driver's value → what JSON knows
increment   only what is new since the last reading
"""
