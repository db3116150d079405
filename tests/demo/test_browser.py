"""The page in a real browser: every tab is used as a person would.

Needs gradio, playwright and a Chromium of the system; `.ci/run` has them.
"""

import os
import socket
from contextlib import nullcontext
from importlib.util import (
    find_spec,
    module_from_spec,
    spec_from_file_location,
)
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmclip import jobs
from mmclip.demo.models import Named
from mmclip.inference.trained import without_pretrained
from tests.end_to_end.tiny import tiny_config

TOOL = Path(__file__).parents[2] / 'tools/draw_demo_tabs.py'
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def lacks() -> str:
    """What is missing for these tests; '' for nothing."""
    packages = [p for p in ('gradio', 'playwright') if find_spec(p) is None]
    if packages:
        return f'no {packages[0]}: pip install "mmclip[demo-test]"'
    if tool.find_chromium() is None:
        return 'no Chromium: apt-get install chromium'
    return ''


def load_tool():
    spec = spec_from_file_location('draw_demo_tabs', TOOL)
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()
if lacks() and 'MMCLIP_BROWSER' not in os.environ:  # where it must run
    pytest.skip(lacks(), allow_module_level=True)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Something that answers in each tab; hardly trained, if at all."""
    folder = tmp_path_factory.mktemp('models')
    with DefaultScope.overwrite_default_scope('mmdet'):
        Runner.from_cfg(tiny_config(folder / 'vild', max_iters=1)).train()
        save_glip(folder)
    return dict(
        detect=Named('detect', str(folder / 'vild')),
        ground=Named(
            'ground', str(folder / 'glip.pth'), 'glip_r18_fpn_shapes'
        ),
        segment=Named('segment', 'mmclip://shapes-clip'),
        groups=Named('groups', 'mmclip://groupvit-shapes'),
        sketch=Named('sketch', 'shapes-clip'),
    )


def save_glip(folder):
    """Write the shapes world's GLIP as it is before its first step."""
    cfg = Config.fromfile(jobs.find_config('glip_r18_fpn_shapes'))
    model = MODELS.build(without_pretrained(cfg.model))
    torch.save(dict(state_dict=model.state_dict()), folder / 'glip.pth')


@pytest.fixture(scope='module')
def calls():
    """The addresses that this process, and so the page's server, looks for."""
    asked, look = [], socket.getaddrinfo

    def note(host, *args, **kwargs):
        asked.append(host)
        return look(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'getaddrinfo', note)
        yield asked


@pytest.fixture(scope='module')
def address(models, calls):
    """Where the page with all models is served."""
    from mmclip.demo.page import build_page, launch

    page = build_page(models)
    yield launch(page, '127.0.0.1', None, wait=False)
    page.close()


@pytest.fixture
def bare_address(monkeypatch):
    """Where a page is served on a machine without any model."""
    from mmclip.demo.page import build_page, launch
    from mmclip.inference import named

    def nothing(task):
        raise FileNotFoundError(f'put a file for {task} there')

    monkeypatch.setattr(named, 'best_at_hand', nothing)
    page = build_page({})
    yield launch(page, '127.0.0.1', None, wait=False)
    page.close()


@pytest.fixture(scope='module')
def chromium():
    with tool.browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium, tmp_path):
    """Open an address; every request must stay on this machine."""
    pages, strange = [], []

    def local_only(route):
        url = route.request.url
        if url.startswith(('http://127.0.0.1:', 'data:', 'blob:')):
            return route.continue_()
        strange.append(url)
        return route.abort()

    def opened(where):
        page = chromium.new_page(viewport=tool.SIZE)
        page.route('**/*', local_only)
        page.goto(where)
        pages.append(page)
        return tool.Visitor(page)

    yield opened
    for page in pages:
        page.screenshot(path=tmp_path / 'end.png')
        page.close()
    assert not strange, f'the page asked other machines: {strange}'


def test_detect_answers_with_boxes_of_the_names(address, visit):
    visitor = visit(address)
    visitor.open('detect')
    visitor.fill('detect', 'Names', 'red circle . blue square')
    visitor.fill('detect', 'Least score', '0')
    said = visitor.ask('detect')
    assert 'score' in said
    assert 'red circle' in said or 'blue square' in said
    width, height = visitor.picture('detect')
    assert width == 640
    assert height > 640, 'a legend stands below'


def test_ground_answers_with_the_phrases_of_a_caption(address, visit):
    visitor = visit(address)
    visitor.open('ground')
    visitor.fill('ground', 'Caption', 'a red circle above a blue square')
    visitor.fill('ground', 'Least score', '0')
    said = visitor.ask('ground')
    assert 'a red circle' in said
    assert 'a blue square' in said
    assert visitor.picture('ground')[0] == 640


