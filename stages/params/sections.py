"""The one home of every setting: name, type, bounds, meaning and default of each key of
params.yaml, one frozen dataclass a section.

Units stand in the names (`_px`, `_px2`, `_s`, `_deg`, `_cells`). A default is the value of the
preset `sample`. After a change: python -m stages.params document. Code that makes a section itself
is not checked; `stages.params.build` checks with pydantic what comes from a file.
"""

# ruff: noqa: RUF009 - key() makes a dataclasses.field, which is what the rule asks for

from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema, Strict, WrapValidator

# Names become parts of paths and of shell commands: no separator, no blank, no quote, no `..`.
NAME = r"^[A-Za-z0-9](\.?[A-Za-z0-9_-])*$"
MODEL_NAME = r"^[A-Za-z0-9_]+$"  # no dot: to DVC `models.a.b` is a path of keys
FILE_NAME = r"^[^/\\.][^/\\]*$"
HASH = r"^([0-9a-fA-F]{32}|[0-9a-fA-F]{64})$"
PATTERNS = {
    NAME: "a name of letters, digits, _ and -, with single dots inside",
    MODEL_NAME: "a name of letters, digits and _",
    FILE_NAME: "the name of a file, without its folder",
    HASH: "a sha256 or md5: 64 or 32 digits 0-9a-f",
}


def _as_written(value: Any, check: Any) -> Any:
    check(value)
    return value  # 30 stays 30: the keys of runs and the packed file hold numbers as written


def _model_as_written(value: Any, check: Any) -> Any:
    # a name stands for a network that download.weights lists; together.py tests that
    return value if isinstance(value, str) else _as_written(value, check)


def _unlike(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("each value once")
    return values


def _consecutive(shards: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(shards) != list(range(len(shards))):
        raise ValueError("shard numbers from 0 without a gap, as in [0, 1, 2]")
    return shards


Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False), WrapValidator(_as_written)]
Size = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False), WrapValidator(_as_written)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False), WrapValidator(_as_written)]
Share = Annotated[float, Strict(), Field(ge=0, le=1), WrapValidator(_as_written)]
Name = Annotated[Text, Field(pattern=NAME)]
Names = Annotated[
    tuple[Name, ...], AfterValidator(_unlike), Field(json_schema_extra={"uniqueItems": True})
]
Shards = Annotated[
    tuple[Count, ...],
    AfterValidator(_consecutive),
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
]
ModelName = Annotated[Text, Field(pattern=MODEL_NAME)]
FileName = Annotated[Text, Field(pattern=FILE_NAME)]
Hash = Annotated[Text, Field(pattern=HASH)]
Precision = Literal["auto", "float32", "mixed_bfloat16"]
Colours = Annotated[tuple[Number, ...], Field(min_length=3, max_length=3)]


def key(default: Any, meaning: str, **bounds: Any) -> Any:
    """A setting: its default, what it means, and bounds beyond those of its type (pydantic's)."""
    return field(default=default, metadata={"description": meaning, **bounds})


class Section:
    """What all sections share: unknown keys are errors."""

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Dataset(Section):
    """Which data set is active."""

    name: Name = key("sample", "Name of the data set; its files live in data/<name>.")
    generated: Names = key(
        ("sample",),
        "[name] for a data set that the sample stage draws, [] for any other.",
    )


@dataclass(frozen=True)
class Sample(Section):
    """The drawn sample (stage sample)."""

    seed: Count = key(20141, "Seed of every image.")
    train_images: Integer = key(3000, "Number of training images.", ge=1)
    val_images: Integer = key(400, "Number of validation images.", ge=1)
    val1k_images: Integer = key(200, "Number of validation images in the id list val1k.", ge=1)


