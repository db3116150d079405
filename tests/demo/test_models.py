from argparse import ArgumentParser

import pytest

from mmclip.clip.scheme import PACKAGED
from mmclip.demo import command
from mmclip.demo.models import FIX, Named

WEIGHTS = str(PACKAGED['groupvit-shapes'])


def parse(*words):
    parser = ArgumentParser()
    command.add_options(parser)
    return command.models_of(parser.parse_args(words))


def test_every_tab_has_its_model_and_config():
    models = parse(
        '--model-detect', 'a', '--model-groups', WEIGHTS, 'groupvit_shapes'
    )
    assert set(models) == set(FIX)
    assert models['detect'] == Named('detect', 'a')
    assert models['groups'] == Named('groups', WEIGHTS, 'groupvit_shapes')
    assert models['segment'] == Named('segment')


def test_three_words_for_a_tab_are_refused():
    with pytest.raises(ValueError, match='--model-segment a b c: expected'):
        parse('--model-segment', 'a', 'b', 'c')


@pytest.mark.parametrize('task', [t for t in FIX if t != 'sketch'])
def test_a_tab_without_a_model_says_how_to_name_one(task):
    with pytest.raises(FileNotFoundError, match=f'demo --model-{task} '):
        Named(task).check()


def test_a_missing_checkpoint_and_an_unknown_config_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        Named('detect', str(tmp_path / 'nothing.pth')).check()
    with pytest.raises(FileNotFoundError, match='groupvit_shapes'):
        Named('groups', WEIGHTS, 'groupvit_shape').check()


def test_a_line_says_which_model_answers():
    said = Named('groups', WEIGHTS, 'groupvit_test_shapes').check()
    assert said == f'{WEIGHTS} (groupvit_test_shapes)'
    packaged = 'mmclip://groupvit-shapes'
    assert Named('groups', packaged).check() == packaged
    said = Named('sketch', 'shapes-clip').check()
    assert 'knows drawn shapes only' in said


def test_no_shapes_model_sketches_unless_it_is_named(monkeypatch):
    from mmclip.clipasso import recipes

    def absent():
        raise FileNotFoundError('no package')

    monkeypatch.setattr(recipes, 'missing_clip', lambda *_: ['weights'])
    monkeypatch.setattr(recipes.lite0, 'packaged_file', absent)
    with pytest.raises(FileNotFoundError, match='put the weights of CLIP'):
        Named('sketch').check()


def test_a_model_is_built_once():
    named = Named('groups', WEIGHTS, 'groupvit_test_shapes')
    again = Named('groups', WEIGHTS, 'groupvit_test_shapes')
    assert named.build() is again.build()
