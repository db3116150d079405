"""What both languages' ``conf.py`` do to a page before it is parsed.

A page may stand for a file that lies elsewhere in the repository
(``<!-- file configs/vild/README.md -->``), or hold the modules of a room
(``<!-- modules mmclip.vild -->``). Links that leave the folder of pages lead
to the page that stands for their file, or else to the file itself.
"""

import ast
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = re.compile(r'<!-- file (\S+) -->')
MODULES = re.compile(r'<!-- modules (mmclip[.\w]*) -->')
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')
CODE = re.compile(r'^```.*?^```', re.S | re.M)


def speaks(path: Path) -> bool:
    """Tell whether a module has something public that says what it is."""
    return any(
        not node.name.startswith('_') and ast.get_docstring(node)
        for node in ast.parse(path.read_text('utf8')).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    )


def modules(room: str) -> list[str]:
    """Return the full names of a room's modules with public members."""
    files = sorted((ROOT / room.replace('.', '/')).glob('*.py'))
    return [f'{room}.{p.stem}' for p in files if speaks(p)]


def documented(room: str) -> str:
    """Return a heading and autodoc's directive for each module of a room."""
    return '\n'.join(
        f'## {name.split(".")[-1]}\n\n```{{eval-rst}}\n'
        f'.. automodule:: {name}\n   :members:\n   :show-inheritance:\n```\n'
        for name in modules(room)
    )


def standing_for(source: Path) -> dict[Path, Path]:
    """Map files of the repository to the pages that stand for them."""
    return {
        ROOT / found.group(1): page
        for page in source.rglob('*.md')
        if (found := FILE.search(page.read_text('utf8')))
    }


def led(text: str, origin: Path, page: Path, source: Path) -> str:
    """Rewrite the links of ``text``, written for ``origin``, for ``page``."""
    pages = standing_for(source)

    def replace(match: re.Match) -> str:
        image, words, link = match.groups()
        file, mark, anchor = link.partition('#')
        if not file or re.match(r'[a-z]+:', file):
            return match.group()
        target = (origin.parent / file).resolve()
        target = pages.get(target, target)
        path = os.path.relpath(target, page.parent)
        if target.suffix == '.md' and not target.is_relative_to(source):
            return f'{{download}}`{words} <{path}>`'
        return f'{image}[{words}]({path}{mark}{anchor})'

    parts, end = [], 0
    for code in CODE.finditer(text):  # code holds no links
        parts += [LINK.sub(replace, text[end : code.start()]), code.group()]
        end = code.end()
    return ''.join([*parts, LINK.sub(replace, text[end:])])


def read(app, name: str, text: list[str]) -> None:
    """Fill a page in; a handler of Sphinx's ``source-read``."""
    source = Path(app.srcdir).resolve()
    page = origin = source / f'{name}.md'
    if found := FILE.search(text[0]):
        origin = ROOT / found.group(1)
        text[0] = origin.read_text('utf8')
        app.env.note_dependency(str(origin))
    text[0] = led(text[0], origin, page, source)
    text[0] = MODULES.sub(lambda room: documented(room.group(1)), text[0])
