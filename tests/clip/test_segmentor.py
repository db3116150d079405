import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmseg.models.segmentors import EncoderDecoder

from mmclip.clip.segmentor import all_scores
from tests.lseg.tiny import NAMES, TABLE, sample, tiny_lseg

SLIDE = ConfigDict(mode='slide', crop_size=(64, 64), stride=(48, 48))
WORDS = [f'word {k}' for k in range(23)]
EMBEDDINGS = np.random.default_rng(5).normal(size=(23, 16))


@pytest.fixture(scope='module')
def model():
    return tiny_lseg()


@pytest.fixture
def many():
    built = tiny_lseg(None)
    built.set_vocabulary(EMBEDDINGS, WORDS)
    return built


@torch.no_grad()
def segment(model, images, samples):
    return model.predict(images, samples)


@pytest.mark.parametrize(
    'size', [(64, 64), (96, 64), (1, 1), (7, 5), (33, 130), (40, 100)]
)
@pytest.mark.parametrize('batch', [1, 2])
def test_images_of_any_size_get_maps_of_their_size(model, size, batch):
    found = segment(
        model, torch.randn(batch, 3, *size), [sample(size)] * batch
    )
    assert found[0].pred_sem_seg.data.shape == (1, *size)
    assert found[0].seg_logits.data.shape == (4, *size)
    assert found[0].seg_logits.data.isfinite().all()


def test_padding_is_black_and_does_not_change_what_a_padded_image_gets(model):
    image = torch.randn(1, 3, 40, 70)
    by_hand = F.pad(image, (0, 26, 0, 24), value=-1)
    with torch.no_grad():
        torch.testing.assert_close(
            model(image), model(by_hand)[:, :, :40, :70]
        )


def test_each_image_of_a_batch_is_segmented_as_alone(model):
    images = torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            model(images),
            torch.cat([model(image[None]) for image in images]),
            rtol=1e-3,
            atol=1e-4,
        )


def test_the_map_has_the_original_size_and_says_its_names(model):
    image = torch.randn(1, 3, 64, 96)
    made = sample((64, 96))
    made.set_metainfo(dict(ori_shape=(30, 45)))
    (found,) = segment(model, image, [made])
    assert found.pred_sem_seg.data.shape == (1, 30, 45)
    assert found.label_names == NAMES[:4]


def test_each_image_may_bring_its_own_names(model):
    images = torch.randn(3, 3, 64, 64)
    texts = ['boat . road', 'boat . road', None]
    found = segment(model, images, [sample(text=t) for t in texts])
    assert [f.label_names for f in found] == [
        ['boat', 'road'],
        ['boat', 'road'],
        NAMES[:4],
    ]
    (alone,) = segment(model, images[:1], [sample(text=['boat', 'road'])])
    torch.testing.assert_close(
        found[0].seg_logits.data, alone.seg_logits.data, atol=1e-5, rtol=1e-4
    )


def test_a_flipped_image_is_turned_back(model):
    image = torch.randn(1, 3, 64, 96)
    (plain,) = segment(model, image, [sample((64, 96))])
    turned = sample((64, 96), flip=True, flip_direction='horizontal')
    (back,) = segment(model, image.flip(3), [turned])
    assert plain.seg_logits.data.shape == back.seg_logits.data.shape
    found = segment(model, image.flip(3), [sample((64, 96))])[0]
    torch.testing.assert_close(
        back.seg_logits.data, found.seg_logits.data.flip(2)
    )


def test_one_name_alone_is_everywhere_and_a_warning(model):
    with pytest.warns(UserWarning, match='every pixel gets it'):
        (found,) = segment(
            model, torch.randn(1, 3, 32, 32), [sample((32, 32), text=['sky'])]
        )
    assert (found.pred_sem_seg.data == 0).all()


def test_without_samples_the_map_has_the_size_of_the_input(model):
    (found,) = segment(model, torch.randn(1, 3, 40, 50), None)
    assert found.pred_sem_seg.data.shape == (1, 40, 50)


# ---- windows ----


def test_sliding_is_what_mmseg_does(model):
    image = torch.randn(2, 3, 100, 130)
    model.test_cfg, kept = SLIDE, model.test_cfg
    try:
        with torch.no_grad():
            ours = model.inference(image, [sample((100, 130)).metainfo] * 2)
            theirs = EncoderDecoder.slide_inference(
                model, image, [dict(img_shape=(100, 130))] * 2
            )
    finally:
        model.test_cfg = kept
    torch.testing.assert_close(ours, theirs)


