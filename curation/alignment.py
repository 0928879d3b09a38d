"""Lay one small grey picture over another: do a crop, a frame, another scale explain all of the difference?

The second picture is searched in the first as an upright window of it (a scale and a shift an axis; it may reach beyond
the edge) by Gauss-Newton steps on the squared difference, with brightness and contrast fitted along: Lucas and Kanade
1981 in the inverse compositional form of Baker and Matthews (IJCV 2004), whose gradients are taken once a pair. As
windows are upright, resampling is two small matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# A window is (horizontal scale, horizontal shift, vertical scale, vertical shift) on axes from -1 to 1.
_START_SCALES = (1.0, 0.85, 1 / 0.85)  # the same frame; a window of it; the other way round
_SCALES = (0.55, 1.8)  # beyond, less than a third of a picture is left to compare
_LARGEST_SHIFT = 0.5
_LARGEST_STEP = 0.2  # a longer one comes from a flat picture, not from what it shows
_LEAST_OVERLAP = 0.45  # share of the second picture that the first must cover: less proves too little
_TRIAL_STEPS, _COARSE_STEPS, _FINE_STEPS = 3, 5, 6  # from every start, from the best of them, at full size
_PROMISING = 0.85  # coarse correlation: edits of birds reach 0.89, nearly all other pairs of birds stay below
_DAMPING = 1e-3  # of the curvature: keeps directions still in which the picture does not change
_DETAIL_PX = 5  # the neighbourhood whose mean and contrast are taken out
_FAINT = 0.1  # of the picture's own contrast: detail fainter than this counts less (sky is noise)
_TINY = 1e-6


@torch.inference_mode()
def likeness(first: Tensor, second: Tensor) -> Tensor:
    """How far the details of two pictures agree where the best window lays them over each other, [-1, 1], shape (P,).

    Both are grey values, float32 of shape (P, n, n), n a multiple of 16. Details are grey values less their local mean,
    divided by their local contrast, so that a bright sky does not outweigh what has changed in a dark street. Pairs
    that a coarse search at half the size does not find promising have -1.
    """
    first, second = _standardise(first), _standardise(second)
    correlation, window = _coarse_search(F.avg_pool2d(first, 2), F.avg_pool2d(second, 2))
    found = torch.full_like(correlation, -1.0)
    promising = (correlation >= _PROMISING).nonzero()[:, 0]
    if len(promising):
        first, second, window = _coarser_second(first[promising], second[promising], window[promising])
        first, second = _soften(first), _soften(second)
        _, window = _search(first, second, window, _FINE_STEPS)
        seen, mask = _look_through(window, first)
        found[promising] = _correlation(_details(seen, mask), _details(second, mask))
    return found


def _coarser_second(first: Tensor, second: Tensor, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same pairs and windows, turned so that the first is the larger one: detail can be left out, not made."""
    scales, shifts = window[:, 0::2], window[:, 1::2]
    turned = scales.prod(dim=1) < 1
    inverse = torch.stack([1 / scales, -shifts / scales], dim=2).flatten(1)
    pick = turned[:, None, None]
    return (
        torch.where(pick, second, first),
        torch.where(pick, first, second),
        torch.where(turned[:, None], inverse, window),
    )


