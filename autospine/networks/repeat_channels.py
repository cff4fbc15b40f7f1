"""A grey image shown to a network as several equal channels, as networks made for colour pictures expect."""

from __future__ import annotations

from torch import Tensor, nn


class RepeatChannels(nn.Module):
    """Every channel of the image, several times over, before the network.

    A first convolution over equal channels is one over a single channel with the sum of its kernels: nothing is gained
    but another start of the weights.

    Shape:
        (B, C, *spatial) to whatever the network makes of (B, times * C, *spatial).

    Args:
        network: That takes `times * C` channels.
        times: How often each channel is shown.
    """

    def __init__(self, network: nn.Module, times: int = 3) -> None:
        super().__init__()
        self.network, self.times = network, times

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network's output."""
        return self.network(x.repeat_interleave(self.times, 1))
