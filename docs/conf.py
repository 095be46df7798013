"""How the documentation is built: ``python -m sphinx -W docs docs/_build``, with ncfast installed.

Examples run while it is built (`_ext/executed.py`); formulas become MathML (`_ext/mathml.py`), which browsers set
without a script and without a network.
"""

import sys
from pathlib import Path

import ncfast

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ncfast"
author = "the ncfast developers"
version = release = ncfast.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "executed", "mathml"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 2
suppress_warnings = ["myst.header"]  # pages that begin with a part of another file

default_role = "py:obj"  # `name` in a docstring is a link where there is something to link to
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_title = f"ncfast {release}"
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
pygments_style = "friendly"
pygments_dark_style = "monokai"
