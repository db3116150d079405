"""Trace a network to ONNX and write the file, whole or not at all."""

import importlib
import inspect
import io
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmclip import __version__
from mmclip.files import write_whole

OPSET = 16  # the first whose RoiAlign has aligned regions


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
