"""Build these pages: ``sphinx-build docs/en docs/en/_build``."""

project = 'mmclip'
copyright = '2026, the mmclip authors'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
source_suffix = {'.md': 'markdown'}
html_theme = 'furo'
html_static_path = ['_static']
exclude_patterns = ['_build']