# ---- many names ----


@pytest.mark.parametrize('chunk', [1, 4, 22])
@pytest.mark.parametrize('mode', ['whole', 'slide'])
@pytest.mark.parametrize('kind', [None, 'bottleneck', 'depthwise'])
def test_labels_of_many_names_in_chunks_are_those_of_all_at_once(
    chunk, mode, kind
):
    block = kind and dict(kind=kind, depth=2)
    built = tiny_lseg(None, head=dict(spatial_block=block))
    built.set_vocabulary(EMBEDDINGS, WORDS)
    built.test_cfg = SLIDE if mode == 'slide' else built.test_cfg
    image = torch.randn(2, 3, 70, 100)
    plain = segment(built, image, [sample((70, 100)) for _ in image])
    built.chunk = chunk
    made = [sample((70, 100)) for _ in image]
    made[1].set_metainfo(dict(ori_shape=(35, 50)))
    parts = segment(built, image, made)
    scores = plain[0].seg_logits.data  # (K, H, W)
    best, label = scores.max(0), parts[0].pred_sem_seg.data
    given = scores.gather(0, label)[0]
    assert (best.values - given).max() < 1e-4  # products may round otherwise
    assert (label[0] != best.indices).float().mean() < 1e-3
    assert parts[1].pred_sem_seg.data.shape == (1, 35, 50)
    assert 'seg_logits' not in parts[0]
    assert parts[0].label_names == WORDS


@pytest.mark.parametrize(('raised', 'label'), [(None, 0), (2, 2), (4, 4)])
def test_equal_scores_go_to_the_first_name_as_argmax_says(
    many, monkeypatch, raised, label
):
    many.set_vocabulary(EMBEDDINGS[:6], WORDS[:6])
    many.chunk = 2

    def chunks(inputs):  # products of equal rows need not round alike
        for start in (0, 2, 4):
            value = float(start == raised)
            yield start, torch.full((1, 2, 32, 32), value)

    monkeypatch.setattr(many, '_chunks', chunks)
    image = torch.randn(1, 3, 32, 32)
    (found,) = segment(many, image, [sample((32, 32))])
    assert (found.pred_sem_seg.data == label).all()


def test_the_encoder_sees_each_window_once(many, monkeypatch):
    many.chunk, seen = 3, []
    encode = many.extract_feat
    monkeypatch.setattr(
        many, 'extract_feat', lambda x: seen.append(1) or encode(x)
    )
    segment(many, torch.randn(1, 3, 32, 32), [sample((32, 32))])
    assert len(seen) == 1


def test_no_tensor_holds_the_scores_of_all_names(many, monkeypatch):
    many.chunk, widest = 4, []
    upsample = many.upsample

    def watched(scores, inputs):
        widest.append(scores.shape[1])
        return upsample(scores, inputs)

    monkeypatch.setattr(many, 'upsample', watched)
    segment(many, torch.randn(1, 3, 32, 32), [sample((32, 32))])
    assert max(widest) == 4
    assert sum(widest) == 23


def test_scores_of_all_names_are_kept_where_asked(many):
    many.chunk = 4
    with all_scores(many):
        (found,) = segment(many, torch.randn(1, 3, 32, 32), [sample((32, 32))])
    assert found.seg_logits.data.shape == (23, 32, 32)
    assert many.chunk == 4


# ---- training ----


def labels(batch=2, size=(64, 64), most=4):
    return torch.randint(0, most, (batch, 1, *size))


def test_a_training_step_reaches_every_parameter():
    built = tiny_lseg().train()
    losses = built.loss(
        torch.randn(2, 3, 64, 64), [sample(label=x) for x in labels()]
    )
    losses['decode.loss_ce'].backward()
    lacks = [n for n, p in built.named_parameters() if p.grad is None]
    assert lacks == []


def test_images_of_odd_size_are_padded_and_the_rest_ignored(model):
    size, torch_labels = (50, 70), labels(1, (50, 70))
    image = torch.randn(1, 3, *size)
    loss = model.loss(image, [sample(size, label=torch_labels[0])])
    with torch.no_grad():
        wanted = F.cross_entropy(model(image), torch_labels[:, 0])
    torch.testing.assert_close(loss['decode.loss_ce'], wanted)


