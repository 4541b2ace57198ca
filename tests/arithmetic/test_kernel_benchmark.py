"""The benchmark of the kernels runs, with PyTorch's own, at its smallest size."""

import json

import torch

import kernels as benchmark


def test_every_case_has_a_time(capsys, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, "REPEATS", 1)
    monkeypatch.setattr(benchmark, "SHORTEST", 0.0)
    benchmark.measure(benchmark.PYTORCH)
    torch.set_num_threads(threads)
    times = json.loads(capsys.readouterr().out)
    assert len(times) == 2 * len(benchmark.calls()) + 1
    assert min(times.values()) > 0
