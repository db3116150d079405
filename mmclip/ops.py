"""The few compiled ops of mmcv that mmclip needs, on torchvision's kernels.

``mmcv-lite`` ships the Python layer of ``mmcv.ops`` without the extension
``mmcv._ext`` below it. ``build_extension`` returns a module that stands in
for that extension: nms, roi_align, modulated_deform_conv and
sigmoid_focal_loss work, any other op says so when it is called.
``mmclip.compat`` puts it in place, and only where no compiled mmcv is found.

Symbols: B images, C channels, R regions, k = kernel height * kernel width,
G deformable groups, N boxes, K classes.

Convention: the functions keep the signatures of mmcv 2.1.0's C++ side, where
the caller allocates the results and the op fills them. Boxes are xyxy; with
``offset=1`` their ends are inclusive. ``aligned=True`` shifts regions by half
a pixel. Offsets of a kernel point are (dy, dx) pixels. Half precision is
computed in float32, since torchvision has no half kernels on CPU.
"""

import sys
from collections.abc import Callable
from types import ModuleType

import torch
import torchvision
from torch import Tensor


def _wide(tensor: Tensor) -> Tensor:
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if half else tensor


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
) -> Tensor:
    """Return the indices of the boxes that stay, best score first.

    Args:
        boxes (Tensor): xyxy boxes (N, 4).
        scores (Tensor): Their scores (N,).
        iou_threshold (float): A box goes when its IoU with a better one is
            above this.
        offset (int): 1 where the ends of a box are inclusive, else 0.

    Returns:
        Tensor: Indices (M,) into ``boxes``.
    """
    boxes = _wide(boxes)
    if offset:  # boxes with inclusive ends are boxes one pixel longer
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return torchvision.ops.nms(boxes, scores.to(boxes), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` with the average of bilinear samples in each bin.

    Args:
        input (Tensor): Features (B, C, H, W).
        rois (Tensor): (R, 5), an image index and an xyxy box each.
        output (Tensor): Filled, (R, C, aligned_height, aligned_width).
        argmax_y (Tensor): Used by max pooling only.
        argmax_x (Tensor): Used by max pooling only.
        aligned_height (int): Bins down a region.
        aligned_width (int): Bins across a region.
        spatial_scale (float): Feature pixels per box pixel.
        sampling_ratio (int): Samples along a bin; 0 takes one per pixel.
        pool_mode (int): 1 averages; 0 (max) is not offered.
        aligned (bool): Whether to shift regions by half a pixel.

    Raises:
        NotImplementedError: ``pool_mode`` asks for max pooling.
    """
    if pool_mode != 1:
        raise NotImplementedError(
            "roi_align got pool_mode='max', which is compiled code; mmclip's "
            "stand-in for mmcv's ops has pool_mode='avg'. Set "
            "pool_mode='avg' or " + INSTALL
        )
    features = _wide(input)
    output.copy_(
        torchvision.ops.roi_align(
            features,
            rois.to(features),
            (aligned_height, aligned_width),
            spatial_scale,
            sampling_ratio or -1,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (B, C, H, W); see :func:`roi_align_forward`."""
    grad = _wide(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois.to(grad),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio or -1,
            aligned,
        )
    )


def _fit(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Read offset or mask maps with the strides of the output.

    mmcv's kernel walks the maps of an image as one flat buffer with the
    height and width of the *output*, and GLIP's DyConv relies on it: it hands
    the maps of a finer level to a stride-2 convolution. torchvision refuses
    such maps, so the numbers that the kernel would read are cut out here.
    """
    if maps.shape[-2:] == size:
        return maps
    count = maps.shape[1] * size[0] * size[1]
    if maps.shape[1:].numel() < count:
        raise ValueError(
            f'modulated_deform_conv got offset or mask maps of '
            f'{tuple(maps.shape[-2:])} for an output of {size}; expected maps '
            'at least as large as the output: make the convolution that '
            'predicts them use the same stride and padding'
        )
    return maps.flatten(1)[:, :count].unflatten(1, (maps.shape[1], *size))


def _unfit(grad: Tensor, like: Tensor) -> Tensor:
    """Put the gradient of ``_fit(like)`` back where its numbers came from."""
    full = grad.new_zeros(len(like), like.shape[1:].numel())
    flat = grad.flatten(1)
    full[:, : flat.shape[1]] = flat
    return full.view(like.shape)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **geometry,
) -> None:
    """Fill ``output`` with a modulated deformable convolution (DCNv2).

    Args:
        input (Tensor): Features (B, C, H, W).
        weight (Tensor): Kernels (C_out, C / group, kernel_h, kernel_w).
        bias (Tensor): (C_out,), or empty where ``with_bias`` is False.
        ones (Tensor): Work space of the compiled op, not used.
        offset (Tensor): (B, 2 * G * k, H_out, W_out); larger maps are read
            as mmcv's kernel reads them, see ``_fit``.
        mask (Tensor): (B, G * k, H_out, W_out), as ``offset``.
        output (Tensor): Filled, (B, C_out, H_out, W_out).
        columns (Tensor): Work space of the compiled op, not used.
        **geometry: kernel, stride, pad and dilation (each ``_h``, ``_w``),
            group, deformable_group and with_bias.

    Raises:
        ValueError: The offset or mask maps are smaller than the output.
    """
    size = tuple(output.shape[-2:])
    output.copy_(
        torchvision.ops.deform_conv2d(
            _wide(input),
            _wide(_fit(offset, size)),
            _wide(weight),
            _wide(bias) if geometry['with_bias'] else None,
            *((geometry[f'{of}_h'], geometry[f'{of}_w']) for of in STEPS),
            mask=_wide(_fit(mask, size)),
        )
    )


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **geometry,
) -> None:
    """Fill the five gradients; see :func:`modulated_deform_conv_forward`."""
    size = tuple(grad_output.shape[-2:])
    bias = bias if geometry['with_bias'] else weight.new_zeros(len(weight))
    inputs = (input, weight, _fit(offset, size), _fit(mask, size), bias)
    grads = torch.ops.torchvision._deform_conv2d_backward(
        _wide(grad_output),
        *(_wide(tensor).contiguous() for tensor in inputs),
        *(geometry[f'{of}_{axis}'] for of in STEPS for axis in 'hw'),
        geometry['group'],
        geometry['deformable_group'],
        True,
    )
    grad_input.copy_(grads[0])
    grad_weight.copy_(grads[1])
    grad_offset.copy_(_unfit(grads[2], offset))
    grad_mask.copy_(_unfit(grads[3], mask))
    if geometry['with_bias']:
        grad_bias.copy_(grads[4])


def _positives(logits: Tensor, target: Tensor) -> Tensor:
    """Mark the class of each row; a row of background has none."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    return target[:, None] == classes  # (N, K)


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` with the focal loss of each logit.

    mmdet calls this op on CUDA only; on CPU it has its own version.

    Args:
        input (Tensor): Logits (N, K).
        target (Tensor): Class indices (N,); K means background.
        weight (Tensor): Weights of the classes (K,), or empty.
        output (Tensor): Filled, (N, K).
        gamma (float): Exponent that turns easy examples down.
        alpha (float): Weight of positives; negatives have 1 - alpha.
    """
    logits = _wide(input)
    tiny = torch.finfo(torch.float32).tiny
    p = logits.sigmoid()
    pull = -alpha * (1 - p) ** gamma * p.clamp(min=tiny).log()
    push = (alpha - 1) * p**gamma * (1 - p).clamp(min=tiny).log()
    loss = torch.where(_positives(logits, target), pull, push)
    output.copy_(loss * weight[target, None] if weight.numel() else loss)


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input``; see :func:`sigmoid_focal_loss_forward`."""
    logits = _wide(input)
    tiny = torch.finfo(torch.float32).tiny
    p, q = logits.sigmoid(), 1 - logits.sigmoid()
    # The derivatives in closed form: a clamp would stop autograd where the
    # logits saturate, and a confident false positive would not be pushed.
    pull = -alpha * q**gamma * (q - gamma * p * p.clamp(min=tiny).log())
    push = (1 - alpha) * p**gamma * (p - gamma * q * q.clamp(min=tiny).log())
    grad = torch.where(_positives(logits, target), pull, push)
    grad_input.copy_(grad * weight[target, None] if weight.numel() else grad)


def get_compiler_version() -> str:
    """Say which compiler built the ops: none did."""
    return 'n/a (torchvision stands in)'


def get_compiling_cuda_version() -> str:
    """Say which CUDA built the ops: none did."""
    return 'n/a (torchvision stands in)'


STEPS = ('stride', 'pad', 'dilation')
INSTALL = (
    'install a compiled mmcv in place of mmcv-lite: pip uninstall -y '
    "mmcv-lite; pip install --no-build-isolation 'mmclip[ops]'"
)
OFFERED = (
    'nms',
    'roi_align_forward',
    'roi_align_backward',
    'modulated_deform_conv_forward',
    'modulated_deform_conv_backward',
    'sigmoid_focal_loss_forward',
    'sigmoid_focal_loss_backward',
    'get_compiler_version',
    'get_compiling_cuda_version',
)


def _absent(name: str) -> Callable:
    def op(*args, **kwargs):
        raise NotImplementedError(
            f"mmcv's op '{name}' is compiled code, which mmcv-lite leaves "
            'out; mmclip stands in for nms, roi_align, modulated_deform_conv '
            f'and sigmoid_focal_loss. To use {name}, {INSTALL}'
        )

    op.__name__ = name
    return op


class Extension(ModuleType):
    """A stand-in for ``mmcv._ext``: an op it lacks raises when called."""

    def __getattr__(self, name: str) -> Callable:
        # mmcv.ops asserts at import that each op exists; Python's own
        # questions (__path__, __wrapped__) must still be answered no.
        if name.startswith('__'):
            raise AttributeError(f'{self.__name__} has no attribute {name}')
        return _absent(name)


def build_extension(name: str) -> ModuleType:
    """Return a stand-in for mmcv's compiled extension.

    Args:
        name (str): The module's name, ``mmcv._ext``.
    """
    module = Extension(name, __doc__)
    own = vars(sys.modules[__name__])
    vars(module).update({op: own[op] for op in OFFERED})
    return module
