import threading

import pytest

from mmclip.clipasso.svg import parse_svg
from mmclip.data.shapes import draw_scene
from mmclip.demo.live_sketch import LiveSketch
from mmclip.demo.models import BUILDING, Named

SHAPES = Named('sketch', 'shapes-clip')


@pytest.fixture(scope='module')
def image():
    return draw_scene(12, 32, objects=(1, 1), radius=(0.3, 0.36)).image


def test_a_sketch_is_seen_while_it_grows_and_ends_by_itself(image):
    moments = list(LiveSketch(SHAPES, image, strokes=2, iters=12))
    assert moments[0].svg == ''
    assert [m.done for m in moments] == [False] * (len(moments) - 1) + [True]
    assert any('of 12' in m.text for m in moments)
    assert moments[-1].text.startswith('Done: loss')
    assert len(parse_svg(moments[-1].svg).points) == 2
    assert not BUILDING.locked()


def test_stop_ends_it_with_the_best_so_far(image):
    live = LiveSketch(SHAPES, image, strokes=2, iters=10_000)
    for moment in live:
        if moment.svg:
            live.stop()
    assert moment.done
    assert moment.text.startswith('Stopped: loss')
    assert len(parse_svg(moment.svg).points) == 2


def test_leaving_the_page_stops_it_too(image):
    live = LiveSketch(SHAPES, image, strokes=2, iters=10_000)
    moments = iter(live)
    while not next(moments).svg:
        pass
    moments.close()
    assert live.stopped.is_set()
    for thread in threading.enumerate():
        if thread.name.startswith('sketch'):
            thread.join(20)
            assert not thread.is_alive()


def test_what_went_wrong_comes_to_who_waits():
    with pytest.raises(FileNotFoundError, match='nowhere.png'):
        list(LiveSketch(SHAPES, 'nowhere.png', strokes=2, iters=12))
    assert not BUILDING.locked()