@dataclass(frozen=True)
class Download(Section):
    """Archives, annotations and id lists (stage download)."""

    sources: Text = key(
        "data/sample/source/sources.yaml",
        "YAML file that lists what to fetch: URLs, bytes, hashes (workflow/sources).",
    )
    root: Text = key(
        "data/sample/source",
        "Folder against which relative addresses of the list are resolved, usually that of your "
        "own files: both engines see when what lies there changes.",
    )
    mirror: Text = key(
        "",
        "URL prefix or folder to take files from instead of the listed hosts, under their "
        "full path or directly; empty for none.",
    )
    have: Text = key(
        "",
        "Folder that already holds the archives or the unpacked images; empty for none.",
    )
    retries: Count = key(5, "How often a broken transfer is taken up again.")
    timeout_s: Positive = key(
        30,
        "Seconds without a byte after which a connection counts as broken.",
    )
    parallel: Integer = key(3, "Files fetched at once.", ge=1)
    weights: Names = key(
        (),
        "Weights to fetch as well, into data/<name>/weights: names of the list's weights, or of "
        "networks that can be had (python -m stages.models list).",
    )


@dataclass(frozen=True)
class InspectData(Section):
    """Look at annotations and images before anything costs time (stage inspect_data)."""

    suspicious: Literal["report", "fail"] = key(
        "report",
        "What is possible but probably wrong is told (report), or ends the run (fail).",
    )
    exif: Literal["as_stored", "upright"] = key(
        "as_stored",
        "Which pixels the annotations are of where images carry an EXIF orientation: those "
        "stored, or those of the image turned upright; training and detection then turn it too.",
    )


@dataclass(frozen=True)
class Skeleton(Section):
    """The body whose keypoints are labelled, where the annotations do not say it all (stage
    inspect_data; docs/own-bodies.md). Empty: COCO's 17 keypoints where the annotations have them,
    else what the annotations and the places of their keypoints tell.
    """

    category: Text = key(
        "", "Category of the annotations to learn, where several have different keypoints."
    )
    keypoints: tuple[Text, ...] = key(
        (), "Names of the keypoints in the order of the annotations; needed where they have none."
    )
    edges: tuple[tuple[Text, Text], ...] = key(
        (), "Limbs, as pairs of names; default: `skeleton` of the category, else measured."
    )
    mirror: tuple[tuple[Text, Text], ...] = key(
        (),
        "Pairs of names that change places in a mirrored image; default: by left and right in the "
        "names.",
    )
    sigmas: tuple[Positive, ...] = key(
        (), "OKS sigma of each keypoint, in the order of the keypoints; default: estimated."
    )
    derived: tuple[tuple[Text, Text, Text], ...] = key(
        (),
        "Parts that no annotation holds, in the middle of two keypoints: [[neck, left_shoulder, "
        "right_shoulder]]. COCO's body has the neck without being told.",
    )


@dataclass(frozen=True)
class CocoApi(Section):
    """Check of pycocotools (stage coco_api)."""

    self_test: Flag = key(True, "Run the known masks and the known AP.")


@dataclass(frozen=True)
class Masks(Section):
    """Crowd masks (stage masks)."""

    sources: Names = key(
        ("train",),
        "Annotation files to make masks for: train, val or both (what pack.protocol reads).",
    )
    shards: Shards = key((0, 1), "Shard numbers 0 .. n-1; shards run side by side.")


@dataclass(frozen=True)
class Pack(Section):
    """Choice of images and persons (stage pack)."""

    protocol: Literal["clean", "clean_and_val", "reference", "reference_persons"] = key(
        "clean",
        "clean: train images only; clean_and_val: also the val images that are in no id list "
        "of data/<name>/ids (then only the lists can be evaluated cleanly; masks.sources "
        "needs val); reference: train and val images but the first reference_images of val in "
        "the order of the annotation file; reference_persons: but the first reference_images "
        "with people, by id (docs/sources.md 9.3).",
    )
    holdout_images: Count = key(
        100,
        "clean, clean_and_val: how many of the last train images (by id) go to packed/val.h5 "
        "instead of packed/train.h5.",
    )
    reference_images: Count = key(
        2645,
        "reference, reference_persons: how many val images go to packed/val.h5 instead of "
        "packed/train.h5.",
    )
    duplicate_radius: Literal["fixed", "reference"] = key(
        "fixed",
        "Radius within which a second main person counts as the first: fixed = of its own "
        "box; reference = of the last box seen (docs/sources.md 9.1).",
    )
    min_keypoints: Integer = key(5, "Labelled keypoints a main person must have.", ge=1)
    min_area_px2: Size = key(1024, "Segment area a main person must have, square pixels.")


