"""Maps of similarity, attention and distillation, with real networks."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmclip.cli import main
from mmclip.figures import attention, distillation, similarity
from mmclip.visualization import save_picture


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A red square on the left of a picture, and its path."""
    image = np.full((64, 96, 3), 60, np.uint8)
    image[16:48, 8:40] = (235, 40, 40)
    path = tmp_path_factory.mktemp('scene') / 'scene.png'
    save_picture(path, image)
    return image, path


def test_a_frozen_clip_finds_what_a_name_means(scene):
    image, _ = scene
    names = ['red square', 'blue circle']
    cosines = similarity.clip_cosines(image, names, 'shapes-clip', size=256)
    assert cosines.shape[0] == 2
    assert np.abs(cosines).max() <= 1
    red, blue = cosines
    half = red.shape[1] // 2
    assert red[:, :half].max() > red[:, half:].max()
    assert red.max() > blue.max()


def test_all_names_are_drawn_beside_the_image_on_one_scale(scene):
    image, _ = scene
    flat, steep = np.zeros((4, 6)), np.zeros((4, 6))
    steep[0, 0] = 1.0
    two = similarity.draw_similarity(image, ['a', 'b'], np.array([flat] * 2))
    other = similarity.draw_similarity(
        image, ['a', 'b'], np.array([flat, steep])
    )
    assert two.shape == other.shape
    assert (two != other).any()
    one = similarity.draw_similarity(image, ['a'], steep[None])
    assert one.shape[1] < two.shape[1]


def test_the_input_is_whole_patches_at_the_shorter_side():
    image = np.zeros((100, 210, 3), np.uint8)
    assert similarity.as_input(image, 64).shape == (1, 3, 64, 128)
    assert (
        similarity.as_input(np.zeros((1, 900, 3), np.uint8), 32).shape[2] == 32
    )


def test_neither_clip_nor_model_is_refused_by_the_command(scene, capsys):
    with pytest.raises(SystemExit):
        main(['figure', 'similarity', str(scene[1]), '--text', 'red circle'])
    assert '--clip --model' in capsys.readouterr().err


def test_a_word_that_the_clip_does_not_know_is_a_message(scene, capsys):
    words = ['figure', 'similarity', str(scene[1]), '--clip', 'shapes-clip']
    assert main([*words, '--text', 'giraffe']) == 1
    assert "does not know the word 'giraffe'" in capsys.readouterr().err


def test_attention_shows_where_strokes_start(scene):
    _, path = scene
    model = attention.started(path, 3, 'shapes-clip', None)
    assert len(model.strokes().points) == 1
    assert model.start_maps[0].sum() == pytest.approx(1, abs=1e-3)
    picture = attention.draw_attention(path, 3, 'shapes-clip')
    assert picture.shape[1] > 2 * picture.shape[0]


@pytest.fixture(scope='module')
def vild():
    """A tiny ViLD with shapes-clip as its teacher, untrained."""
    from mmengine.registry import MODELS, DefaultScope

    from mmclip.jobs import find_config

    cfg = Config.fromfile(find_config('vild_r18_fpn_shapes'))
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg.model).eval(), cfg


def test_student_and_teacher_embed_the_same_boxes(vild):
    from mmengine.registry import DATASETS

    model, cfg = vild
    cfg.test_dataloader.dataset.num_images = 2
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    teacher = distillation.find_teacher(model, None, None)
    student, target, groups = distillation.embeddings(
        model, teacher, dataset, 2
    )
    assert student.shape == target.shape == (len(groups), 128)
    assert torch.allclose(target.norm(dim=1), torch.ones(len(groups)))
    boxes, labels, inputs, sample = distillation.true_boxes(model, dataset, 0)
    assert inputs.shape[0] == 1
    picture = distillation.draw_histogram(
        distillation.cosines(student, target, groups), teacher.clip
    )
    assert picture.ndim == 3
    with pytest.raises(ValueError, match='none of the first 0 images'):
        distillation.embeddings(model, teacher, dataset, 0)


def test_the_command_draws_a_histogram_of_a_checkpoint(vild, tmp_path, capsys):
    model, _ = vild
    model.set_vocabulary(['red circle'])
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'vild.pth')
    out = tmp_path / 'near.png'
    words = ['figure', 'distillation', 'vild_r18_fpn_shapes']
    words += [str(tmp_path / 'vild.pth'), '--images', '2', '--out', str(out)]
    assert main(words) == 0
    assert 'another box' in capsys.readouterr().out
    assert out.is_file()


def test_a_model_without_teacher_is_refused(vild):
    model, _ = vild
    distillation.check(model, 'x.pth')
    with pytest.raises(ValueError, match='learns from no teacher'):
        distillation.check(torch.nn.Linear(1, 1), 'x.pth')
    model.teacher, own = None, model.teacher
    with pytest.raises(ValueError, match='names no teacher'):
        distillation.find_teacher(model, None, None)
    named = distillation.find_teacher(model, 'shapes-clip', None)
    assert named.embed_dims == own.embed_dims
    model.teacher = own
