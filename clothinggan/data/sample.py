"""The built-in drawn garments: a stand-in for Fashion-MNIST that needs no file and no network.

Ten functions, one for each class, draw a whole batch of garments at once. They share a few
primitives: half-planes, polygons, ellipses and strokes, each of which answers how much of every
pixel it covers, and :func:`paint`, which lays a grey over what is covered. What varies from garment
to garment (cut, size, place, brightness, texture) comes from :class:`Dice`.

The images are the same bits on every machine: the dice read PCG64's raw integers, which NumPy
promises never to change, and the drawing uses only ``+ - * /``, comparison, rounding and the square
root, which IEEE 754 defines to the last bit. Sine, power and sums over pixels would not be.

Lengths are in pixels, from the frame's upper left corner, x to the right and y down; the middle is
(14, 14). Greys and coverages are float64 from 0 to 1. Every array broadcasts to
(garments, rows, columns): a garment's own measures are (n, 1, 1), ``X`` is a row, ``Y`` a column.
"""

from collections.abc import Callable

import numpy as np

SIZE = 28
PER_CLASS = {"train": 600, "test": 100}

X = np.arange(SIZE).reshape(1, 1, SIZE) + 0.5
Y = np.arange(SIZE).reshape(1, SIZE, 1) + 0.5

Measure = np.ndarray | float
Point = tuple[Measure, Measure]


