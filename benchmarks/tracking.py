"""Ids and jitter in films of which everything is known: drawn people walk past each other, the
network finds them, the tracker numbers them.

    python -m benchmarks.tracking                                   # about two minutes
    python -m benchmarks.tracking --model models/trained --output film.mp4

Prints how often a person's id changes, and how much and how restlessly keypoints are wrong, in
pixels of the 240 x 320 frames.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stages.openpose.predicting.films import FilmWriter, Frame
from stages.openpose.predicting.following import follow, smoothed
from stages.openpose.predicting.found import FoundPeople
from stages.openpose.predicting.smoothing import OneEuro
from stages.openpose.predicting.tracking import UNFOLLOWED, Tracker, oks
from stages.openpose.skeleton import COCO
from stages.pose import Pose as Network
from stages.synthetic import body, render, scene
from stages.synthetic.appearance import draw_look
from stages.synthetic.backgrounds import draw_background
from stages.synthetic.coco import find_keypoints
from stages.synthetic.figure import Pose, articulate, draw_proportions
from stages.synthetic.solids import View

HEIGHT, WIDTH, HORIZON = 240, 320, 90
RATE, SECONDS = 25, 5
SAME = 0.5  # OKS from which a found person counts as one of the truth
SIGMAS = np.array(COCO.oks_sigmas)


@dataclass(frozen=True)
class Walker:
    """Somebody who crosses the image; lengths in pixels of the buffers, time in seconds."""

    size: object
    look: object
    scale_px: float
    start_px: float
    speed_px: float
    phase: float
    stride_hz: float

    def pose(self, time_s: float) -> Pose:
        """A step of a walk."""
        swing = np.sin(self.phase + 2 * np.pi * self.stride_hz * time_s)
        lifted = np.cos(self.phase + 2 * np.pi * self.stride_hz * time_s)
        pose = Pose(lean=4, turn=-7 * swing, leg_flex=[26 * swing, -26 * swing])
        pose.knee = [8 + 34 * max(lifted, 0), 8 + 34 * max(-lifted, 0)]
        pose.arm_flex, pose.elbow = [-24 * swing, 24 * swing], [22, 22]
        return pose

    def view(self, time_s: float) -> View:
        """Seen from the side, as far away as small."""
        ground_px = HORIZON * scene.SUPER + 0.8 * self.scale_px
        x_px = self.start_px + self.speed_px * time_s
        yaw = float(np.sign(self.speed_px) * 75)
        return View(yaw, 6.0, self.scale_px, (x_px, ground_px), 3 * self.scale_px, 0.1)


def draw_walkers(rng: np.random.Generator, table: list, count: int) -> list[Walker]:
    """People of several sizes who start at both sides."""
    width, walkers = WIDTH * scene.SUPER, []
    for number in range(count):
        scale_px = rng.uniform(190, 330)
        right = number % 2 == 0
        start = rng.uniform(-0.05, 0.3) if right else rng.uniform(0.7, 1.05)
        speed = rng.uniform(0.3, 0.55) * scale_px * (1 if right else -1)
        walkers.append(
            Walker(
                draw_proportions(rng), draw_look(rng, table), scale_px, start * width, speed,
                rng.uniform(0, 6), rng.uniform(0.8, 1.1),
            )
        )  # fmt: skip
    return sorted(walkers, key=lambda walker: walker.scale_px)


def draw_film(seed: int, people: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames uint8 [H, W, 3] BGR, and the keypoints [P, 17, 3] of everybody (0 absent, 1 hidden, 2
    visible).
    """
    rng, noise = np.random.default_rng(seed), render.noise_tile()
    table: list[np.ndarray] = []
    walkers = draw_walkers(rng, table, people)
    background = draw_background(rng, HEIGHT, WIDTH, HORIZON)
    size = (WIDTH * scene.SUPER, HEIGHT * scene.SUPER)
    large = cv2.resize(background, size, interpolation=cv2.INTER_NEAREST)
    light = scene._light(rng)
    for number in range(RATE * SECONDS):
        items = [item_of(walker, number / RATE) for walker in walkers]
        drawn = render_items(items, np.array(table), noise, light, large.copy())
        grain = rng.normal(0, 3, drawn.image.shape)
        image = np.clip(drawn.image + grain, 0, 255).astype(np.uint8)
        truth = [find_keypoints(drawn, i, drawn.owner == i) for i in range(len(items))]
        yield image, np.array(truth)


def item_of(walker: Walker, time_s: float) -> scene.Item:
    """The person of a frame."""
    figure = articulate(walker.pose(time_s), walker.size)
    solids = body.build_body(figure, walker.size, walker.look)
    keypoints = body.keypoints(figure, walker.size)
    return scene.Item(solids, walker.view(time_s), scene.PERSON, keypoints)


