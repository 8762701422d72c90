"""Stages 4 to 9, from forecasts to validated targets: pure functions; `pipeline.decide` composes them."""
