"""A headless Chromium for the tests that look at pages as a person does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

SYSTEM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # while Playwright is open its event loop runs: nothing else may need one here
def browser() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own; without either the test is skipped, and fails in CI."""
    path = next((found for name in SYSTEM if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path)
        except Error as error:
            if os.environ.get("WORKBENCH_CI"):
                raise
            pytest.skip(f"no Chromium: install it, or run `playwright install chromium` ({str(error).splitlines()[0]})")
        yield browser
        browser.close()
