"""Export a detector with its names to ONNX, and run what was exported.

The file needs onnxruntime (or any other runtime of ONNX opset 16), neither
torch nor mmdet.

M detections, K names, D embedding width.
"""

import json
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmclip import __version__
from mmclip.clip.onnx_file import (
    VOCABULARY,
    ExportedModel,
    need,
    traced,
    write_model,
)
from mmclip.vild.onnx_graph import DetectorGraph


def export_onnx(
    model: nn.Module,
    path,
    size: tuple[int, int],
    *,
    vocabulary_input: bool = False,
) -> None:
    """Write a detector with the names that it has now to an ONNX file.

    Input ``image``: uint8 (H, W, 3), RGB. Outputs ``boxes`` (M, 4), xyxy
    pixels of it, ``scores`` (M,), ``labels`` (M,), best first, and where the
    model has a mask head ``masks`` (M, 1, h, w), probabilities within the box.
    Metadata, each JSON: ``names``, ``size``, ``mean``, ``std`` and so on.

    Args:
        model: A detector of mmdet with :class:`mmclip.vild.ViLDRoIHead`, on
            the CPU.
        path: The file, replaced once the new one is whole.
        size: Height and width of the images.
        vocabulary_input: Whether other names may be asked for: the file then
            has a second input ``text_embeddings`` (K, D), of any K, whose
            default are the names exported.

    Raises:
        ImportError: The package onnx is absent.
        ValueError: The model cannot be exported (see
            :class:`mmclip.vild.onnx_graph.DetectorGraph`), or fuses scores by
            names and is to have ``vocabulary_input``.
    """
    onnx = need('onnx')
    fusion = getattr(getattr(model, 'roi_head', None), 'score_fusion', None)
    if vocabulary_input and fusion is not None:
        raise ValueError(
            'the model weighs scores by which names are novel, which '
            'embeddings alone do not tell: export it with its names baked in, '
            'without vocabulary_input (--vocabulary-input)'
        )
    graph = DetectorGraph(model, size)
    proto = onnx.load_from_string(trace(graph, vocabulary_input))
    if vocabulary_input:
        own = model.roi_head.vocabulary.embeddings.numpy()
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(own, VOCABULARY)
        )
    write_model(proto, path, metadata(model, size))


def trace(graph: DetectorGraph, vocabulary_input: bool) -> bytes:
    """Run the graph once on noise and return what it did, as ONNX."""
    # noise, so that every step has something to do
    noise = np.random.default_rng(0).integers(0, 256, (*graph.size, 3))
    inputs = [torch.from_numpy(noise.astype(np.uint8))]
    outputs = ['boxes', 'scores', 'labels', 'masks']
    axes = {name: {0: 'detections'} for name in outputs}
    if vocabulary_input:
        inputs.append(graph.model.roi_head.vocabulary.embeddings.clone())
        axes[VOCABULARY] = {0: 'names'}
    if not graph.model.roi_head.with_mask:
        del outputs[-1], axes['masks']
    names = ['image', VOCABULARY][: len(inputs)]
    return traced(graph, inputs, names, outputs, axes)


def metadata(model: nn.Module, size: tuple[int, int]) -> dict[str, str]:
    """Return what a user of the file has to know, each value as JSON."""
    vocabulary, rcnn = model.roi_head.vocabulary, model.roi_head.test_cfg
    preprocessor = model.data_preprocessor
    facts = dict(
        names=vocabulary.names,
        embed_dims=vocabulary.embeddings.shape[1],
        size=list(size),
        channel_order='rgb',
        score_thr=rcnn.score_thr,
        max_per_img=rcnn.max_per_img,
        mmclip_version=__version__,
    )
    if preprocessor._enable_normalize:
        step = 1 if preprocessor._channel_conversion else -1  # as RGB
        facts.update(
            mean=preprocessor.mean.flatten().tolist()[::step],
            std=preprocessor.std.flatten().tolist()[::step],
        )
    if model.roi_head.with_mask:
        facts['mask_thr_binary'] = rcnn.mask_thr_binary
    return {key: json.dumps(value) for key, value in facts.items()}