def test_ignored_pixels_do_not_count(model):
    image, truth = torch.randn(1, 3, 64, 64), labels(1)
    truth[:, :, :20] = 255
    loss = model.loss(image, [sample(label=truth[0])])['decode.loss_ce']
    with torch.no_grad():
        wanted = F.cross_entropy(model(image), truth[:, 0], ignore_index=255)
    torch.testing.assert_close(loss, wanted)


def test_a_batch_of_ignored_pixels_has_no_loss_and_no_nan():
    built = tiny_lseg().train()
    loss = built.loss(torch.randn(2, 3, 64, 64), [sample(label=255)] * 2)
    loss['decode.loss_ce'].backward()
    assert loss['decode.loss_ce'] == 0
    assert all(
        p.grad is None or p.grad.abs().max() == 0 for p in built.parameters()
    )


def test_each_image_may_be_trained_on_its_own_names(model):
    images = torch.randn(3, 3, 64, 64)
    texts = [['other', 'boat'], ['other', 'dog', 'sky'], None]
    truth = [labels(1, most=k)[0] for k in (2, 3, 4)]
    losses = model.loss(
        images, [sample(text=t, label=x) for t, x in zip(texts, truth)]
    )
    each = [
        model.loss(images[k : k + 1], [sample(text=texts[k], label=truth[k])])
        for k in range(3)
    ]
    torch.testing.assert_close(
        losses['decode.loss_ce'],
        torch.stack([loss['decode.loss_ce'] for loss in each]).mean(),
        rtol=1e-4,
        atol=1e-5,
    )
    assert model.decode_head.vocabulary.names == NAMES[:4]


def test_a_mask_of_another_size_is_refused(model):
    with pytest.raises(ValueError, match=r'\(32, 32\) pixels came with'):
        model.loss(torch.randn(1, 3, 64, 64), [sample((32, 32), label=0)])


def test_a_label_beyond_the_names_is_refused(model):
    with pytest.raises(ValueError, match='label 4 but the vocabulary has 4'):
        model.loss(torch.randn(1, 3, 64, 64), [sample(label=4)])
    with pytest.raises(ValueError, match='label 2 but the vocabulary has 2'):
        model.loss(
            torch.randn(1, 3, 64, 64),
            [sample(label=2, text=['boat', 'dog'])],
        )


# ---- the rest ----


@pytest.mark.parametrize('cast', ['autocast', 'weights'])
def test_bfloat16_is_near_to_float32(cast):
    built, image = tiny_lseg(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        wanted = built(image)
        if cast == 'autocast':
            with torch.autocast('cpu', dtype=torch.bfloat16):
                found = built(image)
        else:
            found = built.bfloat16()(image.bfloat16())
    error = (found.float() - wanted).norm() / wanted.norm()
    assert 1e-5 < error < 0.1


def test_pixel_embeddings_have_unit_length_and_stride_two(model):
    with torch.no_grad():
        found = model.pixel_embeddings(torch.randn(2, 3, 45, 64))
    assert found.shape == (2, 16, 23, 32)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2, 23, 32))


def test_pixel_embeddings_times_text_are_the_scores(model):
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        scores = model.decode_head(model.extract_feat(image))
        pixels = model.pixel_embeddings(image)
    texts = F.normalize(torch.tensor(TABLE[:4]).float(), dim=1)
    torch.testing.assert_close(
        torch.einsum('bdhw,kd->bkhw', pixels, texts) / 0.07, scores
    )


def test_weights_and_names_survive_a_checkpoint(model):
    other = tiny_lseg(None)
    other.load_state_dict(model.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other(image), model(image))
    assert other.decode_head.vocabulary.names == NAMES[:4]


def test_the_network_grows_with_no_name(model):
    assert model.num_classes == model.out_channels == 4
    before = {k: v.shape for k, v in model.named_parameters()}
    model.set_vocabulary(EMBEDDINGS, WORDS)
    assert {k: v.shape for k, v in model.named_parameters()} == before
    assert model.out_channels == 23
    model.set_vocabulary(NAMES[:4])


def test_a_head_of_closed_names_is_refused():
    head = dict(type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=3)
    backbone = dict(type='mmseg.ResNet', depth=18, style='pytorch')
    with (
        DefaultScope.overwrite_default_scope('mmseg'),
        pytest.raises(ValueError, match='needs a head with a vocabulary'),
    ):
        MODELS.build(
            dict(
                type='mmclip.OpenVocabEncoderDecoder',
                backbone=backbone,
                decode_head=head,
            )
        )


