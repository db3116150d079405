"""Visit every tab of `mmclip demo` in a headless Chromium and keep pictures.

``python tools/draw_demo_tabs.py OUT --model-detect WORK_DIR ...`` (the options
of ``mmclip demo``) uploads a scene in each tab, asks, waits for the answer and
writes OUT/<tab>.jpg. It needs gradio, playwright and a Chromium:
``pip install "mmclip[demo-test]"``, ``apt-get install chromium``.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmclip.demo import command
from mmclip.demo.page import TABS, build_page, draw_object, launch

CHROMIUM = ('chromium', 'chromium-browser', 'google-chrome')
SIZE = dict(width=1100, height=860)
WAIT = 60_000  # milliseconds for an answer on a busy machine
SCENE = Path('docs/en/_static/shapes_scene.png')


def find_chromium() -> str | None:
    """Return the path of a Chromium of the system, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def browser() -> Iterator:
    """Open the system's Chromium without a window.

    Raises:
        FileNotFoundError: There is none.
    """
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        raise FileNotFoundError(
            f'none of {", ".join(CHROMIUM)} is installed: apt-get install '
            'chromium'
        )
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=path,
            args=['--no-sandbox', '--disable-dev-shm-usage'],  # for root
        )
        yield opened
        opened.close()


class Visitor:
    """Use the page as a person would.

    Args:
        page: playwright's.
        scene: The image that is uploaded.
    """

    def __init__(self, page, scene: Path = SCENE) -> None:
        self.page, self.scene = page, scene

    def open(self, task: str, upload: bool = True) -> None:
        """Turn to a tab and upload the scene there."""
        self.page.get_by_role('tab', name=task.capitalize()).click()
        if upload:
            field = self.page.locator(f'#{task}-image input[type=file]')
            field.set_input_files(self.scene)
            self.page.locator(f'#{task}-image img').wait_for(timeout=WAIT)

    def fill(self, task: str, label: str, text: str) -> None:
        """Write into a field of a tab."""
        panel = self.page.get_by_role('tabpanel').filter(visible=True)
        panel.get_by_label(label).first.fill(text)

    def ask(self, task: str) -> str:
        """Press the button; return what the answer says."""
        self.page.locator(f'#{task}-go').click()
        return self.answer(task)

    def answer(self, task: str, contains: str = '') -> str:
        """Wait until a tab says something; return it."""
        said = f'#{task}-text [data-testid=markdown]'  # without gradio's clock
        self.page.wait_for_function(
            """([where, part]) => {
                const said = document.querySelector(where)?.innerText ?? '';
                return said.trim() && said.includes(part);
            }""",
            arg=[said, contains],
            timeout=WAIT,
        )
        return self.page.locator(said).inner_text()

    def picture(self, task: str) -> tuple[int, int]:
        """Wait for the picture of an answer; return its width and height."""
        shown = self.page.locator(f'#{task}-picture img').first
        shown.wait_for(timeout=WAIT)
        return tuple(
            shown.evaluate(
                'async e => {await e.decode();'
                ' return [e.naturalWidth, e.naturalHeight]}'
            )
        )


def main(argv: list[str] | None = None) -> int:
    """Visit all tabs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--scene', type=Path, default=SCENE)
    command.add_options(parser)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    served = build_page(command.models_of(args))
    address = launch(served, args.host, args.port, wait=False)
    with browser() as opened:
        page = opened.new_page(viewport=SIZE)
        page.goto(address)
        visitor = Visitor(page, args.scene)
        for task in TABS:
            visitor.scene = args.scene
            if task == 'sketch':
                visitor.scene = args.out / 'shape.png'
                draw_object(12).save(visitor.scene)
            visitor.open(task)
            said = visitor.ask(task)
            if task == 'sketch':
                said = visitor.answer(task, 'Done')
            elif 'Cannot answer' not in said:
                visitor.picture(task)
            page.wait_for_timeout(500)  # animations
            file = args.out / f'{task}.jpg'
            page.screenshot(path=file, type='jpeg', quality=80)
            print(f'{file}: {said[:100]!r}')
    served.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
