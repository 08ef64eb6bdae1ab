"""Maps to people: peaks of the heatmaps, joined along the part affinity fields (arXiv:1611.08050,
sections 2.3, 2.4).

Works at the resolution of the maps: no map is enlarged to the size of the image. Where the
reference (docs/sources.md 5, `reference_decoder.py`) is left on purpose:

- peaks have sub-pixel places, and the half pixel of the stride is accounted for (docs/sources.md
  9.11);
- peaks and limbs are accepted sooner: lower thresholds, fewer parts a person. A lone false peak
  makes no person and a weak limb yields to any better one, so sooner acceptance adds uncertain
  people at the end of the ranking, which costs less AP than missed ones;
- a peak belongs to one person;
- parts of one person that a hidden joint keeps apart are joined (`pieces.py`);
- with `complete`, keypoints that were not found are placed by a guess (`completion.py`).

How the values were chosen, and what each is worth: docs/experiments/decoder.md.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.openpose.coco.pose_prior import PosePrior, read_prior
from stages.openpose.compiled import jit
from stages.openpose.decoding import completion, pieces
from stages.openpose.decoding.grouping import assemble
from stages.openpose.decoding.limbs import match, sample_positions
from stages.openpose.decoding.peaks import find_peaks
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, Skeleton

# Maps of fewer pixels a cell are not enlarged in mode `exact`: their peaks span several cells.
COARSE_STRIDE_PX = 4
# Whose bodies guesses are made by. `drawings` was fitted to the people of the bundled sample's
# training images (python -m benchmarks.pose_prior), `photographs` to people of 4,026 photographs of
# COCO (docs/experiments/photos.md); no validation image of either was used.
TABLES = {
    "drawings": Path(__file__).with_name("pose_prior.csv"),
    "photographs": Path(__file__).with_name("pose_prior_photographs.csv"),
}
# The unit of `smoothing_cells`, whatever the stride of the maps. Without smoothing the noise of a
# network makes several maxima of one keypoint.
SMOOTHING_CELL_PX = 8
# Exponent of the number of parts by which the sum of a person's scores is divided. `root` stands
# between favouring whole bodies and favouring fragments (docs/experiments/decoder.md).
SCORE_RULES = {"sum": 0.0, "root": 0.5, "mean": 1.0}


def decode(
    heatmaps: np.ndarray,
    pafs: np.ndarray,
    *,
    stride: int = 8,
    skeleton: Skeleton = COCO,
    mode: str = "exact",
    peak_threshold: float = 0.05,
    smoothing_cells: float = 0.35,
    limb_samples: int = 10,
    limb_threshold: float = 0.0,
    limb_share: float = 0.8,
    min_parts: int = 3,
    min_score: float = 0.2,
    score_rule: str = "root",
    join_pieces: bool = True,
    complete: bool = False,
    prior: str = "drawings",
    bodies: PosePrior | None = None,
) -> People:
    """Find the people in one image's maps.

    Args:
        heatmaps: float32 [h, w, parts + 1], about 0..1, background last; NaN and infinite values
            count as 0.
        pafs: float32 [h, w, 2 limbs], about -1..1; NaN and infinite values count as 0.
        stride: pixels of the network's input per cell; cell i is centred at pixel stride i +
            (stride - 1) / 2.
        skeleton: parts and limbs of the maps.
        mode: `exact` searches peaks on a grid twice as fine as that of the maps (from stride 4 on),
            `fast` on theirs.
        peak_threshold: smallest (smoothed) heatmap value of a peak (reference: 0.1).
        smoothing_cells: standard deviation of the Gaussian before the search, in units of 8 px.
        limb_samples: points along a limb at which its PAF is sampled.
        limb_threshold: a sample counts when the PAF along the limb exceeds this (reference: 0.05).
        limb_share: more than this share of the samples must count (reference: 80 %).
        min_parts: parts that a person must have (reference: 4), of bodies with fewer keypoints
            than COCO's in proportion.
        min_score: what the sum of a person's part and limb scores, divided by its parts, must
            reach (reference: 0.4).
        score_rule: that sum as it is (`sum`, the reference's rule, in favour of whole bodies),
            divided by the number of parts (`mean`, in favour of fragments) or by its square root
            (`root`, between the two).
        join_pieces: join parts of one person that no limb connects, see `pieces.py`.
        complete: guess the parts that were not found, see `completion.py`; scores of guesses:
            people.py.
        prior: whose bodies guesses are made by, of TABLES: `drawings` or
            `photographs`; they know COCO's parts.
        bodies: whose bodies they are made by instead.

    Returns:
        People; x, y in pixels of the network's input, pixel centres at integers.

    Raises:
        InputError: maps of another shape, or a setting out of range.
    """
    heatmaps, pafs = _checked_maps(heatmaps, pafs, skeleton)
    _check_settings(mode, stride, limb_samples, score_rule, prior)
    table = _table(
        skeleton.limbs,
        skeleton.decode_order,
        skeleton.late_limbs,
        skeleton.keypoints,
        skeleton.parts,
    )
    part_count = len(skeleton.parts)
    enlarge = 2 if mode == "exact" and stride >= COARSE_STRIDE_PX else 1
    peaks, starts = find_peaks(
        heatmaps, part_count, peak_threshold, smoothing_cells * SMOOTHING_CELL_PX / stride, enlarge
    )
    positions, allowed = _sampling(limb_samples, limb_share)
    ends, scores, firsts = match(
        pafs, peaks, starts, table.limbs, positions, np.float32(limb_threshold), allowed
    )
    members, sums = assemble(
        peaks, part_count, table.limbs, table.decode_order, table.late, ends, scores, firsts
    )
    if part_count == 1:  # no limb makes a person there: each peak is one
        members, sums = np.arange(len(peaks))[:, None], np.zeros(len(peaks), np.float32)
    if join_pieces and part_count <= pieces.MOST_PARTS:
        pieces.join_pieces(peaks, members, sums, table.limbs, skeleton)
    limits = skeleton.scaled_count(int(min_parts)), float(min_score)
    person_parts, scores = _people(
        peaks, members, sums, int(stride), *limits, SCORE_RULES[score_rule]
    )
    if complete and (bodies := bodies or read_prior(skeleton.parts, TABLES[prior])):
        completion.complete(person_parts, heatmaps, int(stride), bodies)
    return People(person_parts[:, table.part_of_keypoint], person_parts, scores)


def _checked_maps(
    heatmaps: np.ndarray, pafs: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """The maps as contiguous float32 that numba compiles for once (it takes read-only arrays for
    another type).
    """
    shape = np.shape(heatmaps)
    if len(shape) != 3 or 0 in shape or shape[2] != skeleton.heatmap_channels:
        expected = f"[h, w, {skeleton.heatmap_channels}] with h, w >= 1"
        raise InputError(f"heatmaps: expected an array {expected}, found shape {list(shape)}")
    expected = (*shape[:2], skeleton.paf_channels)
    if np.shape(pafs) != expected:
        raise InputError(
            f"pafs: expected shape {list(expected)} beside heatmaps {list(shape)}, found "
            f"{list(np.shape(pafs))}"
        )
    return np.require(heatmaps, np.float32, ["C", "W"]), np.require(pafs, np.float32, ["C", "W"])


def _check_settings(mode: str, stride: int, limb_samples: int, score_rule: str, prior: str) -> None:
    if mode not in ("exact", "fast"):
        hint = (
            "; parity needs the size of the image: reference_decoder.decode_full"
            if mode == "parity"
            else ""
        )
        raise InputError(f"mode: expected exact or fast, found {mode!r}{hint}")
    if score_rule not in SCORE_RULES:
        raise InputError(
            f"score_rule: expected one of {', '.join(SCORE_RULES)}, found {score_rule!r}"
        )
    if prior not in TABLES:
        raise InputError(f"prior: expected one of {', '.join(TABLES)}, found {prior!r}")
    if stride < 1 or limb_samples < 2:
        raise InputError(
            f"expected stride >= 1 and limb_samples >= 2, found {stride} and {limb_samples}"
        )


class _Table(NamedTuple):
    """A skeleton as arrays: int64 [limbs, 2], int64 [limbs], bool [limbs], int64 [keypoints]."""

    limbs: np.ndarray
    decode_order: np.ndarray
    late: np.ndarray
    part_of_keypoint: np.ndarray


@lru_cache(maxsize=8)
def _table(
    limbs: tuple, decode_order: tuple, late_limbs: tuple, keypoints: tuple, parts: tuple
) -> _Table:
    return _Table(
        np.array(limbs, np.int64),
        np.array(decode_order, np.int64),
        np.isin(np.arange(len(limbs)), late_limbs),
        np.array([parts.index(name) for name in keypoints], np.int64),
    )


@lru_cache(maxsize=8)
def _sampling(samples: int, share: float) -> tuple[np.ndarray, int]:
    """Places of the inner samples of a limb and how many of all samples may fail."""
    # "more than this share", where rounding of share * samples must not lose a whole sample
    must_count = min(int(share * samples + 1e-9) + 1, samples)
    return sample_positions(samples), samples - must_count


@jit
def _people(peaks, members, limb_sums, stride, min_parts, min_score, exponent):
    """Parts and scores (see `People`) of those who have enough parts and score."""
    candidates, part_count = members.shape
    person_parts = np.zeros((candidates, part_count, 3), np.float32)
    scores = np.empty(candidates, np.float32)
    people_count = 0
    for person in range(candidates):
        count, total = 0, limb_sums[person]
        for part in range(part_count):
            if members[person, part] >= 0:
                count += 1
                total += peaks[members[person, part], 2]
        if count < max(min_parts, 1) or total < min_score * count:
            continue
        scores[people_count] = total / count**exponent
        for part in range(part_count):
            peak = members[person, part]
            if peak >= 0:
                person_parts[people_count, part, 0] = peaks[peak, 0] * stride + (stride - 1) / 2
                person_parts[people_count, part, 1] = peaks[peak, 1] * stride + (stride - 1) / 2
                person_parts[people_count, part, 2] = peaks[peak, 2]
        people_count += 1
    return person_parts[:people_count].copy(), scores[:people_count].copy()
