"""The page as text: its own sources, a generator's layers and weights, and what the file says of its run."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template

from clothinggan.errors import ClothingGANError
from clothinggan.page.plain_layers import PlainLayer, packed_weights, strongest_numbers

MAX_BYTES = 2**26  # A browser opens larger ones slowly, or not at all.
_SLIDERS = 6
_CURVE_POINTS = 1_000
# Nothing is loaded and nothing is sent; what has effect are these two sources, and a worker made of a third.
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; worker-src blob:; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Drawer:
    """A generator at one epoch of its run.

    Attributes:
        epoch: The epochs completed.
        layers: What it computes.
    """

    epoch: int
    layers: Sequence[PlainLayer]


def render(
    title: str,
    drawers: Sequence[Drawer],
    input_size: int,
    parameters: int,
    ends_in_tanh: bool,
    class_names: Sequence[str] = (),
    classes: Sequence[int] = (),
    seed: int = 0,
    history: Sequence[dict[str, object]] = (),
) -> str:
    """Returns the page.

    Args:
        title: What the generator is called.
        drawers: It at one or several epochs of its run, the first epoch first; the last one is shown.
        input_size: How many numbers it takes.
        parameters: How many numbers it has learned.
        ends_in_tanh: Whether its numbers lie in [-1, 1], and not in [0, 1].
        class_names: The names of the classes that the last of the numbers say.
        classes: The numbers of those that are shown at first; none are all.
        seed: Decides the latent vectors that are shown at first.
        history: The run's entries, by `HISTORY_COLUMNS`.

    Raises:
        ClothingGANError: If the generators differ in more than their weights, or the page becomes too large.
    """
    last = drawers[-1].layers
    described = [layer.described for layer in last]
    for drawer in drawers:
        if [layer.described for layer in drawer.layers] != described:
            raise ClothingGANError(
                f"the generator of epoch {drawer.epoch} has other layers than that of epoch "
                f"{drawers[-1].epoch}; name files of one run"
            )
    data = {
        "title": title,
        "epochs": [drawer.epoch for drawer in drawers],
        "generator": {"layers": described, "endsInTanh": ends_in_tanh},
        "parameters": parameters,
        "inputSize": input_size,
        "classNames": list(class_names),
        "classes": list(classes),
        "sliders": strongest_numbers(last, input_size - len(class_names), _SLIDERS),
        "seed": seed,
        "losses": [
            [int(entry["epoch"]), float(entry["d_loss"]), float(entry["g_loss"])]
            for entry in _thinned(history)
        ],
    }
    style, script = _source("page.css"), _source("page.js")
    page = Template(_source("page.html")).substitute(
        policy=_POLICY.format(script=_digest(script), style=_digest(style)),
        title=html.escape(title),
        style=style,
        script=script,
        layers=_source("layers.js"),
        data=_as_json(data),
        weights="\n".join(
            f'<script type="text/plain" id="weights-{number}">{_as_text(drawer.layers)}</script>'
            for number, drawer in enumerate(drawers)
        ),
    )
    if len(page) > MAX_BYTES:
        raise ClothingGANError(
            f"the page would have {len(page) / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}; "
            + ("name fewer files" if len(drawers) > 1 else "use a smaller generator")
        )
    return page


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _as_json(data: object) -> str:
    # No `<`, and so no end of the element that it stands in.
    return json.dumps(data, allow_nan=False).replace("<", r"\u003c")


def _as_text(found: Sequence[PlainLayer]) -> str:
    return base64.b64encode(packed_weights(found)).decode()


def _thinned(history: Sequence[dict[str, object]]) -> Sequence[dict[str, object]]:
    """So many entries as a curve has room for, the last one among them."""
    step = -(-len(history) // _CURVE_POINTS) or 1
    return history[(len(history) - 1) % step :: step]
