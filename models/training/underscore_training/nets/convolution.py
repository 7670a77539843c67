"""Causal convolution with a backward pass that suits few output features.

On CPUs without matrix units the library's weight gradient reaches 5-15 GMAC/s for 6 to
16 output features in bfloat16, a tenth of the forward pass, and takes most of a step.
Unfolding the (narrow) output gradient over the taps turns it into one matrix product:
40-95 GMAC/s on the same two cores.
"""

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd


def weight_gradient(
    x: Tensor, grad: Tensor, kernel: tuple[int, int], pad_bins: int, dilation: int
) -> Tensor:
    """Gradient `[out, in, *kernel]` of a convolution of `x` `[batch, in, frame, bin]`.

    `grad` `[batch, out, frame + past, bin']` is the output's gradient, followed by as
    many zero frames as the kernel reaches back; `bin'` is what `pad_bins` leaves.
    """
    num_frames, num_bins = x.shape[2:]
    margin = (kernel[1] - 1) * dilation - pad_bins
    grad = torch.nn.functional.pad(grad.permute(0, 2, 3, 1), (0, 0, margin, margin)).contiguous()
    clip, frame, bin_, _ = grad.stride()
    num_taps = kernel[0] * kernel[1]
    # Every tap sees the gradient at another shift; the largest shift is the first tap.
    unfolded = grad.as_strided(
        (grad.shape[0], num_frames, num_bins, *kernel, grad.shape[3]),
        (clip, frame, bin_, dilation * frame, dilation * bin_, 1),
    ).reshape(-1, num_taps * grad.shape[3])
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    product = flat.t() @ unfolded
    return product.reshape(x.shape[1], *kernel, -1).flip(1, 2).permute(3, 0, 1, 2)


class _CausalConvolution(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor, pad_bins: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pad_bins, ctx.dilation = pad_bins, dilation
        past = (weight.shape[2] - 1) * dilation
        # Padding both ends and cropping costs a few surplus frames of output; padding
        # only the left would copy the (much larger) input. The crop is made dense:
        # batch normalisation is five times slower on a view.
        y = torch.nn.functional.conv2d(x, weight, padding=(past, pad_bins), dilation=dilation)
        return y[:, :, : x.shape[2]].contiguous(memory_format=torch.channels_last) if past else y

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        kernel = (weight.shape[2], weight.shape[3])
        past = (kernel[0] - 1) * ctx.dilation
        grad = torch.nn.functional.pad(grad, (0, 0, 0, past)) if past else grad
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, (1, 1), (past, ctx.pad_bins), (ctx.dilation,) * 2,
                False, (0, 0), 1, (True, False, False),
            )[0]
        return grad_x, weight_gradient(x, grad, kernel, ctx.pad_bins, ctx.dilation), None, None


def convolve(x: Tensor, weight: Tensor, pad_bins: int, dilation: int) -> Tensor:
    """`[batch, in, frame, bin]` -> `[batch, out, frame, bin']`; zeros stand before frame 0.

    `conv2d` padded by `pad_bins` at both ends of the bins and, in time, at the start only.
    """
    return _CausalConvolution.apply(x, weight, pad_bins, dilation)
