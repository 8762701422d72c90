"""Stage 10: from a target to orders, and the brokers that take them. `planning` and `guards` are pure."""
