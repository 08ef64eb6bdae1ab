"""Places: meadow, street, room, court, beach, and plain textures. Images uint8 [H, W, 3] in BGR."""

import cv2
import numpy as np

SKIES = (
    ((225, 190, 150), (240, 230, 215)),
    ((200, 200, 200), (225, 225, 225)),
    ((210, 150, 100), (235, 215, 190)),
    ((120, 130, 200), (170, 200, 240)),
    ((150, 120, 90), (190, 170, 150)),
)
GROUNDS = (
    (60, 110, 80),
    (70, 130, 110),
    (120, 125, 130),
    (95, 95, 98),
    (150, 180, 200),
    (170, 175, 180),
    (70, 100, 140),
)
WALLS = (
    (190, 200, 205),
    (160, 185, 200),
    (150, 130, 120),
    (130, 150, 110),
    (120, 140, 190),
    (70, 75, 90),
    (215, 215, 210),
)
LIVELY = (
    (60, 60, 200),
    (70, 170, 60),
    (200, 120, 50),
    (60, 200, 230),
    (180, 70, 150),
    (230, 230, 230),
    (40, 40, 40),
)


def draw_background(rng: np.random.Generator, height: int, width: int, horizon: int) -> np.ndarray:
    """A place whose floor meets what stands behind it at row `horizon`."""
    place = rng.choice(
        ["meadow", "street", "room", "court", "beach", "texture"],
        p=[0.22, 0.24, 0.26, 0.14, 0.08, 0.06],
    )
    image = np.empty((height, width, 3), np.uint8)
    painter = {
        "meadow": _meadow,
        "street": _street,
        "room": _room,
        "court": _court,
        "beach": _beach,
        "texture": _texture,
    }
    painter[str(place)](rng, image, min(max(horizon, 12), height - 8))
    return image


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Noise uint8 [height, width] with blobs of about `cell` pixels."""
    small = rng.integers(0, 256, (height // cell + 2, width // cell + 2), np.uint8)
    noise = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.GaussianBlur(noise, (2 * (cell // 4) + 1,) * 2, 0) if cell >= 8 else noise


def grain(
    rng: np.random.Generator, image: np.ndarray, cells: tuple[int, ...], strength: int
) -> None:
    """Roughen `image` in place by noise of the given cell sizes, at most about `strength` grey
    levels.
    """
    height, width = image.shape[:2]
    total = np.zeros((height, width), np.int32)
    for cell in cells:
        total += smooth_noise(rng, height, width, cell)
    change = (total - 128 * len(cells)) * strength // (128 * len(cells))
    image[:] = np.clip(image + change[..., None], 0, 255)


def _pick(rng, colours):
    colour = colours[int(rng.integers(len(colours)))]
    change = int(rng.integers(-22, 23))
    return tuple(int(min(250, max(10, c + change + int(rng.integers(-8, 9))))) for c in colour)


def _fade(image, top, bottom):
    rows = np.arange(image.shape[0])[:, None, None]
    last = max(1, image.shape[0] - 1)
    image[:] = (np.array(top) * (last - rows) + np.array(bottom) * rows) // last


def _sky(rng, image):
    if not image.size:
        return
    top, bottom = SKIES[int(rng.integers(len(SKIES)))]
    _fade(image, top, bottom)
    if rng.random() < 0.7:
        height, width = image.shape[:2]
        cloud = (
            smooth_noise(rng, height, width, 24).astype(np.int32)
            + smooth_noise(rng, height, width, 10) // 2
        )
        share = np.clip((cloud - 190) * 2, 0, 110)[..., None]
        image[:] = (image * (128 - share) + 245 * share) // 128


def _ground(rng, image, colour=None):
    colour = _pick(rng, GROUNDS) if colour is None else colour
    _fade(image, [c * 0.8 + 30 for c in colour], colour)
    grain(rng, image, (2, 12), int(rng.integers(8, 36)))
    height, width = image.shape[:2]
    # finer towards the horizon
    rows = np.arange(height) * 4 * height // (np.arange(height) + 3 * height + 1)
    patches = (
        smooth_noise(rng, height, width, 12)[np.minimum(rows, height - 1)].astype(np.int32) - 128
    )
    image[:] = np.clip(image + (patches * int(rng.integers(0, 30)) // 128)[..., None], 0, 255)


def _hills(rng, image, horizon):
    width = image.shape[1]
    for layer in range(int(rng.integers(1, 4))):
        knots = rng.integers(0, max(2, horizon // 2), width // 40 + 3)
        heights = np.repeat(knots, 40)
        smooth = (
            np.convolve(
                np.convolve(heights, np.ones(33, int), "same") // 33, np.ones(33, int), "same"
            )
            // 33
        )
        top = horizon - smooth[20 : 20 + width] // (layer + 1)
        points = np.concatenate(
            [np.stack([np.arange(width), top], 1), [[width, horizon], [0, horizon]]]
        )
        cv2.fillPoly(
            image,
            [points.astype(np.int32)],
            _pick(rng, ((90, 120, 90), (60, 90, 60), (140, 150, 130))),
        )


def _trees(rng, image, horizon):
    before = image[:horizon].copy()
    tall = int(rng.integers(10, 45))
    for _ in range(int(rng.integers(5, 16))):
        x, y = int(rng.integers(0, image.shape[1])), horizon - int(rng.integers(0, tall))
        colour = _pick(rng, ((50, 95, 65), (45, 75, 55), (60, 110, 90), (80, 120, 100)))
        cv2.circle(image, (x, y), int(rng.integers(8, 26)), colour, -1, cv2.LINE_AA)
    leaves = image[:horizon].copy()
    grain(rng, leaves, (2, 5), 45)
    grown = (image[:horizon] != before).any(2)
    image[:horizon][grown] = leaves[grown]


def _meadow(rng, image, horizon):
    _sky(rng, image[:horizon])
    _hills(rng, image, horizon)
    if rng.random() < 0.7:
        _trees(rng, image, horizon)
    _ground(
        rng,
        image[horizon:],
        _pick(rng, ((60, 120, 90), (50, 140, 110), (90, 150, 150), (70, 100, 120))),
    )


def _street(rng, image, horizon):
    height, width = image.shape[:2]
    _sky(rng, image[:horizon])
    x = -int(rng.integers(0, 40))
    while x < width:
        wide = int(rng.integers(50, 150))
        top = int(rng.integers(-20, max(1, horizon - 30)))
        _house(rng, image, x, top, x + wide, horizon)
        x += wide + (int(rng.integers(5, 30)) if rng.random() < 0.2 else 0)
    _ground(rng, image[horizon:], _pick(rng, ((120, 125, 130), (95, 95, 98), (150, 155, 160))))
    kerb = horizon + max(3, (height - horizon) // 6)
    cv2.rectangle(
        image, (0, horizon), (width, kerb), _pick(rng, ((165, 170, 172), (130, 140, 150))), -1
    )
    if rng.random() < 0.5:
        for k in range(-1, 8):
            points = [
                [k * 60, kerb + 25],
                [k * 60 + 30, kerb + 25],
                [k * 60 + 38, kerb + 31],
                [k * 60 + 4, kerb + 31],
            ]
            cv2.fillPoly(image, [np.array(points, np.int32)], (215, 218, 220))


def _house(rng, image, x0, y0, x1, y1):
    cv2.rectangle(
        image, (x0, y0), (x1, y1), _pick(rng, (*WALLS, (90, 110, 170), (100, 120, 150))), -1
    )
    glass, frame = (
        _pick(rng, ((90, 70, 55), (140, 120, 100), (60, 60, 60))),
        _pick(rng, ((220, 220, 220), (70, 70, 80))),
    )
    step_x, step_y = int(rng.integers(18, 36)), int(rng.integers(24, 44))
    for y in range(y0 + 8, y1 - 14, step_y):
        for x in range(x0 + 7, x1 - 12, step_x):
            cv2.rectangle(image, (x, y), (x + step_x // 2, y + step_y // 2), glass, -1)
            cv2.rectangle(image, (x, y), (x + step_x // 2, y + step_y // 2), frame, 1)
    visible = image[max(0, y0) : y1, max(0, x0) : max(0, x1)]
    if visible.size:
        grain(rng, visible, (3, 17), 26)


def _room(rng, image, horizon):
    width = image.shape[1]
    wall = image[:horizon]
    colour, second = _pick(rng, WALLS), _pick(rng, WALLS)
    wall[:] = colour
    paper = rng.random()
    step = int(rng.integers(8, 30))
    if paper < 0.2:
        for x in range(0, width, 2 * step):
            cv2.rectangle(wall, (x, 0), (x + step - 1, horizon), second, -1)
    elif paper < 0.35:
        for y in range(0, horizon, step):
            cv2.line(wall, (0, y), (width, y), second, 1)
            for x in range((y // step % 2) * step, width, 2 * step):
                cv2.line(wall, (x, y), (x, y + step), second, 1)
    grain(rng, wall, (2, 40), 10)
    for _ in range(int(rng.integers(0, 4))):
        _wall_piece(rng, wall)
    cv2.rectangle(
        image, (0, horizon - 4), (width, horizon), _pick(rng, ((230, 230, 230), (60, 80, 110))), -1
    )
    _planks(rng, image, horizon)


def _planks(rng, image, horizon):
    height, width = image.shape[:2]
    floor = image[horizon:]
    _ground(
        rng,
        floor,
        _pick(
            rng, ((90, 130, 175), (60, 90, 130), (140, 150, 160), (120, 110, 110), (90, 80, 120))
        ),
    )
    if rng.random() < 0.7:
        vanish = int(rng.integers(width // 4, 3 * width // 4))
        line = tuple(int(c) for c in floor[-1, 0] * 0.7)
        for x in range(-3 * width, 4 * width, int(rng.integers(40, 110))):
            cv2.line(
                image, (vanish + (x - vanish) // 4, horizon), (x, height), line, 1, cv2.LINE_AA
            )
        y, step = horizon, 4.0
        while y < height and rng.random() < 0.9:
            cv2.line(image, (0, int(y)), (width, int(y)), line, 1)
            y, step = y + step, step * 1.5


def _wall_piece(rng, wall):
    """An image, window, shelf or poster of strong shapes, the kind of thing that looks like
    somebody but is not.
    """
    height, width = wall.shape[:2]
    wide, tall = int(rng.integers(25, 90)), int(rng.integers(25, 90))
    x, y = int(rng.integers(-10, width - 15)), int(rng.integers(-10, max(1, height - 25)))
    cv2.rectangle(wall, (x, y), (x + wide, y + tall), _pick(rng, LIVELY), -1)
    kind = rng.random()
    if kind < 0.35:
        cv2.rectangle(
            wall,
            (x + 3, y + 3),
            (x + wide - 3, y + tall - 3),
            _pick(rng, ((230, 205, 170), (120, 90, 70))),
            -1,
        )
        cv2.line(wall, (x + wide // 2, y), (x + wide // 2, y + tall), (225, 225, 225), 2)
    elif kind < 0.6:
        for row in range(y + 12, y + tall, 16):
            corner = x + 2
            while corner < x + wide - 3:
                book = int(rng.integers(3, 8))
                cv2.rectangle(
                    wall,
                    (corner, row - int(rng.integers(6, 11))),
                    (corner + book, row),
                    _pick(rng, LIVELY),
                    -1,
                )
                corner += book + 1
    else:
        for _ in range(int(rng.integers(2, 6))):
            corner = (x + int(rng.integers(4, wide)), y + int(rng.integers(4, tall)))
            size = (int(rng.integers(3, 14)), int(rng.integers(3, 14)))
            cv2.ellipse(
                wall,
                corner,
                size,
                int(rng.integers(0, 180)),
                0,
                360,
                _pick(rng, LIVELY),
                -1,
                cv2.LINE_AA,
            )
    cv2.rectangle(
        wall,
        (x, y),
        (x + wide, y + tall),
        _pick(rng, ((40, 60, 90), (30, 30, 30), (200, 200, 200))),
        2,
    )


def _court(rng, image, horizon):
    height, width = image.shape[:2]
    stand = image[:horizon]
    _fade(stand, _pick(rng, WALLS), _pick(rng, WALLS))
    if rng.random() < 0.6:
        blobs = rng.integers(30, 240, (horizon // 4 + 1, width // 4 + 1, 3), np.uint8)
        stand[:] = (
            cv2.resize(blobs, (width, horizon), interpolation=cv2.INTER_LINEAR_EXACT) // 2
            + stand // 2
        )
    board = max(0, horizon - int(rng.integers(8, 30)))
    cv2.rectangle(image, (0, board), (width, horizon), _pick(rng, LIVELY), -1)
    for x in range(int(rng.integers(0, 40)), width, int(rng.integers(30, 70))):
        cv2.rectangle(
            image,
            (x, board + 3),
            (x + int(rng.integers(8, 24)), horizon - 3),
            _pick(rng, LIVELY),
            -1,
        )
    _ground(
        rng,
        image[horizon:],
        _pick(rng, ((60, 140, 70), (60, 110, 60), (150, 100, 50), (60, 90, 190), (100, 160, 200))),
    )
    for _ in range(int(rng.integers(1, 5))):
        a, b = int(rng.integers(horizon, height)), int(rng.integers(horizon, height))
        cv2.line(
            image,
            (int(rng.integers(-60, width)), a),
            (width + int(rng.integers(0, 80)), b),
            (235, 238, 238),
            2,
            cv2.LINE_AA,
        )


def _beach(rng, image, horizon):
    shore = horizon + (image.shape[0] - horizon) // 4
    _sky(rng, image[:horizon])
    _fade(image[horizon:shore], (170, 140, 70), (200, 190, 140))
    grain(rng, image[horizon:shore], (2, 6), 30)
    _ground(rng, image[shore:], _pick(rng, ((150, 190, 215), (130, 170, 195))))


def _texture(rng, image, horizon):
    height, width = image.shape[:2]
    cells = (int(rng.integers(2, 7)), int(rng.integers(2, 7)))
    blobs = rng.integers(30, 226, (*cells, 1)) * 2 // 3 + rng.integers(0, 80, (*cells, 3))
    image[:] = cv2.resize(
        blobs.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR_EXACT
    )
    grain(rng, image, (2, 8, 30), int(rng.integers(15, 55)))
    for _ in range(int(rng.integers(0, 12))):
        a, b = (rng.integers(-20, [width + 20, height + 20]) for _ in range(2))
        cv2.line(
            image, a.tolist(), b.tolist(), _pick(rng, LIVELY), int(rng.integers(1, 12)), cv2.LINE_AA
        )
