"""Training of the separators that the Underscore plugin ships.

Axis order everywhere outside the network: spectra are `[channel, frame, bin, 2]`
(real, imaginary), masks `[stem, channel, frame, bin]`. Inside the network a
feature map is `[batch, feature, frame, bin]`.
"""
