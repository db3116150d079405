"""Sentences in, phrases out: with GLIP on the shapes world, barely trained."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmclip
from mmclip.cli import main
from mmclip.data.shapes_export import export
from mmclip.inference import GroundingInferencer
from mmclip.inference.named import find_checkpoint
from mmclip.jobs import find_config
from mmclip.visualization import PALETTE, caption_words

CAPTION = 'a red circle left of a blue square'
PHRASES = ['a red circle', 'a blue square']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A work directory of two iterations of glip_r18_fpn_shapes."""
    folder = tmp_path_factory.mktemp('grounding')
    data = folder / 'data'
    export('odvg', data, 4, seed=3, size=64)
    cfg = Config.fromfile(find_config('glip_r18_fpn_shapes'))
    text = cfg.pretty_text.replace('data/shapes_odvg/', f'{data}/')
    cfg = Config.fromstring(text, '.py')
    cfg.merge_from_dict(
        dict(
            work_dir=str(folder / 'work'),
            log_level='ERROR',
            randomness=dict(seed=0),
            train_cfg=dict(max_iters=2, val_interval=9),
            train_dataloader=dict(batch_size=2),
        )
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        Runner.from_cfg(cfg).train()
    return folder / 'work'


@pytest.fixture(scope='module')
def inferencer(work_dir):
    return GroundingInferencer(work_dir, device='cpu')


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)


def test_the_phrases_of_a_caption_are_the_labels(inferencer, image):
    found = inferencer(image, CAPTION, score_thr=0.0)
    assert set(found['labels']) == set(PHRASES)
    assert found['caption'] == CAPTION
    assert found['phrases'] == [
        ('a red circle', [[0, 12]]),
        ('a blue square', [[21, 34]]),
    ]
    assert found['boxes'].shape == (len(found['labels']), 4)
    assert (found['boxes'] <= [90, 60, 90, 60]).all()


def test_phrases_may_be_given(inferencer, image):
    found = inferencer(image, CAPTION, ['Circle', 'blue'], score_thr=0.0)
    assert set(found['labels']) == {'Circle', 'blue'}
    assert dict(found['phrases'])['blue'] == [[23, 27]]


def test_a_phrase_said_twice_is_one_label(inferencer, image):
    caption = 'a red circle and a blue square and a red circle'
    found = inferencer(image, caption, score_thr=0.0)
    assert dict(found['phrases'])['a red circle'] == [[0, 12], [35, 47]]
    found = inferencer(image, caption, ['a red circle'], score_thr=0.0)
    assert set(found['labels']) == {'a red circle'}


@pytest.mark.parametrize(
    ('text', 'labels'),
    [
        ('red circle . blue square', {'red circle', 'blue square'}),
        (['red circle'], {'red circle'}),
        (
            {'round': ['red circle', 'blue ring'], 'other': 'blue square'},
            {'round', 'other'},
        ),
        ('round: red circle | blue ring . star', {'round', 'star'}),
    ],
)
def test_names_and_labels_with_prompts_are_read_too(
    inferencer, image, text, labels
):
    found = inferencer(image, text, score_thr=0.0)
    assert set(found['labels']) == labels
    assert 'caption' not in found


def test_detect_reads_the_caption_alike(work_dir, inferencer, image):
    found = mmclip.detect(
        image, CAPTION, model=work_dir, device='cpu', score_thr=0.0
    )
    wanted = inferencer(image, CAPTION, score_thr=0.0)
    assert found['labels'] == wanted['labels']
    assert (found['boxes'] == wanted['boxes']).all()


def test_many_images_are_grounded_as_one_by_one(inferencer, image):
    images = [image, image[::-1].copy(), image[:30].copy()]
    stream = inferencer(iter(images), CAPTION, batch_size=2, score_thr=0.0)
    for each, one in zip(stream, images, strict=True):
        alone = inferencer(one, CAPTION, score_thr=0.0)
        assert each['phrases'] == alone['phrases']
        assert np.allclose(each['scores'], alone['scores'], atol=1e-5)


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        (('and of the',), 'no phrase in the text'),
        ((CAPTION, ['green']), "does not say 'green'"),
        ((CAPTION, ['']), "does not say ''"),
        ((CAPTION, ['a red cir']), "does not say 'a red cir'"),
        ((['red circle'], ['circle']), 'names were given'),
        ((None,), 'knows no names of its own'),
        (('a red dog',), "'dog'"),
    ],
)
def test_what_cannot_be_grounded_is_told(inferencer, image, asked, said):
    with pytest.raises(ValueError, match=said):
        inferencer(image, *asked)


def test_each_phrase_has_its_colour_in_the_picture(inferencer, image):
    found = inferencer(image, CAPTION, score_thr=0.0)
    picture = inferencer.draw(image, found, min_side=180)
    assert picture.shape[0] > 120
    assert picture.shape[1] == 180
    words = picture[120:].reshape(-1, 3)
    for colour in PALETTE[:2]:
        assert (words == colour).all(axis=1).sum() > 20
        assert (picture[:120] == colour).all(axis=2).sum() > 20
    none = inferencer.draw(
        image, dict(found, labels=[], boxes=[], scores=[]), 180
    )
    grey = none[120:].astype(int)
    assert np.ptp(grey, axis=2).max() == 0  # nothing found, nothing coloured


def test_words_have_the_colour_of_their_phrase():
    marks = [((2, 7), [1, 2, 3])]
    words = caption_words('a d og, cat', marks)
    assert words == [
        ('a', [0, 0, 0]),
        ('d', [1, 2, 3]),
        ('og,', [1, 2, 3]),
        ('cat', [0, 0, 0]),
    ]


def test_mmdets_inferencer_reads_the_caption(work_dir, inferencer, image):
    from mmdet.apis import DetInferencer

    theirs = DetInferencer(
        weights=find_checkpoint(str(work_dir)),
        device='cpu',
        show_progress=False,
    )
    bgr = np.ascontiguousarray(image[..., ::-1])
    found = theirs(bgr, texts=CAPTION, pred_score_thr=0)['predictions'][0]
    wanted = inferencer(image, CAPTION, score_thr=0.0)
    assert np.allclose(found['scores'], wanted['scores'], atol=1e-5)
    cut = np.clip(found['bboxes'], 0, [90, 60, 90, 60])
    assert np.allclose(cut, wanted['boxes'], atol=1e-3)
    names = theirs(
        bgr, texts='red circle . blue square .', custom_entities=True
    )
    assert set(names['predictions'][0]['labels']) <= {0, 1}


def test_the_command_grounds_and_writes(work_dir, image, tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    Image.fromarray(image).save(tmp_path / 'in/a.png')
    Image.fromarray(image[:40]).save(tmp_path / 'in/b.png')
    out = tmp_path / 'out'
    words = ['detect', str(tmp_path / 'in'), '--model', str(work_dir)]
    words += ['--text', CAPTION, '--out', str(out), '--score-thr', '0']
    words += ['--formats', 'pictures', 'json', 'odvg', '--device', 'cpu']
    assert main([*words, '--debug']) == 0
    assert 'a.png: a ' in capsys.readouterr().out
    found = json.loads((out / 'detections.json').read_text())
    assert found[str(tmp_path / 'in/a.png')]['caption'] == CAPTION
    line = json.loads((out / 'odvg.jsonl').read_text().splitlines()[1])
    assert line['grounding']['regions'][0]['phrase'] == PHRASES[0]
    with Image.open(out / 'a.png') as picture:
        assert picture.height > picture.width * 60 / 90  # the words below
