from types import SimpleNamespace

import numpy as np
import pytest

from mmclip.demo import answers
from mmclip.visualization import colour_of

IMAGE = np.full((30, 40, 3), 128, np.uint8)


def named(model):
    return SimpleNamespace(build=lambda: model)


def detector(**found):
    seen = []

    def answer(picture, text, score_thr):
        seen.append((picture.shape, text, score_thr))
        return dict(
            labels=['red circle', '<b>'],
            scores=np.array([0.9, 0.4]),
            boxes=np.array([[5.0, 5, 20, 20], [10, 2, 30, 9]]),
            **found,
        )

    return answer, seen


def test_detect_draws_and_tells_the_best_first():
    answer, seen = detector()
    picture, text = answers.detect(named(answer), IMAGE, ' a . b ', 0.3)
    assert seen == [((30, 40, 3), 'a . b', 0.3)]
    assert picture.shape[1] == answers.SIDE
    lines = text.splitlines()
    assert lines[2] == '| red circle | 0.90 | 5, 5, 20, 20 |'
    assert '<b>' not in text, 'a name is no HTML'


def test_without_text_the_saved_names_are_asked_for():
    answer, seen = detector()
    answers.detect(named(answer), IMAGE, '  ', 0.3)
    assert seen[0][1] is None


def test_nothing_found_is_said():
    none = dict(labels=[], scores=np.zeros(0), boxes=np.zeros((0, 4)))
    picture, text = answers.detect(named(lambda *_, **k: none), IMAGE, 'a', 0)
    assert 'Nothing found' in text
    assert picture.shape == (480, 640, 3)


def test_ground_says_which_phrases_were_not_found():
    caption = 'a red circle above a blue square'
    phrases = [('a red circle', [[0, 12]]), ('a blue square', [[19, 32]])]

    def read(picture, text, score_thr):
        assert (text, score_thr) == (caption, 0.3)
        return dict(
            labels=['a red circle'],
            scores=np.array([0.6]),
            boxes=np.array([[0.0, 0, 9, 9]]),
            caption=caption,
            phrases=phrases,
        )

    picture, text = answers.ground(named(read), IMAGE, f' {caption} ', 0.3)
    assert '| a red circle | 0.60 |' in text
    assert 'Not found: a blue square' in text
    below = picture[480:]  # the caption, what was found in colour
    assert picture.shape[1] == answers.SIDE
    assert (below == colour_of(0)).all(axis=-1).any()
    assert not (below == colour_of(1)).all(axis=-1).any()


def test_segment_shares_all_pixels_and_keeps_colours_by_name():
    label = np.ones((30, 40), np.int32)
    label[:15] = 2
    found = dict(labels=label, names=['background', 'cat', 'dog'])
    picture, text = answers.segment(named(lambda *_: found), IMAGE, 'x')
    assert '| cat | 50.0 |' in text
    assert '| dog | 50.0 |' in text
    assert 'background' not in text
    below = picture[480:]
    assert (below == colour_of(2)).all(axis=-1).any()


def test_groups_tells_how_many_are_in_use():
    found = dict(labels=[np.eye(3, dtype=int)], counts=[8], picture=IMAGE)
    picture, text = answers.groups(named(lambda *_: found), IMAGE)
    assert picture is IMAGE
    assert '| 1 | 2 of 8 |' in text


def test_no_image_is_said():
    with pytest.raises(ValueError, match='no image yet'):
        answers.groups(named(None), None)
