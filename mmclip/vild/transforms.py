"""Bring cached boxes and embeddings through a training pipeline.

``LoadProposalEmbeddings`` reads them, ``ProjectProposals`` moves the boxes to
where the geometric transforms have put the picture, ``PackOVDetInputs`` hands
them to the model as ``data_sample.distill_instances``::

    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmclip.LoadProposalEmbeddings', cache='data/teacher'),
    ...,  # resizing, cropping, flipping in any order
    dict(type='mmclip.ProjectProposals'),
    dict(type='mmclip.PackOVDetInputs')

Convention: boxes are float xyxy pixels, of the original image where the key
ends in ``_original``, of the transformed one elsewhere; a pixel's centre has
the fraction .5, as in mmdet's ``homography_matrix``.

N boxes, D embedding width.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import PackDetInputs
from mmdet.datasets.transforms import RandomAffine as StockRandomAffine
from mmengine.structures import InstanceData

from mmclip.registry import TRANSFORMS
from mmclip.vild.teacher_cache import TeacherCache


@TRANSFORMS.register_module()
class LoadProposalEmbeddings(BaseTransform):
    """Read an image's proposals and their CLIP embeddings by ``img_id``.

    Adds ``distill_boxes_original`` (N, 4) and ``distill_embeddings`` (N, D).
    Nothing is opened before the first image, so a config can be built where
    there is no cache. The rows are views of the files, in half precision:
    nothing is copied before a batch needs them.

    Args:
        cache: Folder that ``extract_embeddings`` wrote.
        max_num: Boxes an image, the best ones (ViLD: 300).
        clip: The CLIP that the cache must be of, as its manifest says it,
            such as ``'ViT-B-32 openai'``; ``None`` takes any.
        embed_dims: D that the model needs; ``None`` takes any.
        weights: sha256 of its image tower; ``None`` takes any.

    Raises:
        ValueError: The cache is of another CLIP, width or image set, lacks
            the image or is incomplete.
    """

    def __init__(
        self,
        cache: str,
        max_num: int = 300,
        clip: str | None = None,
        embed_dims: int | None = None,
        weights: str | None = None,
    ):
        expected = dict(clip=clip, embed_dims=embed_dims, weights=weights)
        self.max_num = max_num
        self.cache = TeacherCache(
            cache, **{k: v for k, v in expected.items() if v is not None}
        )

    def transform(self, results: dict) -> dict:
        """Add the image's boxes and embeddings."""
        boxes, embeddings = self.cache.of(results['img_id'], self.max_num)
        self.check_reach(boxes, results)
        results['distill_boxes_original'] = boxes
        results['distill_embeddings'] = embeddings
        return results

    def check_reach(self, boxes: np.ndarray, results: dict) -> None:
        """Raise a ValueError where a box lies beyond the original image."""
        if 'ori_shape' not in results or not len(boxes):
            return
        height, width = results['ori_shape'][:2]
        low, high = boxes.min(0), boxes.max(0)
        if min(low) < -1 or high[2] > width + 1 or high[3] > height + 1:
            raise ValueError(
                f'boxes of image {results["img_id"]!r} in '
                f"'{self.cache.folder}' span {low[:2].tolist()} to "
                f'{high[2:].tolist()} but the image is {width} x {height}: '
                'the cache is of another image set with the same ids; dump '
                'proposals and extract embeddings for this one'
            )

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(cache={str(self.cache.folder)!r}, '
            f'max_num={self.max_num})'
        )


@TRANSFORMS.register_module()
class ProjectProposals(BaseTransform):
    """Move boxes to where the geometric transforms have put the picture.

    The last step before packing. It reads ``homography_matrix``, which
    mmdet's Resize, RandomFlip, RandomCrop and all that build on them write;
    take :class:`RandomAffine` of this module for mmdet's, which does not.

    Adds ``distill_boxes`` (N, 4), clipped to the picture, and
    ``distill_weights`` (N,): 1, or 0 for a box that has left it; the rows
    stay those of ``distill_embeddings``.

    Args:
        min_visible: Share of a box that must be left after clipping, for
            weight 1. 0 asks only that something is left, as in the TF
            release.
        check: Whether the matrix is compared with what happened to the
            annotated boxes, to find transforms that do not write it.

    Raises:
        ValueError: The annotated boxes are not where the matrix puts them.
    """

    def __init__(self, min_visible: float = 0.0, check: bool = True):
        self.min_visible, self.check = min_visible, check

    def transform(self, results: dict) -> dict:
        """Add boxes in pixels of the transformed image, and weights."""
        if 'distill_boxes_original' not in results:
            raise ValueError(
                'there are no boxes to project: put '
                'mmclip.LoadProposalEmbeddings before mmclip.ProjectProposals'
            )
        matrix = results.get('homography_matrix')
        matrix = np.eye(3) if matrix is None else np.asarray(matrix, float)
        if self.check:
            check_annotations(results, matrix)
        moved = project(results['distill_boxes_original'], matrix)
        boxes = clip(moved, results['img_shape'])
        left, whole = areas(boxes), areas(moved)
        seen = (left > 0) & (left >= self.min_visible * whole)
        results['distill_boxes'] = boxes.astype(np.float32)
        results['distill_weights'] = seen.astype(np.float32)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(min_visible={self.min_visible}, '
            f'check={self.check})'
        )


