"""mmcv.ops works on torchvision's kernels where mmcv is not compiled."""

import math
import pkgutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mmclip.ops  # isort: skip  (before mmcv.ops, which needs its mend)
from mmcv import ops as mmcv_ops


def random_boxes(n, seed=0, size=40.0):
    """Return n xyxy boxes inside a square."""
    corner = torch.rand(n, 4, generator=torch.manual_seed(seed)) * size
    low = torch.minimum(corner[:, :2], corner[:, 2:])
    high = torch.maximum(corner[:, :2], corner[:, 2:])
    return torch.cat((low, high), dim=1)


def area(box, offset):
    return (box[2] - box[0] + offset) * (box[3] - box[1] + offset)


def overlap(a, b, offset):
    w = min(a[2], b[2]) - max(a[0], b[0]) + offset
    h = min(a[3], b[3]) - max(a[1], b[1]) + offset
    both = max(w, 0) * max(h, 0)
    return both / (area(a, offset) + area(b, offset) - both)


def naive_nms(boxes, scores, threshold, offset):
    boxes, kept = boxes.tolist(), []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.6])
def test_nms_keeps_the_boxes_that_a_plain_loop_keeps(offset, threshold):
    boxes = random_boxes(120).double()
    scores = torch.rand(120, generator=torch.manual_seed(1)).double()
    dets, kept = mmcv_ops.nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == naive_nms(boxes, scores, threshold, offset)
    assert 5 < len(kept) < 115
    assert torch.equal(dets, torch.cat((boxes, scores[:, None]), 1)[kept])


def test_inclusive_ends_change_what_nms_keeps():
    boxes = torch.tensor([[0.0, 0, 1, 1], [1.0, 0, 2, 1]])
    scores = torch.tensor([0.9, 0.8])
    assert len(mmcv_ops.nms(boxes, scores, 0.3, offset=0)[1]) == 2
    assert len(mmcv_ops.nms(boxes, scores, 0.3, offset=1)[1]) == 1


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_nms_of_nothing_is_nothing(dtype):
    empty = torch.zeros(0, 4, dtype=dtype)
    dets, kept = mmcv_ops.nms(empty, empty[:, 0], 0.5)
    assert dets.shape == (0, 5)
    assert kept.dtype == torch.long


def test_batched_nms_keeps_equal_boxes_of_different_classes():
    boxes = torch.tensor([[0.0, 0, 9, 9]]).repeat(3, 1)
    scores = torch.tensor([0.5, 0.9, 0.7])
    classes = torch.tensor([0, 0, 1])
    _, kept = mmcv_ops.batched_nms(
        boxes, scores, classes, dict(type='nms', iou_threshold=0.5)
    )
    assert kept.tolist() == [1, 2]


def sample(feature, y, x):
    """Read (C, H, W) at a point; outside by over a pixel is zero."""
    height, width = feature.shape[-2:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return feature.new_zeros(len(feature))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    top = feature[:, y0, x0] * (1 - dx) + feature[:, y0, x1] * dx
    low = feature[:, y1, x0] * (1 - dx) + feature[:, y1, x1] * dx
    return top * (1 - dy) + low * dy


def naive_roi_align(features, roi, size, scale, ratio, aligned):
    image, shift = int(roi[0]), 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (float(v) * scale - shift for v in roi[1:])
    w, h = x2 - x1, y2 - y1
    if not aligned:
        w, h = max(w, 1.0), max(h, 1.0)
    bin_h, bin_w = h / size, w / size
    down, across = ratio or math.ceil(bin_h), ratio or math.ceil(bin_w)
    out = features.new_zeros(features.shape[1], size, size)
    for i in range(size):
        for j in range(size):
            points = [
                (
                    y1 + (i + (a + 0.5) / down) * bin_h,
                    x1 + (j + (b + 0.5) / across) * bin_w,
                )
                for a in range(down)
                for b in range(across)
            ]
            values = [sample(features[image], y, x) for y, x in points]
            out[:, i, j] = sum(values) / max(len(points), 1)
    return out


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_averages_bilinear_samples(aligned, ratio):
    features = torch.randn(2, 3, 9, 11, generator=torch.manual_seed(0))
    rois = random_boxes(4, size=36.0)
    rois = torch.cat((torch.tensor([[0.0], [1], [1], [0]]), rois), dim=1)
    layer = mmcv_ops.RoIAlign(3, 0.25, ratio, aligned=aligned)
    got = layer(features.double(), rois.double())
    for r, roi in enumerate(rois.double()):
        want = naive_roi_align(features.double(), roi, 3, 0.25, ratio, aligned)
        torch.testing.assert_close(got[r], want, rtol=0, atol=1e-12)


@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_has_the_gradient_of_what_it_computes(aligned):
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64)
    rois = torch.tensor([[0, 1.2, 1.1, 9.0, 8.3], [1, 0.3, 2, 11, 7.7]])

    def align(x):
        return mmcv_ops.roi_align(x, rois.to(x), 2, 0.5, 0, 'avg', aligned)

    assert torch.autograd.gradcheck(align, features.requires_grad_())


