"""Families of networks: parameters, builder and morphisms side by side, one family per file.

    cnn        images (C, H, W)          blocks of convolutions, as SpArSe searches them
    resnet     images (C, H, W)          residual stages
    mobilenet  images (C, H, W)          inverted residual blocks, squeeze-and-excitation
    dscnn      spectrograms (1, T, F)    depthwise-separable blocks for keyword spotting
    cnn1d      signals (C, T)            convolutions over time, also dilated ones
    rnn        sequences (T, F)          GRU or LSTM layers
    cnn_rnn    signals (C, T)            convolutions, then recurrent layers
    mlp        anything, flattened       fully connected layers

Each has `space`, `build` and `MORPHISMS`. What they share is in `head`, `layers`, `rows`, `moves` and `training`;
`length` has the morphism of `max_len`, for sequences, and `audio` the settings of a filter bank as parameters.
"""
