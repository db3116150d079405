import numpy as np
import pytest
import torch

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.weights import load_clip
from mmclip.clipasso.curves import lengths
from mmclip.clipasso.features import fingerprint
from mmclip.clipasso.metrics import (
    PrefixAUC,
    SketchCLIPScore,
    SketchInkStats,
    SketchRecognition,
)
from mmclip.clipasso.svg import Drawing
from mmclip.data.shapes import draw_scene
from mmclip.registry import METRICS
from tests.clipasso.sketching import pictures, sketch

SHAPES = dict(model='shapes-clip')
GEOMETRY = [
    dict(type='mmclip.CLIPGeometricLoss', layers=dict(layer1=1.0, layer2=1.0))
]
TINY = dict(
    embed_dim=24,
    vision_cfg=dict(
        image_size=64, width=8, layers=(1, 1, 1, 1), head_width=16
    ),
    text_cfg=dict(width=32, heads=2, layers=2),
)


def line(x0, y0, x1, y1):
    ends = torch.tensor([[x0, y0], [x1, y1]], dtype=torch.float32)
    return torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, 4)[:, None])


def drawing(*strokes, width=1.5, rgb=(0, 0, 0), size=(64, 64)):
    count = len(strokes)
    return Drawing(
        torch.stack([line(*s)[None] for s in strokes]),
        torch.full((count,), float(width)),
        torch.tensor([*map(float, rgb), 1.0]).expand(count, 4),
        size,
    )


def score(metric, *samples, images=None):
    images = images or [torch.full((3, 64, 64), 255).byte()] * len(samples)
    metric.process(dict(inputs=images), samples)
    return metric.evaluate(len(samples))


def sample(sketch_, **more):
    return dict(img_path='a.png', pred_sketch=sketch_, **more)


def test_ink_is_counted_where_it_lies():
    mask = torch.zeros(64, 64)
    mask[:, :20] = 1
    inside, outside, off = (5, 5, 5, 45), (50, 5, 50, 45), (200, 5, 200, 45)
    found = score(
        SketchInkStats(), sample(drawing(inside, outside, off), mask=mask)
    )
    assert found['sketch/strokes'] == 2
    assert found['sketch/length'] == pytest.approx(40, rel=1e-4)
    area = 2 * (40 * 3 + np.pi * 1.5**2)
    assert found['sketch/ink'] == pytest.approx(area / 64**2, rel=0.02)
    assert found['sketch/ink_outside'] == pytest.approx(0.5, abs=0.01)


def test_ink_near_the_foreground_is_not_outside():
    mask = torch.zeros(64, 64)
    mask[:, :20] = 1
    found = score(
        SketchInkStats(), sample(drawing((24, 9, 24, 40)), mask=mask)
    )
    assert found['sketch/ink_outside'] == 0


def test_what_is_not_known_is_left_out():
    blank = drawing((200, 0, 210, 9))
    found = score(SketchInkStats(), sample(blank), sample(blank))
    assert found == {'sketch/strokes': 0, 'sketch/ink': 0}


def test_lengths_of_curves():
    quarter = 4 / 3 * (2**0.5 - 1)
    arc = torch.tensor([[1, 0], [1, quarter], [quarter, 1], [0, 1]])
    points = torch.stack([arc, arc.flip(0)])[:, None]
    torch.testing.assert_close(
        lengths(points), torch.full((2,), torch.pi / 2), atol=1e-3, rtol=0
    )


def test_clip_finds_a_painted_shape_more_like_itself_than_another():
    scene = draw_scene(31, 96, objects=(1, 1), radius=(0.3, 0.36))
    image = torch.from_numpy(scene.image).permute(2, 0, 1)
    red = drawing((30, 30, 60, 60), (30, 60, 60, 30), width=9, rgb=(1, 0, 0))
    found = {}
    for name in ('red trapezoid', 'blue circle'):
        metric = SketchCLIPScore(SHAPES, template='{}')
        found[name] = score(
            metric, sample(red, class_name=name), images=[image]
        )
    assert (
        found['red trapezoid']['sketch/clip_text']
        > found['blue circle']['sketch/clip_text']
    )
    same = {v['sketch/clip_image'] for v in found.values()}
    assert len(same) == 1
    assert -1 < same.pop() < 1
    unnamed = score(SketchCLIPScore(SHAPES), sample(red), images=[image])
    assert set(unnamed) == {'sketch/clip_image'}


