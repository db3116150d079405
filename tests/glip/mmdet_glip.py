"""Mmdet's own GLIP, built where no transformers are installed.

Of transformers it uses BERT's configuration, base classes of three layers
and the tokenizer. Those layers are stood in for here (a dense layer, a norm,
an activation); all that mmdet itself wrote is mmdet's.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import torch
from mmdet.models.dense_heads import atss_vlfusion_head
from mmdet.models.detectors.glip import GLIP
from mmdet.models.utils import vlfuse_helper
from mmdet.registry import MODELS
from torch import nn

WIDTH = 768  # mmdet's fusion knows this width of words alone
TOKENS = 256  # and its training this number of them
BERT = SimpleNamespace(
    hidden_size=WIDTH,
    num_attention_heads=12,
    intermediate_size=64,
    attention_probs_dropout_prob=0.0,
    hidden_dropout_prob=0.0,
    layer_norm_eps=1e-12,
    chunk_size_feed_forward=0,
    is_decoder=False,
)


class Added(nn.Module):
    """Dense layer, what went in, norm: BERT's output."""

    def __init__(self, config, width=None):
        super().__init__()
        self.dense = nn.Linear(width or WIDTH, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, before):
        return self.LayerNorm(self.dropout(self.dense(x)) + before)


class Output(Added):
    """The output of the feed-forward part."""

    def __init__(self, config):
        super().__init__(config, config.intermediate_size)


class Intermediate(nn.Module):
    """The feed-forward part's wide layer."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(WIDTH, config.intermediate_size)
        self.intermediate_act_fn = nn.functional.gelu


class Attention(nn.Module):
    """Self-attention, which mmdet replaces, and its output."""

    def __init__(self, config):
        super().__init__()
        self.output = Added(config)

    def forward(self, x, mask, head_mask=None, **options):
        found = self.self(x, mask, head_mask)
        return (self.output(found[0], x), *found[1:])


class Pretrained(nn.Module):
    """Base of mmdet's layer: makes masks additive."""

    def __init__(self, config):
        super().__init__()

    def get_extended_attention_mask(self, masks, shape, device):
        low = torch.finfo(torch.float32).min
        return (1.0 - masks[:, None, None].float()) * low


def plain(function, size, dim, *inputs):
    """Run a function on the whole: no chunks were asked for."""
    return function(*inputs)


def fake_transformers() -> dict[str, ModuleType]:
    """Return the modules that mmdet's fusion imports."""
    names = dict(
        transformers=dict(
            BertConfig=SimpleNamespace(from_pretrained=lambda name: BERT),
            BertPreTrainedModel=Pretrained,
        )
    )
    names['transformers.modeling_utils'] = dict(
        apply_chunking_to_forward=plain
    )
    names['transformers.models'] = names['transformers.models.bert'] = {}
    names['transformers.models.bert.modeling_bert'] = dict(
        BertAttention=Attention,
        BertIntermediate=Intermediate,
        BertOutput=Output,
    )
    modules = {}
    for name, content in names.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(content)
    return modules


def fusion_of_mmdet(patch) -> ModuleType:
    """Run mmdet's file of fusion layers again, upon the stand-ins."""
    with patch.context() as within:
        for name, module in fake_transformers().items():
            within.setitem(sys.modules, name, module)
        spec = importlib.util.spec_from_file_location(
            'mmdet.models.utils.vlfuse_again', vlfuse_helper.__file__
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


class Spans:
    """What transformers' fast tokenizers return, of our tokens."""

    def __init__(self, encoding):
        self.input_ids = torch.tensor([encoding.ids])
        self.by_character = encoding.by_character()

    def char_to_token(self, place):
        return self.by_character.get(place)


@MODELS.register_module()
class WordsOfOurs(nn.Module):
    """Give mmdet the words of our language model, padded to 256."""

    max_tokens = TOKENS

    def __init__(self, language):
        super().__init__()
        self.read = [language]  # a list: its weights are not mmdet's

    def tokenizer(self, texts, return_tensors=None):
        return Spans(self.read[0].tokenizer.encode(texts[0]))

    def forward(self, texts):
        words = self.read[0](texts)
        room = TOKENS - words['masks'].shape[1]
        pad = nn.functional.pad
        return dict(
            embedded=pad(words['embedded'], (0, 0, 0, room)),
            hidden=pad(words['hidden'], (0, 0, 0, room)),
            masks=pad(words['masks'].long(), (0, room)),
        )


def mmdet_glip(config: dict, language, patch) -> GLIP:
    """Build mmdet's GLIP.

    Args:
        config: As of mmdet's detector, without a language model.
        language: Ours.
        patch: pytest's monkeypatch.
    """
    fusion = fusion_of_mmdet(patch)
    bert = SimpleNamespace(from_pretrained=lambda name: BERT)
    patch.setattr(atss_vlfusion_head, 'BertConfig', bert)
    for name in ('BertEncoderLayer', 'VLFuse'):
        patch.setattr(atss_vlfusion_head, name, getattr(fusion, name))
    config = dict(config, language_model=dict(type=WordsOfOurs))
    config['language_model']['language'] = language
    return GLIP(**{k: v for k, v in config.items() if k != 'type'})
