"""Training in several processes: accelerate launches `worker` in each of them, on the sequences on disk.

`ddp`, `fsdp` and `deepspeed` are accelerate configs in the folder `accelerate`, to use or to copy; any other value is
the path of a config of one's own. The workers say why they stopped in a file.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

from sotopia_pi.config import RuntimeConfig
from sotopia_pi.errors import ConfigError, SotopiaError, TrainingError
from sotopia_pi.training.prepared import Prepared
from sotopia_pi.training.sft import SEQUENCES, Job, Outcome, learn

READY = ("ddp", "fsdp", "deepspeed")
_JOB, _WHY = "job.json", "error.txt"


def launch(job: Job, folder: Path) -> Outcome:
    """Trains in `runtime.processes` processes, working in `folder`, whose sequences are written already."""
    check_runtime(job.runtime)
    (folder / _JOB).write_text(job.model_dump_json(), encoding="utf-8")
    (folder / _WHY).unlink(missing_ok=True)
    with as_file(files("sotopia_pi.training") / "accelerate") as ready:
        config = ready / f"{job.runtime.launch}.yaml" if job.runtime.launch in READY else Path(str(job.runtime.launch))
        code = _run(command(job, config, folder))
    if code:
        why = folder / _WHY
        if why.is_file():
            raise TrainingError(why.read_text(encoding="utf-8"))
        raise TrainingError(f"Training in several processes ended with exit code {code}; see what they printed above.")
    return learn(job, Prepared(folder / SEQUENCES), folder)  # which reads the outcome


def check_runtime(runtime: RuntimeConfig) -> None:
    """ConfigError when what `runtime` asks for in training is not here."""
    if runtime.launch and runtime.launch not in READY and not Path(runtime.launch).is_file():
        raise ConfigError(
            f"runtime.launch is {runtime.launch!r}; give {', '.join(READY)} or the path of an accelerate config."
        )
    for package in (*runtime.trackers, *(["deepspeed"] if runtime.launch == "deepspeed" else [])):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"Training is to use {package}, which is not installed: pip install {package}.")


def command(job: Job, config: Path, folder: Path) -> list[str]:
    """The command that starts the workers."""
    from sotopia_pi.training.trainer import bfloat16

    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)),
        *("--num_processes", str(job.runtime.processes), "--main_process_port", "0"),
        *("--mixed_precision", "bf16" if bfloat16(job.settings) else "no"),
        *("-m", "sotopia_pi.training.worker", str(folder)),
    ]


def _run(command: list[str]) -> int:
    """Runs the launcher; when this process is interrupted, its workers are too."""
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with subprocess.Popen(command, env=environment, start_new_session=True) as launcher:
        try:
            return launcher.wait()
        finally:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGTERM)


def work(folder: Path) -> None:
    """What a worker does: its part of the training in `folder`."""
    job = Job.model_validate_json((folder / _JOB).read_text(encoding="utf-8"))
    try:
        learn(job, Prepared(folder / SEQUENCES), folder)
    except SotopiaError as error:
        (folder / _WHY).write_text(str(error), encoding="utf-8")
        raise SystemExit(1) from None
