import pytest
import torch

from mmclip.glip.bert import GLIPBert
from mmclip.glip.bert_layers import BertEncoderLayer
from tests.glip.tiny import PIECES, WORDS, build, tiny_bert


def test_a_caption_is_read_alike_alone_and_beside_a_longer_one():
    model = build(tiny_bert()).eval()
    alone = model(['a red circle'])
    both = model(['a red circle', 'a man walks the dog . cat . cow'])
    length = alone['hidden'].shape[1]
    assert alone['hidden'].shape == (1, 5, WORDS)
    torch.testing.assert_close(both['hidden'][0, :length], alone['hidden'][0])
    assert both['masks'].tolist()[0] == [True] * 5 + [False] * 6
    assert (both['embedded'][0, length:] == 0).all()
    assert both['hidden'][0, length:].abs().sum() > 0


def test_its_names_are_those_of_published_checkpoints():
    names = set(build(tiny_bert()).state_dict())
    body = 'language_backbone.body.model.'
    assert {
        body + 'embeddings.word_embeddings.weight',
        body + 'embeddings.position_embeddings.weight',
        body + 'embeddings.token_type_embeddings.weight',
        body + 'embeddings.LayerNorm.bias',
        body + 'encoder.layer.0.attention.self.query.weight',
        body + 'encoder.layer.0.attention.output.LayerNorm.weight',
        body + 'encoder.layer.0.intermediate.dense.weight',
        body + 'encoder.layer.0.output.dense.bias',
    } <= names


def test_building_reads_no_vocabulary(tmp_path):
    model = build(tiny_bert(vocab_file=str(tmp_path / 'vocab.txt')))
    with pytest.raises(FileNotFoundError, match='bert-base-uncased'):
        model(['cat'])
    (tmp_path / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    assert model(['cat'])['hidden'].shape == (1, 3, WORDS)


def test_without_a_vocabulary_it_says_so():
    with pytest.raises(ValueError, match='language_model.vocab_file'):
        build(tiny_bert(vocab_file=None))(['cat'])


def test_a_vocabulary_of_another_bert_is_refused():
    with pytest.raises(ValueError, match='vocab_size=5'):
        build(tiny_bert(vocab_size=5))(['cat'])


def test_a_caption_that_does_not_fit_is_refused_or_cut():
    long = ' '.join(['cat'] * 40)
    with pytest.raises(ValueError, match='42 tokens'):
        build(tiny_bert())([long])
    cut = build(tiny_bert(truncate=True))([long])
    assert cut['hidden'].shape[1] == 32
    with pytest.raises(ValueError, match='max_tokens=65'):
        build(tiny_bert(max_tokens=65))


def test_a_frozen_model_learns_nothing_and_drops_nothing():
    model = build(tiny_bert(frozen=True)).train()
    assert not model.training
    assert not model(['cat'])['hidden'].requires_grad


def test_recomputed_activations_give_the_same_gradients():
    grads = []
    for with_cp in (False, True):
        model = build(tiny_bert(with_cp=with_cp)).eval()
        (model(['red cat'])['hidden'] ** 2).sum().backward()
        layer = model.language_backbone['body']['model'].encoder.layer[0]
        grads.append(layer.attention.self.key.weight.grad)
    torch.testing.assert_close(*grads)


def test_the_heads_layer_stays_within_half_precision():
    torch.manual_seed(0)
    free = BertEncoderLayer(8, 2, 16, clamp=False).eval()
    held = BertEncoderLayer(8, 2, 16, clamp=True).eval()
    torch.nn.init.constant_(free.output.LayerNorm.weight, 1e6)
    held.load_state_dict(free.state_dict())
    x, masks = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    assert free(x, masks).abs().max() > 60000
    assert held(x, masks).abs().max() <= 50000


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='8 is no multiple of 3'):
        BertEncoderLayer(8, 3)


def test_a_tokenizer_may_be_given_as_a_config():
    model = GLIPBert(
        tokenizer=dict(type='mmclip.WordPieceTokenizer', vocab_file=PIECES),
        vocab_size=len(PIECES),
        width=8,
        layers=1,
        heads=1,
    )
    assert model(['cat'])['masks'].shape == (1, 3)


def test_published_weights_are_read_when_training_begins(tmp_path):
    source = build(tiny_bert(), seed=5).eval()
    prefix = 'language_backbone.body.model.'
    old = {'cls.predictions.bias': torch.zeros(3)}
    for name, value in source.state_dict().items():
        name = 'bert.' + name.removeprefix(prefix)
        name = name.replace('LayerNorm.weight', 'LayerNorm.gamma')
        old[name.replace('LayerNorm.bias', 'LayerNorm.beta')] = value
    torch.save(old, tmp_path / 'bert.bin')
    model = build(tiny_bert(pretrained=tmp_path / 'bert.bin'), seed=6).eval()
    wanted = source(['red cat'])['hidden']
    assert not torch.allclose(model(['red cat'])['hidden'], wanted)
    model.init_weights()
    torch.testing.assert_close(model(['red cat'])['hidden'], wanted)
    deeper = build(tiny_bert(layers=2, pretrained=tmp_path / 'bert.bin'))
    with pytest.raises(ValueError, match='16 of 37 tensors are missing'):
        deeper.init_weights()