@dataclass(frozen=True)
class Labels(Section):
    """Heatmaps and part affinity fields."""

    stride_px: Integer = key(8, "Pixels of the network input per label cell.", ge=1)
    sigma_px: Positive = key(
        7.0,
        "Standard deviation of a heatmap peak, pixels of the network input.",
    )
    paf_width_px: Positive = key(8.0, "Half width of a limb, pixels of the network input.")
    paf_overlap: Literal["mean", "last"] = key(
        "mean",
        "Where limbs of one kind overlap: their mean (paper) or the last person (reference, "
        "docs/sources.md 9.7).",
    )
    paf_grid: Literal["centre", "corner"] = key(
        "centre",
        "Point of a cell at which PAFs are evaluated: its centre or its top-left corner "
        "(reference, docs/sources.md 9.7).",
    )
    beyond_frame: Literal["none", "keep"] = key(
        "none",
        "none: a Gaussian ends at 4.5 sigma (4e-5 of its peak), so that keypoints outside the "
        "crop leave only the tail that lies inside; keep: it has no end, as in the reference "
        "(docs/sources.md 9.8).",
    )
    made_on: Literal["host", "device"] = key(
        "host",
        "Where labels are made: by the loader, or from padded keypoints by the device that trains.",
    )


@dataclass(frozen=True)
class Augment(Section):
    """The random affine of a training sample."""

    crop_px: Integer = key(
        160,
        "Side of the square crop, pixels; a multiple of the stride.",
        ge=8,
        multiple_of=8,
    )
    target_height: Positive = key(
        1.15,
        "Height of the main person as a share of the crop before random scaling.",
    )
    scale: Literal["once", "off"] = key(
        "once",
        "Random scaling: applied once, or off as in the reference (docs/sources.md 9.2).",
    )
    scale_min: Positive = key(0.6, "Smallest random scale.")
    scale_max: Positive = key(1.7, "Largest random scale.")
    rotation_deg: Size = key(4.0, "Rotation is uniform within plus and minus this, degrees.")
    shift_px: Size = key(22.0, "Shift is uniform within plus and minus this in x and y, pixels.")
    shift_in: Literal["crop", "image"] = key(
        "crop",
        "Pixels in which shift_px is measured: of the crop, or of the image as in the "
        "reference, which may move small people out of the crop.",
    )
    flip_probability: Share = key(0.5, "Probability of mirroring.")
    interpolation: Literal["linear", "cubic"] = key(
        "linear",
        "Of the image warp: cubic as the reference, or linear; with linear, images that their "
        "crops shrink twice or more are decoded at 1/2, 1/4 or 1/8 size.",
    )
    outside_supervised: Flag = key(
        False,
        "true: pixels outside the image count as supervised background, as in the reference "
        "(docs/sources.md 9.8).",
    )
    mask_shrink: Literal["area", "cubic"] = key(
        "area",
        "How the mask shrinks to label cells: mean of the pixels, or cubic as in the "
        "reference (docs/sources.md 9.8).",
    )
    variants: Count = key(
        0,
        "Epochs after which scale, rotation and shift of a sample repeat, which a teacher needs; "
        "mirroring and colours do not. 0: never.",
    )
    brightness: Share = key(
        0.0, "Largest random change of brightness, as a share of the range of values."
    )
    contrast: Share = key(0.0, "Largest random change of contrast, as a share of it.")
    colour_gain: Share = key(0.0, "Largest random change of each colour by itself, as a share.")
    grey_probability: Share = key(0.0, "Probability of a crop without colour.")
    blur_probability: Share = key(0.0, "Probability of a blurred crop (Gaussian, 0.3 to 2 px).")


