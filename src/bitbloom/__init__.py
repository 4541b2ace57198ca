"""BitBloom: machine-learning models built the way packages are, one commit giving one set of bytes."""

__version__ = "0.1.0"
