"""Statistics that several rooms need: pure functions of arrays, no files, no clock, no global state."""
