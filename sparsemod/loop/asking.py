"""Asking a sampler for its next candidates: when they are needed, or ahead of need while others work."""

import ctypes
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any

from sparsemod.loop.stages import Stage
from sparsemod.study import Candidate, Study

_PATIENCE = 2.0
"""Seconds in which a sampler that is no longer waited for should have ended."""


class Asking:
    """What is asked of a stage, one batch at a time.

    Args:
        stage: Asked.
        study: Asked about; grows.
        tell: Called with the future of what was asked for ahead, once it has ended.
    """

    def __init__(self, stage: Stage, study: Study, tell: Callable[["Future[Any]"], None]) -> None:
        self._stage, self._study, self._tell = stage, study, tell
        self._asked: Future[list[Candidate]] | None = None
        self._known = 0
        self._none_after: int | None = None

    @property
    def waits(self) -> bool:
        """Whether an answer is still to be taken."""
        return self._asked is not None

    @property
    def none_left(self) -> bool:
        """Whether the sampler had none, with all that is known by now."""
        return self._none_after == len(self._study)

    def now(self) -> list[Candidate]:
        """The next batch, of the study as it is."""
        wanted = self._wanted()
        return self._heard(self._stage.ask(self._study, wanted)) if wanted else []

    def ahead(self) -> None:
        """Begins to ask in a thread of its own, of the study as it is now."""
        wanted = self._wanted()
        if wanted:
            snapshot, self._asked = self._study.copy(), Future()
            self._asked.add_done_callback(self._tell)
            self._thread = Thread(target=self._think, args=(self._asked, snapshot, wanted), daemon=True)
            self._thread.start()

    def _think(self, answer: "Future[list[Candidate]]", study: Study, wanted: int) -> None:
        try:
            answer.set_result(self._stage.ask(study, wanted))
        except BaseException as error:  # whatever it is, who asked shall see it
            answer.set_exception(error)

    def end(self) -> None:
        """Gives up what is still thought about, as Ctrl-C would.

        A process that ends while one of its threads is within PyTorch is aborted; one whose thread does not listen, for
        it sleeps, ends all the same.
        """
        if self._asked is not None and not self._asked.done():
            thread = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(SystemExit))
            self._thread.join(_PATIENCE)

    def answer(self) -> list[Candidate]:
        """What was asked for ahead of need; nothing while it is still thought about."""
        if self._asked is None or not self._asked.done():
            return []
        asked, self._asked = self._asked, None
        return self._heard(asked.result())

    def _wanted(self) -> int:
        self._known = len(self._study)
        return 0 if self.none_left else min(self._stage.batch, self._stage.remaining(self._study))

    def _heard(self, candidates: list[Candidate]) -> list[Candidate]:
        if not candidates:
            self._none_after = self._known
        return candidates
