"""Convolution with a weight gradient that suits few output features.

On CPUs without matrix units the library's weight gradient reaches 5-15 GMAC/s for 6 to
16 output features in bfloat16, a tenth of the forward pass, and takes most of a step.
Unfolding the (narrow) output gradient over the taps turns it into one matrix product:
40-95 GMAC/s on the same two cores.
"""

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd


def weight_gradient(
    x: Tensor, grad: Tensor, kernel: tuple[int, int], padding: tuple[int, int], dilation: int
) -> Tensor:
    """Gradient `[out, in, *kernel]` of `conv2d(x, weight, padding, dilation)`.

    `x` is `[batch, in, frame, bin]`; `grad` `[batch, out, frame', bin']` is the gradient
    of the output, primed sizes as the padding leaves them.
    """
    num_frames, num_bins = x.shape[2:]
    reach = [(size - 1) * dilation for size in kernel]
    # Pad so that every shift by a tap stays inside; a negative pad would crop.
    margin = [r - p for r, p in zip(reach, padding)]
    grad = torch.nn.functional.pad(
        grad.permute(0, 2, 3, 1), (0, 0, margin[1], margin[1], margin[0], margin[0])
    )
    taps = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            at_frame = reach[0] - i * dilation
            at_bin = reach[1] - j * dilation
            taps.append(grad[:, at_frame : at_frame + num_frames, at_bin : at_bin + num_bins])
    unfolded = torch.cat(taps, dim=3).reshape(-1, len(taps) * grad.shape[3])
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    product = flat.t() @ unfolded
    return product.reshape(x.shape[1], *kernel, -1).permute(3, 0, 1, 2)


class _Convolution(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor, padding: tuple[int, int], dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return torch.nn.functional.conv2d(x, weight, padding=padding, dilation=dilation)

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, (1, 1), ctx.padding, (ctx.dilation,) * 2,
                False, (0, 0), 1, (True, False, False),
            )[0]
        kernel = (weight.shape[2], weight.shape[3])
        grad_weight = weight_gradient(x, grad, kernel, ctx.padding, ctx.dilation)
        return grad_x, grad_weight, None, None


def convolve(x: Tensor, weight: Tensor, padding: tuple[int, int], dilation: int) -> Tensor:
    """`conv2d` without bias; the same result, a faster backward pass."""
    return _Convolution.apply(x, weight, padding, dilation)