def project(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map boxes (N, 4) by a homography (3, 3); turned ones are boxed anew."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    ones = np.ones((len(boxes), 4, 1))
    moved = np.concatenate([corners, ones], 2) @ np.asarray(matrix, float).T
    points = moved[..., :2] / moved[..., 2:]  # (N, 4 corners, xy)
    return np.concatenate([points.min(1), points.max(1)], 1)


def clip(boxes: np.ndarray, shape) -> np.ndarray:
    """Cut boxes (N, 4) at the borders of a picture of (height, width)."""
    height, width = shape[:2]
    return boxes.clip(0, [width, height, width, height])


def areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def check_annotations(results: dict, matrix: np.ndarray) -> None:
    """Compare the matrix with what the transforms did to annotated boxes.

    Cropping shortens boxes and drops some, so a box need only lie in one of
    the projected ones, to two pixels; pasted objects lie in none, so half of
    them are enough.

    Raises:
        ValueError: Most boxes lie elsewhere.
    """
    known = [one['bbox'] for one in results.get('instances') or ()]
    found = results.get('gt_bboxes')
    if not known or found is None or not len(found):
        return
    now = np.asarray(getattr(found, 'tensor', found), float).reshape(-1, 4)
    then = project(known, matrix)
    outside = np.maximum(
        then[None, :, :2] - now[:, None, :2], now[:, None, 2:] - then[:, 2:]
    ).max(2)  # (boxes now, boxes then)
    if 2 * (outside.min(1) <= 2).sum() < len(now):
        raise ValueError(
            f'{len(now)} annotated boxes, such as {now[0].round(1).tolist()}, '
            'are not where homography_matrix puts them: a transform of the '
            'pipeline moves the picture without writing it (mmdet.RandomAffine'
            ': take mmclip.RandomAffine; Mosaic, MixUp, Expand, '
            'MinIoURandomCrop: leave them out), or most objects were pasted '
            'in: pass check=False'
        )


@TRANSFORMS.register_module()
class RandomAffine(StockRandomAffine):
    """mmdet's RandomAffine, which also writes its ``homography_matrix``.

    mmdet 3.3 datasets/transforms/transforms.py:2829 moves image and boxes and
    leaves the record as it was. Can go when it keeps it.
    """

    def _get_random_homography_matrix(self, height, width):
        self._drawn = super()._get_random_homography_matrix(height, width)
        return self._drawn

    def transform(self, results: dict) -> dict:
        """Move image and boxes, and say how."""
        results = super().transform(results)
        before = results.get('homography_matrix')
        results['homography_matrix'] = (
            self._drawn if before is None else self._drawn @ before
        )
        return results


@TRANSFORMS.register_module()
class PackOVDetInputs(PackDetInputs):
    """Pack as mmdet does, with what the image branch is to learn.

    ``data_sample.distill_instances`` has ``bboxes`` (N, 4), xyxy pixels of
    the network's input, ``embeddings`` (N, D), unit rows, and ``weights``
    (N,), 0 for boxes to ignore. They never go by the name ``proposals``,
    which mmdet's detectors would take instead of their own.

    Args:
        meta_keys: As for mmdet's PackDetInputs.
    """

    def transform(self, results: dict) -> dict:
        """Pack image, annotations and distillation targets.

        Raises:
            ValueError: The boxes were not projected.
        """
        packed = super().transform(results)
        if 'distill_embeddings' not in results:
            return packed
        if 'distill_boxes' not in results:
            raise ValueError(
                'the proposals are still in pixels of the original image: put '
                'mmclip.ProjectProposals after the last geometric transform'
            )
        packed['data_samples'].distill_instances = InstanceData(
            bboxes=torch.from_numpy(results['distill_boxes']),
            embeddings=torch.from_numpy(results['distill_embeddings']),
            weights=torch.from_numpy(results['distill_weights']),
        )
        return packed
