# ViLD-text as in the paper (mask APr 10.1, APc 23.9, APf 32.5, AP 24.9).
_base_ = [
    '../_base_/models/vild-text_r50_fpn.py',
    '../_base_/datasets/lvis-v1_lsj.py', '../_base_/schedules/vild_180k.py',
    '../_base_/detection_runtime.py'
]
