"""The RoI head with a teacher: three variants, one contract."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi

from mmclip.vild.score_fusion import Regions
from tests.vild.tiny import NAMES, tiny_batch, tiny_distilling, tiny_vild

VARIANTS = dict(text=None, shared='shared', ensemble=dict(temperature=0.05))
STUDENTS = [name for name in VARIANTS if name != 'text']


def built(variant, **options):
    torch.manual_seed(0)
    return MODELS.build(tiny_distilling(VARIANTS[variant], **options))


def total(model, batch):
    losses = model.loss(*batch)
    return model.parse_losses(losses)[0], losses


@pytest.mark.parametrize('norm', [False, True])
@pytest.mark.parametrize(
    ('variant', 'joint_bn'),
    [('shared', True), ('shared', False), ('ensemble', True)],
)
@pytest.mark.parametrize('regions', [(3, 4), (0, 0), (None, 1)], ids=str)
def test_every_parameter_that_trains_gets_a_gradient(
    variant, joint_bn, norm, regions
):
    model = built(variant, joint_bn=joint_bn, norm=norm).train()
    loss, losses = total(model, tiny_batch(regions))
    loss.backward()
    assert torch.isfinite(loss)
    lacking = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not lacking
    counted = sum(count or 0 for count in regions)
    assert (losses['loss_distill'].item() > 0) == (counted > 0)


@pytest.mark.parametrize('variant', STUDENTS)
def test_rows_of_weight_zero_are_as_good_as_absent(variant):
    model = built(variant, norm=True).train()
    images, samples = tiny_batch((4, 2))
    for sample in samples:
        instances = sample.distill_instances
        instances.weights[1::2] = 0
        instances.embeddings[1::2] = float('nan')
        instances.bboxes[1::2] = -1
    torch.manual_seed(1)
    _, losses = total(model, (images, samples))
    for sample in samples:
        sample.distill_instances = sample.distill_instances[::2]
    torch.manual_seed(1)
    _, fewer = total(model, (images, samples))
    torch.testing.assert_close(losses['loss_distill'], fewer['loss_distill'])
    assert losses['loss_distill'] > 0


@pytest.mark.parametrize('variant', STUDENTS)
def test_norms_stay_finite_where_nothing_is_distilled(variant):
    model = built(variant, norm=True, joint_bn=False).train()
    total(model, tiny_batch((0, 0)))
    for name, buffer in model.named_buffers():
        assert torch.isfinite(buffer).all(), name


def test_the_text_variant_needs_no_teacher_and_has_no_student():
    model = built('text').train()
    _, losses = total(model, tiny_batch((None, None)))
    assert 'loss_distill' not in losses
    assert not any('image_head' in key for key in model.state_dict())


@pytest.mark.parametrize('variant', STUDENTS)
def test_a_batch_without_a_teacher_is_an_error(variant):
    model = built(variant).train()
    with pytest.raises(ValueError, match='distill_instances'):
        model.loss(*tiny_batch((None, None)))
    assert model.roi_head._targets is None


@pytest.mark.parametrize('variant', STUDENTS)
def test_a_teacher_of_another_clip_is_an_error(variant):
    model = built(variant).train()
    with pytest.raises(ValueError, match='8.* but .*16 wide'):
        model.loss(*tiny_batch((2, 2), width=8))


@pytest.mark.parametrize('boxes', [0, 2])
@pytest.mark.parametrize('variant', VARIANTS)
def test_images_without_boxes_train(variant, boxes):
    model = built(variant, norm=True).train()
    loss, _ = total(model, tiny_batch((3, 3), boxes=boxes))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize('variant', STUDENTS)
def test_a_few_steps_bring_the_student_nearer(variant):
    # a random teacher knows nothing of the classes: it must outweigh them
    heavy = dict(type='mmclip.EmbeddingL1Loss', loss_weight=50.0)
    model = built(variant, norm=True, loss_distill=heavy).train()
    batch = tiny_batch((6, 6))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seen = []
    for _ in range(10):
        loss, losses = total(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(losses['loss_distill'].item())
    assert seen[-1] < 0.9 * seen[0]


def test_mmdets_own_detectors_take_the_head():
    for kind in ('mmdet.MaskRCNN', 'mmdet.FasterRCNN'):
        config = tiny_distilling('shared')
        config.type = kind
        if kind.endswith('FasterRCNN'):
            config.roi_head.pop('mask_head')
            config.roi_head.pop('mask_roi_extractor')
        model = MODELS.build(config)
        loss, losses = total(model.train(), tiny_batch())
        assert losses['loss_distill'] > 0
        images, samples = tiny_batch((None,))
        (found,) = model.eval().predict(images, samples)
        assert found.pred_instances.label_names


# ---- who sees what ----


def features(count, model):
    channels = model.roi_head.bbox_head.in_channels
    return torch.randn(count, channels, 7, 7)


def test_joint_passes_share_batch_statistics_and_others_do_not():
    model = built('shared', norm=True)
    head = model.roi_head.train()
    own, distilled = features(6, model), features(4, model)
    together, *_ = head.distill(own, distilled)
    head.joint_bn = False
    apart, boxes, _ = head.distill(own, distilled)
    assert not torch.allclose(together, apart)
    torch.testing.assert_close(apart, head.bbox_head(own)[0])
    head.eval()
    at_rest = head.distill(own, distilled)
    head.joint_bn = True
    for one, other in zip(head.distill(own, distilled), at_rest):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert boxes.shape == (6, 4)


def test_boxes_do_not_learn_from_regions_of_the_teacher():
    model = built('shared')
    head = model.roi_head.train()
    own, distilled = features(3, model), features(4, model)
    _, boxes, student = head.distill(own, distilled.requires_grad_())
    assert boxes.shape == (3, 4)
    boxes.sum().backward(retain_graph=True)
    assert not distilled.grad.any()
    student.sum().backward()
    assert distilled.grad.any()


def test_the_second_branch_learns_from_the_teacher_alone():
    model = built('ensemble').train()
    losses = model.loss(*tiny_batch())
    losses['loss_distill'].backward()
    head = model.roi_head
    assert all(p.grad is not None for p in head.image_head.parameters())
    assert all(p.grad is None for p in head.bbox_head.parameters())


def test_regions_of_each_image_meet_their_own_teacher():
    model = built('shared').eval()
    images, samples = tiny_batch((2, 3))
    head, x = model.roi_head, model.extract_feat(images)
    rois = bbox2roi([s.distill_instances.bboxes for s in samples])
    with torch.no_grad():
        unit, _ = head.embed(head._pool(x, rois))
    for sample, own in zip(samples, unit.split([2, 3])):
        sample.distill_instances.embeddings = own * 5
    head.train()
    _, losses = total(model, (images, samples))
    assert losses['loss_distill'].item() == pytest.approx(0, abs=1e-4)


# ---- scores ----


def scores_of(model, names=None, novel=None):
    """Raw scores of three regions of one image."""
    head = model.roi_head.eval()
    if names is not None:
        head.set_vocabulary(names, novel=novel)
    images, samples = tiny_batch((None,))
    x = model.extract_feat(images)
    boxes = torch.tensor([[0.0, 0, 30, 30], [5, 5, 60, 60], [9, 9, 20, 50]])
    from mmengine.structures import InstanceData

    (raw,) = head.predict_bbox(
        x, [samples[0].metainfo], [InstanceData(bboxes=boxes)], None
    )
    return raw.scores, head, x, bbox2roi([boxes])


@torch.no_grad()
def test_the_ensemble_fuses_by_base_and_novel():
    model = built('ensemble').eval()
    torch.manual_seed(3)
    scores, head, x, rois = scores_of(model, NAMES, ['dog', 'sheep'])
    feats = head._pool(x, rois)
    text = head.bbox_head(feats)[0].softmax(1)[:, :-1]
    cosines = head.image_head(feats)[0] @ head.vocabulary.embeddings.t()
    other = (cosines / 0.05).softmax(1)
    share = torch.tensor([1, 2, 1, 1, 2]) / 3
    torch.testing.assert_close(
        scores[:, :-1], text ** (1 - share) * other**share
    )


@torch.no_grad()
def test_any_source_of_scores_may_be_the_second():
    class Half(torch.nn.Module):
        def forward(self, regions: Regions):
            assert regions.rois.shape == (3, 5)
            assert regions.roi_feats.shape[0] == 3
            assert regions.img_metas[0]['img_shape'] == (64, 64)
            assert len(regions.features) > 1
            return torch.full((3, len(regions.texts)), 0.5)

    from mmclip.registry import MODELS as OURS

    OURS.register_module(name='HalfSource', module=Half, force=True)
    try:
        model = built(
            'text',
            score_source=dict(type='mmclip.HalfSource'),
            score_fusion=dict(
                type='mmclip.GeometricScoreFusion', base=0.5, novel=1.0
            ),
        ).eval()
    finally:
        OURS.module_dict.pop('HalfSource')
    torch.manual_seed(3)
    scores, head, x, rois = scores_of(model, NAMES, ['cow'])
    text = head.bbox_head(head._pool(x, rois))[0].softmax(1)
    torch.testing.assert_close(scores[:, 2], torch.full((3,), 0.5))
    torch.testing.assert_close(scores[:, 0], (text[:, 0] * 0.5) ** 0.5)


def test_two_second_sources_are_refused():
    with pytest.raises(ValueError, match='not both'):
        built('ensemble', score_source=dict(type='mmclip.Any'))


def test_an_image_head_that_is_no_head_is_refused():
    with pytest.raises(ValueError, match="'both'"):
        MODELS.build(tiny_distilling('both'))


@torch.no_grad()
@pytest.mark.parametrize('variant', VARIANTS)
def test_the_vocabulary_changes_at_test_time(variant):
    model = built(variant).eval()
    for names in (['dog'], NAMES[1:4], NAMES):
        model.set_vocabulary(names)
        images, samples = tiny_batch((None, None))
        for sample in model.predict(images, samples):
            assert set(sample.pred_instances.label_names) <= set(names)
            assert torch.isfinite(sample.pred_instances.scores).all()


@torch.no_grad()
def test_images_without_proposals_are_empty():
    model = built('ensemble').eval()
    x = model.extract_feat(torch.randn(2, 3, 64, 64))
    from mmengine.structures import InstanceData

    metas = [s.metainfo for s in tiny_batch((None, None))[1]]
    none = InstanceData(bboxes=torch.zeros(0, 4))
    one = InstanceData(bboxes=torch.tensor([[0.0, 0, 30, 30]]))
    cfg = model.test_cfg.rcnn
    for proposals, expected in (([none, none], 0), ([none, one], 1)):
        found = model.roi_head.predict_bbox(x, metas, proposals, cfg)
        assert len(found[0]) == 0
        assert (len(found[1]) > 0) == bool(expected)


# ---- base and novel ----


def test_names_trained_with_boxes_are_base_from_then_on():
    model = built('ensemble').train()
    head = model.roi_head
    assert head.novel.all()
    model.loss(*tiny_batch())
    assert head.base_names.names == NAMES
    other = MODELS.build(tiny_distilling(VARIANTS['ensemble']))
    other.load_state_dict(model.state_dict())
    other.set_vocabulary(['cow', 'horse', 'cat'])
    assert not other.roi_head.novel.any()
    other.roi_head.base_names.set(['cow'])
    assert other.roi_head.novel.tolist() == [False, True, True]
    other.roi_head.set_novel(['cat'])  # what is declared comes first
    assert other.roi_head.novel.tolist() == [False, False, True]


def test_a_text_query_keeps_what_was_declared():
    model = built('ensemble').eval()
    head = model.roi_head
    head.base_names.set(['cat', 'dog'])
    head.set_novel(['cat'])
    with head.speaking('dog . cow'):
        assert head.novel.tolist() == [False, True]
    assert head.novel.tolist() == [True, False, False, False, False]


def test_a_declaration_ends_with_its_names():
    model = built('ensemble').train()
    head = model.roi_head
    head.base_names.set(NAMES)
    head.set_novel(['cat'])
    head.vocabulary.set(NAMES[::-1])  # as many, by another way
    images, samples = tiny_batch((None,))
    model.eval().predict(images, samples)
    assert not head.novel.any()


def masking(policy='-inf'):
    config = tiny_vild()
    config.roi_head.bbox_head.loss_cls = dict(
        type='mmclip.OpenVocabCrossEntropyLoss', novel_policy=policy
    )
    torch.manual_seed(0)
    return MODELS.build(config).train()


@pytest.mark.parametrize('policy', ['-inf', 'zero'])
def test_novel_names_in_the_vocabulary_are_masked_in_training(policy):
    model, batch = masking(policy), tiny_batch((None, None))
    model.roi_head.set_novel(['dog', 'sheep'])
    torch.manual_seed(1)
    _, losses = total(model, batch)
    assert model.roi_head.base_names.names == ['cat', 'cow', 'horse']
    reference = masking(None)
    torch.manual_seed(1)
    _, plain = total(reference, batch)
    assert losses['loss_cls'] != plain['loss_cls']
    assert torch.isfinite(losses['loss_cls'])
    assert reference.roi_head.base_names.names == NAMES


def test_masking_by_minus_infinity_is_training_on_base_names_alone():
    model, batch = masking(), tiny_batch((None, None))
    model.roi_head.set_novel(['horse', 'sheep'])
    torch.manual_seed(1)
    _, losses = total(model, batch)
    fewer = masking()
    fewer.set_vocabulary(NAMES[:3])
    torch.manual_seed(1)
    _, alone = total(fewer, batch)
    torch.testing.assert_close(losses['loss_cls'], alone['loss_cls'])


@pytest.mark.parametrize('policy', ['-inf', 'zero'])
def test_a_batch_of_novel_boxes_is_an_error_where_they_are_masked(policy):
    model = masking(policy)
    model.roi_head.set_novel(['cat', 'cow'])
    with pytest.raises(ValueError, match="'cat', which is novel"):
        model.loss(*tiny_batch((None, None)))


def test_without_a_policy_novel_boxes_are_trained():
    model = masking(None)
    model.roi_head.set_novel(NAMES)
    loss, _ = total(model, tiny_batch((None, None)))
    assert torch.isfinite(loss)


# ---- names in checkpoints ----


def test_names_of_parameters_stay():
    keys = set(built('ensemble').roi_head.state_dict())
    ours = {k for k in keys if not k.startswith('mask_head')}
    shared = [
        f'{part}.{end}'
        for part in (
            *(f'shared_convs.{i}.conv' for i in range(4)),
            'shared_fcs.0',
            'fc_cls.project',
        )
        for end in ('weight', 'bias')
    ]
    assert ours == {
        *(f'bbox_head.{k}' for k in shared),
        *(f'image_head.{k}' for k in shared),
        'bbox_head.fc_reg.weight',
        'bbox_head.fc_reg.bias',
        'bbox_head.fc_cls.background',
        'bbox_head.fc_cls.vocabulary.embeddings',
        'bbox_head.fc_cls.vocabulary.packed_names',
        'base_names.packed',
    }


def test_a_second_projection_keeps_its_scale_when_weights_are_drawn():
    head = built('ensemble').roi_head
    head.init_weights()
    weight = head.image_head.fc_cls.project.weight
    assert weight.std().item() == pytest.approx(
        (2 / (32 + 16)) ** 0.5, rel=0.2
    )


@torch.no_grad()
def test_half_precision_detects():
    model = built('ensemble').eval()
    images, samples = tiny_batch((None,))
    with torch.autocast('cpu', torch.bfloat16):
        (found,) = model.predict(images, samples)
    assert torch.isfinite(found.pred_instances.scores).all()
    unit, _ = model.roi_head.image_head(features(3, model))
    torch.testing.assert_close(
        unit.norm(dim=1), torch.ones(3), rtol=1e-4, atol=1e-4
    )
    assert F.normalize(unit, dim=1).shape == (3, 16)
