# Tested in mmseg's manner: sliding windows that move inwards at the border;
# with `mmclip test --tta`, raw scores of scales and mirror images are summed.
_base_ = ['lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480.py']
model = dict(test_cfg=dict(_delete_=True, mode='slide', crop_size=(480, 480),
                           stride=(320, 320)))
tta_model = dict(type='mmclip.SumLogitsTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmengine.TestTimeAug', transforms=[
        [dict(type='mmseg.Resize', scale=(long, long), keep_ratio=True)
         for long in (260, 390, 520, 650, 780, 910)],  # 0.5 to 1.75 times 520
        [dict(type='mmseg.RandomFlip', prob=prob, direction='horizontal')
         for prob in (0., 1.)],
        [dict(type='mmseg.LoadAnnotations', reduce_zero_label=True)],
        [dict(type='mmseg.PackSegInputs')],
    ])
]