class ExportedDetector(ExportedModel):
    """A file that :func:`export_onnx` wrote."""

    def __call__(
        self, image: np.ndarray, text_embeddings: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the outputs by their names; see :func:`export_onnx`."""
        return self.run(image, text_embeddings)


@dataclass
class Difference:
    """How far the detections of a file are from those in torch.

    Attributes:
        found: Detections in torch.
        unmatched: Detections of either side without a partner, those aside
            whose score is at the threshold or at the last place.
        boxes: Largest difference of a box, in shares of the longer side of
            the image.
        scores: Largest difference of a score.
        masks: Share of the pixels of masks that differ.
    """

    found: int
    unmatched: int = 0
    boxes: float = 0.0
    scores: float = 0.0
    masks: float = 0.0

    def exceeds(self, tolerance: float = 1e-4) -> bool:
        """Tell whether boxes, scores or labels are others.

        A pixel at the threshold of masks turns over at less; ten times as
        many of them are let pass.
        """
        return (
            self.unmatched > 0
            or max(self.boxes, self.scores) > tolerance
            or self.masks > 10 * tolerance
        )

    def __str__(self) -> str:
        return (
            f'{self.found} found in torch, {self.unmatched} unmatched; '
            f'largest difference: boxes {self.boxes:.1e} of the longer side, '
            f'scores {self.scores:.1e}; masks {self.masks:.1e} of the pixels'
        )


def compare(
    model: nn.Module, exported: ExportedDetector, image: np.ndarray
) -> Difference:
    """Detect in one image in torch and in a file.

    Args:
        model: What was exported.
        exported: The file.
        image: uint8 (H, W, 3), RGB, of the file's size.
    """
    expected, found = predict(model, image), exported(image)
    pairs = match(expected, found, max(exported.size))  # (pairs, 2)
    ours, theirs = pairs.T
    scores = expected.scores.numpy()
    lone = np.delete(scores, ours), np.delete(found['scores'], theirs)
    difference = Difference(
        len(scores), sum(count_firm(side, scores, exported) for side in lone)
    )
    if not len(pairs):
        return difference
    boxes = expected.bboxes.numpy()[ours] - found['boxes'][theirs]
    difference.boxes = float(np.abs(boxes).max()) / max(exported.size)
    difference.scores = float(
        np.abs(scores[ours] - found['scores'][theirs]).max()
    )
    if 'masks' in found:
        own = expected.masks.numpy()[ours]
        other = paste(model, found, exported.size)[theirs]
        difference.masks = float((own != other).sum() / max(own.sum(), 1))
    return difference


@torch.no_grad()
def predict(model: nn.Module, image: np.ndarray) -> InstanceData:
    """Detect in torch, data preprocessor included.

    Args:
        model: A detector of mmdet on the CPU, in eval mode.
        image: uint8 (H, W, 3), RGB.
    """
    bgr = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    shape = image.shape[:2]
    sample = DetDataSample(
        metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1, 1))
    )
    batch = dict(inputs=[bgr], data_samples=[sample])
    return model.test_step(batch)[0].pred_instances


def match(expected: InstanceData, found: dict, side: int) -> np.ndarray:
    """Pair detections of one label whose boxes and scores are near.

    Equal scores may stand in another order, so ranks tell nothing.

    Args:
        expected: From :func:`predict`.
        found: From :class:`ExportedDetector`.
        side: The image's longer one; a hundredth of it is near.

    Returns:
        Indices into both (pairs, 2).
    """
    apart = np.maximum(
        np.abs(expected.bboxes.numpy()[:, None] - found['boxes']).max(-1)
        / side,
        np.abs(expected.scores.numpy()[:, None] - found['scores']),
    )
    other = expected.labels.numpy()[:, None] != found['labels']
    apart[other] = np.inf
    pairs = []
    for i in range(len(apart)):
        j = int(apart[i].argmin()) if apart.size else 0
        if apart.size and apart[i, j] < 0.01:
            pairs.append((i, j))
            apart[:, j] = np.inf
    return np.array(pairs, int).reshape(-1, 2)


def count_firm(
    lone: np.ndarray,
    scores: np.ndarray,
    exported: ExportedDetector,
    tolerance: float = 1e-4,
) -> int:
    """Count detections without a partner that rounding cannot explain.

    Args:
        lone: Their scores.
        scores: Of all detections in torch.
        exported: The file.
        tolerance: Of scores.
    """
    least = exported.facts['score_thr']
    if len(scores) == exported.facts['max_per_img']:
        least = max(least, scores.min())
    return int((lone > least + tolerance).sum())


def paste(model: nn.Module, found: dict, size: tuple[int, int]) -> np.ndarray:
    """Bring masks (M, 1, h, w) into the image, as mmdet does: (M, H, W)."""
    if not len(found['masks']):
        return np.zeros((0, *size), bool)
    instances = InstanceData(
        bboxes=torch.from_numpy(found['boxes']),
        labels=torch.from_numpy(found['labels']),
    )
    (pasted,) = model.roi_head.mask_head.predict_by_feat(
        mask_preds=[found['masks']],
        results_list=[instances],
        batch_img_metas=[dict(ori_shape=size, scale_factor=(1, 1))],
        rcnn_test_cfg=model.roi_head.test_cfg,
        activate_map=True,
    )
    return pasted.masks.numpy()
