"""One attempt from import to the last idle: the order of phases that every trial shares.

Methods, compressions and tasks plug in; this module knows none of them by name
but the one that needs no model. torch is imported inside the phase that counts it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from edgerig_workload.catalog import COMPRESSIONS, METHODS
from edgerig_workload.compress.catalog import TUNE_FIRST
from edgerig_workload.engines import MODULES as ENGINE_MODULES
from edgerig_workload.engines.catalog import FROM_FILES
from edgerig_workload.events import Events
from edgerig_workload.faults import WorkerFault
from edgerig_workload.limits import limit_memory
from edgerig_workload.meter import Meter
from edgerig_workload.phases import Marks
from edgerig_workload.protocol import Rules, rules_of
from edgerig_workload.release import release
from edgerig_workload.trial import Trial


@dataclass(frozen=True)
class Folders:
    """Where an attempt finds its model and data, and where its products go; None = not given."""

    model: Path | None
    data: Path | None
    out: Path
    encoder: Path | None = None
    teacher: Path | None = None
    # What the device allows to be started as the trial's server.
    program: Path | None = None


@dataclass
class Attempt:
    """One run of the worker. `facts` grows as things become known."""

    trial: Trial
    folders: Folders
    events: Events
    marks: Marks
    began_mono_ns: int
    sleep: Callable[[float], None] = time.sleep
    meter: Meter | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Go through all phases.

        Raises:
            WorkerFault, DataFault, MemoryError and what the libraries raise.
        """
        self.facts["python"] = platform.python_version()
        rules = rules_of(self.trial.protocol, self.trial.overrides)
        if not METHODS[self.trial.method.kind]["needs_model"]:
            self._spin(rules)
            return
        # Read by OpenMP when torch is loaded. Its default is to spin at the end of every
        # parallel piece: with any other process on the processor that costs a factor of
        # ten, and it burns energy while a resident model idles.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with self.marks.phase("import", began_mono_ns=self.began_mono_ns):
            modules = ["torch", "transformers", *_required(self.trial)]
            for name in modules:
                import_module(name)
            # Only now: these modules import torch at their top.
            from edgerig_workload import models
        if self.trial.engine.kind in FROM_FILES:
            self._run_from_files(models, rules)
        else:
            self._run_model(models, rules)

    def report_facts(self) -> None:
        """Emit what is known of this worker so far; the last report is the complete one."""
        self.events.emit("facts", self.facts)

    def _spin(self, rules: Rules) -> None:
        from edgerig_workload.learn.spin import spin

        with self.marks.phase("import", began_mono_ns=self.began_mono_ns):
            self.facts |= {"device": self._limited("cpu"), "threads": 1}
        # A quick one is over in moments; where energy is to be evidence it has its idles too.
        framed = self.trial.protocol != "quick"
        if framed:
            self._idle("idle_pre", rules)
        with self.marks.phase("train"):
            training = spin(self.trial.method.number("duration_s"))
        training.report(self.events)
        self.facts |= training.facts()
        if framed:
            self._idle("idle_post", rules)

    def _run_model(self, models: Any, rules: Rules) -> None:
        import torch

        from edgerig_workload import accelerator, compress

        trial = self.trial
        device = models.runtime(trial.threads)
        _seed(trial.seed)
        if device.type == "cuda":
            self.marks.watch(accelerator.Cuda())
        self.facts |= {
            **_versions(),
            "device": self._limited(accelerator.name(device)),
            "threads": torch.get_num_threads(),
        }
        self._idle("idle_pre", rules)
        folder = self._model_folder()
        questions = self._questions()
        self._prepare_pages(folder)
        with self.marks.phase("load"):
            loaded = models.load(folder, trial.dtype, device)
        if questions is not None:
            questions = questions.for_model(encoder_decoder=loaded.encoder_decoder)
        tuned = None
        if compress.tunes_first(trial.compression):
            self._refuse_order(loaded)
            tuned = self._learn(loaded, questions)
            release()
        compressed = self._compress(loaded, questions)
        self._report_compressed(compressed)
        release()
        self._idle("idle_resident", rules)
        self._work(compressed.loaded, questions, rules, tuned)
        self._idle("idle_post", rules)

    def _run_from_files(self, models: Any, rules: Rules) -> None:
        """Goes through the phases of an engine that loads the model's files itself."""
        from edgerig_workload.engines import Setup
        from edgerig_workload.lengths import longest_tokens

        trial = self.trial
        if METHODS[trial.method.kind]["trains"] or trial.compression.kind != "none":
            raise WorkerFault(
                "precondition",
                f"engine {trial.engine.name} loads the model's files itself: use method none or rag, and "
                "compression none",
            )
        models.runtime(trial.threads)
        self.facts |= {**_versions(), "device": self._limited(f"as {trial.engine.name} decides")}
        self._idle("idle_pre", rules)
        folder = self._model_folder()
        text = models.reader(folder)
        questions = self._questions()
        if questions is not None:
            questions = questions.for_model(encoder_decoder=text.encoder_decoder)
        module = import_module(ENGINE_MODULES[trial.engine.kind])
        module.watch(self.marks)
        self._prepare_pages(folder)
        # A server has its context from its own command.
        longest = longest_tokens(trial, text, questions) if trial.engine.kind == "llama-cpp" else 0
        setup = Setup(trial, folder, self.folders.out, self.folders.program, text, longest)
        with self.marks.phase("load"):
            engine = module.open_engine(setup)
        try:
            self._idle("idle_resident", rules)
            learned = self._learn(text, questions)
            self._infer(text, questions, rules, learned, engine)
            self._idle("idle_post", rules)
        finally:
            engine.close()

    def _model_folder(self) -> Path:
        if self.folders.model is None:
            raise WorkerFault("bad_model", "no model folder was given")
        return self.folders.model

    def _prepare_pages(self, folder: Path) -> None:
        """Brings about what the trial asks for of the model's files in memory, and notes what is there."""
        from edgerig_workload.infer.page_cache import bring_about

        state = self.trial.inference.page_cache
        share = bring_about(state, folder)
        self.facts |= {"page_cache": state} if state else {}
        self.facts |= {} if share is None else {"page_cache_share": share}

    def _refuse_order(self, loaded: Any) -> None:
        """Stops what cannot be tuned before it is compressed, before time goes into the tuning."""
        _refuse_packed(loaded, self.trial.compression.kind)
        if self.trial.train.points:
            raise WorkerFault(
                "precondition",
                "points of a training budget are scored on the model that learns, which is dense with order "
                f"{TUNE_FIRST}, and its end on the compressed one: leave points out",
            )

    def _compress(self, loaded: Any, questions: Any) -> Any:
        from edgerig_workload import compress

        choice = self.trial.compression
        transform = compress.transform(choice.kind)
        material = compress.Material(questions, self.trial.seed, self.folders.teacher, self.marks)
        if choice.kind == "none":
            return transform(loaded, choice, material)
        _refuse_packed(loaded, choice.kind)
        with self.marks.phase("compress"):
            return transform(loaded, choice, material)

    def _report_compressed(self, compressed: Any) -> None:
        from edgerig_workload import compress

        compress.report(compressed, self.trial.compression, self.folders.out)
        self.facts |= {
            "dtype": compressed.loaded.dtype,
            "parameter_count": compressed.loaded.parameter_count,
            "weights_bytes": compressed.loaded.weights_bytes,
            "kernel": compressed.kernel,
            "sparsity": compressed.sparsity,
            "stored_bytes": compressed.stored_bytes,
            **compressed.facts,
        }
        self.report_facts()

    def _context(self, loaded: Any, questions: Any) -> Any:
        from edgerig_workload.learn.context import Context

        return Context(
            self.trial,
            loaded,
            questions,
            self.marks,
            self.events,
            self.folders.out,
            meter=self.meter,
            encoder=self.folders.encoder,
        )

    def _learn(self, loaded: Any, questions: Any) -> Any:
        from edgerig_workload.learn import method

        learned = method(self.trial.method.kind)(self._context(loaded, questions))
        self.facts |= learned.facts
        return learned

    def _work(self, loaded: Any, questions: Any, rules: Rules, tuned: Any) -> None:
        from edgerig_workload.engines.in_process import InProcess

        learned = self._learn(loaded, questions) if tuned is None else tuned
        # Inference is measured as on a device that only infers.
        release()
        engine = InProcess(loaded, self.trial.inference.kv_cache, learned.prompt_tokens)
        self._infer(loaded, questions, rules, learned, engine)

    def _infer(self, loaded: Any, questions: Any, rules: Rules, learned: Any, engine: Any) -> None:
        from edgerig_workload.evaluate import evaluate
        from edgerig_workload.infer import profile

        if self.trial.inference.requests:
            prepared = profile.prepare(loaded, self.trial.inference, engine, learned.prompt_tokens)
            with self.marks.phase("warmup"):
                self.facts |= profile.warm_up(prepared, rules)
            self.facts |= profile.measure(prepared, rules, self.marks, self.events)
        if questions is not None:
            evaluate(self._context(loaded, questions), learned, engine)
        self.facts |= engine.facts()

    def _questions(self) -> Any:
        from edgerig_workload.learn.context import Questions
        from edgerig_workload.tasks.items import load
        from edgerig_workload.tasks.spec import TaskSpec

        if not self.trial.task:
            return None
        spec = TaskSpec.from_trial(self.trial.task)
        if self.folders.data is None:
            raise WorkerFault("bad_data", f"task {spec.name!r} has no data file")
        return Questions(spec, load(self.folders.data))

    def _idle(self, phase: str, rules: Rules) -> None:
        with self.marks.phase(phase):
            self.sleep(rules.idle_s)

    def _limited(self, device: str) -> str:
        """Limits the memory from here on and labels the device with it."""
        label = limit_memory(self.trial.memory_limit_bytes)
        return f"{device}, {label}" if label else device


def _refuse_packed(loaded: Any, kind: str) -> None:
    from edgerig_workload.compress.artefacts import is_packed

    if is_packed(loaded.model):
        raise WorkerFault(
            "bad_model",
            f"the checkpoint is quantised already; {kind} needs dense weights: "
            "use compression none, or the dense checkpoint",
        )


def _required(trial: Trial) -> list[str]:
    method: Mapping[str, Any] = METHODS[trial.method.kind]
    return [*method["requires"], *COMPRESSIONS[trial.compression.kind]["requires"]]


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in ("torch", "transformers", "peft")}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # A board's own build may come without a distribution record.
        return ""


def _seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