@dataclass(frozen=True)
class Train(Section):
    """Training (stage train)."""

    backend: Literal["tensorflow", "jax", "torch"] = key("tensorflow", "Keras backend.")
    seed: Count = key(1, "Seed of weights, order and augmentation.")
    network: Literal["light", "full", "mobilenet"] = key(
        "light",
        "light: small network of the same family; full: the reference network (docs/sources.md "
        "2); mobilenet: that of Lightweight OpenPose, to start from weights (init).",
    )
    init: Text = key(
        "",
        "Weights to start from: a file, or the name of a network (python -m stages.models list) "
        "that download.weights lists too; empty for random ones. Layers that do not fit by name "
        "and shape are made anew.",
    )
    freeze: tuple[Text, ...] = key(
        (),
        "Layers that keep the weights they start with, by name, * for any letters: [conv1_*, "
        "conv2_*].",
    )
    teacher: Text = key(
        "",
        "Folder of a model (with its model.yaml) whose maps are mixed into the labels "
        "(distillation); empty for none. Needs augment.variants.",
    )
    teacher_share: Share = key(
        0.5,
        "Weight of the teacher where labels say something; elsewhere, and where labels must not "
        "be learned from, its maps stand alone.",
    )
    teacher_margin_px: Count = key(
        32,
        "What the teacher sees beyond the crop on each side, pixels of the crop; a multiple of "
        "the stride.",
    )
    epochs: Integer = key(31, "Passes over the training samples.", ge=1)
    batch_size: Integer = key(12, "Samples a step.", ge=1)
    precision: Precision = key(
        "auto",
        "Keras dtype policy. auto: mixed_bfloat16 where a GPU or the processor's own arithmetic "
        "does it well, else float32; said in one line and in results/runs/train.json.",
    )
    optimizer: Literal["muon", "adam", "sgd"] = key(
        "muon",
        "muon (kernels by Muon, the rest by Adam), adam, or sgd with momentum 0.9 (reference).",
    )
    learning_rate: Positive = key(0.0045, "Peak learning rate.")
    schedule: Literal["one_cycle", "step", "constant"] = key(
        "one_cycle",
        "one_cycle; or step: x0.333 every 121,746 x 17 samples (reference).",
    )
    warm_up_samples: Count = key(
        2000,
        "Samples during which the learning rate rises linearly to its peak; at most a tenth of "
        "the run's, none where that is less than a step.",
    )
    multipliers: Literal["none", "reference"] = key(
        "none",
        "Learning-rate multipliers: none, or those of the reference for the full network "
        "(docs/sources.md 3).",
    )
    weight_decay: Size = key(0.0005, "Decay of kernels.")
    decay_meaning: Literal["decoupled", "keras", "caffe"] = key(
        "decoupled",
        "decoupled (AdamW); keras: l2 term w^2; caffe: half of it (docs/sources.md 2).",
    )
    clip_norm: Size = key(
        100.0,
        "Norm of all gradients above which they are scaled down; 0 for never.",
    )
    average_momentum: Share = key(
        0.998,
        "Momentum per step of the running average (EMA) of the weights, which is what is "
        "validated and kept; 0 keeps the last weights.",
    )
    batch_parts: Integer = key(
        2,
        "Slices of a batch computed side by side, each operation on one thread: for CPUs. The "
        "result depends on it, but not on the number of cores.",
        ge=1,
    )
    early_stop_epochs: Count = key(
        0,
        "Epochs without a better validation loss after which training ends; 0 for never.",
    )
    shuffle_images: Integer = key(
        256,
        "Images pass in random order; the samples of one image are spread at random over a "
        "window of this many images, for which its decoded image (about 0.9 MB) is kept.",
        ge=1,
    )
    corrupt_records: Literal["fail", "skip"] = key(
        "fail",
        "A damaged image stops training with its id, or its samples are replaced by the next "
        "ones of the epoch, counted and named.",
    )
    checkpoint_every_s: Positive = key(60, "Seconds between checkpoints.")


