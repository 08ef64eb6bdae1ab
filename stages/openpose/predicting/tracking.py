"""The same person keeps the same number from frame to frame.

People of a frame are matched with those known by OKS (the similarity of COCO's metric) after these
have been moved on at constant velocity; best pairs first. Somebody who is not seen is kept for a
while, and found again where the motion leads. A piece of a person, with few keypoints, may go on
with a number but never begins one. Measured: python -m benchmarks.tracking.
"""

from dataclasses import dataclass

import numpy as np

from stages.openpose.skeleton import COCO, Skeleton

MIN_COMMON_KEYPOINTS = 3  # on fewer, two people are not compared, unless a body has fewer
THINNEST = 0.25  # of the box of keypoints that stand in a line, shorter over longer side
UNFOLLOWED = -1  # the id of people who are not followed
# The box of a person's keypoints against the area that OKS is made for (median of COCO: 0.53).
AREA_OF_BOX = 0.53


@dataclass
class _Track:
    track_id: int
    keypoints: np.ndarray  # [K, 3], each keypoint where it was last seen, moved on since
    velocity: np.ndarray  # [2], pixels a second, of the whole person
    time_s: float


class Tracker:
    """Ids of people over the frames of one film.

    Args:
        min_oks: least similarity of the same person in two frames.
        min_share: share of the keypoints that somebody new must have.
        keep_s: seconds for which somebody is looked for who is not seen.
        motion: share of the velocity that is taken over from the newest frame; 0 for no motion.
    """

    def __init__(
        self,
        skeleton: Skeleton = COCO,
        *,
        min_oks: float = 0.1,
        min_share: float = 0.35,
        keep_s: float = 1.0,
        motion: float = 0.5,
    ) -> None:
        self.sigmas = np.asarray(skeleton.oks_sigmas)
        self.min_oks, self.keep_s, self.motion = min_oks, keep_s, motion
        self.min_keypoints = min_share * len(skeleton.keypoints)
        self._tracks: list[_Track] = []
        self._next_id = 1

    def update(self, keypoints: np.ndarray, time_s: float) -> np.ndarray:
        """Ids, int64 [P], from 1 on or UNFOLLOWED, of the people [P, K, 3] (x, y, score; 0 = not
        found) of the frame at `time_s`; frames in order.
        """
        self._tracks = [track for track in self._tracks if time_s - track.time_s <= self.keep_s]
        moved = [_moved(track, time_s) for track in self._tracks]
        ids = np.full(len(keypoints), UNFOLLOWED, np.int64)
        for person, index in self._pairs(keypoints, moved):
            self._follow(self._tracks[index], moved[index], keypoints[person], time_s)
            ids[person] = self._tracks[index].track_id
        is_whole = (keypoints[..., 2] > 0).sum(axis=-1) >= self.min_keypoints
        for newcomer in np.flatnonzero((ids == UNFOLLOWED) & is_whole):
            ids[newcomer] = self._next_id
            track = _Track(self._next_id, keypoints[newcomer].copy(), np.zeros(2), time_s)
            self._tracks.append(track)
            self._next_id += 1
        return ids

    def _pairs(self, keypoints: np.ndarray, moved: list[np.ndarray]) -> list[tuple[int, int]]:
        """(person, track) of the same people, each once, most similar first."""
        similar = np.array(
            [[oks(person, known, self.sigmas) for known in moved] for person in keypoints]
        ).reshape(len(keypoints), len(moved))
        pairs = []
        while similar.size and similar.max() >= self.min_oks:
            person, index = map(int, np.unravel_index(similar.argmax(), similar.shape))
            pairs.append((person, index))
            similar[person], similar[:, index] = -1, -1
        return pairs

    def _follow(self, track: _Track, moved: np.ndarray, found: np.ndarray, time_s: float) -> None:
        common = (found[:, 2] > 0) & (moved[:, 2] > 0)
        passed_s = time_s - track.time_s
        if passed_s > 0:
            # the median: a keypoint that jumped to another person moves nobody
            step = np.median(found[common, :2] - track.keypoints[common, :2], axis=0) / passed_s
            track.velocity += self.motion * (step - track.velocity)
        track.keypoints = np.where(found[:, 2:] > 0, found, moved)
        track.time_s = time_s


def _moved(track: _Track, time_s: float) -> np.ndarray:
    keypoints = track.keypoints.copy()
    keypoints[:, :2] += track.velocity * (time_s - track.time_s)
    return keypoints


def oks(one: np.ndarray, other: np.ndarray, sigmas: np.ndarray) -> float:
    """Object keypoint similarity, 0..1, of two people [K, 3]; a keypoint that one of them lacks
    counts as 0, of the one with more; the scale is that of the larger. 0 where they have too few in
    common.
    """
    common = (one[:, 2] > 0) & (other[:, 2] > 0)
    if common.sum() < min(MIN_COMMON_KEYPOINTS, len(sigmas)):
        return 0.0
    area = max(_area(person[person[:, 2] > 0, :2]) for person in (one, other))
    squared = ((one[common, :2] - other[common, :2]) ** 2).sum(axis=1)
    most = max((one[:, 2] > 0).sum(), (other[:, 2] > 0).sum())
    return float(np.exp(-squared / (2 * area * (2 * sigmas[common]) ** 2)).sum() / most)


def _area(points: np.ndarray) -> float:
    sides = np.ptp(points, axis=0)
    return max(AREA_OF_BOX * float(np.prod(np.maximum(sides, THINNEST * sides.max()))), 1.0)
