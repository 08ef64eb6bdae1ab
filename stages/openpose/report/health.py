"""What the stage inspect_data says of the data set, as blocks of the page."""

from collections.abc import Sequence
from typing import Any

from stages.openpose.report.blocks import Block, Gallery, GalleryImage, Section, Table, Text


def health_blocks(
    health: dict[str, Any] | None, images: Sequence[GalleryImage] = ()
) -> list[Block]:
    """A table of what was derived and what is suspicious, and images of the suspicious; nothing
    where the data set was not inspected.
    """
    if not health:
        return []
    rows = [
        (name, "derived", what, f"{count:,}", "")
        for name, one in health["sets"].items()
        for what, count in one["derived"].items()
    ]
    rows += [
        (name, "suspicious", kind, f"{found['count']:,}", "; ".join(found["examples"][:2]))
        for name, one in health["sets"].items()
        for kind, found in one["suspicious"].items()
    ]
    shared = health["photographs_in_train_and_val"]
    if shared["val_images"]:
        examples = ", ".join(f"{train} = {val}" for train, val in shared["pairs"][:4])
        rows.append(
            ("train, val", "suspicious", "photographs of val that are in train too",
             f"{shared['val_images']:,}", f"ids {examples}")
        )  # fmt: skip
    counts = "; ".join(
        f"{name}: {one['images']:,} images, {one['people']:,} people with keypoints, "
        f"{one['crowds']:,} crowd regions"
        for name, one in health["sets"].items()
    )
    body = "; ".join(health.get("body", ()))
    blocks: list[Block] = [Section("Data", "Data"), Text(f"{counts}.")]
    blocks += [Text(f"{body[:1].upper()}{body[1:]}.")] if body else []
    if rows:
        head = ("set", "", "what", "how often", "examples")
        blocks.append(Table(head, rows, "What reading the data set brought to light.", (3,)))
    else:
        blocks.append(Text("Nothing had to be derived, nothing is suspicious."))
    return [*blocks, Gallery(images)] if images else blocks