@dataclass(frozen=True)
class HeldOut(Section):
    """AP of held-out training images (stage held_out), to compare experiments by."""

    every_epochs: Count = key(
        5,
        "Epochs between two measurements that train shows while it works (terminal, "
        "TensorBoard); 0 for none.",
    )
    images: Integer = key(200, "Images of packed/val on which it is measured, spread evenly.", ge=1)


@dataclass(frozen=True)
class Model(Section):
    """A network trained elsewhere (stage import_model)."""

    kind: Literal["openvino", "onnx", "keras", "caffe"] = key(
        MISSING,
        "OpenVINO IR (.xml and .bin), ONNX file, Keras weights (.h5) of a network of ours, or the "
        ".caffemodel of OpenPose's COCO network.",
    )
    folder: Text = key(MISSING, "Folder that holds the files.")
    files: dict[FileName, Hash] = key(
        MISSING, "sha256 of each file by its name, or its md5 (32 digits).", min_length=1
    )
    network: Literal["light", "full", "mobilenet"] = key(
        None,
        "keras: which network the weights belong to; openvino: the network of ours that takes the "
        "weights (without it OpenVINO runs the file).",
    )
    layout: Literal["NCHW", "NHWC"] = key("NCHW", "Order of the dimensions of input and outputs.")
    colour: Literal["BGR", "RGB"] = key("BGR", "Order of the input colours.")
    mean: Number | Colours = key(
        0, "The network gets (x - mean) / scale of values 0..255; a number or one a colour."
    )
    scale: Number | Colours = key(1, "See mean.")
    heatmaps: Text = key(None, "Name of the output with the heatmaps.")
    pafs: Text = key(None, "Name of the output with the part affinity fields.")
    heatmap_channels: tuple[Text, ...] = key(
        None,
        "Part names and background in the order of the heatmaps, default that of "
        "stages/openpose/skeleton.py.",
    )
    paf_channels: tuple[tuple[Text, Text], ...] = key(
        None,
        "Limbs [from, to] in the order of the fields, two channels (x, y) each; default that of "
        "skeleton.py.",
    )
    trained_on: Text = key("unknown", "What it was trained on, for the report.")


# A dict as it is written, once it is checked as a Model: its keys go into model.yaml as they stand;
# or a name.
ModelEntry = Annotated[
    dict[str, Any],
    GetPydanticSchema(lambda _, handler: handler(Model)),
    WrapValidator(_model_as_written),
]


@dataclass(frozen=True)
class Detect(Section):
    """Inference (stage detect)."""

    models: Names = key(("trained",), "Models to run: folders of models/.")
    splits: Names = key(
        ("val",),
        "Image sets to run them on: val, or an id list of data/<name>/ids.",
    )
    shards: Shards = key((0, 1), "Shard numbers 0 .. n-1; shards run side by side.")
    height_px: Integer = key(
        368,
        "Height to which images are scaled at scale 1.",
        ge=8,
        multiple_of=8,
    )
    scales: tuple[Positive, ...] = key(
        (0.35, 0.5, 0.7, 1.0, 1.4, 1.7),
        "Scales of multi, relative to height_px; must hold 1.",
        min_length=1,
    )
    pad_value: Count = key(128, "Grey value of the padding on the right and at the bottom.", le=255)
    pad_multiple_px: Integer = key(
        8,
        "Padded sides are multiples of this; 8 is what networks need, 64 means fewer "
        "different sizes: larger batches, less compiling (JAX).",
        ge=8,
        multiple_of=8,
    )
    average_stride_px: Literal[1, 2, 4, 8] = key(
        2,
        "Grid on which the maps of several scales are averaged, pixels of the scale-1 input.",
    )
    batch_size: Integer = key(4, "Images of equal padded size a network call.", ge=1)
    precision: Precision = key(
        "auto",
        "Of networks of ours, as of train: mixed_bfloat16 is 1.75 times as fast on processors "
        "that have it; maps differ by less than 0.01.",
    )