def test_the_score_of_a_picture_with_itself_is_one():
    metric = SketchCLIPScore(SHAPES)
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    embedding = metric.embed_picture(picture)
    assert float(embedding @ embedding) == pytest.approx(1, abs=1e-5)


def test_recognition_counts_the_nearest_names():
    red = drawing((30, 30, 60, 60), (30, 60, 60, 30), width=9, rgb=(1, 0, 0))
    names = ['red circle', 'blue circle', 'green circle']
    metric = SketchRecognition(SHAPES, names, top_k=(1, 3), template='{}')
    found = score(
        metric,
        sample(red, class_name='red circle'),
        sample(red, class_name='blue circle'),
    )
    assert found == {
        'sketch/recognised_top1': 0.5,
        'sketch/recognised_top3': 1.0,
    }


def test_no_network_judges_its_own_work():
    encoder = CLIPImageEncoder('shapes-clip')
    own = sample(
        drawing((1, 1, 9, 9)),
        class_name='red circle',
        sketch_fingerprint=fingerprint(encoder),
    )
    with pytest.raises(ValueError, match='recognise its own work'):
        score(SketchRecognition(SHAPES, template='{}'), own)
    other = SketchRecognition(dict(model=TINY))
    assert score(other, own)['sketch/recognised_top1'] == 1.0


def test_recognition_needs_classes():
    metric = SketchRecognition(SHAPES, ['red circle'])
    with pytest.raises(ValueError, match="is 'cat', expected one of red"):
        score(metric, sample(drawing((1, 1, 9, 9)), class_name='cat'))


def test_fingerprints_tell_weights_apart_and_not_names():
    clip = load_clip('shapes-clip')[0]
    one = fingerprint(CLIPImageEncoder(clip))
    assert one == fingerprint(CLIPImageEncoder('shapes-clip'))
    assert one != fingerprint(CLIPImageEncoder(TINY))


@pytest.mark.parametrize('first_matters', [True, False])
def test_prefixes_that_say_all_early_have_a_larger_area(first_matters):
    whole, dot = (32, 8, 32, 56), (200, 200, 209, 209)
    order = (whole, dot, dot) if first_matters else (dot, dot, whole)
    target = torch.full((3, 64, 64), 255).byte()
    target[:, 8:56, 30:34] = 0
    found = score(
        PrefixAUC(SHAPES, GEOMETRY), sample(drawing(*order)), images=[target]
    )
    assert found['sketch/no_better_than_blank'] == 0
    wanted = 1 if first_matters else 1 / 3
    assert found['sketch/prefix_auc'] == pytest.approx(wanted, abs=1e-4)


def test_a_sketch_that_blank_paper_beats_has_no_area():
    found = score(PrefixAUC(SHAPES, GEOMETRY), sample(drawing((9, 9, 50, 50))))
    assert found == {'sketch/no_better_than_blank': 1.0}


def test_metrics_follow_a_run_and_a_test_of_its_checkpoint(tmp_path):
    from mmengine.runner import Runner

    from tests.clipasso.sketching import run_config

    images = pictures(tmp_path / 'in', 2)
    metrics = [dict(type='mmclip.SketchInkStats')]
    seen = []

    @METRICS.register_module(force=True)
    class Seen(SketchInkStats):
        def measure(self, image, sketch_, sample_):
            seen.append(sample_['sketch_network'])
            return super().measure(image, sketch_, sample_)

    metrics = dict(type='mmclip.Seen')
    sketch(tmp_path, images, loop=dict(num_iters=5, evaluator=metrics))
    assert seen == ['shapes-clip (knows drawn shapes only)'] * 2
    config = run_config(
        tmp_path,
        images,
        hooks=[dict(type='mmclip.SketchStateHook')],
        load_from=str(tmp_path / 'iter_10.pth'),
        test_cfg=dict(type='mmengine.TestLoop'),
        test_evaluator=metrics,
    )
    config.test_dataloader = config.train_dataloader
    config.test_dataloader.dataset.images = images[:1]
    found = Runner.from_cfg(config).test()
    assert len(seen) == 3
    assert found['sketch/strokes'] == 3
