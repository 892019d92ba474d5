"""A real server for the tests of several rooms: `transformers serve` with a tiny model, started once."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import transformers

VERDICTS = {f"w{place}": f'{{"verdict":{place % 2}}}' for place in range(20, 36)}
"""Words of the model that are a judge's verdicts, so that now and then it gives one."""


@pytest.fixture(scope="session")
def served_model(tmp_path_factory) -> Path:
    """A model whose replies differ and sometimes end. It takes prompts of 1,024 tokens."""
    import torch

    from assay.models.loading import quiet
    from tests.models.builders import tiny_model, tokenizer

    folder = tmp_path_factory.mktemp("serve") / "model"
    made, words = tiny_model(tied=False), tokenizer()
    made.config.max_position_embeddings = 1024
    words.chat_template += "{% if add_generation_prompt %}assistant {% endif %}"
    made.generation_config.do_sample = True
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6.0)
    with quiet():
        made.save_pretrained(folder)
        words.save_pretrained(folder)
    kept = folder / "tokenizer.json"
    spec = json.loads(kept.read_text())
    spec["model"]["vocab"] = {VERDICTS.get(word, word): at for word, at in spec["model"]["vocab"].items()}
    kept.write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="session")
def served_url(served_model, tmp_path_factory):
    """The address of a server that is started once and killed after the last test."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    command = Path(sys.executable).with_name("transformers")
    if not command.is_file() or int(transformers.__version__.partition(".")[0]) < 5:
        pytest.skip("this transformers does not serve a folder's model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [str(command), "serve", str(served_model), *how],
            stdout=out,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            for _ in range(1200):
                assert server.poll() is None, log.read_text()
                if healthy(port):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def healthy(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return direct.open(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False
