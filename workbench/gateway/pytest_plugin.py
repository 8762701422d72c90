"""A simulated IB Gateway in any test: ``def test_mine(simulated_gateway): ...`` connects to ``simulated_gateway.port``.

The fixtures import the gateway when they are first used, so that test runs without it stay as fast as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from workbench.gateway.simulated import SimulatedGateway

FAST = 60.0
"""Simulated seconds per second: a minute bar a second."""


@pytest.fixture
def simulated_gateway_factory() -> Iterator[Callable[..., SimulatedGateway]]:
    """Makes gateways that listen until the test ends; takes what ``SimulatedGateway`` takes, at 60 times speed."""
    from workbench.gateway.simulated import SimulatedGateway

    with ExitStack() as running:

        def make(**options: Any) -> SimulatedGateway:
            return running.enter_context(SimulatedGateway(**{"speed": FAST, **options}))

        yield make


@pytest.fixture
def simulated_gateway(simulated_gateway_factory: Callable[..., SimulatedGateway]) -> SimulatedGateway:
    """A gateway of the test's own on a free port: 1,000,000 USD, any US stock, 60 times speed."""
    return simulated_gateway_factory()
