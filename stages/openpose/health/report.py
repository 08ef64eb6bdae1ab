"""The health of a data set as text and as plain values."""

from typing import Any

from stages.openpose.health.inspection import Inspected

MOST_PAIRS_SHOWN = 5


def to_json(sets: dict[str, Inspected], shared: dict[str, Any]) -> dict[str, Any]:
    """Plain values: the body, counts and findings by set, and photographs that are in train and in
    val.
    """
    return {
        "body": next(iter(sets.values())).body.notes,
        "sets": {name: one.counts | one.findings.to_json() for name, one in sets.items()},
        "photographs_in_train_and_val": shared,
    }


def to_text(health: dict[str, Any]) -> str:
    """The same for people, one finding a line."""
    lines = list(health["body"])
    for name, one in health["sets"].items():
        lines.append(
            f"{name}: {one['images']} images, {one['people']} people with keypoints, "
            f"{one['crowds']} crowd regions ({one['file']})"
        )
        lines += [f"  derived     {count:8}  {what}" for what, count in one["derived"].items()]
        for kind, found in one["suspicious"].items():
            lines.append(f"  suspicious  {found['count']:8}  {kind}")
            lines += [f"                        {example}" for example in found["examples"][:3]]
        lines += [f"  problem               {text}" for text in one["first_problems"]]
        if (left := one["problems"] - len(one["first_problems"])) > 0:
            lines.append(f"  problem               ... and {left} more")
        if not (one["derived"] or one["suspicious"] or one["problems"]):
            lines.append("  nothing derived, nothing suspicious")
    shared = health["photographs_in_train_and_val"]
    if shared.get("pairs"):
        shown = ", ".join(f"{a} = {b}" for a, b in shared["pairs"][:MOST_PAIRS_SHOWN])
        lines.append(
            f"train and val: {shared['val_images']} photographs of val are in train too "
            f"(ids train = val: {shown})"
        )
    return "\n".join(lines)


def suspicious_kinds(health: dict[str, Any]) -> list[str]:
    """What is suspicious in any set, with its count."""
    kinds = [
        f"{name}: {found['count']} {kind}"
        for name, one in health["sets"].items()
        for kind, found in one["suspicious"].items()
    ]
    shared = health["photographs_in_train_and_val"]
    if shared.get("pairs"):
        kinds.append(f"{shared['val_images']} photographs of val are in train too")
    return kinds