def _coarse_search(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The best correlation (P,) of several starts, and its window (P, 4)."""
    starts = [torch.tensor([scale, 0.0, scale, 0.0]).repeat(len(first), 1) for scale in _START_SCALES]
    found = [_search(first, second, start, _TRIAL_STEPS) for start in starts]
    best = torch.stack([correlation for correlation, _ in found]).argmax(dim=0)
    windows = torch.stack([window for _, window in found])
    return _search(first, second, windows[best, torch.arange(len(first))], _COARSE_STEPS)


def _search(first: Tensor, second: Tensor, window: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The best correlation (P,) on the way from a start, and its window (P, 4)."""
    design = _design(second)
    best, best_window = torch.full((len(first),), -1.0), window
    for step in range(steps + 1):
        seen, mask = _look_through(window, first)
        correlation = _correlation(_standardise(seen, mask), _standardise(second, mask))
        better = (correlation > best) & (mask.mean(dim=(1, 2)) >= _LEAST_OVERLAP)
        best = torch.where(better, correlation, best)
        best_window = torch.where(better[:, None], window, best_window)
        if step < steps:
            window = _stepped(window, design * mask.flatten(1)[:, None], (seen - second).flatten(1))
    return best, best_window


def _design(picture: Tensor) -> Tensor:
    """What a small scale or shift of each axis, contrast and brightness would change: shape (P, 6, n * n)."""
    n = picture.shape[-1]
    axis = _axis(n)
    vertical, horizontal = torch.gradient(picture, spacing=2.0 / n, dim=(1, 2))
    parts = (horizontal * axis, horizontal, vertical * axis[:, None], vertical, picture, torch.ones_like(picture))
    return torch.stack(parts, dim=1).flatten(2)


def _stepped(window: Tensor, design: Tensor, difference: Tensor) -> Tensor:
    """One Gauss-Newton step: the change of the second picture that explains the difference, undone in the window."""
    curvature = design @ design.transpose(1, 2)
    damping = _DAMPING * curvature.diagonal(dim1=1, dim2=2) + _TINY
    change = torch.linalg.solve(curvature + torch.diag_embed(damping), design @ difference[:, :, None])[:, :, 0]
    contrast = (1 + change[:, 4:5]).clamp(0.5, 2.0)  # the slopes of what is seen are those of the second times this
    change = (change[:, :4] / contrast).clamp(-_LARGEST_STEP, _LARGEST_STEP)
    scales = window[:, 0::2] / (1 + change[:, 0::2])
    shifts = window[:, 1::2] - scales * change[:, 1::2]
    scales, shifts = scales.clamp(*_SCALES), shifts.clamp(-_LARGEST_SHIFT, _LARGEST_SHIFT)
    return torch.stack([scales, shifts], dim=2).flatten(1)


def _look_through(window: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
    """The picture as seen through a window, shape (P, n, n), and where there is picture to see (1) or not (0)."""
    axis = _axis(picture.shape[-1])
    horizontal = window[:, 0:1] * axis + window[:, 1:2]
    vertical = window[:, 2:3] * axis + window[:, 3:4]
    mask = (vertical.abs() <= 1).float()[:, :, None] * (horizontal.abs() <= 1).float()[:, None, :]
    return _sampling(vertical) @ picture @ _sampling(horizontal).transpose(1, 2), mask


def _sampling(places: Tensor) -> Tensor:
    """Cubic interpolation (Keys 1981, a = -1/2) at `places` (P, n) on an axis from -1 to 1, as matrices (P, n, n)."""
    n = places.shape[-1]
    distance = (((places + 1) * n - 1)[:, :, None] / 2 - torch.arange(n)).abs()
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=0.5)  # at the edges a part of the kernel is outside


def _details(picture: Tensor, mask: Tensor) -> Tensor:
    """Grey values less their local mean, over their local contrast; means are taken over the mask, 0 outside it."""
    covered = _local_mean(mask).clamp(min=_TINY)
    mean = _local_mean(picture * mask) / covered
    variance = (_local_mean(picture.square() * mask) / covered - mean.square()).clamp(min=0)
    return (picture - mean) * mask / (variance.sqrt() + _FAINT)


def _local_mean(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture[:, None], _DETAIL_PX, stride=1, padding=_DETAIL_PX // 2)[:, 0]


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of two pictures, shape (P,); 0 where one of them is flat."""
    squares = first.square().sum(dim=(1, 2)) * second.square().sum(dim=(1, 2))
    return (first * second).sum(dim=(1, 2)) / squares.sqrt().clamp(min=_TINY)


def _standardise(picture: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean 0 and variance 1 over the mask, 0 outside it; a flat picture becomes 0."""
    mask = torch.ones_like(picture) if mask is None else mask
    size = mask.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    centred = (picture - (picture * mask).sum(dim=(1, 2), keepdim=True) / size) * mask
    return centred / (centred.square().sum(dim=(1, 2), keepdim=True) / size).sqrt().clamp(min=_TINY)


def _soften(picture: Tensor) -> Tensor:
    """A binomial 3 x 3 filter: without the finest detail, resampling at another scale changes next to nothing."""
    padded = F.pad(picture[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def _axis(n: int) -> Tensor:
    """The centres of n pixels on an axis from -1 to 1."""
    return (torch.arange(n, dtype=torch.float32) + 0.5) / n * 2 - 1
