"""Features and labels in files of many formats, opened by their names and read block by block.

Each format is one small module with a function that returns its arrays by name, none of them read yet; which of
them are features and labels is decided in `_choose`.
"""

from ._open import open_features, read_array

__all__ = ["open_features", "read_array"]
