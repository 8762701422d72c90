"""Stage 2: market data becomes features. One C++ engine with constant work per bar does batch and streaming."""
