"""Protocols of pack: from which sets of annotations images are taken (docs/sources.md 6)."""

SOURCES = ("train", "val")
CLEAN = ("clean", "clean_and_val")


def sources_read(protocol: str) -> tuple[str, ...]:
    """Sets of annotations that a protocol takes images from: "train", or "train" and "val"."""
    return ("train",) if protocol == "clean" else SOURCES