def test_segment_shares_the_pixels_among_the_names(address, visit):
    visitor = visit(address)
    visitor.open('segment')
    visitor.fill('segment', 'Names', 'background . red circle . blue square')
    said = visitor.ask('segment')
    assert '% of the pixels' in said
    assert 'red circle' in said
    assert visitor.picture('segment')[0] == 640


def test_groups_shows_each_stage(address, visit):
    visitor = visit(address)
    visitor.open('groups')
    said = visitor.ask('groups')
    assert 'of 8' in said
    width, height = visitor.picture('groups')
    assert width > 2 * height - 20


def test_a_sketch_grows_on_the_page_and_can_be_stopped(address, visit):
    visitor = visit(address)
    visitor.open('sketch', upload=False)
    page = visitor.page
    page.locator('#sketch-draw').click()
    page.locator('#sketch-image img').wait_for(timeout=tool.WAIT)
    page.get_by_label('number input for Steps').fill('2000')
    page.locator('#sketch-go').click()
    paths = page.locator('#sketch-picture svg path')
    paths.first.wait_for(state='attached', timeout=tool.WAIT)
    assert paths.count() == 16
    first = paths.evaluate_all('all => all.map(p => p.outerHTML).join()')
    assert 'of 2000' in visitor.answer('sketch', 'Step')
    page.wait_for_function(
        """before => [...document.querySelectorAll('#sketch-picture path')]
        .map(p => p.outerHTML).join() != before""",
        arg=first,
        timeout=tool.WAIT,
    )
    page.locator('#sketch-stop').click()
    assert 'shapes-clip' in visitor.answer('sketch', 'Stopped: loss')
    with page.expect_download() as download:
        page.get_by_role('button', name='Download the SVG').click()
    svg = Path(download.value.path()).read_text()
    assert svg.count('<path') == 16


def test_a_tab_without_a_model_says_what_is_missing(bare_address, visit):
    visitor = visit(bare_address)
    for task in ('detect', 'ground', 'segment', 'groups'):
        visitor.open(task)
        panel = visitor.page.get_by_role('tabpanel').filter(visible=True)
        assert f'mmclip demo --model-{task}' in panel.inner_text()
        said = visitor.ask(task)
        assert said.startswith('Cannot answer: no model was named')
        assert task == 'groups' or 'put a file for' in said
    assert 'Traceback' not in visitor.page.content()


def test_no_image_is_a_message_too(address, visit):
    visitor = visit(address)
    for task in ('detect', 'sketch'):
        visitor.open(task, upload=False)
        assert 'there is no image yet' in visitor.ask(task)


def test_a_file_that_is_no_image_is_a_message(address, visit, tmp_path):
    visitor = visit(address)
    visitor.scene = tmp_path / 'torn.png'
    visitor.scene.write_bytes(b'\x89PNG\r\n\x1a\n torn')
    visitor.page.get_by_role('tab', name='Detect').click()
    field = visitor.page.locator('#detect-image input[type=file]')
    field.set_input_files(visitor.scene)
    visitor.page.locator('#detect-image img').wait_for(
        state='attached', timeout=tool.WAIT
    )
    said = visitor.ask('detect')
    assert 'cannot be read as an image' in said


def test_a_port_that_is_taken_is_said(address):
    from mmclip.demo.page import build_page, launch

    port = int(address.rstrip('/').rpartition(':')[2])
    with pytest.raises(OSError, match=f'port {port} of 127.0.0.1 is taken'):
        launch(build_page({}), '127.0.0.1', port, wait=False)


def test_the_server_looked_for_no_other_machine(address, calls):
    names = {host for host in calls if host}
    assert names <= {'127.0.0.1', 'localhost', '0.0.0.0', '::1'}


def test_the_tool_for_the_docs_takes_the_options_of_the_demo(
    tmp_path, monkeypatch, capsys, chromium
):
    monkeypatch.setattr(tool, 'browser', lambda: nullcontext(chromium))
    monkeypatch.chdir(Path(jobs.__file__).parents[1])
    monkeypatch.setattr(tool, 'TABS', dict(groups=None))
    out = tmp_path / 'tabs'
    words = ['--model-groups', 'mmclip://groupvit-shapes']
    assert tool.main([str(out), *words]) == 0
    with Image.open(out / 'groups.jpg') as picture:
        assert picture.size == tuple(tool.SIZE.values())
        assert len(picture.convert('RGB').getcolors(10**6)) > 1000
    assert 'of 8' in capsys.readouterr().out
