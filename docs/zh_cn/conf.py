"""Build these pages: ``sphinx-build -W docs/zh_cn docs/zh_cn/_build``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pages

project = 'mmclip'
copyright = '2026, the mmclip authors'
language = 'zh_CN'
extensions = ['myst_parser']
source_suffix = {'.md': 'markdown'}
html_theme = 'furo'
html_title = 'mmclip'
html_static_path = ['../en/_static']
exclude_patterns = ['_build']
myst_heading_anchors = 4


def setup(app):
    """Lead links between the pages."""
    app.connect('source-read', pages.read)