def test_roi_align_of_no_regions_is_empty_and_has_a_zero_gradient():
    features = torch.randn(1, 2, 5, 5, requires_grad=True)
    out = mmcv_ops.roi_align(features, torch.zeros(0, 5), 7)
    assert out.shape == (0, 2, 7, 7)
    out.sum().backward()
    assert not features.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_takes_half_precision_on_cpu(dtype):
    features = torch.randn(1, 2, 6, 6).to(dtype).requires_grad_()
    rois = torch.tensor([[0.0, 0, 0, 5, 5]])
    half = mmcv_ops.roi_align(features, rois.to(dtype), 2)
    full = mmcv_ops.roi_align(features.detach().float(), rois, 2)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), full, rtol=1e-2, atol=1e-2)
    half.sum().backward()
    assert features.grad.dtype == dtype


def deform(x, offset, mask, weight, bias=None, stride=1, padding=1, groups=1):
    return mmcv_ops.modulated_deform_conv2d(
        x, offset, mask, weight, bias, stride, padding, 1, groups, 1
    )


def tower(size=(6, 7), dtype=torch.float64, seed=0):
    """Return features, offsets, masks, a 3x3 kernel and a bias."""
    rng = torch.manual_seed(seed)
    h, w = size
    shapes = [(2, 4, h, w), (2, 18, h, w), (2, 9, h, w), (3, 4, 3, 3), (3,)]
    return [torch.randn(s, generator=rng, dtype=dtype) for s in shapes]


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('groups', [1, 2])
def test_deform_conv_without_offsets_is_a_convolution(stride, groups):
    x, _, _, _, _ = tower()
    layer = mmcv_ops.ModulatedDeformConv2d(
        4, 6, 3, stride=stride, padding=1, groups=groups
    ).double()
    nn.init.normal_(layer.bias)
    want = F.conv2d(x, layer.weight, layer.bias, stride, 1, 1, groups)
    offset = x.new_zeros(2, 18, *want.shape[-2:])
    mask = x.new_ones(2, 9, *want.shape[-2:])
    torch.testing.assert_close(layer(x, offset, mask), want)
    torch.testing.assert_close(
        layer(x, offset, mask / 2),
        F.conv2d(x, layer.weight / 2, layer.bias, stride, 1, 1, groups),
    )


def test_an_offset_moves_the_kernel_down_then_right():
    x, _, _, weight, _ = tower()
    mask = x.new_ones(2, 9, 6, 7)
    offset = x.new_zeros(2, 9, 2, 6, 7)
    offset[:, :, 0], offset[:, :, 1] = 1, 2  # (dy, dx)
    moved = deform(x, offset.flatten(1, 2), mask, weight)
    plain = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(moved[..., :-2, :-3], plain[..., 1:-1, 2:-1])


def test_deform_conv_has_the_gradient_of_what_it_computes():
    inputs = [t.requires_grad_() for t in tower(size=(3, 4))]
    assert torch.autograd.gradcheck(deform, inputs)
    assert torch.autograd.gradcheck(deform, inputs[:4])  # no bias


def test_oversized_maps_are_read_with_the_strides_of_the_output():
    x, offset, mask, weight, _ = tower(size=(6, 8))
    got = deform(x, offset, mask, weight, stride=2)
    # What mmcv's kernel reads at (point, y, x) is number
    # (point * 3 + y) * 4 + x of the image's flat maps.
    near = torch.stack([o.reshape(-1)[: 18 * 12] for o in offset])
    seen = torch.stack([m.reshape(-1)[: 9 * 12] for m in mask])
    want = deform(
        x, near.view(2, 18, 3, 4), seen.view(2, 9, 3, 4), weight, stride=2
    )
    assert torch.equal(got, want)
    cut = deform(x, offset[..., :3, :4], mask[..., :3, :4], weight, stride=2)
    assert not torch.allclose(got, cut)


