"""Train parts of a GLIP: the last layers, the language, or a prompt."""

import re

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmclip.registry import HOOKS

PROBED = (
    r'bbox_head\.head\.(bbox_pred|centerness|dot_product_projection_text)\.'
    r'|bbox_head\.head\.(log_scale|bias_lang|bias0)$'
)
LANGUAGE = r'language_model\.'
PROMPT = r'tunable_linear$'
MODES = dict(
    full='',  # matches every name
    linear_probe=PROBED,
    prompt_v1=LANGUAGE,
    prompt_v2=PROMPT,
    prompt_v3=f'{LANGUAGE}|{PROBED}',
    prompt_v4=f'{PROMPT}|{PROBED}',
)


def tune(model: nn.Module, mode: str) -> list[str]:
    """Let only the parameters of a mode learn.

    Args:
        model: A GLIP.
        mode: ``'full'``; ``'linear_probe'`` (the head's last layers);
            ``'prompt_v1'`` (the language model), ``'prompt_v2'`` (an offset
            on the words), ``'prompt_v3'`` and ``'prompt_v4'`` (these with
            the last layers).

    Returns:
        Names of the parameters that learn.

    Raises:
        ValueError: The mode is unknown, or the model has no such part.
    """
    if mode not in MODES:
        raise ValueError(f"mode='{mode}': expected one of {', '.join(MODES)}")
    learnt = []
    for name, parameter in model.named_parameters():
        learns = re.match(MODES[mode], name) is not None
        parameter.requires_grad_(learns)
        learnt += [name] if learns else []
    if 'tunable' in MODES[mode] and 'tunable_linear' not in learnt:
        raise ValueError(
            f"mode='{mode}' learns an offset on the words, which the model "
            'has not: set model.prompt_tokens=1000'
        )
    if mode in ('prompt_v1', 'prompt_v3'):
        model.language_model.frozen = False
    if not learnt:
        raise ValueError(
            f"mode='{mode}' leaves nothing to learn in a "
            f'{type(model).__name__}: expected a GLIPDetector'
        )
    return learnt


@HOOKS.register_module()
class TuningModeHook(Hook):
    """Train a part of GLIP (sec. 5.2), see :func:`tune`.

    What is frozen stays in eval mode, so that its dropout is off, as the
    release does for the backbone and we for all. In the release, freezing the
    head wins over its linear probe, so that v3 trains what v1 does and v4
    what v2 does; here the probe learns, as their names say.

    Args:
        mode: See :func:`tune`.
    """

    priority = 'VERY_HIGH'

    def __init__(self, mode: str = 'full') -> None:
        if mode not in MODES:
            raise ValueError(
                f"mode='{mode}': expected one of {', '.join(MODES)}"
            )
        self.mode = mode

    def before_run(self, runner) -> None:
        """Freeze; the optimiser passes over parameters without gradient."""
        model = bare(runner.model)
        learnt = tune(model, self.mode)
        if model is not runner.model:  # its wrapper waits for all gradients
            wrapper = runner.cfg.get('model_wrapper_cfg')
            runner.model = runner.wrap_model(wrapper, model)
        runner.logger.info(
            f'{self.mode}: {len(learnt)} parameters learn: '
            f'{", ".join(learnt[:8])}'
        )

    def before_train_iter(
        self, runner, batch_idx: int, data_batch=None
    ) -> None:
        """Keep frozen parts in eval mode."""
        if self.mode == 'full':
            return
        for part in bare(runner.model).children():
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()


def bare(model: nn.Module) -> nn.Module:
    """Return the model without its distributed wrapper."""
    return model.module if is_model_wrapper(model) else model
