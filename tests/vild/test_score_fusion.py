import pytest
import torch

from mmclip.models import GeometricScoreFusion
from mmclip.vild.score_fusion import name_probabilities

NOVEL = torch.tensor([False, True, False])


def probabilities(rows=5):
    text = torch.randn(rows, 4).softmax(1)[:, :3]
    return text, torch.randn(rows, 3).softmax(1)


def test_base_names_trust_the_text_and_novel_ones_the_other():
    text, other = probabilities()
    fused = GeometricScoreFusion()(text, other, NOVEL)
    torch.testing.assert_close(
        fused[:, ::2], (text**2 * other)[:, ::2] ** (1 / 3)
    )
    torch.testing.assert_close(fused[:, 1], (text * other**2)[:, 1] ** (1 / 3))


def test_weights_zero_and_one_choose_a_source():
    text, other = probabilities()
    fused = GeometricScoreFusion(base=0, novel=1)(text, other, NOVEL)
    torch.testing.assert_close(fused, torch.where(NOVEL, other, text))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_no_probability_makes_nan(dtype):
    edges = torch.tensor([0, 1e-45, 6e-8, 0.5, 1.0]).to(dtype)
    text, other = torch.meshgrid(edges, edges, indexing='ij')
    text, other = text.reshape(-1, 1), other.reshape(-1, 1)
    for base in (0.0, 1 / 3, 1.0):
        fusion = GeometricScoreFusion(base=base)
        fused = fusion(text, other, torch.tensor([False]))
        assert torch.isfinite(fused).all()
        assert (fused >= 0).all()
        assert (fused <= 1).all()


def test_scores_whose_sum_passes_one_stay_detections():
    # log(1 - sum) of these would be nan and the whole row would vanish
    text = torch.tensor([[2 / 3, 1 / 3]])
    fused = GeometricScoreFusion()(
        text, text.flip(1), torch.tensor([False, True])
    )
    assert fused.sum() > 1
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize('wrong', [dict(base=-0.1), dict(novel=1.5)])
def test_an_exponent_beyond_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match='0 to 1'):
        GeometricScoreFusion(**wrong)


def test_a_source_with_a_background_column_is_refused():
    text, other = probabilities()
    with pytest.raises(ValueError, match=r'\(5, 3\).*\(5, 4\).*background'):
        GeometricScoreFusion()(text, torch.rand(5, 4), NOVEL)
    with pytest.raises(ValueError, match='2,'):
        GeometricScoreFusion()(text, other, NOVEL[:2])


def test_probabilities_of_names_sum_to_one_in_half_precision_too():
    texts = torch.randn(7, 8)
    scores = name_probabilities(torch.randn(3, 8).half(), texts, 0.01)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(1), torch.ones(3))
    assert name_probabilities(torch.randn(0, 8), texts, 0.01).shape == (0, 7)


def test_normalised_scores_and_the_background_sum_to_one():
    text, other = probabilities()
    plain = GeometricScoreFusion()(text, other, NOVEL)
    fused = GeometricScoreFusion(normalize=True)(text, other, NOVEL)
    total = plain.sum(1) + 1 - text.sum(1)
    torch.testing.assert_close(fused, plain / total[:, None])
    nothing = torch.zeros(1, 3)
    fused = GeometricScoreFusion(normalize=True)(nothing, nothing, NOVEL)
    assert (fused == 0).all()
