"""The settings of a run: params.yaml as frozen dataclasses, one a section.

`sections` is the one home of names, types, bounds, meanings and defaults; the JSON schema,
docs/parameters.md and the preset `sample` are generated from it.
"""

from stages.openpose.plain_yaml import parse_yaml
from stages.params.presets import (
    PRESETS,
    SCHEMA,
    WORKFLOW,
    preset_names,
    preset_text,
    use,
    with_changes,
)
from stages.params.reading import build, check, load, read_yaml
from stages.params.sections import (
    Augment,
    Dataset,
    Decoder,
    Detect,
    Download,
    Evaluate,
    HeldOut,
    Labels,
    Pack,
    Params,
    Skeleton,
    Train,
)

__all__ = [
    "PRESETS",
    "SCHEMA",
    "WORKFLOW",
    "Augment",
    "Dataset",
    "Decoder",
    "Detect",
    "Download",
    "Evaluate",
    "HeldOut",
    "Labels",
    "Pack",
    "Params",
    "Skeleton",
    "Train",
    "build",
    "check",
    "load",
    "parse_yaml",
    "preset_names",
    "preset_text",
    "read_yaml",
    "use",
    "with_changes",
]
