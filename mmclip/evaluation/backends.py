"""Who computes precision and recall: hotcoco, or the slow references.

All give the same numbers. hotcoco takes seconds where pycocotools and
lvis-api take minutes, and a tenth of their memory; it is an optional package.
"""

import contextlib
import io
import logging
import warnings
from types import FunctionType, SimpleNamespace

import numpy as np
from mmengine.fileio import load
from mmengine.logging import MMLogger
from pycocotools.mask import encode

from mmclip.evaluation.curves import Curves
from mmclip.evaluation.detections import Detections

FAST = 'pip install "mmclip[lvis]" brings hotcoco, which does it in seconds'

PARTS = ('images', 'annotations', 'categories')


def choose_backend(name: str, reference: str):
    """Return the backend ``name``; 'auto' takes hotcoco where it is there.

    Args:
        name: 'auto', 'hotcoco' or ``reference``.
        reference: 'pycocotools' or 'lvis'.

    Raises:
        ValueError: There is no such backend.
        ModuleNotFoundError: Its package is absent.
    """
    slow = {'pycocotools': Pycocotools, 'lvis': LVISAPI}[reference]
    if name not in ('auto', 'hotcoco', reference):
        raise ValueError(
            f"backend='{name}' is unknown here: take 'auto', 'hotcoco' or "
            f"'{reference}'"
        )
    if name == reference:
        return slow()
    try:
        return Hotcoco()
    except ModuleNotFoundError:
        if name == 'hotcoco':
            raise
    backend = slow()
    MMLogger.get_current_instance().warning(
        f'{reference} evaluates this, 50 to 400 times as slowly as hotcoco '
        f'with the same result: {FAST}'
    )
    return backend


def absent(package: str) -> ModuleNotFoundError:
    """Return an error that says how to get a package for evaluation."""
    return ModuleNotFoundError(
        f'this evaluation needs the package {package}: {FAST}', name=package
    )


class Hotcoco:
    """COCO's and LVIS's protocols by hotcoco."""

    def __init__(self):
        try:
            import hotcoco
        except ModuleNotFoundError as error:
            raise absent('hotcoco') from error
        self.hotcoco = hotcoco

    def open(self, source):
        """Read the ground truth from a path or a dict."""
        if not isinstance(source, dict):
            try:
                return self.hotcoco.COCO(str(source))
            except ValueError:  # it reads licenses and info, too
                source = load(str(source))
        return self.hotcoco.COCO({key: source.get(key, []) for key in PARTS})

    def coco(self, truth, found: Detections, iou_type, cat_ids, limits):
        """Return the :class:`Curves` of COCO's protocol.

        Args:
            truth: From :meth:`open`.
            found: The detections.
            iou_type: 'bbox' or 'segm'.
            cat_ids: Categories that are evaluated.
            limits: Numbers of detections counted in an image and category.
        """
        evaluator = self.hotcoco.COCOeval(
            truth, self._load(truth, found, iou_type), iou_type
        )
        evaluator.params.cat_ids = sorted(cat_ids)
        evaluator.params.max_dets = list(limits)
        return self._run(evaluator)

    def lvis(self, truth, found: Detections, iou_type, max_dets):
        """Return the :class:`Curves` of LVIS's protocol.

        Args:
            truth: From :meth:`open`.
            found: The detections.
            iou_type: 'bbox' or 'segm'.
            max_dets: Detections counted in an image, None for all.
        """
        results = self._load(truth, found, iou_type)
        # the evaluator's own max_dets does not reach LVIS's cap
        results = results.cap_detections_per_image(max_dets)
        evaluator = self.hotcoco.COCOeval(
            truth, results, iou_type, lvis_style=True
        )
        return self._run(evaluator)

    def _load(self, truth, found: Detections, iou_type: str):
        if iou_type == 'bbox':
            return truth.load_res(found.table())
        masks = found.encodings()
        results = truth.load_res(found.table(), segmentation=masks)
        if masks:  # else the areas would be those of the boxes
            results.update_anns(
                ids=np.arange(1, len(found) + 1),
                area=np.asarray(self.hotcoco.mask.area(masks), float),
            )
        return results

    def _run(self, evaluator) -> Curves:
        evaluator.evaluate()
        evaluator.accumulate()
        arrays = evaluator.eval
        return Curves(arrays['precision'][..., -1], arrays['recall'])


