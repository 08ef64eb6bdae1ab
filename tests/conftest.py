"""Fixtures of all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures, golden values and a real network; tests that need it skip where it is absent."""
    if not (SHARED / "FACTS.md").exists():
        pytest.skip("../shared (real pictures and golden values) is absent")
    return SHARED
