import pytest
import torch
from mmengine.optim import OptimWrapper

from mmclip.registry import MODELS
from tests.groupvit.tiny import (
    IMAGE,
    TOWERS,
    assert_same_gradients,
    images,
    noise,
    pretrainer,
    tokens,
)


def losses_and_gradients(model, *batch):
    model.zero_grad()
    losses = model(*batch[:2], mode='loss', noise=batch[2])
    sum(losses.values()).backward()
    return losses, {n: p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize(
    ('chunk_size', 'match'),
    [(1, 'image'), (2, 'image'), (3, 'image'), (2, 'segment')],
)
def test_a_batch_in_chunks_has_the_losses_and_gradients_of_the_whole(
    chunk_size, match
):
    model = pretrainer(prompt_match=match).double().train()
    batch = images(5, dtype=torch.float64), tokens(5), noise(5)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    losses, gradients = losses_and_gradients(model, *batch)
    after = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    model.chunk_size = chunk_size
    ours, found = losses_and_gradients(model, *batch)
    torch.testing.assert_close(ours, losses, rtol=1e-9, atol=1e-9)
    assert_same_gradients(found, gradients)
    torch.testing.assert_close(dict(model.state_dict()), after)  # BatchNorm


def test_prompts_may_be_matched_with_segments():
    model = pretrainer(prompt_match='segment').eval()
    with torch.no_grad():
        found = model(images(3), tokens(3), mode='loss')
        plain = pretrainer().eval()(images(3), tokens(3), mode='loss')
        _, segments, _ = model.encode_image(images(3))
        text = model.encode_text(tokens(3))[:, 1:]
        own = model.contrastive_loss(segments, text, model.prompt_scale())
    assert found['loss_contrastive'] == plain['loss_contrastive']
    assert found['loss_multi_label'] == own != plain['loss_multi_label']
    with pytest.raises(ValueError, match='image, segment'):
        pretrainer(prompt_match='patch')


def test_halves_that_each_have_a_loss_would_not_be_the_same():
    model = pretrainer().train()
    whole = model(images(4), tokens(4), mode='loss', noise=noise(4))
    halves = [
        model(images(4)[p], tokens(4)[p], 'loss', [n[p] for n in noise(4)])
        for p in (slice(0, 2), slice(2, 4))
    ]
    mean = sum(h['loss_contrastive'] for h in halves) / 2
    assert (mean - whole['loss_contrastive']).abs() > 1e-2


def test_a_batch_without_prompts_has_the_loss_of_captions_alone():
    model = pretrainer(multi_label=False).train()
    losses = model(images(2), tokens(2, prompts=0), mode='loss')
    assert list(losses) == ['loss_contrastive']
    with pytest.raises(ValueError, match='multi_label=False'):
        model(images(2), tokens(2), mode='loss')


@torch.no_grad()
def test_a_single_pair_can_be_evaluated():
    model = pretrainer().eval()
    image, text = model(images(1), tokens(1))
    assert image.shape == (1, 12)
    assert text.shape == (1, 4, 12)
    losses = model(images(1), tokens(1), mode='loss')
    assert losses['loss_contrastive'] == 0  # nothing to confuse it with
    assert losses['loss_multi_label'] > 0  # which of three is not known


def test_half_precision_gives_about_the_same_loss():
    model = pretrainer().train()
    for parameter in model.img_encoder.parameters():
        parameter.data.mul_(0.3)  # so that no close call is decided anew
    batch = dict(inputs=images(4), tokens=tokens(4), noise=noise(4))
    full = model(mode='loss', **batch)
    model.chunk_size = 2
    with torch.autocast('cpu', torch.bfloat16):
        half = model(mode='loss', **batch)
    sum(half.values()).backward()
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)
    assert {loss.dtype for loss in half.values()} == {torch.float32}
    assert model.img_encoder.pos_embed.grad.isfinite().all()


def test_a_step_of_an_mmengine_run_lowers_the_loss():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmclip.GroupViTPretrainer',
            data_preprocessor=dict(
                type='mmengine.ImgDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
            ),
            chunk_size=2,
            **TOWERS,
        )
    )
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), 1e-2))
    pictures = (images(4) * 50 + 120).clamp(0, 255).byte()
    data = dict(inputs=list(pictures), tokens=tokens(4))
    history = [model.train_step(data, wrapper)['loss'] for _ in range(8)]
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize('ids', [tokens(3), tokens(2)[:, 0]])
def test_tokens_that_do_not_fit_the_images_are_refused(ids):
    with pytest.raises(ValueError, match=r'expected \(B, 1 \+ K, L\)'):
        pretrainer()(images(2), ids, mode='loss')


def test_a_pretrainer_does_not_predict():
    with pytest.raises(ValueError, match='GroupViTSegmentor'):
        pretrainer()(images(2), tokens(2), mode='predict')


def in_plain_chunks(encode, chunk_size, rows, *others):
    """Encode in chunks and keep all activations."""
    assert others in ((), (None,))
    return torch.cat([encode(part) for part in rows.split(chunk_size)])


def test_noise_and_dropped_paths_are_the_same_in_both_passes(monkeypatch):
    model = pretrainer(img_encoder=IMAGE | dict(drop_path_rate=0.5)).train()
    assert model.img_encoder.layers[0].downsample.assign.assign == 'gumbel'
    model.chunk_size, batch = 2, (images(6), tokens(6), None)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(4)
    ours, found = losses_and_gradients(model, *batch)
    model.load_state_dict(state)
    monkeypatch.setattr(
        'mmclip.groupvit.pretrainer.encode_in_chunks', in_plain_chunks
    )
    torch.manual_seed(4)
    losses, gradients = losses_and_gradients(model, *batch)
    torch.testing.assert_close(ours, losses, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-5, atol=1e-5)
    torch.manual_seed(5)  # other noise gives another loss: it matters
    other, _ = losses_and_gradients(model, *batch)
    assert abs(other['loss_contrastive'] - losses['loss_contrastive']) > 1e-3