def render_items(items, table, noise, light, colour) -> scene.DrawnScene:
    """Draw the people into `colour`."""
    depth = np.full(colour.shape[:2], -1e30, np.float32)
    index = np.full(colour.shape[:2], -1, np.int32)
    solids, parts, owners = scene._gather(items)
    render.draw(solids, table, noise, light, colour, depth, index)
    image = cv2.resize(colour, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return scene.DrawnScene(
        image, np.append(owners, -1)[index], np.append(parts, -1)[index], depth, items
    )


def matched(people: FoundPeople, truth: np.ndarray) -> dict[int, int]:
    """Truth's person -> found person, most similar pairs first."""
    similar = np.array(
        [[oks(found, true, SIGMAS) for true in truth] for found in people.keypoints]
    ).reshape(len(people), len(truth))
    pairs = {}
    while similar.size and similar.max() >= SAME:
        found, true = map(int, np.unravel_index(similar.argmax(), similar.shape))
        pairs[true] = found
        similar[found], similar[:, true] = -1, -1
    return pairs


def measure(frames: list[tuple[FoundPeople, np.ndarray]]) -> dict[str, float]:
    """Changes of id; medians of the error of keypoints that are visible and found, and of its
    change from frame to frame.
    """
    known: dict[int, int] = {}
    switches, seen, errors, steps = 0, 0, [], []
    before: dict[int, np.ndarray] = {}
    for people, truth in frames:
        now = {}
        for true, found in matched(people, truth).items():
            person_id = int(people.ids[found])
            if person_id == UNFOLLOWED:
                continue
            seen += 1
            switches += known.get(true, person_id) != person_id
            known[true] = person_id
            both = (truth[true, :, 2] == 2) & (people.keypoints[found, :, 2] > 0)
            error = people.keypoints[found, :, :2] - truth[true, :, :2]
            now[true] = np.where(both[:, None], error, np.nan)
            errors.append(np.linalg.norm(now[true], axis=1))
            if true in before:
                steps.append(np.linalg.norm(now[true] - before[true], axis=1))
        before = now
    return {
        "people": seen,
        "switches": switches,
        "error": float(np.nanmedian(np.concatenate(errors))),
        "jitter": float(np.nanmedian(np.concatenate(steps))),
    }


def tracked(
    found: list[tuple[FoundPeople, np.ndarray]], every: int, smooth: bool, **options
) -> list[tuple[FoundPeople, np.ndarray]]:
    """Every n-th frame with ids."""
    tracker, smoother, frames = Tracker(**options), OneEuro(), []
    for number in range(0, len(found), every):
        people, truth = found[number]
        people = follow(people, number / RATE, tracker, 0.2)
        if smooth:
            people = smoothed(people, number / RATE, smoother)
        frames.append((people, truth))
    return frames


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="light")
    parser.add_argument("--settings", help="params.yaml; default: those of the model")
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--output", type=Path, help="draw the first film, with ids and smoothed")
    arguments = parser.parse_args()
    network = Network.load(arguments.model, inference="single", settings=arguments.settings)
    films = []
    for seed in range(arguments.films):
        film = draw_film(seed, arguments.people)
        stream = network.stream((truth, image) for image, truth in film)
        films.append(list(tqdm(stream, f"film {seed}", RATE * SECONDS, unit="frame")))
    print("| frames a second | ids by | people found | changes of id | error, px | jitter, px |")
    print("|---|---|---|---|---|---|")
    for every in (1, 3, 6):
        for name, smooth, options in (
            ("OKS alone", False, {"motion": 0.0}),
            ("OKS and motion", False, {}),
            ("the same, smoothed", True, {}),
        ):
            rows = [
                measure(tracked([(p, t) for t, _, p in film], every, smooth, **options))
                for film in films
            ]
            sums = {key: sum(row[key] for row in rows) for key in rows[0]}
            error, jitter = sums["error"] / len(rows), sums["jitter"] / len(rows)
            print(
                f"| {RATE / every:.0f} | {name} | {sums['people']} | {sums['switches']} "
                f"| {error:.2f} | {jitter:.2f} |"
            )
    if arguments.output:
        write_film(arguments.output, films[0])


def write_film(path: Path, film: list) -> None:
    """The film with its people."""
    frames = tracked([(people, truth) for truth, _, people in film], 1, True)
    with FilmWriter(path, Fraction(RATE)) as writer:
        for number, ((_, pixels, _), (people, _)) in enumerate(zip(film, frames, strict=True)):
            large = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            parts = people.parts * (2, 2, 1)
            drawn = replace(people, parts=parts).draw_bgr(large)
            writer.write(drawn, Frame(number, drawn, number, Fraction(1, RATE)))


if __name__ == "__main__":
    main()
