"""Convolution over (frame, bin) with a backward pass that suits few output features.

On CPUs without matrix units the library's weight gradient reaches 5-15 GMAC/s for 6 to
16 output features in bfloat16, a tenth of the forward pass, and takes most of a step.
Unfolding the (narrow) output gradient over the taps turns it into one matrix product:
40-95 GMAC/s on the same two cores. With matrix units (AMX) the library is the faster one
where padding is centred (a step of the 2-D DMMDenseNet takes 2.2 s instead of 2.8), and
still three times slower where it is causal (8.4 s instead of 2.8).

Padding in time is causal (all of it before frame 0) or centred (half at each end). Both
are one scheme: `pad_frames` zero frames at both ends, then the first outputs are kept.
"""

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd

Pair = tuple[int, int]
"""Of frames, then bins."""
HAS_MATRIX_UNITS = torch.cpu._is_amx_tile_supported()


def weight_gradient(x: Tensor, grad: Tensor, kernel: Pair, pad: Pair, dilation: Pair) -> Tensor:
    """Gradient `[out, in, *kernel]` of a convolution of `x` `[batch, in, frame, bin]`.

    `grad` `[batch, out, frame', bin']` is the gradient of all outputs that `pad` zeros at
    both ends leave, those that were cropped (their gradient is zero) included.
    """
    num_frames, num_bins = x.shape[2:]
    margin_frames, margin_bins = ((kernel[axis] - 1) * dilation[axis] - pad[axis] for axis in (0, 1))
    margins = (0, 0, margin_bins, margin_bins, margin_frames, margin_frames)
    grad = torch.nn.functional.pad(grad.permute(0, 2, 3, 1), margins).contiguous()
    clip, frame, bin_, _ = grad.stride()
    num_taps = kernel[0] * kernel[1]
    # Every tap sees the gradient at another shift; the largest shift is the first tap.
    unfolded = grad.as_strided(
        (grad.shape[0], num_frames, num_bins, *kernel, grad.shape[3]),
        (clip, frame, bin_, dilation[0] * frame, dilation[1] * bin_, 1),
    ).reshape(-1, num_taps * grad.shape[3])
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    product = flat.t() @ unfolded
    return product.reshape(x.shape[1], *kernel, -1).flip(1, 2).permute(3, 0, 1, 2)


def _convolve(x: Tensor, weight: Tensor, pad: Pair, dilation: Pair) -> Tensor:
    # Padding both ends and cropping costs a few surplus frames of output; padding
    # only the left would copy the (much larger) input. The crop is made dense:
    # batch normalisation is five times slower on a view.
    y = torch.nn.functional.conv2d(x, weight, padding=pad, dilation=dilation)
    surplus = y.shape[2] > x.shape[2]
    return y[:, :, : x.shape[2]].contiguous(memory_format=torch.channels_last) if surplus else y


class _Convolution(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor, pad: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pad, ctx.dilation = pad, dilation
        return _convolve(x, weight, pad, dilation)

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        kernel = (weight.shape[2], weight.shape[3])
        surplus = 2 * ctx.pad[0] - (kernel[0] - 1) * ctx.dilation[0]
        grad = torch.nn.functional.pad(grad, (0, 0, 0, surplus)) if surplus else grad
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, (1, 1), ctx.pad, ctx.dilation,
                False, (0, 0), 1, (True, False, False),
            )[0]
        return grad_x, weight_gradient(x, grad, kernel, ctx.pad, ctx.dilation), None, None


def convolve(x: Tensor, weight: Tensor, pad_bins: int, dilation: int | Pair, causal: bool = True) -> Tensor:
    """`[batch, in, frame, bin]` -> `[batch, out, frame, bin']`; zeros stand outside the clip.

    `conv2d` padded by `pad_bins` at both ends of the bins and, in time, at the start only
    (`causal`) or by half at each end (an odd number of taps).
    """
    dilation = (dilation, dilation) if isinstance(dilation, int) else dilation
    reach_frames = (weight.shape[2] - 1) * dilation[0]
    pad = (reach_frames if causal else reach_frames // 2, pad_bins)
    # The detour is for the CPU: its autocast rule knows no other device.
    library_is_faster = not causal and HAS_MATRIX_UNITS and torch.is_autocast_enabled("cpu")
    if x.is_cuda or library_is_faster:
        return _convolve(x, weight, pad, dilation)
    return _Convolution.apply(x, weight, pad, dilation)