def make_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Draws one of the two fixed sets of garments, in the classes and the order of Fashion-MNIST.

    Args:
        split: ``"train"`` for 6,000 garments, 600 of each class, or ``"test"`` for 1,000 others,
            100 of each class.

    Returns:
        The images, uint8 of shape (n, 28, 28), white (255) garments on black (0), and their
        labels, uint8 of shape (n,), from 0 to 9; both in one shuffled order that is always the
        same.

    Raises:
        ValueError: ``split`` is neither of the two.
    """
    if split not in PER_CLASS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    stream = list(PER_CLASS).index(split)
    count = PER_CLASS[split]
    images = np.concatenate(
        [to_bytes(draw(Dice(count, stream, label))) for label, draw in enumerate(GARMENTS)]
    )
    labels = np.repeat(np.arange(len(GARMENTS), dtype=np.uint8), count)
    keys = np.random.PCG64([stream, len(GARMENTS)]).random_raw(len(labels))
    order = np.argsort(keys, kind="stable")
    return images[order], labels[order]


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Rounds greys, float64 from 0 to 1, to uint8 from 0 to 255."""
    return np.floor(picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


class Dice:
    """The random choices for ``n`` garments; the same ``seed`` gives the same choices for ever."""

    def __init__(self, n: int, *seed: int) -> None:
        self.n = n
        self.bits = np.random.PCG64(list(seed))

    def unit(self, rows: int = 1, columns: int = 1) -> np.ndarray:
        """Uniform numbers in [0, 1), float64 of shape (n, rows, columns)."""
        raw = self.bits.random_raw(self.n * rows * columns)
        return (raw >> np.uint64(11)).reshape(self.n, rows, columns) * 2.0**-53

    def between(self, low: Measure, high: Measure) -> np.ndarray:
        """One measure for each garment, uniform from ``low`` to ``high``: shape (n, 1, 1)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> np.ndarray:
        """1.0 for about that share of the garments and 0.0 for the others: shape (n, 1, 1)."""
        return (self.unit() < probability) * 1.0

    def tone(self) -> np.ndarray:
        """The grey of a garment: mostly light, now and then nearly black, as in a shop."""
        dark = self.unit()
        return 1 - 0.76 * dark * dark


# Drawing: lines that bend, shapes, and laying one over the other.


def ramp(t: np.ndarray, start: Measure, end: Measure) -> np.ndarray:
    """0 before ``start``, 1 after ``end``, straight in between."""
    return ((t - start) / (end - start)).clip(0, 1)


def ease(s: np.ndarray) -> np.ndarray:
    """Bends a ramp from 0 to 1 so that it starts and ends level (the cubic smoothstep)."""
    return s * s * (3 - 2 * s)


def polyline(t: np.ndarray, first: Point, *others: Point) -> np.ndarray:
    """The value at ``t`` of the broken line through (position, value) points, level outside."""
    (position, value), total = first, first[1]
    for next_position, next_value in others:
        total = total + (next_value - value) * ramp(t, position, next_position)
        position, value = next_position, next_value
    return total


def curve(t: np.ndarray, first: Point, *others: Point) -> np.ndarray:
    """As :func:`polyline`, but rounded: level at every point."""
    (position, value), total = first, first[1]
    for next_position, next_value in others:
        total = total + (next_value - value) * ease(ramp(t, position, next_position))
        position, value = next_position, next_value
    return total


def wave(t: np.ndarray) -> np.ndarray:
    """A smooth wave from 0 to 1 and back, of period 1; what sine would be if it were exact."""
    return ease(np.abs(2 * (t - np.floor(t)) - 1))


def bars(t: np.ndarray) -> np.ndarray:
    """Stripes of period 1: 0 and 1 for about as long, with a soft edge in between."""
    return (3 * wave(t) - 1).clip(0, 1)


def inside(depth: np.ndarray) -> np.ndarray:
    """How much of a pixel is covered whose centre lies ``depth`` pixels within an edge."""
    return (depth + 0.5).clip(0, 1)


def band(t: np.ndarray, low: Measure, high: Measure) -> np.ndarray:
    """Covers ``low`` < t < ``high``."""
    return inside(np.minimum(t - low, high - t))


def polygon(x: np.ndarray, y: np.ndarray, *corners: Point) -> np.ndarray:
    """Covers a convex polygon; the corners run clockwise as seen on the screen."""
    depth = None
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = bx - ax, by - ay
        side = (dx * (y - ay) - dy * (x - ax)) / np.sqrt(dx * dx + dy * dy + 1e-9)
        depth = side if depth is None else np.minimum(depth, side)
    return inside(depth)


def ellipse(x: np.ndarray, y: np.ndarray, centre: Point, radii: Point) -> np.ndarray:
    """Covers an ellipse with level axes."""
    h, v = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    return inside((1 - np.sqrt(h * h + v * v)) * np.minimum(*radii))


def hoop(x: np.ndarray, y: np.ndarray, centre: Point, radii: Point, width: Measure) -> np.ndarray:
    """Covers an elliptical ring, ``width`` across: an ellipse without its middle."""
    h, v = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    off = np.abs(np.sqrt(h * h + v * v) - 1) * np.minimum(*radii)
    return inside(width / 2 - off)


def stroke(x: np.ndarray, y: np.ndarray, a: Point, b: Point, width: Measure) -> np.ndarray:
    """Covers a straight line from ``a`` to ``b``, ``width`` across, with round ends."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = (((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy + 1e-9)).clip(0, 1)
    ox, oy = x - a[0] - along * dx, y - a[1] - along * dy
    return inside(width / 2 - np.sqrt(ox * ox + oy * oy))


def join(*covers: np.ndarray) -> np.ndarray:
    """What any of the shapes covers."""
    total = covers[0]
    for cover in covers[1:]:
        total = np.maximum(total, cover)
    return total


def paint(picture: np.ndarray, cover: np.ndarray, grey: Measure) -> np.ndarray:
    """Lays ``grey`` over the picture where ``cover`` is 1, and blends in between."""
    return picture + (grey - picture) * cover


# Cloth: what the surface of a garment looks like, before it is cut out.


def folds(dice: Dice, strength: Measure) -> np.ndarray:
    """Soft upright folds: a factor near 1, deeper towards the hem."""
    lean, start = dice.between(-0.15, 0.15), dice.unit()
    depth = strength * (0.3 + 0.7 * ramp(Y, 4, 26))
    return 1 - depth * wave((X + lean * Y) / dice.between(3.5, 8) + start)


def grain(dice: Dice, low: float = 0.01, high: float = 0.09) -> np.ndarray:
    """The unevenness of cloth and of the photograph: a factor near 1 for every pixel."""
    return 1 + dice.between(low, high) * (2 * dice.unit(SIZE, SIZE) - 1)


def pattern(dice: Dice, u: np.ndarray, share: float) -> np.ndarray:
    """Stripes, checks, flowers or melange on a ``share`` of the garments: a factor up to 1."""
    period = dice.between(2.5, 7)
    across = bars(Y / period + dice.unit())
    upright = bars(u / period + 0.25)
    blots = dice.unit(SIZE // 2, SIZE // 2).repeat(2, axis=1).repeat(2, axis=2)
    blots = blots + np.roll(blots, 1, axis=1) + 0.7 * dice.unit(SIZE, SIZE)
    flowers = ramp(blots, 0.8, 1.9)
    kind = dice.unit() / share
    dark = np.select(
        [kind < 0.3, kind < 0.4, kind < 0.65, kind < 0.85, kind < 1],
        [across, upright, (across + upright) / 2, flowers, dice.unit(SIZE, SIZE) * 0.5],
        0.0,
    )
    return 1 - dice.between(0.2, 0.75) * dark


def chest_print(dice: Dice, picture: np.ndarray, middle: np.ndarray, share: float) -> np.ndarray:
    """Prints a block, a disc or a small badge on the chest of a ``share`` of the garments."""
    y, ink = dice.between(8, 13), 1.1 - picture
    size = dice.between(1.5, 4)
    block = band(X, middle - size, middle + size) * band(Y, y - size * 0.7, y + size * 0.7)
    disc = hoop(X, Y, (middle, y), (size, size), dice.between(1, 4))
    lines = block * (Y % 2 < 1)
    badge = ellipse(X, Y, (middle + 3, 7.5), (0.9, 0.7))
    kind = dice.unit() / share
    motif = np.select([kind < 0.25, kind < 0.5, kind < 0.7, kind < 1], [block, disc, lines, badge], 0.0)
    uneven = 0.6 + 0.4 * dice.unit(SIZE, SIZE)
    return paint(picture, motif * uneven * dice.between(0.4, 0.9), ink)


# Tops. They are the same left and right of their middle, so they are drawn in u, the distance from
# it; a seam or fold that is drawn in X breaks the symmetry again.


class Top:
    """The cut that T-shirt, pullover, coat, shirt and dress share: torso, shoulders, sleeves."""

    def __init__(self, dice: Dice, chest: Measure, waist: Measure, hem: Measure) -> None:
        self.middle = dice.between(13.5, 14.5)
        self.u = np.abs(X - self.middle - dice.between(-0.4, 0.4) * (Y - 14) / 14)
        self.top = dice.between(0, 0.9)
        self.bottom = dice.between(26.6, 28)
        self.neck = dice.between(2.2, 3.6)
        self.shoulder = dice.between(6.2, 7.4)
        self.slope = dice.between(1.2, 2.6)
        self.armpit = dice.between(8, 10)
        self.chest, self.waist, self.hem = chest, waist, hem

    def torso(self) -> np.ndarray:
        """Covers the body from the shoulders to the hem."""
        side = curve(Y, (self.armpit, self.chest), (self.armpit + 7, self.waist), (self.bottom, self.hem))
        return band(self.u, -9, side) * band(Y, self.top, self.bottom) * self.below_shoulders()

    def below_shoulders(self) -> np.ndarray:
        """Covers all that lies under the line from the neck over the shoulder's end."""
        end = (self.shoulder + 3, self.top + self.slope * 2)
        return polygon(self.u, Y, (-9, self.top), (self.neck, self.top), end, (20, 40), (-9, 40))

    def short_sleeves(self, reach: Measure, drop: Measure, width: Measure) -> np.ndarray:
        """Covers sleeves that point outwards: ``reach`` from the middle, ``drop`` down."""
        return polygon(
            self.u,
            Y,
            (self.neck, self.top),
            (self.shoulder, self.top + self.slope * 0.7),
            (reach, self.top + drop),
            (reach - width * 0.75, self.top + drop + width * 0.45),
            (self.neck, self.armpit + 1),
        )

    def long_sleeves(self, reach: Measure, cuff: Measure, width: Measure) -> np.ndarray:
        """Covers sleeves that hang down to ``cuff``, ``reach`` from the middle at their end."""
        elbow = (self.top + cuff) / 2 + 1
        outer = curve(
            Y,
            (self.top, self.shoulder - 1),
            (self.top + 4, self.shoulder + 1.6),
            (elbow, reach - 0.6),
            (cuff, reach),
        )
        inner = polyline(
            Y,
            (self.armpit - 2, self.chest - 2),
            (self.armpit + 1, self.chest),
            (elbow, reach - width - 0.4),
            (cuff, reach - width * 0.8),
        )
        return band(self.u, inner, outer) * band(Y, self.top, cuff) * self.below_shoulders()

    def armhole(self, width: Measure = 1.0) -> np.ndarray:
        """Covers the seam between torso and sleeve."""
        a = (self.shoulder - 0.6, self.top + self.slope * 0.8)
        return stroke(self.u, Y, a, (self.chest - 0.4, self.armpit + 0.5), width)

    def neckline(self, depth: Measure) -> np.ndarray:
        """Covers the opening of a round neck."""
        return ellipse(self.u, Y, (0, self.top - 0.3), (self.neck, depth))

    def v_neck(self, depth: Measure) -> np.ndarray:
        """Covers the opening of a V-neck."""
        a, b = (self.neck, self.top - 1), (0, self.top + depth)
        return polygon(self.u, Y, (-self.neck, self.top - 1), a, b)

    def light(self, dice: Dice) -> np.ndarray:
        """The shade of a round body lit from the front: darker to the sides and to one end."""
        side = dice.between(0.02, 0.3) * (self.u / 10) * (self.u / 10)
        return (1 - side) * (1 + dice.between(-0.12, 0.12) * (Y - 14) / 14)

    def cloth(self, dice: Dice, patterned: float, creased: float = 0.16) -> np.ndarray:
        """The grey of the whole garment before it is cut out."""
        grey = dice.tone() * self.light(dice) * grain(dice)
        return grey * folds(dice, dice.between(0, creased)) * pattern(dice, self.u, patterned)


def t_shirt(dice: Dice) -> np.ndarray:
    """Short sleeves, a round or V-neck, often something on the chest."""
    chest = dice.between(5.6, 8.4)
    top = Top(dice, chest, chest - dice.between(0, 1.4), chest + dice.between(-0.4, 1.2))
    sleeves = top.short_sleeves(dice.between(9.8, 13.4), dice.between(4, 9.5), dice.between(3.2, 5.4))
    # One in eight is a vest: straps instead of sleeves.
    vest = dice.chance(0.12)
    straps = band(top.u, top.neck - 0.4, top.neck + 2.2) * band(Y, top.top, top.armpit)
    below = join(straps, inside(Y - top.armpit + 1.5))
    body = top.torso() * np.where(vest, below, 1)
    cover = join(body, sleeves * (1 - vest))

    picture = top.cloth(dice, 0.35)
    picture = picture * (1 - dice.between(0, 0.35) * sleeves * (1 - body))
    picture = chest_print(dice, picture, top.middle, 0.55)
    picture = paint(picture, top.armhole() * (1 - vest), picture * dice.between(0.65, 0.95))
    depth = dice.between(1.2, 3)
    trim = hoop(top.u, Y, (0, top.top - 0.3), (top.neck + 0.5, depth + 0.5), 1.0)
    picture = paint(picture, trim, picture * dice.between(0.6, 1.25))
    v_neck = dice.chance(0.25)
    neck = np.where(v_neck, top.v_neck(depth + 2), top.neckline(depth))
    return picture * cover * (1 - neck)


def trouser(dice: Dice) -> np.ndarray:
    """Two long legs below a waistband, with fly, pockets, creases and worn knees."""
    top, bottom = dice.between(0, 1), dice.between(26.8, 28)
    crotch = dice.between(8, 11)
    # A leg steps to the side now and then: the middle bends below the crotch.
    step = dice.between(-1, 1) * dice.chance(0.5)
    middle = dice.between(13.4, 14.6) + curve(Y, (crotch, 0), (18, step), (bottom, step * 0.3))
    u = np.abs(X - middle)
    hip = dice.between(4.2, 5.6)
    waist = hip - dice.between(0.3, 1.3)
    spread = dice.between(0.3, 2)
    leg = dice.between(2.6, 4.2)
    knee = np.maximum(spread * 0.7 + leg, hip - 1.2)
    outer = polyline(
        Y, (top, waist), (crotch - 4, hip - 0.3), (crotch, hip), (18, knee), (bottom, spread + leg)
    )
    inner = polyline(Y, (crotch - 0.5, -1), (crotch + 2.5, 0.3), (bottom, spread))
    cover = band(u, inner, outer) * band(Y, top, bottom)

    picture = dice.tone() * grain(dice) * pattern(dice, u, 0.18)
    # Each leg is a tube: light along its middle, dark at its edges.
    round_leg = np.abs(u - (inner.clip(0) + outer) / 2) / (outer - inner.clip(0) + 0.1)
    picture = picture * (1 - dice.between(0, 0.9) * round_leg * round_leg)
    worn = ellipse(u, Y, (spread + leg * 0.5, dice.between(10, 18)), (1.4, 4.5))
    picture = paint(picture, worn, picture * dice.between(0.85, 1.3))
    crease = stroke(u, Y, (hip * 0.5, crotch), (spread + leg * 0.5, bottom), 0.8)
    picture = paint(picture, crease, picture * dice.between(0.7, 1.1))
    belt = band(Y, top, top + dice.between(1, 2))
    picture = paint(picture, belt, picture * dice.between(0.5, 1.2))
    fly = stroke(X, Y, (middle, top + 1.5), (middle, crotch), 0.9)
    picture = paint(picture, fly, picture * dice.between(0.5, 0.95))
    pocket = stroke(u, Y, (waist * 0.5, top + 1.8), (hip, top + 4.5), 0.8)
    picture = paint(picture, pocket, picture * dice.between(0.5, 1))
    return picture * cover


def pullover(dice: Dice) -> np.ndarray:
    """Long sleeves, a closed neck, ribbed hem and cuffs, knitted stripes or a motif."""
    chest = dice.between(5.2, 7.4)
    top = Top(dice, chest, chest - dice.between(-0.2, 0.8), chest - dice.between(-0.4, 0.8))
    # Short ones leave a black strip between the hem and the sleeves' ends.
    top.bottom = dice.between(22.5, 27.8)
    cuff = np.minimum(top.bottom + dice.between(0, 4), 27.9)
    sleeves = top.long_sleeves(dice.between(9.6, 11.8), cuff, dice.between(2.8, 3.8))
    body = top.torso()
    cover = join(body, sleeves)

    picture = top.cloth(dice, 0.4, 0.1)
    picture = picture * (1 - dice.between(-0.1, 0.25) * sleeves * (1 - body))
    picture = chest_print(dice, picture, top.middle, 0.3)
    picture = paint(picture, top.armhole(), picture * dice.between(0.55, 0.95))
    rib = 0.75 + 0.25 * (X % 2 < 1)
    hems = join(
        body * inside(Y - top.bottom + dice.between(1.5, 2.6)),
        sleeves * (1 - body) * inside(Y - cuff + 2),
    )
    picture = paint(picture, hems, picture * rib * dice.between(0.75, 1.15))
    depth = dice.between(0.8, 2.2)
    trim = hoop(top.u, Y, (0, top.top - 0.3), (top.neck + 0.6, depth + 0.6), 1.2)
    picture = paint(picture, trim, picture * dice.between(0.55, 1.2))
    # A roll-neck closes the opening; the others show the inside of the back.
    roll_neck = dice.chance(0.3)
    roll = band(top.u, -9, top.neck) * band(Y, top.top, top.top + 2.2)
    picture = paint(picture, roll * roll_neck, picture * rib)
    return picture * cover * (1 - top.neckline(depth) * (1 - roll_neck))


def dress(dice: Dice) -> np.ndarray:
    """A narrow bodice, a waist, a skirt that is straight or flared; straps or sleeves above."""
    chest, waist = dice.between(3.4, 4.8), dice.between(2.8, 4)
    top = Top(dice, chest, waist, waist + dice.between(1, 6.5))
    top.neck, top.shoulder = dice.between(1.4, 2.4), chest - 0.2
    top.armpit = dice.between(5, 7)
    top.top = dice.between(0, 0.8)
    top.bottom = dice.between(26.8, 28)
    sleeve = dice.unit()
    short = top.short_sleeves(chest + dice.between(1.6, 3.2), dice.between(3.5, 6), 3)
    long = top.long_sleeves(chest + dice.between(2.4, 3.6), dice.between(12, 19), 2.2)
    sleeves = np.select([sleeve < 0.25, sleeve < 0.5], [short, long], 0.0)
    bare = sleeve > 0.7
    straps = band(top.u, top.neck - 0.2, top.neck + dice.between(0.7, 1.6))
    below = join(straps, inside(Y - dice.between(3, 5.5)))
    body = top.torso() * np.where(bare, below, 1)
    cover = join(body, sleeves)

    picture = top.cloth(dice, 0.5, 0.1)
    waistline = top.armpit + 7
    skirt = ramp(Y, waistline - 1, waistline + 3)
    pleat = wave(top.u / (0.4 + Y / 28) / dice.between(1.6, 3) + dice.unit())
    picture = picture * (1 - dice.between(0, 0.45) * skirt * pleat)
    # A skirt of another cloth, and a belt between the two.
    two_piece = dice.chance(0.3)
    picture = paint(picture, two_piece * inside(Y - waistline), picture * dice.between(0.4, 1.3))
    belt = band(Y, waistline - 0.7, waistline + 0.7)
    picture = paint(picture, belt, picture * dice.between(0.4, 1.1))
    picture = paint(picture, sleeves * (1 - body), picture * dice.between(0.75, 1.1))
    depth = dice.between(1, 3.5)
    neck = np.where(dice.chance(0.3), top.v_neck(depth + 2), top.neckline(depth))
    return picture * cover * (1 - neck)


def coat(dice: Dice) -> np.ndarray:
    """Open down the front: a zip or two rows of buttons, lapels or a hood, pockets, a belt."""
    chest = dice.between(5, 7.2)
    top = Top(dice, chest, chest - dice.between(0, 1), chest + dice.between(0, 1.4))
    top.neck = dice.between(2.6, 3.6)
    cuff = dice.between(21, 25.5)
    sleeves = top.long_sleeves(dice.between(9, 11), cuff, dice.between(2.9, 3.7))
    body = top.torso()
    cover = join(body, sleeves)

    picture = top.cloth(dice, 0.12, 0.12)
    picture = picture * (1 - dice.between(0, 0.25) * sleeves * (1 - body))
    picture = paint(picture, top.armhole(1.1), picture * dice.between(0.4, 0.85))
    # The front edge wanders from the middle where one side laps over the other.
    edge = top.middle + dice.between(-1.2, 1.2) * dice.chance(0.6)
    lapels_shown = dice.chance(0.6)
    collar_end = top.top + np.where(lapels_shown, dice.between(4, 11), 1.5)
    dark = dice.between(0.15, 0.7)
    front = stroke(X, Y, (edge, collar_end), (edge, 28), dice.between(0.9, 1.5))
    picture = paint(picture, front, picture * dark)
    buttoned = dice.chance(0.5)
    apart, pitch = dice.between(1.2, 2.6), dice.between(3, 4.5)
    row = Y - pitch * np.floor((Y - collar_end) / pitch) - collar_end - 1.2
    off = np.abs(np.abs(X - edge) - apart)
    buttons = inside(0.55 - np.sqrt(off * off + row * row)) * inside(Y - collar_end)
    picture = paint(picture, buttons * buttoned, 1.05 - picture)
    pocket_y = dice.between(16, 19)
    pocket = stroke(top.u, Y, (3, pocket_y), (5.4, pocket_y + dice.between(-1.5, 0.6)), 1.0)
    picture = paint(picture, pocket, picture * dice.between(0.35, 0.9))
    belt = band(Y, 14.6, 16.2) * body * dice.chance(0.2)
    picture = paint(picture, belt, picture * dice.between(0.4, 0.8))

    # Lapels: two flaps that meet where the front closes, with the dark inside between them.
    lapel_width = dice.between(1.4, 2.6)
    lapels = polygon(
        top.u,
        Y,
        (top.neck - 1.4, top.top - 1),
        (top.neck + 0.6, top.top - 1),
        (top.neck + lapel_width, (top.top + collar_end) / 2),
        (0, collar_end),
    )
    picture = paint(picture, lapels * lapels_shown, picture * dice.between(0.7, 1.25))
    fold = stroke(top.u, Y, (top.neck + lapel_width, (top.top + collar_end) / 2), (0, collar_end), 0.9)
    picture = paint(picture, fold * lapels_shown, picture * dark)
    opening = polygon(top.u, Y, (-top.neck, top.top - 1), (top.neck - 1, top.top - 1), (0, collar_end - 0.8))
    picture = paint(picture, opening * lapels_shown, dice.between(0, 0.5))
    # The others have a hood, which lies round the neck in thick folds, or a stand-up collar.
    hood = hoop(top.u, Y, (0, top.top + 1.5), (top.neck, 2.6), 1.2) * (1 - lapels_shown)
    picture = paint(picture, hood, picture * dice.between(0.5, 0.85))
    return picture * cover


def shirt(dice: Dice) -> np.ndarray:
    """A pointed collar, a buttoned front, a chest pocket, a curved hem; often checked."""
    chest = dice.between(5.6, 8)
    top = Top(dice, chest, chest - dice.between(0, 1.4), chest + dice.between(-0.6, 0.6))
    short = dice.chance(0.35)
    short_sleeves = top.short_sleeves(dice.between(9.8, 12.4), dice.between(6, 9), dice.between(3.4, 4.8))
    cuff = dice.between(22.5, 27)
    long_sleeves = top.long_sleeves(dice.between(9.6, 11.6), cuff, dice.between(2.7, 3.5))
    sleeves = np.where(short, short_sleeves, long_sleeves)
    # Shirt tails: the hem is lowest in the middle and rises to the side seams.
    tails = inside(top.bottom - dice.between(0, 0.06) * top.u * top.u - Y)
    body = top.torso() * tails
    cover = join(body, sleeves)

    picture = top.cloth(dice, 0.55, 0.2)
    picture = picture * (1 - dice.between(0, 0.2) * sleeves * (1 - body))
    picture = paint(picture, top.armhole(0.9), picture * dice.between(0.6, 0.95))
    cuffs = long_sleeves * (1 - body) * inside(Y - cuff + 2) * (1 - short)
    picture = paint(picture, cuffs, picture * dice.between(0.7, 1.2))
    # The placket: a strip with a seam on one side and buttons down its middle.
    placket = band(X, top.middle - 1, top.middle + 1)
    picture = paint(picture, placket, picture * dice.between(0.85, 1.15))
    seam = band(X, top.middle + 0.8, top.middle + 1.6)
    picture = paint(picture, seam, picture * dice.between(0.45, 0.85))
    pitch = dice.between(2.6, 4)
    row = Y - pitch * np.floor((Y - 5) / pitch) - 5 - pitch / 2
    off = X - top.middle
    buttons = inside(0.5 - np.sqrt(off * off + row * row)) * inside(Y - 4)
    picture = paint(picture, buttons * dice.between(0.5, 1), np.where(picture > 0.5, 0.1, 0.9))
    pocket = band(X, top.middle + 2.4, top.middle + 5.4) * dice.chance(0.5)
    picture = paint(picture, pocket * band(Y, 9, 12.4), picture * dice.between(0.75, 0.95))
    picture = paint(picture, pocket * band(Y, 8.6, 9.6), picture * 0.6)

    # The collar: two flaps that fall from the neck to points, and a dark opening between them.
    fall = dice.between(2.6, 4.4)
    collar = polygon(
        top.u,
        Y,
        (0.2, top.top + 1.8),
        (top.neck - 0.8, top.top - 1),
        (top.neck + 0.9, top.top - 0.5),
        (top.neck + 0.2, top.top + fall),
    )
    picture = paint(picture, collar, dice.between(0.8, 1.3) * picture.clip(0.35, 1))
    under = stroke(top.u, Y, (0.4, top.top + 2.2), (top.neck + 0.2, top.top + fall + 0.4), 0.9)
    picture = paint(picture, under, picture * dice.between(0.35, 0.75))
    opening = polygon(top.u, Y, (-top.neck, top.top - 1), (top.neck - 0.9, top.top - 1), (0, top.top + 2.4))
    picture = paint(picture, opening, dice.between(0, 0.35) * picture)
    return picture * cover


# Shoes. They stand on the ground line and point left; heights are measured up from the ground.


def sandal(dice: Dice) -> np.ndarray:
    """A sole, flat or on a wedge or heel, and straps with nothing in between."""
    high = dice.chance(0.55)
    lift = np.where(high, dice.between(5, 11), dice.between(0, 1.2))
    ground = 19.5 + lift * 0.45 + dice.between(-1, 1)
    toe, heel = dice.between(0.2, 1.2), dice.between(26.2, 27.8)
    thick = np.where(high, dice.between(1.2, 2.2), dice.between(1.6, 4))
    # The footbed, and the underside of the sole, which arches up with it.
    arch = curve(X, (dice.between(7, 10), 0), (dice.between(19, 22), lift))
    bed = ground - thick - arch
    sole = band(X, toe, heel) * band(Y, bed, ground - arch)
    block = dice.between(1, 4)
    pillar = polygon(
        X,
        Y,
        (heel - block - 1.5, ground - lift - 1),
        (heel, ground - lift - 1),
        (heel - dice.between(0, 1), ground),
        (heel - block - 0.5, ground),
    )
    wedge = band(X, toe + 7, heel) * band(Y, bed, ground)
    wedged = dice.chance(0.3)
    support = np.where(wedged, wedge, pillar) * high

    # The foot is not there, but the straps follow it: each is a leaning slice of its outline.
    instep = dice.between(6, 9)
    height = curve(X, (toe, 1.5), (toe + 4, 3.2), (toe + 9, 4.2), (18, instep), (heel - 4, instep + 1.5))
    foot = band(X, toe + 0.5, heel - 0.3) * band(Y, bed - height, bed + 0.5)

    def strap(place: Measure, width: Measure, lean: Measure) -> np.ndarray:
        along = X - place - lean * (bed - Y)
        return foot * band(along, -width / 2, width / 2)

    over_toes = strap(dice.between(4.5, 7), dice.between(2.5, 6), dice.between(-0.3, 0.6))
    over_foot = strap(dice.between(9, 12), dice.between(2.2, 5.5), dice.between(-0.5, 0.5))
    crossed = strap(dice.between(10, 15), dice.between(1.4, 2.6), dice.between(-1.4, 0))
    # One in five is laced all the way up, as gladiators wore them.
    lean, period = dice.between(-0.2, 0.9), dice.between(4, 6)
    rungs = bars((X - lean * (bed - Y)) / period + dice.unit())
    # The strap round the ankle comes up behind the heel, passes the instep and ends on the sole.
    width = dice.between(1.2, 2.4)
    heel_top = (heel - dice.between(0.8, 2), ground - thick - lift - dice.between(4.5, 7.5))
    buckled = (dice.between(14, 18), heel_top[1] + dice.between(-1.5, 2))
    behind = stroke(X, Y, (heel - 0.9, ground - lift - thick), heel_top, width + 0.6)
    round_ankle = stroke(X, Y, heel_top, buckled, width)
    down = stroke(X, Y, buckled, (dice.between(9, 14), ground - thick - 0.5), width)
    has_ankle_strap = dice.chance(0.75)
    straps = join(
        over_toes,
        over_foot * dice.chance(0.7),
        crossed * dice.chance(0.5),
        foot * rungs * dice.chance(0.2),
        behind * has_ankle_strap,
        round_ankle * has_ankle_strap,
        down * has_ankle_strap * dice.chance(0.75),
    )

    tone = dice.tone()
    texture = grain(dice, 0.03, 0.2)
    picture = straps * tone * texture * (1 - dice.between(0, 0.5) * ramp(bed - Y, 6, 0))
    buckle = ellipse(X, Y, buckled, (1.1, 1)) * straps
    picture = paint(picture, buckle, 1.1 - tone)
    picture = paint(picture, support, tone * dice.between(0.5, 1.1) * texture)
    picture = paint(picture, sole, dice.between(0.3, 0.95) * texture)
    return paint(picture, sole * band(Y, bed, bed + 0.8), dice.between(0.3, 1) * texture)


def sneaker(dice: Dice) -> np.ndarray:
    """Low, laced over the instep, on a thick sole in another grey; stripes on the side."""
    ground = dice.between(18.8, 22.2)
    toe, heel = dice.between(0, 0.8), dice.between(26.8, 28)
    collar = dice.between(8.4, 12.6) + dice.chance(0.15) * dice.between(1, 4)
    tongue = collar + dice.between(0, 1.6)
    tongue_x = dice.between(14, 17)
    height = polyline(
        X,
        (toe, dice.between(1.8, 3)),
        (toe + 2, dice.between(3.6, 5)),
        (toe + 6, dice.between(5, 6.6)),
        (tongue_x - 0.8, tongue - 0.6),
        (tongue_x + 0.8, tongue),
        (tongue_x + 2, collar - dice.between(0.8, 2)),
        (heel - 3.5, collar - dice.between(0.5, 1.6)),
        (heel - 1.2, collar),
        (heel, collar - 2),
    )
    spring = dice.between(0.2, 1.4) * (1 - ramp(X, toe, toe + 5))
    cover = band(X, toe, heel) * band(Y, ground - height, ground - spring)

    tone = dice.tone()
    picture = tone * grain(dice, 0.02, 0.14) * (1 - dice.between(0, 0.3) * ramp(Y, 8, 22))
    # Panels: a cap over the toes and a counter round the heel.
    cap = ellipse(X, Y, (toe, ground), (dice.between(5, 8), dice.between(5, 7)))
    picture = paint(picture, cap, picture * dice.between(0.6, 1.25))
    counter = ellipse(X, Y, (heel, ground - 3), (dice.between(4, 7), dice.between(4, 7)))
    picture = paint(picture, counter, picture * dice.between(0.55, 1.3))
    # The mark on the side: slanted stripes, or one swoosh.
    contrast = np.where(tone > 0.55, dice.between(0.05, 0.4), dice.between(0.7, 1))
    lean = dice.between(-0.6, 0.6)
    stripes = bars((X + lean * Y) / dice.between(2.4, 3.4))
    stripes = stripes * band(X + lean * (Y - ground + 4), 12, dice.between(16, 20))
    stripes = stripes * band(Y, ground - collar * 0.75, ground - 2)
    swoosh = stroke(X, Y, (11, ground - 3.6), (21, ground - 6.5), dice.between(1, 1.8))
    kind = dice.unit()
    mark = np.select([kind < 0.4, kind < 0.65], [stripes, swoosh], 0.0)
    picture = paint(picture, mark, contrast)
    # Laces cross the slope from the toes to the tongue; above it one sees into the dark shoe.
    along = X - toe - 6
    eyelets = bars(along / dice.between(1.9, 2.6))
    depth = Y - (ground - height)
    laces = eyelets * band(X, toe + 6.5, tongue_x) * band(depth, 0.4, 3)
    picture = paint(picture, laces * dice.between(0.3, 1), contrast)
    mouth = band(X, tongue_x + 1.2, heel - 1.4) * band(depth, -2, dice.between(0.8, 2))
    picture = paint(picture, mouth, picture * dice.between(0.15, 0.6))
    thick = dice.between(1.6, 3.2)
    sole = band(Y, ground - thick, ground)
    picture = paint(picture, sole, dice.between(0.35, 1) * grain(dice, 0.01, 0.06))
    line = band(Y, ground - thick - 0.5, ground - thick + 0.4)
    picture = paint(picture, line, picture * dice.between(0.2, 0.9))
    return picture * cover


def ankle_boot(dice: Dice) -> np.ndarray:
    """A shaft above the ankle, a heel from flat to stiletto; zip, laces, elastic or buckle."""
    ground = dice.between(23.5, 26.8)
    lift = np.where(dice.chance(0.45), dice.between(3.5, 8), dice.between(1, 2.2))
    toe, heel = dice.between(0.2, 1.4), dice.between(26, 27.8)
    front, top = dice.between(12, 15.5), ground - dice.between(18, 23.4)
    arch = curve(X, (dice.between(8, 10), 0), (dice.between(17, 19), lift))
    base = ground - 1.2 - arch
    vamp = dice.between(6.6, 8.6)
    height = polyline(
        X,
        (toe, dice.between(1.6, 2.8)),
        (toe + 2.5, dice.between(3.4, 4.8)),
        (toe + 7, vamp - 1),
        (front, vamp + 3),
        (heel, vamp + 3),
    )
    foot = band(X, toe, heel) * band(Y, base - height, base)
    shin = curve(Y, (top, front + dice.between(-0.8, 1.6)), (ground - lift - 7.5, front))
    calf = curve(
        Y,
        (top, heel - dice.between(-0.4, 2.6)),
        (ground - lift - 9, heel - dice.between(0.2, 1.8)),
        (ground - lift - 3, heel),
    )
    # The rim of the shaft dips or rises towards the back.
    rim = top + dice.between(-0.12, 0.12) * (X - 20)
    shaft = band(X, shin, calf) * band(Y, rim, ground - lift - 2)
    upper = join(foot, shaft)

    tone = dice.tone()
    picture = tone * grain(dice, 0.01, 0.12)
    picture = picture * (1 - dice.between(0, 0.35) * ramp(np.abs(X - 19), 1, 8))
    bend = dice.between(3.5, 6)
    crinkle = wave((X + 1.4 * Y) / bend) * ellipse(X, Y, (front, ground - 9), (6, 5))
    picture = picture * (1 - dice.between(0, 0.3) * dice.unit() * crinkle)
    cap = ellipse(X, Y, (toe, ground), (dice.between(5, 8), 7))
    picture = paint(picture, cap, picture * dice.between(0.7, 1.25))
    rim_line = band(Y, rim, rim + dice.between(0.8, 1.8))
    picture = paint(picture, rim_line, picture * dice.between(0.5, 1.2))

    # How it closes.
    side = dice.between(18, 21)
    contrast = np.where(tone > 0.5, tone * dice.between(0.2, 0.6), dice.between(0.6, 0.9))
    zipper = stroke(X, Y, (side, top + 1), (side - 1, ground - lift - 4), 1.1)
    elastic = polygon(
        X, Y, (side - 2, top), (side + 2.4, top), (side + 0.6, top + 8.5), (side - 0.6, top + 8.5)
    )
    eyelets = bars(Y / dice.between(2, 2.8))
    laces = eyelets * band(X - shin, 0.3, 3.4) * band(Y, top + 1, ground - 7)
    strap_y = ground - lift - dice.between(6, 10)
    buckle = ellipse(X, Y, (side, strap_y), (1.3, 1.2))
    strap = stroke(X, Y, (front - 1, strap_y), (heel, strap_y - dice.between(-1, 2)), 1.4)
    strap = join(strap * 0.6, buckle)
    kind = dice.unit()
    closing = np.select(
        [kind < 0.25, kind < 0.5, kind < 0.75, kind < 0.88], [zipper, elastic, laces, strap], 0.0
    )
    picture = paint(picture, closing * dice.between(0.5, 1), contrast) * upper

    width = dice.between(1.6, 7)
    pillar = polygon(
        X,
        Y,
        (heel - np.maximum(width, 3.5), ground - lift - 2),
        (heel, ground - lift - 2),
        (heel - dice.between(0, 1), ground),
        (heel - width, ground),
    )
    sole = band(X, toe, heel) * band(Y, base - 0.4, base + 1.2)
    heel_grey = dice.between(0.3, 0.9)
    picture = paint(picture, pillar * (1 - foot), heel_grey * grain(dice))
    return paint(picture, sole, heel_grey * dice.between(0.7, 1.2))


def bag(dice: Dice) -> np.ndarray:
    """A body that is boxy or tapered, with handles or a strap, a flap, a clasp, a zip, pockets."""
    middle = dice.between(13.6, 14.4)
    u = np.abs(X - middle)
    kind = dice.unit()
    clutch = kind < 0.2
    half = dice.between(np.where(clutch, 12, 10.5), 13.9)
    top = np.where(clutch, dice.between(5, 9), dice.between(9, 14))
    bottom = np.where(clutch, dice.between(20, 24), dice.between(24, 27.6))
    taper = dice.between(-2.5, 1.5)
    side = polyline(Y, (top, half - taper.clip(0)), (bottom, half + taper.clip(-2.5, 0)))
    corner = dice.between(0.5, 3)
    # Rounded corners: the width shrinks along the last rows.
    above, below = ramp(top + corner - Y, 0, corner), ramp(Y - bottom + corner, 0, corner)
    side = side - corner * (above * above + below * below) * 0.6
    body = band(u, -20, side) * band(Y, top, bottom)

    reach = dice.between(3.5, 7.5)
    rise = np.minimum(top - 0.9, dice.between(7, 13))
    width = dice.between(0.9, 2)
    handle = hoop(X, Y, (middle, top + 0.5), (reach, rise), width)
    second = hoop(X, Y, (middle + 1, top + 1), (reach * 0.9, rise * 0.8), width * 0.8)
    # A strap rises to a short level piece, by which it hangs.
    hook, peak = dice.between(0.5, 5), top - rise + 0.5
    strap = join(
        stroke(u, Y, (half - 1.5, top + 1), (hook, peak), width),
        stroke(u, Y, (hook, peak), (0, peak), width),
    )
    loop = np.select(
        [clutch, kind < 0.6, kind < 0.8], [0.0 * handle, handle, join(handle, second * 0.8)], strap
    )
    loop = loop * (1 - body) * inside(top + 1 - Y)

    tone = dice.tone()
    picture = tone * grain(dice, 0.02, 0.15) * pattern(dice, u, 0.25)
    picture = picture * (1 - dice.between(0, 0.35) * ramp(u, 4, 13))
    picture = picture * (1 + dice.between(-0.25, 0.1) * ramp(Y, top, bottom))
    dark = dice.between(0.3, 0.8)
    flap_end = top + (bottom - top) * dice.between(0.35, 0.65)
    sag = dice.between(-0.02, 0.04)
    flap_edge = band(Y, flap_end - sag * u * u - 0.6, flap_end - sag * u * u + 0.6)
    pocket = band(u, -20, side - 2.6) * band(Y, flap_end + 1, bottom - 1.6)
    zipper = band(Y, top + 2, top + 3.1) * band(u, -20, side - 1.2)
    seams = band(u, half * 0.55, half * 0.55 + 1)
    trim = dice.unit()
    line = np.select([trim < 0.4, trim < 0.6, trim < 0.8], [flap_edge, pocket * 0.6, zipper], seams)
    picture = paint(picture, line, picture * dark)
    piping = 1 - band(u, -20, side - 1.1) * band(Y, top + 1.1, bottom - 1.1)
    picture = paint(picture, piping, picture * dice.between(0.5, 1.3))
    clasp = ellipse(X, Y, (middle, flap_end), (dice.between(0.8, 1.8), dice.between(0.8, 1.3)))
    picture = paint(picture, clasp * dice.chance(0.6), np.where(tone > 0.6, 0.15, 0.95))
    return join(picture * body, loop * tone * dice.between(0.6, 1.1))


GARMENTS: tuple[Callable[[Dice], np.ndarray], ...] = (
    t_shirt,
    trouser,
    pullover,
    dress,
    coat,
    sandal,
    shirt,
    sneaker,
    bag,
    ankle_boot,
)