class Pycocotools:
    """COCO's protocol by its own package; arguments as for Hotcoco."""

    def open(self, source):
        """Read the ground truth from a path or a dict."""
        from pycocotools.coco import COCO

        with silent():
            truth = COCO() if isinstance(source, dict) else COCO(str(source))
            if isinstance(source, dict):
                truth.dataset = source
                truth.createIndex()
        for annotation in truth.anns.values():
            annotation.setdefault('iscrowd', 0)
        return truth

    def coco(self, truth, found: Detections, iou_type, cat_ids, limits):
        """Return the :class:`Curves` of COCO's protocol."""
        from pycocotools.cocoeval import COCOeval

        records = found.records(iou_type) or [a_miss(truth, iou_type)]
        with silent():
            evaluator = COCOeval(truth, truth.loadRes(records), iou_type)
            evaluator.params.catIds = sorted(cat_ids)
            evaluator.params.maxDets = list(limits)
            evaluator.evaluate()
            evaluator.accumulate()
        arrays = evaluator.eval
        return Curves(arrays['precision'][..., -1], arrays['recall'])


class LVISAPI:
    """LVIS's protocol by its own package; arguments as for Hotcoco."""

    def __init__(self):
        try:
            self.package = import_lvis()
        except ModuleNotFoundError as error:
            raise absent('lvis') from error

    def open(self, source):
        """Read the ground truth from a path or a dict."""
        if not isinstance(source, dict):
            return self.package.LVIS(str(source))
        truth = self.package.LVIS.__new__(self.package.LVIS)
        truth.logger = logging.getLogger('lvis.lvis')
        truth.dataset = source
        truth._create_index()
        return truth

    def lvis(self, truth, found: Detections, iou_type, max_dets):
        """Return the :class:`Curves` of LVIS's protocol."""
        records = found.records(iou_type) or [a_miss(truth, iou_type)]
        with silent():
            results = self.package.LVISResults(
                truth, records, -1 if max_dets is None else max_dets
            )
            evaluator = mended(self.package.LVISEval)(truth, results, iou_type)
            evaluator.evaluate()
            evaluator.accumulate()
        arrays = evaluator.eval
        return Curves(arrays['precision'], arrays['recall'][..., None])


def import_lvis():
    """Import lvis-api; its change of the root logger is taken back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        import lvis
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return lvis


def mended(evaluator: type) -> type:
    """Return lvis-api's evaluator, able to run on today's numpy.

    lvis 0.5.3 eval.py:361 asks numpy for ``np.float``, which numpy 1.24
    dropped. A copy of that method sees a numpy that has it; neither numpy
    nor lvis changes.
    """
    stock = evaluator.accumulate
    numpy = SimpleNamespace(**{**vars(np), 'float': float})
    accumulate = FunctionType(
        stock.__code__, {**stock.__globals__, 'np': numpy}
    )
    return type(evaluator.__name__, (evaluator,), {'accumulate': accumulate})


def a_miss(truth, iou_type: str) -> dict:
    """Return a detection that hits nothing: the references want one."""
    image = next(iter(truth.imgs.values()))
    category = next(iter(truth.cats))
    where = {'bbox': [-2, -2, 1, 1]}
    if iou_type == 'segm':
        size = [image['height'], image['width']]
        where = {'segmentation': encode(np.zeros(size, np.uint8, order='F'))}
    return dict(image_id=image['id'], category_id=category, score=0.0, **where)


@contextlib.contextmanager
def silent():
    """Keep the references from printing and warning of what is in order."""
    logger = logging.getLogger('lvis')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter('ignore', DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
