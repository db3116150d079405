import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import glip_self_training as bench
from mmclip.data.shapes import draw_scene
from mmclip.data.shapes_views import phrases


def test_a_scene_is_asked_for_each_name_once():
    asked, boxes, owners, splits = bench.ask(draw_scene((12, 0), 128))
    assert len(asked.names) == len(set(asked.names)) == len(splits)
    assert len(boxes) == len(owners) == len(asked.spans)
    for (span,), owner in zip(asked.spans, owners):
        assert asked.caption[slice(*span)] == asked.names[owner]


def test_captions_name_novel_concepts_and_split_into_their_phrases(tmp_path):
    path = bench.write_captions(tmp_path, 20)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    text = ' '.join(line['caption'] for line in lines)
    assert any(shape in text for shape in ('star', 'heart', 'flower'))
    for k, line in enumerate(lines):
        scene = draw_scene((bench.CAPTION_SEED, k), 128, bench.SEEN)
        spans = phrases(scene)[1]
        assert bench.bare_phrases(line['caption']) == spans
        assert {o.concept.split for o in scene.objects} <= {'base', 'novel'}


def test_a_detector_that_knows_everything_is_right_everywhere(monkeypatch):
    class Oracle:
        def __init__(self, detector):
            pass

        def __call__(self, images, asked):
            (one,) = asked
            truth, boxes, owners, _ = scenes.pop(0)
            assert truth == one
            return [
                dict(
                    boxes=boxes.astype(float),
                    scores=np.ones(len(boxes)),
                    labels=np.array(owners),
                )
            ]

    scenes = [
        bench.ask(draw_scene((bench.TEST_SEED, k), 128, bench.ALL))
        for k in range(20)
    ]
    monkeypatch.setattr(bench, 'DetectorTeacher', Oracle)
    found = bench.evaluate(None, 20)
    assert found == dict.fromkeys(bench.FIELDS, 1.0)


def test_pseudo_boxes_are_judged_by_the_drawn_truth(tmp_path):
    lines, right = [], {'base': 0, 'novel': 0}
    for k in range(10):
        scene = draw_scene((bench.CAPTION_SEED, k), 128, bench.SEEN)
        asked, boxes, owners, splits = bench.ask(scene)
        regions = []
        for label, name in enumerate(asked.names):
            own = boxes[np.array(owners) == label].tolist()
            right[splits[label]] += len(own)
            wrong = [[0, 0, 2, 2]] * len(own)
            regions.append(dict(phrase=name, bbox=own[:1] + wrong[1:]))
            if splits[label] == 'novel':
                regions[-1]['bbox'] += wrong
        line = dict(filename=f'{k:06d}.png', grounding=dict(regions=regions))
        lines.append(json.dumps(line))
    (tmp_path / 'labels.jsonl').write_text('\n'.join(lines[:9]))
    found = bench.quality(tmp_path / 'labels.jsonl', 9)
    assert found['base']['P'] > 0.8
    assert found['novel']['P'] == pytest.approx(0.5, abs=0.05)
    assert found['novel']['R'] > 0.8
    last = bench.quality(tmp_path / 'labels.jsonl', 10)
    assert last['base']['R'] < found['base']['R']


def test_the_table_pairs_the_seeds():
    runs = [
        dict(
            teacher=dict.fromkeys(bench.FIELDS, 0.2),
            control=dict.fromkeys(bench.FIELDS, 0.3),
            student=dict.fromkeys(bench.FIELDS, 0.2 + gain),
        )
        for gain in (0.1, 0.3)
    ]
    *_, first, last = bench.table(runs).splitlines()
    assert first.count('+20.0 (+10.0 to +30.0)') == 4
    assert last.count('+10.0 (+0.0 to +20.0)') == 4


@pytest.mark.slow
def test_teacher_labels_and_student_follow_one_another(tmp_path, capsys):
    arguments = ['--seeds', '1', '--iters', '2', '--more', '2']
    arguments += ['--scenes', '8', '--captions', '8']
    arguments += ['--images', '2', '--score-thr', '0', '--out', str(tmp_path)]
    assert bench.main(arguments) == 0
    kept = json.loads((tmp_path / 'seed0/figures.json').read_text())
    assert kept['labels']['boxes'] > 0
    capsys.readouterr()
    assert bench.main(arguments) == 0  # all is kept
    printed = capsys.readouterr().out
    assert 'Iter(train)' not in printed
    assert '| student, seed 0 |' in printed
    text = (tmp_path / 'seed0/labels/labels.jsonl').read_text()
    line = SimpleNamespace(**json.loads(text.splitlines()[0]))
    assert line.grounding['regions']