@dataclass(frozen=True)
class Decoder(Section):
    """From maps to people."""

    mode: Literal["exact", "fast", "parity"] = key(
        "exact",
        "exact: peaks between the cells (docs/sources.md 9.11), on a grid twice as fine as "
        "the maps; fast: on that of the maps; parity: the method and the thresholds of the "
        "reference on full-size maps, other keys of this section unused.",
    )
    peak_threshold: Share = key(
        0.1,
        "Smallest (smoothed) heatmap value of a peak; the reference has 0.1.",
    )
    smoothing_cells: Size = key(
        0.5,
        "Standard deviation of the Gaussian before peak finding, in units of 8 px of the "
        "scale-1 input.",
    )
    limb_samples: Integer = key(10, "Points at which a PAF is sampled along a limb.", ge=2)
    limb_threshold: Share = key(
        0.04,
        "A sample counts when the PAF along the limb exceeds this; the reference has 0.05.",
    )
    limb_share: Share = key(0.8, "More than this share of the samples must count.")
    min_parts: Integer = key(3, "Parts a person must have; the reference has 4.", ge=1)
    min_score: Share = key(
        0.2,
        "Sum of part and limb scores that a person must have, per part; the reference has 0.4.",
    )
    score_rule: Literal["root", "mean", "sum"] = key(
        "root",
        "Score of a person: sum of part and limb scores (reference), divided by the number of "
        "parts (mean) or by its square root (root).",
    )
    join_pieces: Flag = key(
        True,
        "Join parts of one person that no limb connects because the joint between them is hidden.",
    )
    complete: Flag = key(
        True,
        "Guess keypoints that were not found from those that were and from the heatmaps; "
        "scores of guesses are at most 0.05. OKS counts hidden keypoints too.",
    )
    prior: Literal["drawings", "photographs"] = key(
        "drawings",
        "Whose bodies these guesses are made by: people of the drawn sample, or of photographs "
        "of COCO.",
    )


@dataclass(frozen=True)
class Evaluate(Section):
    """AP (stage evaluate)."""

    splits: Names = key(
        ("val1k", "val"),
        "Splits to report: val (all images) or an id list of data/<name>/ids.",
    )
    bootstrap_samples: Count = key(200, "Resamplings of the images for the 95 % interval of AP.")
    seed: Count = key(1, "Seed of the resampling.")


@dataclass(frozen=True)
class Report(Section):
    """The page of results (stage report)."""

    gallery_images: Count = key(12, "Images with predicted skeletons.")


@dataclass(frozen=True)
class Params(Section):
    """All settings; sections are named after stages, plus dataset, labels, augment, models and
    decoder. `Params()` are those of the preset sample.
    """

    dataset: Dataset = Dataset()
    sample: Sample = Sample()
    download: Download = Download()
    inspect_data: InspectData = InspectData()
    skeleton: Skeleton = Skeleton()
    coco_api: CocoApi = CocoApi()
    masks: Masks = Masks()
    pack: Pack = Pack()
    labels: Labels = Labels()
    augment: Augment = Augment()
    train: Train = Train()
    held_out: HeldOut = HeldOut()
    models: dict[ModelName, ModelEntry] = field(
        default_factory=dict,
        metadata={
            "description": "Networks trained elsewhere, by name (stage import_model); "
            "detect.models says which are run. An entry may be the name of a network that can be "
            "had (python -m stages.models list) and that download.weights lists too."
        },
    )
    detect: Detect = Detect()
    decoder: Decoder = Decoder()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
