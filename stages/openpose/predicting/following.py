"""People of a film with ids and, where asked for, less jitter."""

from dataclasses import replace

import numpy as np

from stages.openpose.predicting.found import FoundPeople
from stages.openpose.predicting.smoothing import OneEuro
from stages.openpose.predicting.tracking import UNFOLLOWED, Tracker


def follow(people: FoundPeople, time_s: float, tracker: Tracker, min_score: float) -> FoundPeople:
    """The people with ids; only those of a certainty of at least `min_score` are followed."""
    ids = np.full(len(people), UNFOLLOWED, np.int64)
    certain = people.certainty >= min_score
    ids[certain] = tracker.update(people.keypoints[certain], time_s)
    return replace(people, ids=ids)


def smoothed(people: FoundPeople, time_s: float, smoother: OneEuro) -> FoundPeople:
    """The people who are followed with less jitter."""
    parts = people.parts.copy()
    ids = np.array([], np.int64) if people.ids is None else people.ids
    for person in np.flatnonzero(ids != UNFOLLOWED):
        parts[person] = smoother.update(int(ids[person]), parts[person], time_s)
    return replace(people, parts=parts, keypoints=parts[:, list(people.skeleton.part_of_keypoint)])
