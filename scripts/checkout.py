"""Where this checkout is; imported first, it has every script use the package of this checkout.

A script in a folder below needs `scripts/` on its path first: `sys.path.insert(0, …parents[1])`.
"""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
# Whichever version is installed, what is measured and made is this one.
sys.path.insert(0, str(CHECKOUT))