def test_oversized_maps_get_gradients_where_they_were_read():
    inputs = [t.requires_grad_() for t in tower(size=(4, 4))[:4]]

    def coarse(x, offset, mask, weight):
        return deform(x, offset, mask, weight, stride=2)

    assert torch.autograd.gradcheck(coarse, inputs)
    coarse(*inputs).sum().backward()
    read = inputs[2].grad.flatten(1) != 0
    assert read[:, : 9 * 4].any()
    assert not read[:, 9 * 4 :].any()


def test_maps_that_are_a_slice_of_one_tensor_are_read_alike():
    x, _, _, weight, _ = tower(size=(6, 8))
    both = torch.randn(2, 27, 6, 8, dtype=torch.float64)
    sliced = deform(x, both[:, :18], both[:, 18:], weight, stride=2)
    copied = deform(
        x, both[:, :18].clone(), both[:, 18:].clone(), weight, stride=2
    )
    assert torch.equal(sliced, copied)


def test_maps_smaller_than_the_output_are_refused():
    x, offset, mask, weight, _ = tower(size=(6, 8))
    with pytest.raises(ValueError, match=r'maps of \(3, 4\).*\(6, 8\)'):
        deform(x, offset[..., :3, :4], mask, weight)


@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss_is_mmdets_formula(weighted):
    rng = torch.manual_seed(0)
    logits = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    target = torch.tensor([0, 2, 1, 3, 3, 0])  # 3 is background
    weight = logits.new_tensor([1.0, 2.0, 0.5, 1.5]) if weighted else None
    hot = F.one_hot(target, 4)[:, :3].double()

    def plain(x):
        p = x.sigmoid()
        missed = (1 - p) * hot + p * (1 - hot)
        share = 0.25 * hot + 0.75 * (1 - hot)
        loss = F.binary_cross_entropy_with_logits(x, hot, reduction='none')
        loss = loss * share * missed**2
        return loss * weight[target][:, None] if weighted else loss

    loss, empty = torch.empty_like(logits), logits.new_empty(0)
    args = (logits, target, weight if weighted else empty)
    mmclip.ops.sigmoid_focal_loss_forward(*args, loss, gamma=2, alpha=0.25)
    torch.testing.assert_close(loss, plain(logits))
    grad = torch.empty_like(logits)
    mmclip.ops.sigmoid_focal_loss_backward(*args, grad, gamma=2, alpha=0.25)
    x = logits.clone().requires_grad_()
    plain(x).sum().backward()
    torch.testing.assert_close(grad, x.grad)


def test_a_saturated_false_positive_is_still_pushed_down():
    logits, grad = torch.full((1, 1), 40.0), torch.empty(1, 1)
    mmclip.ops.sigmoid_focal_loss_backward(
        logits, torch.tensor([1]), torch.empty(0), grad, gamma=2, alpha=0.25
    )
    torch.testing.assert_close(grad, torch.tensor([[0.75]]))


def test_max_pooling_names_the_way_out():
    stand_in = mmclip.ops.build_extension('mmcv._ext')
    with pytest.raises(NotImplementedError, match='mmclip\\[ops\\]'):
        stand_in.roi_align_forward(
            *torch.zeros(5, 1),
            aligned_height=1,
            aligned_width=1,
            spatial_scale=1.0,
            sampling_ratio=0,
            pool_mode=0,
            aligned=True,
        )


def test_an_absent_op_says_so_when_it_is_called_and_not_before():
    stand_in = mmclip.ops.build_extension('mmcv._ext')
    op = stand_in.carafe_forward
    with pytest.raises(NotImplementedError) as error:
        op(1, channels=2)
    assert "op 'carafe_forward'" in str(error.value)
    assert "'mmclip[ops]'" in str(error.value)


def test_the_stand_in_answers_no_to_pythons_own_questions():
    stand_in = mmclip.ops.build_extension('mmcv._ext')
    assert not hasattr(stand_in, '__path__')
    assert not hasattr(stand_in, '__wrapped__')


def test_mmengine_finds_a_spec_for_the_extension():
    import mmcv._ext
    from mmengine.utils.dl_utils import mmcv_full_available

    assert mmcv._ext.__spec__.name == 'mmcv._ext'
    assert pkgutil.find_loader('mmcv._ext') is not None
    assert mmcv_full_available()


def test_the_environment_report_of_mmcv_works():
    assert mmcv_ops.get_compiler_version()
    assert mmcv_ops.get_compiling_cuda_version()
