"""The benchmark of a training step, with two steps of a narrow detector."""

from benchmarks import training_step as benchmark


def test_both_sides_train_and_are_compared(capsys):
    times = benchmark.measure(steps=2, batch_size=2)
    assert len(times.ours) == len(times.mmdet) == 2
    assert min(times.ours + times.mmdet) > 0
    benchmark.report(times, 2)
    printed = capsys.readouterr().out
    assert '2 steps of 2 images' in printed
    assert 'median of pairs' in printed


def test_the_ratio_is_of_pairs():
    times = benchmark.Times(mmdet=[1.0, 10.0, 2.0], ours=[2.0, 10.0, 6.0])
    assert times.ratio == 2


def test_the_stock_side_has_a_linear_classifier_of_all_classes():
    from mmengine.config import Config

    from mmclip.jobs import find_config

    model = Config.fromfile(find_config(benchmark.CONFIG)).model
    config = benchmark.stock(model, 48)
    assert config['type'] == 'mmdet.MaskRCNN'
    side = benchmark.Side(config)
    assert side.model.roi_head.bbox_head.fc_cls.out_features == 49
    assert 'cls_predictor_cfg' in model['roi_head']['bbox_head']
