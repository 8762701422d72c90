"""Runs the stages over time: one Session.step, shared by backtest, replay and live."""
