"""What a picture shows on a plain background: the background found, evened out, trimmed and laid around.

Backgrounds are seldom of one grey: light falls off towards a side, a camera's sensor is noisy, a palette is
dithered. Greys that differ by far less than the object's are background all the same.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from clothinggan.data.arrays import SIZE

MIN_SIDE = 4  # pixels
BRIGHT = 127.5  # levels: greys above are bright

_CLOSE = 13  # levels: what is closer to the background's colour is background: Xiao et al.'s 5 %
_HALO = 0.1  # of the largest contrast: a JPEG has so much around an edge
_EVEN = 5  # levels: a background whose greys differ by no more is of one grey
_MIDDLE = 0.4  # of half a side
_FALL = 48  # levels: what is further from the middle of the border is no falling off of light
_PLAIN = 0.6  # of the border is close to one grey, or to a slope, at least: an object may reach two sides
_SMOOTHED = 48  # noise is averaged over twice this part of the picture
_NOISE = 7  # times what most noise is below: so far none strays, even of a hundred thousand pixels


@dataclass(frozen=True)
class Background:
    """What a picture's border tells of its background.

    Attributes:
        level: Its grey, from 0 to 255.
        is_plain: Whether most of the border is near it, up to the falling off of light.
        evened: The picture, with the background of one grey where it is plain.
    """

    level: float
    is_plain: bool
    evened: Image.Image


def find_background(grey: Image.Image) -> Background:
    """Returns what a picture's border tells of its background. One of 28x28 stays as it is."""
    level = float(np.median(_border_of(np.asarray(grey))))
    if grey.size == (SIZE, SIZE):
        return Background(level, True, grey)
    border = _border_of(np.asarray(_smooth(grey))).astype(float)
    distances = np.abs(border - level)
    if np.quantile(distances, _PLAIN) <= _EVEN:
        return Background(level, True, grey)
    slope = _slope(border, level, grey.size)
    if slope is None:
        return Background(level, bool(np.quantile(distances, _PLAIN) <= _CLOSE), grey)
    # Towards where the light falls, which is where black is once it is inverted, or where black is already.
    level = float(np.clip(slope.max() if level > BRIGHT else slope.min(), 0, 255))
    evened = np.asarray(grey) - slope + level
    return Background(level, True, Image.fromarray(np.rint(evened).clip(0, 255).astype(np.uint8)))


def fitted(grey: Image.Image, level: float, fit: str, outline: Image.Image) -> np.ndarray:
    """Returns a picture as (28, 28) uint8: cut to be square, or with its background around what it shows.

    One of that size stays as it is.

    Args:
        grey: The picture.
        level: Its background's grey.
        fit: One of `record.FITS`.
        outline: What differs from the background where there is something else.
    """
    if grey.size == (SIZE, SIZE):
        return np.asarray(grey)
    if fit == "crop":
        side = min(grey.size)
        left, top = (grey.width - side) // 2, (grey.height - side) // 2
        box = (left, top, left + side, top + side)
        return np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.LANCZOS, box))
    box = _without_background(outline, level)
    width, height = box[2] - box[0], box[3] - box[1]
    longest = max(width, height)
    size = tuple(max(1, round(SIZE * side / longest)) for side in (width, height))
    resized = grey.resize(size, Image.Resampling.LANCZOS, box)
    square = Image.new("L", (SIZE, SIZE), round(level))
    square.paste(resized, ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return np.asarray(square)


def _without_background(grey: Image.Image, level: float) -> tuple[int, int, int, int]:
    """Returns the box of what differs from the background; all where that is next to nothing.

    A pixel is background too if its neighbours, averaged, are: it is noise then.
    """
    smooth = np.abs(np.asarray(_smooth(grey)) - level)
    distances = np.abs(np.asarray(grey) - level)
    contrast = max(_CLOSE, _HALO * distances.max())
    noise = np.quantile(_border_of(smooth), _PLAIN)
    differs = (distances > contrast) & (smooth > max(contrast / 2, _NOISE * noise))
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows) or min(rows[-1] - rows[0], columns[-1] - columns[0]) < MIN_SIDE - 1:
        return 0, 0, grey.width, grey.height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _smooth(grey: Image.Image) -> Image.Image:
    """Averages each pixel with its neighbours. Behind its border a picture goes on as in a mirror."""
    reach = max(3, round(max(grey.size) / _SMOOTHED))
    wide = Image.fromarray(np.pad(np.asarray(grey), reach, mode="reflect"))
    return ImageOps.crop(wide.filter(ImageFilter.BoxBlur(reach)), reach)


def _border_of(values: np.ndarray) -> np.ndarray:
    """Returns the outermost numbers of an array of two dimensions."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _slope(border: np.ndarray, level: float, size: tuple[int, int]) -> np.ndarray | None:
    """Returns the background at each pixel if the border lies on a paraboloid; None if it does not.

    An object that reaches the border is to have no part in it. It does so near the middle of a side, mostly,
    and its grey is far from the background's: both are left out. And not squares of distances are made small.
    """
    width, height = size
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij", sparse=True)
    terms = [np.ones((1, 1)), x, y, x * x, y * y, x * y]
    table = np.stack([_border_of(np.broadcast_to(term, (height, width))) for term in terms], axis=1)
    near_corners = np.abs(table[:, 1:3]).min(axis=1) >= _MIDDLE
    may_be_background = near_corners & (np.abs(border - level) <= _FALL)
    weights = may_be_background.astype(float)
    for _ in range(20):  # by which the sum of distances is as small as it can be
        weighted = table.T * weights
        factors = np.linalg.lstsq(weighted @ table, weighted @ border, rcond=None)[0]
        distances = np.abs(table @ factors - border)
        weights = may_be_background / np.maximum(distances, 1)
    # Another processor computes other last bits, and is to get the same image.
    factors = np.round(factors * 256) / 256
    slope = sum(factor * term for factor, term in zip(factors, terms, strict=True))
    is_light = np.quantile(distances, _PLAIN) <= _CLOSE and np.ptp(slope) <= 2 * _FALL
    return slope if is_light else None
