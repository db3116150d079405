"""Rules of the house that no single room can test."""

import ast
from pathlib import Path

import mmclip

ROOT = Path(mmclip.__file__).parent
FIRST = {'compat', 'ops', 'registry', 'checkpoint', 'files', '__init__'}
METHODS = {'vild', 'lseg', 'groupvit', 'glip', 'clipasso'}
ALLOWED = {  # room: the rooms that it may import
    'compat': FIRST,
    'ops': FIRST,
    'registry': FIRST | {'models'},
    'checkpoint': FIRST,
    'files': FIRST,
    'clip': FIRST | {'clip'},
    'data': FIRST | {'clip', 'data'},
    'evaluation': FIRST | {'clip', 'evaluation'},
    'visualization': FIRST,
    'hooks': FIRST | {'visualization'},
    'models': FIRST | {'clip'} | METHODS,
    'doctor': FIRST,
    'diagnosis': FIRST | {'clip', 'doctor'},
    'jobs': FIRST,
    **{m: FIRST | {'clip', m} for m in METHODS},
}
ABOVE = {'inference', 'cli', '__init__'}  # these may import all below
ABOVE |= {'convert_command', 'zoo', 'zoo_command', 'figures', 'demo'}


def imports(path: Path) -> set[str]:
    """The rooms of mmclip that a file imports, at any depth."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: import by the full name'
            names = [f'{node.module}.{a.name}' for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            parts = name.split('.')
            if parts[0] == 'mmclip' and len(parts) > 1:
                rooms.add(parts[1].removeprefix('__version__') or '__init__')
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def test_imports_run_one_way():
    wrong = [
        f'{path.relative_to(ROOT)} imports {sorted(rooms)}'
        for path in ROOT.rglob('*.py')
        if '.mim' not in path.parts and room_of(path) not in ABOVE
        if (rooms := imports(path) - ALLOWED[room_of(path)])
    ]
    assert not wrong


def test_nothing_below_the_command_line_imports_it():
    for path in ROOT.rglob('*.py'):
        if '.mim' not in path.parts and path.name != 'cli.py':
            assert 'cli' not in imports(path), path


def test_files_have_a_word_on_what_they_are_for():
    for path in ROOT.rglob('*.py'):
        if '.mim' not in path.parts:
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_names_say_something():
    names = {path.stem for path in ROOT.rglob('*.py')}
    assert not names & {'utils', 'misc', 'helpers', 'common'}
