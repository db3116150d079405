import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict

from mmclip.clip.dense_scores import DenseScores, add_up
from tests.lseg.tiny import NAMES, sample, tiny_lseg

WIDTH = 128  # of shapes-clip
WITH = [*NAMES[:2], 'background', *NAMES[2:5]]
TABLE = np.random.default_rng(4).normal(size=(len(WITH), WIDTH))
DENSE = dict(
    encoder=dict(type='mmclip.CLIPImageEncoder', model='shapes-clip'),
    zoom=2,
    weight=0.5,
    logit_scale=20,
)


def model(background=True, **dense):
    """Build a tiny LSeg whose text embeddings are as wide as shapes-clip's."""
    built = tiny_lseg(
        None,
        head=dict(
            embed_dims=WIDTH,
            background=dict(kind='learnt') if background else None,
        ),
        dense={**DENSE, **dense},
        chunk=None,
    )
    built.decode_head.vocabulary.embed_dims = WIDTH
    built.set_vocabulary(TABLE, WITH)
    return built


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randn(2, 3, 64, 96)


@torch.no_grad()
def shares(built, image):
    """Return probabilities at the head's resolution, with and without."""
    own = built.decode_head(built.extract_feat(image))
    (fused,) = built._fuse(lambda: iter([own]), own, image)
    return own.softmax(dim=1), fused.softmax(dim=1)


def test_the_background_keeps_its_share_of_each_pixel(image):
    before, after = shares(model(), image)
    row = WITH.index('background')
    torch.testing.assert_close(before[:, row], after[:, row])


def test_names_follow_the_product_of_both(image):
    built = model()
    before, after = shares(built, image)
    dense = built.dense.embed(built.as_rgb(image), before.shape[2:])
    texts = F.normalize(torch.tensor(TABLE).float(), dim=1)
    more = torch.einsum('bdhw,kd->bkhw', dense, texts) * 20 * 0.5
    names = [k for k, name in enumerate(WITH) if name != 'background']
    wanted = (before[:, names].log() + more[:, names]).softmax(dim=1)
    found = after[:, names] / after[:, names].sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_without_a_background_all_names_follow_the_product(image):
    built = model(background=False)
    before, after = shares(built, image)
    dense = built.dense.embed(built.as_rgb(image), before.shape[2:])
    texts = F.normalize(torch.tensor(TABLE).float(), dim=1)
    more = torch.einsum('bdhw,kd->bkhw', dense, texts) * 20 * 0.5
    wanted = (before.log() + more).softmax(dim=1)
    torch.testing.assert_close(after, wanted, rtol=1e-4, atol=1e-6)


def test_no_weight_changes_nothing(image):
    before, after = shares(model(weight=0), image)
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize('background', [True, False])
@pytest.mark.parametrize('mode', ['whole', 'slide'])
@pytest.mark.parametrize('chunk', [1, 4])
def test_labels_in_chunks_are_those_of_all_at_once(
    image, background, mode, chunk
):
    built = model(background)
    if mode == 'slide':
        built.test_cfg = ConfigDict(
            mode='slide', crop_size=(64, 64), stride=(32, 32)
        )
    with torch.no_grad():
        plain = built.predict(image, [sample((64, 96)) for _ in image])
        built.chunk = chunk
        parts = built.predict(image, [sample((64, 96)) for _ in image])
    for a, b in zip(plain, parts):
        other = a.pred_sem_seg.data != b.pred_sem_seg.data
        assert other.float().mean() < 1e-3  # products may round otherwise


def test_training_and_checkpoints_do_not_know_it(image):
    built = model()
    assert not any('encoder' in key for key in built.state_dict())
    without = model()
    without.dense = None
    torch.manual_seed(0)
    found = built.train()(image)
    torch.testing.assert_close(found, without.train()(image))


def test_the_background_alone_stays_alone(image):
    built = model()
    built.set_vocabulary(TABLE[:1], ['background'])
    before, after = shares(built, image)
    torch.testing.assert_close(before, after)
    assert after.isfinite().all()


def test_images_come_back_to_rgb_between_0_and_1():
    built = model()
    pixels = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    data = dict(inputs=[pixels], data_samples=[sample((40, 50))])
    inputs = built.data_preprocessor(data)['inputs']
    torch.testing.assert_close(
        built.as_rgb(inputs)[0], pixels[[2, 1, 0]].float() / 255
    )


def test_embeddings_have_unit_length_and_the_size_asked_for():
    found = DenseScores(**DENSE).embed(torch.rand(2, 3, 32, 64), (16, 32))
    assert found.shape == (2, WIDTH, 16, 32)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2, 16, 32))


def test_sums_of_probabilities_are_added_in_parts():
    scores = torch.randn(2, 7, 3, 3)
    total = torch.full((2, 1, 3, 3), -torch.inf)
    for part in scores.split(3, dim=1):
        total = add_up(total, part)
    torch.testing.assert_close(total, scores.logsumexp(dim=1, keepdim=True))
