"""Less jitter of people who are followed: the one-euro filter (Casiez, Roussel and Vogel, CHI
2012), a low pass whose cut-off rises with speed, so that what rests is quiet and what moves does
not lag.

Deviation: speed is measured in heights of the person, so that one setting serves people near and
far.
"""

from dataclasses import dataclass

import numpy as np

SPEED_CUTOFF_HZ = 1.0  # of the filter of the speed itself
FORGET_S = 2.0  # who was not seen for so long starts anew


@dataclass
class _State:
    points: np.ndarray  # [K, 2], filtered
    speeds: np.ndarray  # [K, 2], filtered, heights a second
    known: np.ndarray  # bool [K]
    time_s: float


class OneEuro:
    """Filters the points of people by their ids.

    Args:
        min_cutoff_hz: cut-off at rest; lower is smoother.
        speed_factor_hz: how much the cut-off rises for a speed of one height a second.
    """

    def __init__(self, min_cutoff_hz: float = 1.0, speed_factor_hz: float = 15.0) -> None:
        self.min_cutoff_hz, self.speed_factor_hz = min_cutoff_hz, speed_factor_hz
        self._states: dict[int, _State] = {}

    def update(self, track_id: int, keypoints: np.ndarray, time_s: float) -> np.ndarray:
        """The person's points [K, 3] (x, y, score) with x, y filtered; those not found stay, and
        start anew when they are found again.
        """
        self._states = {
            known: state
            for known, state in self._states.items()
            if time_s - state.time_s <= FORGET_S
        }
        points, found = keypoints[:, :2].astype(np.float64), keypoints[:, 2] > 0
        state = self._states.get(track_id)
        passed_s = time_s - state.time_s if state else 0.0
        if state is None or passed_s <= 0:
            self._states[track_id] = _State(points, np.zeros_like(points), found, time_s)
            return keypoints
        height = max(float(np.ptp(points[found], axis=0).max()), 1.0) if found.any() else 1.0
        both = (found & state.known)[:, None]
        speeds = np.where(both, (points - state.points) / passed_s / height, 0.0)
        share = _share(np.full_like(speeds, SPEED_CUTOFF_HZ), passed_s)
        speeds = np.where(both, state.speeds + share * (speeds - state.speeds), 0.0)
        pace = np.linalg.norm(speeds, axis=1, keepdims=True)
        share = _share(self.min_cutoff_hz + self.speed_factor_hz * pace, passed_s)
        filtered = np.where(both, state.points + share * (points - state.points), points)
        self._states[track_id] = _State(filtered, speeds, found, time_s)
        return np.column_stack([filtered, keypoints[:, 2]]).astype(keypoints.dtype)


def _share(cutoff_hz: np.ndarray, passed_s: float) -> np.ndarray:
    """How much of the new value an exponential low pass takes."""
    turned = 2 * np.pi * cutoff_hz * passed_s
    return turned / (turned + 1)
