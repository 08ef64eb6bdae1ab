"""Keys tested against each other: what would else fail after hours, or be silently wrong."""

import difflib

from stages.openpose.coco.protocols import CLEAN, sources_read
from stages.openpose.errors import InputError
from stages.params.sections import Params

TRAINED = "trained"  # the network trained here, a folder of models/ like the others
WHOLE_SET = "val"  # every id list is a part of it


def check_together(settings: Params, origin: str) -> None:
    """Raise InputError naming the first keys whose values cannot go together."""
    checks = (_dataset, _protocol, _crops, _teacher, _batches, _models, _scales, _splits)
    for problem in (found for check in checks for found in check(settings)):
        raise InputError(f"{origin}: {problem}")


def _dataset(settings: Params):
    name, generated = settings.dataset.name, settings.dataset.generated
    if generated not in ((), (name,)):
        yield (
            f"`dataset.generated`: expected [] or [{name}], the name of `dataset.name`, found "
            f"{list(generated)}"
        )


def _protocol(settings: Params):
    pack, sample = settings.pack, settings.sample
    if missing := set(sources_read(pack.protocol)) - set(settings.masks.sources):
        yield (
            f"`masks.sources` {list(settings.masks.sources)} lacks {min(missing)}: `pack.protocol` "
            f"{pack.protocol} takes images from it, and needs their masks"
        )
    held_out = pack.holdout_images if pack.protocol in CLEAN else pack.reference_images
    if settings.train.early_stop_epochs and not held_out:
        name = "holdout_images" if pack.protocol in CLEAN else "reference_images"
        yield (
            f"`train.early_stop_epochs` {settings.train.early_stop_epochs} needs a loss of images "
            f"held out, but `pack.{name}` is 0"
        )
    all_held_out = pack.holdout_images >= sample.train_images
    if settings.dataset.generated and pack.protocol in CLEAN and all_held_out:
        yield (
            f"`pack.holdout_images` {pack.holdout_images}: expected fewer than the "
            f"`sample.train_images` {sample.train_images}"
        )


def _crops(settings: Params):
    augment, stride_px = settings.augment, settings.labels.stride_px
    if augment.scale_min > augment.scale_max:
        yield (
            f"`augment.scale_min` {augment.scale_min} is above `augment.scale_max` "
            f"{augment.scale_max}"
        )
    if augment.crop_px % stride_px:
        yield (
            f"`augment.crop_px` {augment.crop_px} is no multiple of `labels.stride_px` {stride_px}"
        )


def _teacher(settings: Params):
    train, labels = settings.train, settings.labels
    if not train.teacher:
        return
    if settings.augment.variants < 1:
        yield "`augment.variants`: expected at least 1 with a `train.teacher`, found 0"
    if labels.made_on != "host":
        yield f"`labels.made_on`: expected host with a `train.teacher`, found {labels.made_on}"
    if train.teacher_margin_px % labels.stride_px:
        yield (
            f"`train.teacher_margin_px` {train.teacher_margin_px} is no multiple of "
            f"`labels.stride_px` {labels.stride_px}"
        )


def _batches(settings: Params):
    train = settings.train
    if train.batch_size % train.batch_parts:
        yield (
            f"`train.batch_size` {train.batch_size} is not divisible by `train.batch_parts` "
            f"{train.batch_parts}: a batch is cut into equal slices"
        )


def _models(settings: Params):
    if TRAINED in settings.models:
        yield f"`models.{TRAINED}`: that is the name of the network trained here; choose another"
    for key, entry in settings.models.items():
        if isinstance(entry, str) and entry not in settings.download.weights:
            yield (
                f"`models.{key}` is the network {entry}, which stage download does not bring: add "
                f"it to `download.weights`, now {list(settings.download.weights)}"
            )
    known = [TRAINED, *settings.models]
    for name in settings.detect.models:
        if name not in known:
            yield (
                f"`detect.models` has {name}{_meant(name, known)}: expected names of section "
                f"`models` or {TRAINED}; there: {', '.join(known)}"
            )


def _scales(settings: Params):
    if 1 not in settings.detect.scales:
        yield (
            f"`detect.scales`: expected 1.0 among them (`single` is that scale), found "
            f"{list(settings.detect.scales)}"
        )


def _splits(settings: Params):
    detected = settings.detect.splits
    for name in settings.evaluate.splits:
        if name not in detected and WHOLE_SET not in detected:
            yield (
                f"`evaluate.splits` has {name}, but `detect.splits` {list(detected)} holds neither "
                f"it nor {WHOLE_SET}: nobody would look at its images"
            )


def check_listed(settings: Params, sources: dict, origin: str) -> None:
    """Raise InputError naming the first split that the file of `download.sources`, whose content is
    `sources`, does not list.
    """
    listed = {  # a group of another form is for the stage download to refuse
        group: list(sources[group]) if isinstance(sources.get(group), dict) else []
        for group in ("annotations", "ids")
    }
    splits = sorted({WHOLE_SET, *listed["annotations"], *listed["ids"]})
    for key, names, known in (
        ("masks.sources", settings.masks.sources, listed["annotations"]),
        ("detect.splits", settings.detect.splits, splits),
        ("evaluate.splits", settings.evaluate.splits, splits),
    ):
        for name in names:
            if name not in known:
                raise InputError(
                    f"{origin}: `{key}` has {name}{_meant(name, known)}: "
                    f"{settings.download.sources} lists {', '.join(known) or 'none'}"
                )


def check_ids(settings: Params, sources: dict, origin: str) -> None:
    """Raise InputError where a protocol needs a list of ids that `sources` does not have."""
    if settings.pack.protocol == "clean_and_val" and not sources.get("ids"):
        raise InputError(
            f"{origin}: `pack.protocol` clean_and_val keeps the val images of the id lists out of "
            f"training, but {settings.download.sources} has no `ids`"
        )


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""