# ---- what may be given by mistake ----


@pytest.mark.parametrize('mode', ['whole', 'slide'])
@pytest.mark.parametrize('chunk', [8, 32, 1000])
def test_labels_of_1203_names_are_exactly_those_of_argmax(
    many, monkeypatch, mode, chunk
):
    """Whole numbers leave nothing to rounding, and make many ties."""
    torch.manual_seed(3)
    head = many.decode_head
    with torch.no_grad():
        for value in head.project.parameters():
            value.copy_(torch.randint(-3, 4, value.shape))
    rows = torch.eye(16).repeat(76, 1)[torch.randperm(1203)]  # of length 1
    many.set_vocabulary(rows, [f'name {k}' for k in range(1203)])
    many.test_cfg = SLIDE if mode == 'slide' else many.test_cfg

    def features(x):
        seen = x[:, :1, ::2, ::2].mul(4).round()
        return torch.cat([seen.roll(k, dims=3) for k in range(8)], dim=1)

    monkeypatch.setattr(many, 'extract_feat', features)
    image = torch.randn(1, 3, 70, 100)
    with all_scores(many):
        (plain,) = segment(many, image, [sample((70, 100))])
    many.chunk = chunk
    (parts,) = segment(many, image, [sample((70, 100))])
    assert 'seg_logits' not in parts
    wanted = plain.seg_logits.data.argmax(dim=0, keepdim=True)
    assert (plain.pred_sem_seg.data == wanted).all()
    assert (parts.pred_sem_seg.data == wanted).all()
    assert len(wanted.unique()) > 5


@pytest.mark.parametrize('call', ['predict', 'loss', 'tensor'])
def test_an_empty_vocabulary_says_how_to_fill_it(call):
    built, image = tiny_lseg(None), torch.randn(1, 3, 32, 32)
    with pytest.raises(RuntimeError, match='the vocabulary is empty'):
        built(image, [sample((32, 32), label=0)], mode=call)


@pytest.mark.parametrize('size', [(1, 1), (3, 20), (17, 31)])
def test_images_below_a_patch_are_trained_on(size):
    built = tiny_lseg().train()
    images = torch.randn(2, 3, *size)
    loss = built.loss(images, [sample(size, label=1)] * 2)['decode.loss_ce']
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in built.parameters())


@pytest.mark.parametrize('ignored', [1, 2])
def test_ignored_images_of_their_own_names_add_nothing(ignored):
    built = tiny_lseg().train()
    texts = [['other', 'boat'], ['other', 'dog', 'sky']]
    made = [
        sample(text=text, label=255 if k < ignored else 1)
        for k, text in enumerate(texts)
    ]
    loss = built.loss(torch.randn(2, 3, 64, 64), made)['decode.loss_ce']
    loss.backward()
    assert loss.isfinite()
    gradients = [p.grad for p in built.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    nothing = all(g.abs().max() == 0 for g in gradients)
    assert nothing == (loss.item() == 0) == (ignored == 2)


def test_bfloat16_is_trained_in_as_it_is_tested_in():
    built = tiny_lseg().train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = built.loss(
            torch.randn(2, 3, 64, 64), [sample(label=x) for x in labels()]
        )
    losses['decode.loss_ce'].backward()
    assert losses['decode.loss_ce'].isfinite()
    assert all(p.grad.isfinite().all() for p in built.parameters())


@pytest.mark.parametrize('batch', [1, 3])
def test_a_network_in_bfloat16_keeps_images_and_texts_in_float32(batch):
    built, image = tiny_lseg(), torch.randn(batch, 3, 50, 70)
    made = [sample((50, 70)) for _ in image]
    wanted = torch.stack(
        [s.seg_logits.data for s in segment(built, image, made)]
    )
    assert built.compute_in(torch.bfloat16) is built
    assert built.dtype == torch.bfloat16
    assert built.decode_head.vocabulary.embeddings.dtype == torch.float32
    assert built.data_preprocessor.mean.dtype == torch.float32
    made = [sample((50, 70)) for _ in image]
    found = torch.stack(
        [s.seg_logits.data for s in segment(built, image, made)]
    )
    error = (found.float() - wanted).norm() / wanted.norm()
    assert 1e-5 < error < 0.1
