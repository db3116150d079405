"""Examples in docstrings give what they say."""

import doctest
from importlib import import_module

import pytest

from tests.test_docs import ROOT

MODULES = [
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in sorted((ROOT / 'mmclip').rglob('*.py'))
    if '.mim' not in path.parts and '>>> ' in path.read_text('utf8')
]


def test_there_are_examples():
    assert len(MODULES) >= 8


@pytest.mark.parametrize('name', MODULES)
def test_an_example_gives_what_it_says(name):
    done = doctest.testmod(import_module(name))
    assert done.attempted
    assert not done.failed
