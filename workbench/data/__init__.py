"""Stage 1, market data: the store, its quality checks and importers, and the embedded market."""
