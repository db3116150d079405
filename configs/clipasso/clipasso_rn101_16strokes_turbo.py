# Half precision and a bank of views whose targets are kept: for a CPU.
_base_ = './clipasso_rn101_16strokes.py'
model = dict(
    clip=dict(dtype='bfloat16'),
    augment=dict(mode='bank', bank_size=64),
    num_seeds=1)
