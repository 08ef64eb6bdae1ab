"""Fixtures of all tests."""

import signal
from pathlib import Path

import hypothesis
import pytest

# shells start background jobs so, and children inherit it
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# 10,000 disturbed files of each kind: tests/openpose/coco/test_disturbed.py
hypothesis.settings.register_profile("thorough", max_examples=10_000, deadline=None)
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, golden values and a real network; tests that need it skip where it
    is absent.
    """
    if not (SHARED / "coco-mini").is_dir():
        pytest.skip("../shared (real images and golden values) is absent")
    return SHARED
