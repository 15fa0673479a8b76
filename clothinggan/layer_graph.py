"""Goes through a generator layer by layer, to compute it by other means than Keras's."""

from collections.abc import Callable
from typing import Any

import keras


def walk(model: keras.Model, given: Any, call: Callable[[keras.Layer, Any], Any]) -> Any:
    """Returns what comes of `given` where each layer is computed by `call`.

    Args:
        model: A stack or a graph of layers with one input and one output, without models within.
        given: What stands for its input.
        call: Takes a layer and what goes into it, a list where it takes several; returns what comes out.
    """
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            given = call(layer, given)
        return given
    described = model.get_config()
    results = {(_only(described["input_layers"])[0], 0): given}
    waiting = [
        (layer["name"], index, _sources(node))
        for layer in described["layers"]
        for index, node in enumerate(layer["inbound_nodes"])
    ]
    # A layer that is used at several places stands at the first of them, before what goes into the last.
    while waiting:
        ready = [use for use in waiting if all(source in results for source in use[2])]
        for name, index, sources in ready:
            into = [results[source] for source in sources]
            results[name, index] = call(model.get_layer(name), into if len(into) > 1 else into[0])
        waiting = [use for use in waiting if use not in ready]
    return results[_only(described["output_layers"])]


def _sources(node: dict) -> list[tuple[str, int]]:
    (into,) = node["args"]
    tensors = into if isinstance(into, list) else [into]
    return [tuple(tensor["config"]["keras_history"][:2]) for tensor in tensors]


def _only(places: list) -> tuple[str, int]:
    name, index, _ = places if isinstance(places[0], str) else places[0]
    return name, index
