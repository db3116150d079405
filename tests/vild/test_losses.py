import pytest
import torch
import torch.nn.functional as F

from mmclip.models import (
    EmbeddingL1Loss,
    MeanHuberLoss,
    OpenVocabCrossEntropyLoss,
)


def units(count, width=6):
    return F.normalize(torch.randn(count, width), dim=1)


def test_distances_are_summed_over_width_and_averaged_over_rows():
    student, teacher = units(5), units(5)
    loss = EmbeddingL1Loss(loss_weight=0.5)(student, teacher)
    expected = 0.5 * (student - teacher).abs().sum(1).mean()
    torch.testing.assert_close(loss, expected)
    # as DetPro writes it, for 512 dimensions: 256 times the mean
    torch.testing.assert_close(loss, 3 * F.l1_loss(student, teacher))


def test_lengths_do_not_matter():
    student, teacher = units(4), units(4)
    loss = EmbeddingL1Loss()
    torch.testing.assert_close(
        loss(7 * student, teacher / 3), loss(student, teacher)
    )


def test_rows_of_weight_zero_have_no_say_even_if_they_are_nan():
    student, teacher = units(4).requires_grad_(), units(4)
    weights = torch.tensor([1.0, 0, 1, 0])
    alone = EmbeddingL1Loss()(student[::2], teacher[::2])
    teacher[1] = float('nan')
    teacher[3] = 0
    loss = EmbeddingL1Loss()(student, teacher, weights)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert torch.isfinite(student.grad).all()
    assert (student.grad[1::2] == 0).all()


@pytest.mark.parametrize('rows', [0, 3])
def test_no_valid_row_gives_zero_with_a_gradient(rows):
    student = units(rows).requires_grad_()
    loss = EmbeddingL1Loss()(student, units(rows), torch.zeros(rows))
    assert loss.item() == 0
    loss.backward()
    assert student.grad is not None
    assert (student.grad == 0).all()


@pytest.mark.parametrize('wrong', [0.0, float('nan'), float('inf')])
def test_a_teacher_that_says_nothing_is_named(wrong):
    teacher = units(4)
    teacher[2] = wrong
    with pytest.raises(ValueError, match='1 of 4 .* row 2'):
        EmbeddingL1Loss()(units(4), teacher)


def test_a_teacher_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r'\(4, 8\).*\(4, 6\).*CLIP'):
        EmbeddingL1Loss()(units(4), units(4, 8))


def test_warm_up_grows_linearly_and_continues_after_loading():
    student, teacher = units(3), units(3)
    whole = EmbeddingL1Loss()(student, teacher)
    loss = EmbeddingL1Loss(warmup_iters=4)
    seen = [loss(student, teacher) / whole for _ in range(3)]
    torch.testing.assert_close(
        torch.stack(seen), torch.tensor([0.25, 0.5, 0.75])
    )
    resumed = EmbeddingL1Loss(warmup_iters=4)
    resumed.load_state_dict(loss.state_dict())
    for _ in range(2):
        last = resumed(student, teacher)
    torch.testing.assert_close(last, whole)
    assert EmbeddingL1Loss().state_dict() == {}


def test_half_precision_keeps_small_distances():
    student = units(8, 512)
    teacher = student + 1e-4 * torch.randn(8, 512)
    loss = EmbeddingL1Loss()(student.bfloat16().float(), teacher)
    half = EmbeddingL1Loss()(student.bfloat16(), teacher)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss)


# ---- cross entropy ----


def logits_and_labels(regions=6, names=4):
    return torch.randn(regions, names + 1), torch.tensor([0, 1, 4, 4, 0, 1])


NOVEL = torch.tensor([False, False, True, True])


def test_minus_infinity_is_training_without_the_novel_names():
    logits, labels = logits_and_labels()
    loss = OpenVocabCrossEntropyLoss()
    loss.set_novel(NOVEL)
    base = torch.tensor([0, 1, 4])
    position = torch.tensor([0, 1, -1, -1, 2])
    torch.testing.assert_close(
        loss(logits, labels),
        F.cross_entropy(logits[:, base], position[labels]),
    )


def test_zero_keeps_novel_names_as_constants():
    logits, labels = logits_and_labels()
    logits.requires_grad_()
    loss = OpenVocabCrossEntropyLoss(novel_policy='zero')
    loss.set_novel(NOVEL)
    value = loss(logits, labels)
    keep = torch.tensor([1.0, 1, 0, 0, 1])
    torch.testing.assert_close(value, F.cross_entropy(logits * keep, labels))
    value.backward()
    assert (logits.grad[:, 2:4] == 0).all()
    assert (logits.grad[:, 4] != 0).all()


@pytest.mark.parametrize('told', [True, False])
def test_without_a_policy_or_novel_names_it_is_plain(told):
    logits, labels = logits_and_labels()
    loss = OpenVocabCrossEntropyLoss(novel_policy=None if told else '-inf')
    loss.set_novel(NOVEL if told else None)
    torch.testing.assert_close(
        loss(logits, labels), F.cross_entropy(logits, labels)
    )


def test_weights_and_the_average_factor_are_mmdets():
    from mmdet.models.losses import CrossEntropyLoss

    logits, labels = logits_and_labels()
    weights = torch.rand(6)
    for override in (None, 'sum'):
        ours = OpenVocabCrossEntropyLoss(loss_weight=2.0)
        theirs = CrossEntropyLoss(loss_weight=2.0)
        factor = None if override else 3.0
        torch.testing.assert_close(
            ours(logits, labels, weights, factor, override),
            theirs(logits, labels, weights, factor, override),
        )


def test_a_novel_label_is_an_error_where_novel_names_are_left_out():
    logits, labels = logits_and_labels()
    loss = OpenVocabCrossEntropyLoss()
    loss.set_novel(~NOVEL)
    with pytest.raises(ValueError, match='4 regions have novel labels'):
        loss(logits, labels)


def test_a_mask_of_another_vocabulary_is_an_error():
    loss = OpenVocabCrossEntropyLoss('zero')
    loss.set_novel(NOVEL[:3])
    with pytest.raises(ValueError, match='3 names .* logits for 4'):
        loss(*logits_and_labels())


def test_an_unknown_policy_is_an_error():
    with pytest.raises(ValueError, match="'ignore'"):
        OpenVocabCrossEntropyLoss('ignore')


def test_probabilities_of_half_precision_sum_to_one():
    scores = OpenVocabCrossEntropyLoss().get_activation(
        100 * torch.randn(3, 1204).half()
    )
    torch.testing.assert_close(scores.sum(1), torch.ones(3))


# ---- boxes ----


def test_huber_is_averaged_over_what_counts():
    pred, target = torch.randn(4, 4), torch.randn(4, 4)
    weight = torch.tensor([1.0, 0, 1, 0])[:, None].expand(4, 4)
    expected = F.huber_loss(pred[::2], target[::2], delta=1 / 9)
    loss = MeanHuberLoss(delta=1 / 9)
    torch.testing.assert_close(
        loss(pred, target, weight, avg_factor=77), expected
    )
    assert loss(pred, target, torch.zeros(4, 4)) == 0


def test_the_background_may_weigh_less():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 2])
    plain = OpenVocabCrossEntropyLoss(reduction='none')
    loss = OpenVocabCrossEntropyLoss(background_weight=0.9, reduction='none')
    factor = torch.tensor([1, 0.9, 1, 0.9])
    torch.testing.assert_close(
        loss(logits, labels), plain(logits, labels) * factor
    )
