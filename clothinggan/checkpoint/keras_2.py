"""A model's configuration in Keras 2's words, which Keras 3 understands too.

Keras 2 (TensorFlow up to 2.15, and tf-keras) stops at words that it does not know, such as `batch_shape`.
Keras 3 reads the older words as well, so that a file in these opens in both.
"""

from clothinggan.checkpoint.stock_layers import ARGUMENTS

_ARGUMENTS = {layer.__name__: arguments for layer, arguments in ARGUMENTS.items()}


class NotInKeras2Error(Exception):
    """A model cannot be described so that both Kerases build the same of it."""


def in_keras_2_words(configuration: dict) -> dict:
    """Returns a model's configuration, as Keras 3 saves it in HDF5, in Keras 2's words.

    Raises:
        NotInKeras2Error: If there are none that Keras 3 understands too.
    """
    class_name, inner = configuration["class_name"], configuration["config"]
    if class_name == "Sequential":
        described = {"layers": [_layer(layer) for layer in inner["layers"]]}
    else:
        described = {
            "layers": [
                {
                    **_layer(layer),
                    "name": layer["name"],
                    "inbound_nodes": list(map(_node, layer["inbound_nodes"])),
                }
                for layer in inner["layers"]
            ],
            "input_layers": _places(inner["input_layers"]),
            "output_layers": _places(inner["output_layers"]),
        }
    return {"class_name": class_name, "config": {"name": inner["name"], **described}}


def _layer(configuration: dict) -> dict:
    class_name, inner = configuration["class_name"], configuration["config"]
    words = {"name": inner["name"], "trainable": inner.get("trainable", True), "dtype": "float32"}
    match class_name:
        case "InputLayer":
            shape = inner["batch_shape"]
            words = {"name": inner["name"], "batch_input_shape": shape, "dtype": "float32", "sparse": False}
        case "LeakyReLU":
            words["alpha"] = inner["negative_slope"]
        case _ if class_name in _ARGUMENTS:
            said = [*_ARGUMENTS[class_name], "data_format"]
            words |= {argument: inner[argument] for argument in said if argument in inner}
        case _:
            # Models within models, whose uses the two count from other numbers, and wrappers, which Keras 2
            # writes and does not find again.
            raise NotInKeras2Error
    return {"class_name": class_name, "config": words}


def _node(node: dict) -> list:
    """One use of a layer: what it is called on."""
    (given,) = node["args"]
    tensors = given if isinstance(given, list) else [given]
    return [[*tensor["config"]["keras_history"], {}] for tensor in tensors]


def _places(places: list) -> list:
    return [places] if isinstance(places[0], str) else places
