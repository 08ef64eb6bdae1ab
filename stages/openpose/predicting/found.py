"""What was found in one image or frame, and its forms for other programs."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from stages.openpose import drawing
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.inference.results import to_results
from stages.openpose.inference.tta import Maps
from stages.openpose.predicting.tracking import UNFOLLOWED
from stages.openpose.skeleton import COCO, Skeleton

MIN_SCORE = 0.2  # certainty of people who are drawn and followed
OPENPOSE_VERSION = 1.3
# What OpenPose writes of a person besides the body; empty here.
OPENPOSE_EMPTY = (
    "face_keypoints_2d",
    "hand_left_keypoints_2d",
    "hand_right_keypoints_2d",
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
)


@dataclass(frozen=True)
class FoundPeople(People):
    """The people of one image, best first; arrays as in People, x and y in pixels of the image.

    Attributes:
        skeleton: names of keypoints and parts.
        ids: int64 [P], equal in all frames of a film for the same person; -1 for people who are not
            followed. None where nothing is followed.
        maps: what the people were decoded from, where it was to be kept.
        probabilities: float64 [P], that each person is right (OKS of 0.5 and more), by a
            calibration of scores. None without one.
    """

    skeleton: Skeleton = COCO
    ids: np.ndarray | None = None
    maps: Maps | None = None
    probabilities: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def certainty(self) -> np.ndarray:
        """Mean score of each person's keypoints that were found, float [P], about 0..1."""
        scores = self.keypoints[..., 2]
        return scores.sum(axis=1) / np.maximum((scores > 0).sum(axis=1), 1)

    def select(self, chosen: np.ndarray) -> "FoundPeople":
        """The people at these indices, or where this mask is true."""
        return replace(
            self,
            keypoints=self.keypoints[chosen],
            parts=self.parts[chosen],
            scores=self.scores[chosen],
            ids=None if self.ids is None else self.ids[chosen],
            probabilities=None if self.probabilities is None else self.probabilities[chosen],
        )

    def certain(self, min_score: float = MIN_SCORE) -> "FoundPeople":
        """The people whose certainty is at least `min_score`."""
        return self.select(self.certainty >= min_score)

    def draw(self, image: np.ndarray, min_score: float = MIN_SCORE) -> np.ndarray:
        """A copy of `image`, uint8 [H, W, 3] RGB, with the skeletons of the certain people."""
        drawn = self.draw_bgr(np.ascontiguousarray(image[..., ::-1]), min_score)
        return np.ascontiguousarray(drawn[..., ::-1])

    def draw_bgr(self, image: np.ndarray, min_score: float = MIN_SCORE) -> np.ndarray:
        """`draw` in BGR; people who are followed carry their id."""
        certain = self.certain(min_score)
        drawn = drawing.draw_people(image, certain.parts, self.skeleton)
        if certain.ids is not None:
            _draw_ids(drawn, certain.parts, certain.ids)
        return drawn

    def to_coco(self, image_id: int) -> list[dict]:
        """COCO results of the image, see inference/results.py; `track_id` where people are
        followed.
        """
        results = to_results(self, image_id)
        if self.ids is not None:
            best_first = self.ids[np.argsort(-self.scores, kind="stable")]
            for result, track_id in zip(results, best_first, strict=True):
                result["track_id"] = int(track_id)
        return results

    def to_openpose(self) -> dict[str, Any]:
        """The content of OpenPose's JSON file of one image (its doc/02_output.md, version 1.3):
        the parts in network order, absent ones 0, 0, 0.
        """
        ids = [UNFOLLOWED] * len(self) if self.ids is None else self.ids.tolist()
        people = [
            {
                "person_id": [person_id],
                "pose_keypoints_2d": [round(value, 3) for value in parts.ravel().tolist()],
                **{name: [] for name in OPENPOSE_EMPTY},
            }
            for person_id, parts in zip(ids, self.parts, strict=True)
        ]
        return {"version": OPENPOSE_VERSION, "people": people}

    def rows(self) -> list[dict[str, Any]]:
        """Long form, a keypoint that was found a row: person (from 0, best first), id where people
        are followed, score of the person, name, x, y, score of the keypoint.
        """
        rows = []
        for person, (points, score) in enumerate(zip(self.keypoints, self.scores, strict=True)):
            about = {"person": person, "person_score": round(float(score), 4)}
            if self.ids is not None:
                about["id"] = int(self.ids[person])
            for name, (x, y, found) in zip(self.skeleton.keypoints, points.tolist(), strict=True):
                if found > 0:
                    place = {"x": round(x, 2), "y": round(y, 2), "score": round(found, 4)}
                    rows.append(about | {"keypoint": name} | place)
        return rows

    def to_dataframe(self):
        """`rows` as a pandas.DataFrame. InputError where pandas is not installed."""
        try:
            import pandas  # here, because nothing else needs it
        except ImportError:
            raise InputError("to_dataframe needs pandas: pip install pandas") from None
        columns = ["person", "person_score", "keypoint", "x", "y", "score"]
        columns[2:2] = [] if self.ids is None else ["id"]
        return pandas.DataFrame(self.rows(), columns=columns)


def best_first(people: FoundPeople) -> FoundPeople:
    """The same people in the order of their scores."""
    return people.select(np.argsort(-people.scores, kind="stable"))


def _draw_ids(image: np.ndarray, people: np.ndarray, ids: np.ndarray) -> None:
    """Write each id above its person, parts [P, parts, 3], into `image`."""
    for parts, person_id in zip(people, ids, strict=True):
        placed = parts[parts[:, 2] > 0, :2]
        if person_id != UNFOLLOWED and len(placed):
            x, y = placed[placed[:, 1].argmin()].astype(int).tolist()
            for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):  # white with a dark edge
                cv2.putText(
                    image, str(person_id), (x + 6, y - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour,
                    width, cv2.LINE_AA,
                )  # fmt: skip
