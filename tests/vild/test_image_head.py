from mmclip.vild.image_head import image_head_config

BOX_HEAD = dict(
    type='mmdet.Shared4Conv1FCBBoxHead',
    fc_out_channels=64,
    loss_cls=dict(type='mmclip.OpenVocabCrossEntropyLoss'),
    cls_predictor_cfg=dict(type='mmclip.TextEmbeddingClassifier'),
)


def test_what_is_not_said_is_as_in_the_box_head():
    config = image_head_config(dict(temperature=0.007), BOX_HEAD, 16)
    assert config['type'] == BOX_HEAD['type']
    assert config['fc_out_channels'] == 64
    assert not config['with_reg']
    assert config['cls_predictor_cfg'] == dict(
        type='mmclip.EmbeddingPredictor', embed_dims=16, temperature=0.007
    )
    assert BOX_HEAD['cls_predictor_cfg']['type'].endswith('Classifier')


def test_a_head_with_a_type_stands_alone():
    given = dict(type='mmdet.Shared2FCBBoxHead', in_channels=8)
    config = image_head_config(given, BOX_HEAD, 16)
    assert 'fc_out_channels' not in config
    assert config['in_channels'] == 8
    assert 'with_reg' not in given
