_base_ = ['clipasso_rn101_16strokes.py']
model = dict(num_strokes=4)
