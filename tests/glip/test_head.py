import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmclip.glip.head import token_targets
from tests.glip.tiny import WIDTH, WORDS, build, sample, tiny_glip, tiny_head

TRAIN = ConfigDict(tiny_glip()['train_cfg'])


def head(**options):
    return build(tiny_head(train_cfg=TRAIN, **options))


def inputs(batch=1, tokens=6):
    generator = torch.Generator().manual_seed(7)
    levels = [
        torch.randn(batch, WIDTH, *size, generator=generator)
        for size in ((8, 12), (4, 6), (2, 3))
    ]
    hidden = torch.randn(batch, tokens, WORDS, generator=generator)
    masks = torch.ones(batch, tokens, dtype=torch.bool)
    return levels, dict(hidden=hidden, masks=masks, embedded=hidden)


def marked(labels, tokens=6):
    one = sample('x', labels)
    one.gt_instances.positive_maps = torch.eye(tokens).bool()[list(labels)]
    return one


@pytest.mark.parametrize('tokens', [5, 16, 70, 300])
def test_it_learns_from_captions_of_any_width(tokens):
    levels, language = inputs(2, tokens)
    losses = head().loss(
        levels, language, [marked([0, 1], tokens), marked([2], tokens)]
    )
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness'}
    assert all(x.isfinite() and x > 0 for x in losses.values())


@pytest.mark.parametrize('labels', [[[], []], [[0], []]])
def test_images_without_boxes_teach_what_is_not_there(labels):
    levels, language = inputs(2)
    samples = [marked(own) for own in labels]
    losses = head().loss(levels, language, samples)
    assert losses['loss_cls'] > 0
    assert all(x.isfinite() for x in losses.values())
    sum(losses.values()).backward()
    if labels == [[], []]:
        assert losses['loss_bbox'] == losses['loss_centerness'] == 0


def test_the_sum_is_divided_by_positives_alone():
    levels, language = inputs(2)
    model = head().eval()
    with torch.no_grad():
        both = model.loss(levels, language, [marked([0]), marked([])])
        first = {k: v[:1] for k, v in language.items()}
        alone = model.loss([x[:1] for x in levels], first, [marked([0])])
        empty = {k: v[1:] for k, v in language.items()}
        none = model.loss([x[1:] for x in levels], empty, [marked([])])
        _, assigned = model.assign(
            [x.shape[2:] for x in levels],
            [marked([0]).gt_instances],
            None,
            'cpu',
        )
    count = int((assigned >= 0).sum())
    torch.testing.assert_close(
        both['loss_cls'], alone['loss_cls'] + none['loss_cls'] / count
    )


def test_a_box_whose_words_were_cut_off_has_no_target():
    truth = InstanceData(positive_maps=torch.eye(6)[[1, 5]])
    found = token_targets(torch.tensor([[0, -1, 1]]), [truth], 4)
    assert found.tolist() == [[[0, 1, 0, 0], [0] * 4, [0] * 4]]


def test_boxes_of_mmdets_own_type_are_taken():
    from mmdet.structures.bbox import HorizontalBoxes

    levels, language = inputs()
    plain, wrapped = marked([0]), marked([0])
    boxes = wrapped.gt_instances.bboxes
    wrapped.gt_instances.bboxes = HorizontalBoxes(boxes)
    model = head().eval()
    a, b = (model.loss(levels, language, [x]) for x in (plain, wrapped))
    torch.testing.assert_close(a['loss_bbox'], b['loss_bbox'])


# ---- post-processing ----


def detect(rows, labels, cfg=None, meta=None, rescale=True, **options):
    model = head(
        test_cfg=ConfigDict(
            dict(
                score_thr=0.0,
                nms=dict(type='nms', iou_threshold=0.6, offset=1),
                max_per_img=30,
            )
            | (cfg or {})
        ),
        **options,
    ).eval()
    torch.nn.init.normal_(model.head.centerness.weight, std=2.0)
    levels, language = inputs()
    meta = dict(img_shape=(60, 90), scale_factor=(0.5, 0.5), **(meta or {}))
    with torch.no_grad():
        (found,) = model.predict(
            levels,
            language,
            [torch.tensor(rows).bool()],
            [labels],
            [meta],
            rescale,
        )
    return found


ROWS = [[0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]


def test_the_best_come_first_and_lie_in_the_image():
    found = detect(ROWS, [0, 1])
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    assert set(found.labels.tolist()) == {0, 1}
    # the last pixel at 89 and 59, twice as large, and its far edge
    assert found.bboxes[:, 2].max() <= 89 * 2 + 1
    assert found.bboxes[:, 3].max() <= 59 * 2 + 1
    small = detect(ROWS, [0, 1], rescale=False)
    torch.testing.assert_close(small.scores, found.scores)
    torch.testing.assert_close(
        (small.bboxes - torch.tensor([0, 0, 1, 1])) * 2,
        found.bboxes - torch.tensor([0, 0, 1, 1]),
    )


def test_labels_keep_their_numbers():
    found = detect(ROWS, [7, 3])
    assert set(found.labels.tolist()) == {3, 7}
    plain = detect(ROWS, [1, 0])
    assert (found.labels == 7).tolist() == (plain.labels == 1).tolist()


def test_two_ways_to_say_a_label_are_one_label():
    found = detect(ROWS, [4, 4])
    assert set(found.labels.tolist()) == {4}


def test_a_label_without_tokens_is_never_found():
    found = detect([*ROWS, [0] * 6], [0, 1, 2])
    assert 2 not in found.labels.tolist()


def test_no_candidate_and_no_row_give_nothing():
    assert len(detect(ROWS, [0, 1], dict(score_thr=0.99))) == 0
    none = torch.zeros(0, 6).tolist()
    assert len(detect(none or torch.zeros(0, 6), [])) == 0


def test_candidates_are_ranked_with_centerness_as_published():
    few = dict(nms_pre=3, max_per_img=-1)
    ours = detect(ROWS, [0, 1], few)
    mmdets = detect(ROWS, [0, 1], few, rank_with_centerness=False)
    assert ours.scores.sum() > mmdets.scores.sum()


def test_small_boxes_can_be_left_out():
    every = detect(ROWS, [0, 1], dict(max_per_img=-1), rescale=False)
    large = detect(
        ROWS, [0, 1], dict(max_per_img=-1, min_bbox_size=60), rescale=False
    )
    assert 0 < len(large) < len(every)
    sides = large.bboxes[:, 2:] - large.bboxes[:, :2]
    assert sides.min() >= 60 - 1e-3


@pytest.mark.parametrize('agg', ['max', 'power'])
def test_other_ways_to_join_tokens_can_be_chosen(agg):
    assert len(detect(ROWS, [0, 1], score_agg=agg)) > 0


def test_an_unknown_way_is_refused_when_it_is_built():
    with pytest.raises(ValueError, match="score_agg='MEDIAN'"):
        head(score_agg='MEDIAN')
