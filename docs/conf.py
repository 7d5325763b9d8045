"""Settings of the documentation: MyST pages, docstrings with dollar math, furo."""

import logging
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import larqlite

# The pages that are drawn save and load models; that is no news about the build.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
logging.getLogger("larqlite").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")

project = "larqlite"
author = "The larqlite authors"
version = release = larqlite.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_parser",
    "docstrings",
    "mathml",
    "links",
    "outputs",
    "draw",
    "gallery",
    "benchmark_table",
    "zoo_tables",
    "qat_tables",
    "deploy_tables",
    "integer_tables",
    "public_names",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_ext", "_generated"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"larqlite {release}"
html_static_path = ["_static"]
html_css_files = ["larqlite.css"]
html_math_renderer = "mathml"
html_show_copyright = False
html_copy_source = False
