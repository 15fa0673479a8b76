"""What TensorFlow hears when it is imported; apart from `environment`, whose own import takes longer."""

import os
import sys


def prepare_tensorflow() -> None:
    """Has a TensorFlow that is not yet imported compute by oneDNN, and be quiet, unless the user decided.

    TensorFlow leaves oneDNN off on processors without AVX-512, where it is three times faster too. Whoever
    imports TensorFlow then, the same bits come of it.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
