"""The packaged service with a prediction log: rows, ids, feedback, drift, metrics, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import bentoml
import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bitbloom.data.descriptors import image as descriptors
from bitbloom.serving.client import Client, ServiceError
from support import documents
from support.standin import COLOURS, TOKEN, Served, photo, serving

RED, GREEN = (210, 40, 40), (40, 170, 50)
TEACHER = "teacher"
HEADER = "X-Prediction-Id"
PAGE = "docs/prediction-log.md"
ORIGIN = "https://flowers.example"
SECONDS = 20
"""How long a test waits for what the service does after a response."""


class Logged(NamedTuple):
    """A service with a log, and the folder of the log."""

    url: str
    folder: Path


def waited_for(condition: Callable[[], Any]) -> Any:
    """The first result that is true."""
    end = time.monotonic() + SECONDS
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    assert found
    return found


def rows(folder: Path, kind: str = "log") -> list[dict[str, Any]]:
    """The rows of all parts, the oldest first."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted((folder / kind).rglob("date=*/*.parquet"))]
    return pa.concat_tables(tables, promote_options="default").to_pylist() if tables else []


def row(folder: Path, id: str) -> dict[str, Any]:
    """The row of a prediction, once it is written."""
    (found,) = waited_for(lambda: [each for each in rows(folder) if each["id"] == id])
    return found


@pytest.fixture(scope="module")
def logged(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("log")
    settings = {"BITBLOOM_LOG": str(folder), "BITBLOOM_LOG_ROWS": "1", "BITBLOOM_FEEDBACK_TOKEN": TEACHER}
    settings |= {"BITBLOOM_TOKEN": TOKEN, "BITBLOOM_CORS_ORIGINS": ORIGIN, "BITBLOOM_DEPLOYED_AT": "1900000000"}
    with serving("petals:latest", served.home, tmp_path_factory.mktemp("logged"), **settings) as url:
        yield Logged(url, folder)


@pytest.fixture
def client(logged: Logged) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=logged.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        yield client


@pytest.fixture
def teacher(logged: Logged) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=logged.url, headers={"Authorization": f"Bearer {TEACHER}"}, timeout=30) as client:
        yield client


def test_row_has_the_prediction_its_input_and_the_digests(client, logged, served):
    data = photo(RED)
    began = time.time()
    response = client.post("/predict", content=data)
    prediction, found = response.json(), row(logged.folder, response.headers[HEADER])
    assert (found["label"], found["confidence"]) == (prediction["label"], pytest.approx(prediction["probability"]))
    assert found["input_digest"] == hashlib.sha256(data).hexdigest()
    assert found["kind"] == "image"
    assert found["model_digest"] == prediction["model_digest"]
    assert found["bento_digest"] == served.report["digest"]
    assert began - 1 < found["time"].timestamp() < time.time() + 1
    assert 0 < found["latency_ms"] < 30_000
    assert [found[name] for name in ("content", "truth", "split")] == [None] * 3
    assert found["embedding"] == pytest.approx([each / 255 for each in RED], abs=0.02)
    assert {name for name in found if name.startswith("feature_")} == {f"feature_{name}" for name in descriptors.NAMES}
    assert found["feature_bytes"] == len(data)
    assert found["feature_warmth"] > 0.5


def test_response_is_the_same_with_a_log(client, served):
    data = photo(GREEN)
    assert client.post("/predict", content=data).content == httpx.post(f"{served.url}/predict", content=data).content


def test_batch_names_each_prediction_by_its_place(client, logged):
    files = [("image", ("photo.jpg", data)) for data in (photo(RED), b"words", photo(GREEN))]
    response = client.post("/predict_batch", files=files)
    assert [each.get("label") for each in response.json()] == ["poppy", None, "fern"]
    first = response.headers[HEADER]
    assert [row(logged.folder, id)["label"] for id in (first, f"{first}-2")] == ["poppy", "fern"]
    assert not [each for each in rows(logged.folder) if each["id"] == f"{first}-1"]


def test_typed_method_names_its_prediction(logged, tmp_path):
    path = tmp_path / "red.jpg"
    path.write_bytes(photo(RED))
    before = {each["id"] for each in rows(logged.folder)}
    with bentoml.SyncHTTPClient(logged.url, token=TOKEN) as client:
        client.predict(image=path)
    with path.open("rb") as stream:
        response = httpx.post(f"{logged.url}/api/predict", files={"image": stream}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert row(logged.folder, response.headers[HEADER])["label"] == "poppy"
    assert len({each["id"] for each in rows(logged.folder)} - before) == 2


def test_rejected_request_has_no_id(client):
    response = client.post("/predict", content=b"words")
    assert response.status_code == 415
    assert HEADER not in response.headers


def test_pages_of_other_origins_may_read_the_id(client):
    response = client.post("/predict", content=photo(RED), headers={"Origin": ORIGIN})
    assert HEADER.lower() in response.headers["Access-Control-Expose-Headers"].lower()


def test_client_sends_the_true_label_of_its_prediction(logged):
    with Client(logged.url, TOKEN) as service:
        service.predict(photo(RED))
        first = str(service.prediction_id)
        service.predict(photo(GREEN))
        assert first != service.prediction_id
        assert service.feedback({first: "orchid", str(service.prediction_id): "fern"}, TEACHER) == 2
        with pytest.raises(ServiceError, match="requires a token"):
            service.feedback({first: "fern"})
    found = waited_for(lambda: {each["id"]: each["label"] for each in rows(logged.folder, "feedback") if each["id"] == first})
    assert found == {first: "orchid"}


def test_one_label_needs_no_list(client, teacher):
    response = client.post("/predict", content=photo(RED))
    sent = teacher.post("/v1/feedback", json={"id": response.headers[HEADER], "label": "poppy"})
    assert (sent.status_code, sent.json()) == (202, {"accepted": 1})


def test_feedback_rejects_unknown_labels_and_names_the_known_ones(teacher):
    response = teacher.post("/feedback", json={"id": "0" * 32, "label": "tree"})
    assert response.status_code == 422
    assert all(name in response.json()["error"] for name in ("'tree'", *COLOURS))


@pytest.mark.parametrize(
    "body", [[], {}, {"id": "x", "label": "poppy"}, [{"id": "0" * 32}], {"id": "0" * 32, "label": ""}, "poppy"]
)
def test_feedback_rejects_other_bodies(teacher, body):
    response = teacher.post("/feedback", json=body)
    assert response.status_code == 422
    assert response.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer x"}])
def test_feedback_needs_its_own_token(logged, headers):
    response = httpx.post(f"{logged.url}/feedback", json={"id": "0" * 32, "label": "poppy"}, headers=headers)
    assert response.status_code == 403
    assert "BITBLOOM_FEEDBACK_TOKEN" in response.json()["error"]


def test_token_of_feedback_permits_no_prediction(teacher):
    assert teacher.post("/predict", content=photo(RED)).status_code == 401


def test_without_a_log_there_is_no_id_no_feedback_and_no_drift(served):
    assert HEADER not in httpx.post(f"{served.url}/predict", content=photo(RED)).headers
    for response in (
        httpx.post(f"{served.url}/feedback", json={"id": "0" * 32, "label": "poppy"}),
        httpx.get(f"{served.url}/drift"),
    ):
        assert response.status_code == 404
        assert "BITBLOOM_LOG" in response.json()["error"]


def test_drift_needs_the_token_of_predictions(logged, teacher):
    assert httpx.get(f"{logged.url}/drift").status_code == 401
    assert teacher.get("/v1/drift").status_code == 401


def metrics(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of the project's own metrics, by name and labels."""
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in found if each.name.startswith("bitbloom_")}


def test_metrics_count_rows_parts_and_feedback(client, teacher, logged):
    def counted(before: dict[Any, float], *key: Any) -> float:
        return metrics(logged.url).get(key, 0) - before.get(key, 0)

    response = client.post("/predict", content=photo(RED))
    row(logged.folder, response.headers[HEADER])
    before = metrics(logged.url)
    response = client.post("/predict", content=photo(RED))
    waited_for(lambda: counted(before, "bitbloom_log_rows_total", ()) == 1)
    waited_for(lambda: counted(before, "bitbloom_log_parts_total", ()) == 1)
    for label in ("poppy", "orchid"):
        teacher.post("/feedback", json={"id": response.headers[HEADER], "label": label}).raise_for_status()
    teacher.post("/feedback", json={"id": "0" * 32, "label": label}).raise_for_status()
    names = [(("correct", value),) for value in ("true", "false", "unknown")]
    assert [counted(before, "bitbloom_feedback_total", name) for name in names] == [1, 1, 1]
    after = metrics(logged.url)
    assert after["bitbloom_log_dropped_total", ()] == after["bitbloom_log_errors_total", ()] == 0
    assert math.isnan(after["bitbloom_realised_accuracy", ()])  # a few labels start no alert
    assert after["bitbloom_reference_accuracy", ()] == 0.75


def test_metrics_name_what_responds_and_measure_the_process(logged, served):
    found = waited_for(lambda: (known := metrics(logged.url)) and ("bitbloom_process_open_fds", ()) in known and known)
    (labels,) = [dict(labels) for name, labels in found if name == "bitbloom_model_info"]
    assert labels["model_digest"] == httpx.get(f"{served.url}/provenance").json()["digests"]["model"]
    assert (labels["target"], labels["bento"]) == ("petals", f"petals:{served.report['version']}")
    assert {"data_digest", "commit", "lock_digest"} <= set(labels)
    assert found["bitbloom_service_start_time_seconds", ()] == 1_900_000_000
    assert found["bitbloom_queue_length", ()] == 0
    assert found["bitbloom_process_cpu_seconds_total", ()] > 0.1
    assert found["bitbloom_process_resident_memory_bytes", ()] > 30e6
    assert found["bitbloom_process_open_fds", ()] > 3


@contextlib.contextmanager
def started(served: Served, folder: Path, log: Path, **settings: str) -> Iterator[httpx.Client]:
    """A client of another process of the service, which writes to `folder`/service/log what it has to say."""
    (folder / "service").mkdir()
    with (
        serving("petals:latest", served.home, folder / "service", **{"BITBLOOM_LOG": str(log), **settings}) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def processes(url: str) -> list[psutil.Process]:
    """The processes that listen at an address."""
    port = urlsplit(url).port
    found = [
        each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port and each.status == "LISTEN"
    ]
    return [psutil.Process(pid) for pid in set(found) if pid]


@pytest.mark.slow
def test_sigterm_loses_no_row_and_content_is_kept_when_told(served, tmp_path):
    with started(served, tmp_path, tmp_path / "log", BITBLOOM_LOG_CONTENT="1", BITBLOOM_FEEDBACK_TOKEN=TEACHER) as client:
        ids = [client.post("/predict", content=photo(RED)).headers[HEADER] for _ in range(25)]
        feedback = {"id": ids[0], "label": "poppy"}
        client.post("/feedback", json=feedback, headers={"Authorization": f"Bearer {TEACHER}"}).raise_for_status()
        assert rows(tmp_path / "log") == []
    found = rows(tmp_path / "log")
    assert [each["id"] for each in found] == ids
    assert {each["content"] for each in found} == {photo(RED)}
    assert [(each["id"], each["label"]) for each in rows(tmp_path / "log", "feedback")] == [(ids[0], "poppy")]


@pytest.mark.slow
def test_kill_loses_at_most_the_part_in_memory(served, tmp_path):
    most = 30
    with started(served, tmp_path, tmp_path / "log", BITBLOOM_LOG_ROWS=str(most)) as client:
        ids = [client.post("/predict", content=photo(RED)).headers[HEADER] for _ in range(100)]
        for process in processes(str(client.base_url)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    kept = [each["id"] for each in rows(tmp_path / "log")]
    assert kept == ids[: len(kept)]
    assert len(kept) >= len(ids) - most


@pytest.mark.slow
def test_service_responds_while_the_storage_fails_and_counts_what_it_drops(served, tmp_path):
    log = tmp_path / "log"
    with started(served, tmp_path, log, BITBLOOM_LOG_ROWS="2", BITBLOOM_LOG_QUEUE="5") as client:
        (log / "log").write_text("no folder")
        for _ in range(12):
            client.post("/predict", content=photo(RED)).raise_for_status()
        waited_for(lambda: metrics(str(client.base_url).rstrip("/"))["bitbloom_log_errors_total", ()] >= 1)
        dropped = metrics(str(client.base_url).rstrip("/"))["bitbloom_log_dropped_total", ()]
        assert dropped == 7
        (log / "log").unlink()
        waited_for(lambda: len(rows(log)) == 5)
    assert "rows were dropped" in (tmp_path / "service/log").read_text()


@pytest.mark.slow
def test_documented_commands_run(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(photo(RED))
    (shell,) = (block for block in documents.blocks("sh") if block.page == PAGE)
    (program,) = (block for block in documents.blocks("python") if block.page == PAGE)
    serve, predict, teach, compare = documents.commands(shell)
    variables = dict(serve.variables)
    assert set(variables) == {"BITBLOOM_LOG", "BITBLOOM_FEEDBACK_TOKEN"}

    def sent(command: documents.Command, id: str = "") -> str:
        words = [word.replace("localhost:3000", address).replace("0123456789abcdef" * 2, id) for word in command.words]
        return subprocess.check_output([*words, "--silent"], text=True)

    with started(served, tmp_path, tmp_path / "log", **{**variables, "BITBLOOM_LOG": str(tmp_path / "log")}) as client:
        address = f"{client.base_url.host}:{client.base_url.port}"
        response = sent(predict)
        assert '"poppy"' in response
        id = response.lower().partition(f"{HEADER.lower()}: ")[2][:32]
        assert sent(teach, id) == '{"accepted":1}'
        assert "error" in sent(compare)  # one prediction is too few
    assert [(each["id"], each["label"]) for each in rows(tmp_path / "log", "feedback")] == [(id, "poppy")]
    exec(program.text, {})
