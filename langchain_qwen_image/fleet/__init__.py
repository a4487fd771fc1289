"""A run for any number of machines: a queue of its items in PostgreSQL. The account alone pays."""
