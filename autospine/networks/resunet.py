"""Deep residual U-Net (Zhang, Liu and Wang 2018, "Road extraction by deep residual U-Net"), in 2-D and 3-D.

Residual units with pre-activation (batch normalisation, ReLU, convolution, twice) down and up, strided convolutions
instead of pooling, interpolation up.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from autospine.networks.blocks import BATCH_NORM, CONVOLUTION, initialise_he
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape


class ResUNet(EncoderDecoder):
    """Residual units on a U."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        dimension, widths, kernels = shape.dimension, shape.widths, shape.kernels
        self.add_encoder(
            lambda source, stage: ResidualUnit(
                dimension, source, widths[stage], kernels[stage], shape.strides[stage], first=stage == 0
            ),
            pool=False,
        )
        self.add_decoder(lambda source, stage: ResidualUnit(dimension, source, widths[stage], kernels[stage]), None)
        self.add_heads()
        self.apply(initialise_he)


class ResidualUnit(nn.Module):
    """Two pre-activated convolutions beside a 1x1 convolution (the identity where nothing changes).

    Shape:
        (B, in_channels, *spatial) to (B, out_channels, *spatial / stride).
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        first: bool = False,
    ) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[dimension], BATCH_NORM[dimension]
        stride = tuple(stride or (1,) * dimension)
        padding = tuple(size // 2 for size in kernel)
        before = () if first else (norm(in_channels), nn.ReLU(inplace=False))
        self.branch = nn.Sequential(
            *before,
            convolution(in_channels, out_channels, tuple(kernel), stride, padding),
            norm(out_channels),
            nn.ReLU(inplace=True),
            convolution(out_channels, out_channels, tuple(kernel), 1, padding),
        )
        same = in_channels == out_channels and set(stride) == {1}
        self.shortcut = nn.Identity() if same else convolution(in_channels, out_channels, 1)
        self.strided = (slice(None), slice(None), *(slice(None, None, step) for step in stride))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sum of branch and shortcut."""
        # As a strided 1x1 convolution does; oneDNN 3.12 overruns its memory in the gradient of one of 8 channels (bf16,
        # channels last).
        return self.branch(x) + self.shortcut(x[self.strided])
