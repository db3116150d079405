"""Trace a network to ONNX, write the file whole or not at all, and run it.

K names, D embedding width, H x W pixels.
"""

import importlib
import inspect
import io
import json
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mmclip import __version__
from mmclip.files import write_whole

OPSET = 16  # the first whose RoiAlign has aligned regions
VOCABULARY = 'text_embeddings'  # the input of files that take any names


def need(package: str):
    """Import a package that the extra ``onnx`` brings.

    Raises:
        ImportError: It is absent.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{package} is not installed, and the export needs it: pip '
            "install 'mmclip[onnx]' brings it"
        ) from error


def traced(
    graph: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_axes: dict,
) -> bytes:
    """Run a network once and return what it did, as ONNX.

    Args:
        graph: The network.
        inputs: What it is run with.
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        dynamic_axes: Axes that may have any length, by name and number.
    """
    options = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False  # the other exporter wants onnxscript
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        warnings.simplefilter('ignore', DeprecationWarning)
        warnings.filterwarnings('ignore', 'Constant folding')
        torch.onnx.export(
            graph,
            tuple(inputs),
            written,
            opset_version=OPSET,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes=dynamic_axes,
            **options,
        )
    return written.getvalue()


def write_model(proto, path, metadata: dict[str, str]) -> None:
    """Check a model and write it.

    Args:
        proto: onnx's ModelProto.
        path: The file, replaced once the new one is whole.
        metadata: What a user of the file has to know.
    """
    onnx = need('onnx')
    onnx.helper.set_model_props(proto, metadata)
    proto.producer_name, proto.producer_version = 'mmclip', __version__
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    write_whole(path, lambda partial: partial.write_bytes(content))


class ExportedModel:
    """A file that :func:`write_model` wrote, in onnxruntime on the CPU.

    Args:
        path: The file.
        threads: Of a step; 0 takes all cores.

    Attributes:
        facts (dict): What the file says of itself.
        names (list[str]): The K names that it was written with.
        size (tuple[int, int]): Height and width of the images.

    Raises:
        ImportError: The package onnxruntime is absent.
    """

    def __init__(self, path, threads: int = 0) -> None:
        runtime = need('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # a default of an input is meant so
        self.session = runtime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
        facts = self.session.get_modelmeta().custom_metadata_map
        self.facts = {key: json.loads(value) for key, value in facts.items()}
        self.names: list[str] = self.facts['names']
        self.size = tuple(self.facts['size'])

    def run(
        self,
        image: np.ndarray,
        text_embeddings: np.ndarray | None = None,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return outputs by their names.

        Args:
            image: uint8 (H, W, 3), RGB, of the file's size.
            text_embeddings: (K, D) of other names, where the file takes any.
            wanted: Names of outputs; all by default.
        """
        inputs = dict(image=np.ascontiguousarray(image))
        if text_embeddings is not None:
            inputs[VOCABULARY] = np.asarray(text_embeddings, np.float32)
        wanted = wanted or [one.name for one in self.session.get_outputs()]
        return dict(zip(wanted, self.session.run(list(wanted), inputs)))
