"""Settings of the documentation: MyST pages and notebooks, docstrings with math, furo."""

import configparser
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
logging.getLogger("fontTools").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")

ROOT = Path(__file__).resolve().parent.parent
_package = configparser.ConfigParser()
_package.read(ROOT / "setup.cfg", encoding="utf-8")
_urls = dict(
    line.split(" = ", 1)
    for line in _package.get("metadata", "project_urls", fallback="")
    .strip()
    .splitlines()
)
REPOSITORY = _urls.get("Source", "")

project = "larqlite"
author = "The larqlite authors"
version = release = larqlite.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
    "docstrings",
    "mathml",
    "links",
    "outputs",
    "draw",
    "gallery",
    "benchmark_table",
    "browser",
    "zoo_tables",
    "zoo_pictures",
    "qat_tables",
    "deploy_tables",
    "integer_tables",
    "public_names",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "_ext", "_generated"]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Notebooks keep what they printed (`make docs-outputs`); tests run them.
nb_execution_mode = "off"
nb_merge_streams = True

# The button copies what one types: no prompt, and nothing of what a command prints.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_selector = (
    "div.highlight-python pre, div.highlight-py pre, div.highlight-sh pre, "
    "div.highlight-console pre, div.highlight-ipython3 pre"
)

# Where the site is served, if it is; without the slash the last folder would be left out.
ogp_site_url = os.environ.get("DOCS_URL", "").rstrip("/")
ogp_site_url = f"{ogp_site_url}/" if ogp_site_url else ""
ogp_site_name = "larqlite"
ogp_image = "_static/first_network_light.png"
ogp_image_alt = "The same network in float, int8 and binary: bits, bytes, milliseconds"
ogp_description_length = 180
ogp_enable_meta_description = True
ogp_social_cards = {"enable": False}
ogp_custom_meta_tags = [
    '<meta property="og:image:width" content="1200" />',
    '<meta property="og:image:height" content="630" />',
    '<meta name="twitter:card" content="summary_large_image" />',
]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"larqlite {release}"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["larqlite.css"]
html_search_scorer = str(Path(__file__).parent / "_ext" / "search_scorer.js")
html_math_renderer = "mathml"
html_show_copyright = False
html_copy_source = False
if REPOSITORY:
    html_theme_options = {
        "source_repository": f"{REPOSITORY.rstrip('/')}/",
        "source_branch": "main",
        "source_directory": "docs/",
        "footer_icons": [
            {"name": "Source", "url": REPOSITORY, "html": "Source", "class": ""}
        ],
    }
