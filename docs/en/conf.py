"""Build these pages: ``sphinx-build -W docs/en docs/en/_build``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pages

project = 'mmclip'
copyright = '2026, the mmclip authors'
language = 'en'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
source_suffix = {'.md': 'markdown'}
html_theme = 'furo'
html_title = 'mmclip'
html_static_path = ['_static']
exclude_patterns = ['_build']
myst_heading_anchors = 4
toc_object_entries = False  # each member in each page's menu takes time
autodoc_member_order = 'bysource'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of data classes are told once
suppress_warnings = ['ref.python']  # a type such as Strokes may be two


def setup(app):
    """Fill pages in before they are parsed."""
    app.connect('source-read', pages.read)
