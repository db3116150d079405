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
    return options_within(subs.choices[command])


def options_within(parser) -> set[str]:
    """The options of a parser, and of all its subcommands."""
    kinds = [a.choices for a in parser._actions if isinstance(a.choices, dict)]
    inner = [sub for choices in kinds for sub in choices.values()]
    return set(parser._option_string_actions).union(
        *map(options_within, inner)
    )


def commands(page: Path) -> list[list[str]]:
    """The words of each ``mmclip`` command of a page's shell blocks."""
    text = '\n'.join(blocks(page, 'bash', 'sh', 'shell', 'console'))
    found = []
    for line in text.replace('\\\n', ' ').splitlines():
        words = line.split(' #')[0].strip().removeprefix('$ ')
        lexer = shlex.shlex(words, posix=True, punctuation_chars='|&;')
        lexer.whitespace_split, lexer.commenters = True, ''
        found.append([])
        for word in lexer:
            if set(word) <= set('|&;'):
                found.append([])
            else:
                found[-1].append(word)
    return [words for words in found if words and words[0] == 'mmclip']


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


RUN = re.compile(r'mmclip (?:train|test|doctor|check-data) ([\w./-]+)')


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_configs_that_commands_name_are_there(page):
    from mmclip.jobs import find_config

    for name in RUN.findall(page.read_text('utf8')):
        if '_' in name:  # others are FILE, CONFIG, ...
            assert find_config(name.replace('foldK', 'fold0')), named(page)


def toctree(index: Path) -> list[str]:
    """The pages that an index names, without their suffix."""
    text = index.read_text('utf8')
    found = re.findall(r'^```\{toctree\}\n(.*?)^```', text, re.S | re.M)
    lines = [line.strip() for block in found for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(':')]


@pytest.mark.parametrize('language', ['en', 'zh_cn'])
def test_each_page_stands_in_the_menu_once(language):
    folder = ROOT / 'docs' / language
    there = {
        str(page.relative_to(folder).with_suffix(''))
        for page in folder.rglob('*.md')
        if '_build' not in page.parts
    }
    named = toctree(folder / 'index.md')
    assert sorted(named) == sorted(there - {'index'})


@cache
def mirrors():
    """The module that fills pages in, ``docs/pages.py``."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location('pages', ROOT / 'docs/pages.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def registered_types() -> list[type]:
    """Every class that mmclip's registries hold, those of tests left out."""
    from mmengine.registry import Registry

    from mmclip import registry

    kinds = [r for r in vars(registry).values() if isinstance(r, Registry)]
    assert len(kinds) > 8
    for kind in kinds:
        kind.import_from_location()
    types = [t for kind in kinds for t in kind.module_dict.values()]
    return [t for t in types if t.__module__.startswith('mmclip.')]


def test_each_registered_type_is_on_a_page_of_the_api():
    pages = sorted((ROOT / 'docs/en/api').glob('*.md'))
    shown = {
        module
        for page in pages
        for room in mirrors().MODULES.findall(page.read_text('utf8'))
        for module in mirrors().modules(room)
    }
    types = registered_types()
    assert len(types) > 60
    for each in types:
        assert each.__module__ in shown, each
        assert each.__doc__, f'{each} has no word on what it does'


def test_each_file_that_a_page_stands_for_is_there():
    for language in ('en', 'zh_cn'):
        files = mirrors().standing_for(ROOT / 'docs' / language)
        assert all(path.is_file() for path in files), files
    assert mirrors().standing_for(ROOT / 'docs/en')


def test_a_link_out_of_the_pages_leads_to_the_page_that_stands_for_it():
    source = ROOT / 'docs/en'
    text = '[a](../../configs/vild/README.md#data) ![b](_static/b.png)'
    led = mirrors().led(text, source / 'x.md', source / 'x.md', source)
    assert led == '[a](zoo/vild.md#data) ![b](_static/b.png)'
    text = '[a](../../docs/en/vild.md) [b](../../README.md)'
    origin, page = ROOT / 'configs/vild/README.md', source / 'zoo/vild.md'
    led = mirrors().led(text, origin, page, source)
    assert led == '[a](../vild.md) {download}`b <../../../README.md>`'


SHORT = {'clipasso', 'glip', 'groupvit', 'index', 'lseg', 'vild'}
CHINESE = [p for p in PAGES if 'zh' in str(p.relative_to(ROOT))]


@pytest.mark.parametrize('page', CHINESE, ids=named)
def test_a_chinese_page_shows_the_code_of_the_english_one(page):
    if page.parent == ROOT:
        english = ROOT / page.name.replace('_zh-CN', '')
    else:
        english = ROOT / 'docs/en' / page.name
    code = [text for _, text in BLOCK.findall(english.read_text('utf8'))]
    shown = [text for _, text in BLOCK.findall(page.read_text('utf8'))]
    if page.stem in SHORT:  # part of it, line by line
        lines = {line for text in code for line in text.splitlines()}
        assert {line for text in shown for line in text.splitlines()} <= lines
    else:
        assert shown == code


def names_of(kind: type) -> set[str]:
    """The arguments that a class takes, its parents' where it passes on."""
    import inspect

    taken: set[str] = set()
    for each in inspect.getmro(kind):
        if '__init__' in vars(each):
            found = inspect.signature(each.__init__).parameters
            taken |= set(found)
            if all(p.kind is not p.VAR_KEYWORD for p in found.values()):
                break
    return taken


def typed_calls(text: str):
    """The types of mmclip in a block, each with the arguments it is given."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, 'id', 0) == 'dict'
        ):
            given = {k.arg: k.value for k in node.keywords if k.arg}
            kind = getattr(given.pop('type', None), 'value', '')
            if str(kind).startswith('mmclip.'):
                yield kind.removeprefix('mmclip.'), set(given)


@cache
def types_by_name() -> dict[str, type]:
    return {each.__name__: each for each in registered_types()}


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_types_in_code_and_their_arguments_exist(page):
    for text in blocks(page, 'python'):
        for name, given in typed_calls(text):
            known = types_by_name()
            assert name in known, f'{named(page)}: mmclip.{name}'
            unknown = given - names_of(known[name]) - {'_delete_', '_scope_'}
            assert not unknown, f'{named(page)}: {name} takes no {unknown}'


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_what_code_imports_from_mmclip_is_there(page):
    from importlib import import_module

    for text in blocks(page, 'python'):
        for node in ast.walk(ast.parse(text)):
            module = getattr(node, 'module', None) or ''
            if module.split('.')[0] == 'mmclip':
                for name in node.names:
                    assert hasattr(import_module(module), name.name), text


NAMED = re.compile(r'`mmclip\.([A-Z]\w+)')


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_types_that_are_named_exist(page):
    for name in NAMED.findall(page.read_text('utf8')):
        assert name in types_by_name(), f'{named(page)}: mmclip.{name}'
