"""Pages say what is there: links, files, commands, settings and code."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in ('docs/en', 'docs/zh_cn', 'configs', 'mmclip', '.')
    for page in (ROOT / folder).glob('**/*.md' if folder != '.' else '*.md')
    if '_build' not in page.parts and '.mim' not in page.parts
)
LINK = re.compile(r'!?\[[^\]]*\]\(([^)\s]+)\)')
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```', re.S | re.M)
PATH = re.compile(
    r'(?<![\w/.])(?:configs|tools|benchmarks|tests|mmclip|docs)/[\w./-]+'
    r'\.(?:py|md|sh|yml|safetensors|png|jpg)\b'
)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    return [
        text
        for language, text in BLOCK.findall(page.read_text('utf8'))
        if language in languages
    ]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that headings get."""
    heads = re.findall(r'^#+ (.+)$', page.read_text('utf8'), re.M)
    plain = [re.sub(r'[^\w\- ]', '', head.lower()) for head in heads]
    return {head.strip().replace(' ', '-') for head in plain}


def test_there_are_pages():
    assert len(PAGES) > 15


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text('utf8')):
        if re.match(r'[a-z]+:', link):
            continue
        file, _, anchor = link.partition('#')
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f'{named(page)} links to {link}'
        if anchor and target.suffix == '.md':
            assert anchor in anchors(target), f'{named(page)}: {link}'


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_files_that_are_named_are_there(page):
    for path in PATH.findall(page.read_text('utf8')):
        assert (ROOT / path).exists(), f'{named(page)} names {path}'


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_python_blocks_are_python(page):
    for text in blocks(page, 'python'):
        assert ast.parse(text).body, f'{named(page)} has an empty block'


@cache
def options_of(command: str) -> set[str]:
    """The options of a subcommand of ``mmclip``; of the program: ''."""
    import argparse

    from mmclip.cli import build_parser

    parser = build_parser()
    (subs,) = (
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    if not command:
        return set(subs.choices)
    return set(subs.choices[command]._option_string_actions)


def commands(page: Path) -> list[list[str]]:
    """The words of each ``mmclip`` command of a page's shell blocks."""
    text = '\n'.join(blocks(page, 'bash', 'sh', 'shell', 'console'))
    text = text.replace('\\\n', ' ')
    lines = [line.split(' #')[0].strip() for line in text.splitlines()]
    parts = [p for line in lines for p in re.split(r'&&|\||;', line)]
    words = [shlex.split(part.strip().removeprefix('$ ')) for part in parts]
    return [w for w in words if w and w[0] == 'mmclip']


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_commands_and_their_options_exist(page):
    for words in commands(page):
        assert words[1:], f'{named(page)}: {words}'
        if words[1].startswith('-'):
            continue
        assert words[1] in options_of(''), f'{named(page)}: {words}'
        known = options_of(words[1])
        for word in words[2:]:
            if word.startswith('--'):
                option = word.split('=')[0]
                assert option in known, f'{named(page)}: {words}'
