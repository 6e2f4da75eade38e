"""Features of known sounds, how far they are from those in floating point, and settings that cannot be."""

import lzma
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.frontends import signals
from torch import Tensor

from sparsemod.errors import Infeasible, InputError
from sparsemod.frontend import FilterBank

FSDD = Path(os.environ.get("DATA_PATH", ""), "fsdd", "fsdd_waveforms_s16le.bin.xz")
BANK = FilterBank(samples=8_000, rate=8_000)


def in_floats(front: FilterBank, clips: Tensor) -> np.ndarray:
    """Octaves of the energies of triangular mel filters, (N, T, B), as textbooks have it."""
    frames = clips.unfold(1, front.window, front.stride).numpy() / 2**15
    places = (np.arange(front.window) + 0.5) / front.window
    spectrum = np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * places)), front.points)
    corners = 700 * (
        10 ** (np.linspace(*(2595 * np.log10(1 + f / 700) for f in (front.low, front.top)), front.filters + 2) / 2595)
        - 1
    )
    mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    bins = mel(np.arange(front.points // 2 + 1) * front.rate / front.points)
    edges = mel(corners)
    weights = [np.interp(bins, edges[b : b + 3], [0, 1, 0]) for b in range(front.filters)]
    return np.log2(np.abs(spectrum) ** 2 @ np.stack(weights, 1) + 1e-12)


def differences(front: FilterBank, clips: Tensor) -> tuple[float, float]:
    """Root of the mean squared difference in dB, the mean taken off, and correlation, where nothing is cut off."""
    octaves, features = in_floats(front, clips), front(clips)[:, 0].numpy()
    inside = (features > -128) & (features < 127)
    expected, found = octaves[inside], features[inside] / 8
    error = 10 * np.log10(2) * np.std(expected - found)
    return float(error), float(np.corrcoef(expected, found)[0, 1])


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_features_are_within_half_a_step_of_floating_point(rate: int) -> None:
    front = FilterBank(samples=rate, rate=rate)
    square, _, noise, loud, chirp = signals(rate, rate)[3:]
    error, correlation = differences(front, torch.stack([square, noise, loud, chirp]))
    assert error < 0.3  # a step is 0.38 dB, so the rounding alone is 0.11
    assert correlation > 0.999


@pytest.mark.skipif(not FSDD.is_file(), reason="no spoken digits in DATA_PATH")
def test_features_of_speech_are_those_of_floating_point() -> None:
    with lzma.open(FSDD) as file:
        speech = torch.from_numpy(np.frombuffer(file.read(2 * 400_000), "<i2").copy().reshape(50, 8_000))
    error, correlation = differences(BANK, speech)
    assert error < 0.12  # the rounding alone
    assert correlation > 0.999


def test_tone_is_loudest_in_the_filter_of_its_frequency() -> None:
    centres = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 4_000)), 42)[1:-1] / 2595) - 1)
    time = torch.arange(8_000) / 8_000
    for filter in (5, 20, 38):
        tone = (10_000 * torch.sin(2 * torch.pi * centres[filter] * time)).short()
        assert set(BANK(tone[None])[0, 0].argmax(1).tolist()) == {filter}


def test_ten_times_the_amplitude_is_twenty_decibels_more() -> None:
    quiet = signals(8_000, 8_000)[5:6]
    more = (BANK(10 * quiet).float() - BANK(quiet)).flatten()
    assert more.mean() * 10 * np.log10(2) / 8 == pytest.approx(20, abs=0.02)


def test_silence_is_the_least_and_full_scale_does_not_overflow() -> None:
    silence, lowest, highest, square, *_, loud, _ = BANK(signals(8_000, 8_000))
    assert bool((silence == -128).all())
    assert max(lowest[..., 10:].max(), highest[..., 10:].max()) < -40  # what does not change is no sound
    assert square.max() > 100
    assert loud.min() > 0


def test_shape_is_frames_by_filters_or_coefficients() -> None:
    assert BANK.output_shape == (1, 49, 40)  # 1 + (8000 - 240) // 160
    front = FilterBank(samples=16_000, rate=16_000, window_ms=32, stride_ms=32, filters=30, coefficients=10)
    assert front.output_shape == (1, 31, 10)  # 1 + (16000 - 512) // 512
    assert front(torch.zeros(3, 16_000, dtype=torch.int16)).shape == (3, 1, 31, 10)
    assert front(torch.zeros(0, 16_000, dtype=torch.int16)).shape == (0, 1, 31, 10)


def test_sequence_is_the_image_without_its_channel() -> None:
    sequence = FilterBank(samples=8_000, rate=8_000, layout="T F")
    assert sequence.output_shape == (49, 40)
    clips = signals(8_000, 8_000)
    assert torch.equal(sequence(clips), BANK(clips)[:, 0])
    with pytest.raises(Infeasible, match="layout is 'F T'; it must be '1 T F' or 'T F'"):
        FilterBank(samples=8_000, rate=8_000, layout="F T")


def test_first_coefficient_is_the_mean_of_the_logarithms() -> None:
    clips = signals(8_000, 8_000)[4:]
    logarithms = BANK(clips).float().clamp(-127, 126)
    first = FilterBank(samples=8_000, rate=8_000, coefficients=13)(clips)[..., 0]
    assert (logarithms.mean(-1) - first).abs().max() < 2


def test_bytes_are_those_of_the_tables_and_the_buffers() -> None:
    # 240 samples: half a window; a quarter sine of 256 points; counts; bins from 62.5 Hz to 3969 Hz; the logarithm
    assert BANK.flash_bytes == 2 * 120 + 2 * 65 + 2 * 41 + 126 + 2 * 33
    assert BANK.ram_bytes == 4 * 256 + 2 * 240 + 4
    cepstral = FilterBank(samples=8_000, rate=8_000, coefficients=10)
    assert cepstral.flash_bytes == BANK.flash_bytes + 10 * 40 + 10 * 4
    assert cepstral.ram_bytes == BANK.ram_bytes + 2 * 40


def test_work_grows_with_frames() -> None:
    twice = FilterBank(samples=8_000, rate=8_000, stride_ms=10)
    assert twice.frames == 98
    assert 1.8 < twice.macs / BANK.macs <= 2


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(Infeasible) as error:
        FilterBank(samples=200, rate=8_000, window_ms=30, stride_ms=0, filters=12, coefficients=13, high=5_000)
    assert str(error.value) == (
        "the front end cannot be: window_ms 30 are 240 samples, and a clip has 200; stride_ms 0 are 0 samples; it must "
        "have 1 to 32,767; coefficients is 13; it must be 0 to 12, the filters; low is 60 and high 5000 Hz; they must "
        "be at least 0, at most 4000, half the rate, and high above low"
    )


def test_filter_without_a_frequency_is_refused() -> None:
    with pytest.raises(Infeasible, match=r"filter 1, 2, 3 of 100 holds none .* which are 250 Hz apart; take fewer"):
        FilterBank(samples=8_000, rate=8_000, window_ms=4, filters=100)


def test_other_samples_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 100\), torch.int16; it reads clips of 8000, \(N, 8000\)"):
        BANK(torch.zeros(2, 100, dtype=torch.int16))
    with pytest.raises(InputError, match=r"torch.float32; it reads"):
        BANK(torch.zeros(2, 8_000))
