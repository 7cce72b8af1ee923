"""Whatever is lost, delayed, killed or repeated: no result is lost, none counts twice.

Two devices with durable spools work against a real store while hypothesis
loses replies, repeats messages, lets time pass, forgets spools, and kills the
controller. The devices here do what the agent's design says, no more.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgerig_controller import home as homes
from edgerig_controller.fleet.leases import HeldState
from edgerig_controller.home import Home
from edgerig_controller.store.leases import Held, Offer
from tests.controller.store.building import T0, add_device, create, study, submission_of
from tests.controller.store.cluster import Cluster
from tests.controller.store.conftest import Place

DEVICES = ("local", "orin")


@dataclass
class Device:
    """An agent's spool: at most one attempt, and where it stands."""

    name: str
    offer: Offer | None = None
    state: HeldState = "accepted"
    executed: list[str] = field(default_factory=list)

    def held(self) -> list[Held]:
        if self.offer is None:
            return []
        return [Held(self.offer.lease.attempt_id, self.offer.lease.epoch, self.state)]


class World:
    """The store, the devices and the time."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.now = T0
        self.devices = {name: Device(name) for name in DEVICES}
        self.acknowledged: dict[str, str] = {}
        self.store = place.open()
        for name in DEVICES:
            add_device(self.store, name, labels=["local"])
        self.study_id = create(self.store, study(cells=2, seeds=(1, 2)))

    def sync(self, device: Device, *, reply_lost: bool) -> None:
        synced = self.store.sync(device.name, device.held(), wants_work=True, now_unix_s=self.now)
        if reply_lost:
            return
        for order in synced.orders:
            if order.verdict == "cancel" and device.state == "accepted":
                device.offer = None
            elif order.verdict == "cancel":
                device.state = "finished"
            elif order.verdict in ("discard", "already_have"):
                device.offer = None
        if synced.offer is not None and device.offer is None:
            device.offer, device.state = synced.offer, "accepted"
            lease = synced.offer.lease
            order = self.store.accept_lease(device.name, lease.attempt_id, lease.epoch, now_unix_s=self.now)
            if order.verdict != "continue":
                device.offer = None

    def start(self, device: Device, *, reply_lost: bool) -> None:
        if device.offer is None or device.state != "accepted":
            return
        lease = device.offer.lease
        order, _ = self.store.start_attempt(
            device.name, lease.attempt_id, lease.epoch, boot_id="b", quiet_s=100, now_unix_s=self.now
        )
        if reply_lost:
            return
        if order.verdict == "continue":
            device.state = "running"
            device.executed.append(lease.attempt_id)
        else:
            device.offer = None

    def finish(self, device: Device) -> None:
        if device.offer is not None and device.state == "running":
            device.state = "finished"

    def commit(self, device: Device, *, reply_lost: bool) -> None:
        if device.offer is None or device.state != "finished":
            return
        submission = submission_of(device.offer, device_id=device.name, scores=1)
        committed = self.store.commit_result(submission, now_unix_s=self.now)
        if not reply_lost:
            self.acknowledged[device.offer.lease.attempt_id] = committed.outcome
            device.offer = None

    def step(self, action: str, name: str, fault: bool, pause_s: float) -> None:
        device = self.devices[name]
        self.now += pause_s
        if action == "sync":
            self.sync(device, reply_lost=fault)
        elif action == "start":
            self.start(device, reply_lost=fault)
        elif action == "finish":
            self.finish(device)
        elif action == "commit":
            self.commit(device, reply_lost=fault)
        elif action == "forget":
            device.offer = None
        elif action == "expire":
            self.store.expire_leases(now_unix_s=self.now)
        elif action == "abandon":
            # Long silence: running leases turn unknown, then lost.
            for _ in range(2):
                self.now += 10_000
                self.store.expire_leases(now_unix_s=self.now)
        elif action == "cancel":
            self.store.cancel_study(self.study_id, now_unix_s=self.now)
        elif action == "resume":
            self.store.resume_study(self.study_id, now_unix_s=self.now)
        else:
            self.store.close()
            self.store = self.place.open()

    def check(self) -> None:
        rows = self.store.attempts(self.study_id)
        trials = {row.trial_id: row for row in self.store.trials(self.study_id)}
        canonical: dict[str, int] = dict.fromkeys(trials, 0)
        for row in rows:
            canonical[row.trial_id] += row.canonical
        for trial_id, trial in trials.items():
            assert canonical[trial_id] == (trial.state == "done"), trial
        # What was acknowledged is stored: only then may a device delete it.
        stored = {row.attempt_id for row in rows if row.status == "ok"}
        for attempt_id, outcome in self.acknowledged.items():
            assert outcome in ("canonical", "superseded", "already_have")
            assert attempt_id in stored
        # No attempt was started twice.
        for device in self.devices.values():
            assert len(device.executed) == len(set(device.executed))
        finished = all(trial.state in ("done", "cancelled") for trial in trials.values())
        state = self.store.find_study(self.study_id).state
        assert state == "cancelled" or (state == "finished") == finished

    def let_it_end(self) -> None:
        """With no more faults, everything ends."""
        self.store.resume_study(self.study_id, now_unix_s=self.now)
        for _ in range(40):
            for device in self.devices.values():
                self.sync(device, reply_lost=False)
                self.start(device, reply_lost=False)
                self.finish(device)
                self.commit(device, reply_lost=False)
            self.now += 200
            self.store.expire_leases(now_unix_s=self.now)
            if self.store.progress(self.study_id).finished:
                return
        raise AssertionError(self.store.trials(self.study_id))


ACTIONS = ["sync", "start", "finish", "commit"] * 2 + [
    "expire",
    "abandon",
    "forget",
    "cancel",
    "resume",
    "kill",
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.sampled_from(DEVICES),
        st.booleans(),
        st.sampled_from([0.0, 5.0, 100.0, 1000.0]),
    ),
    min_size=5,
    max_size=30,
)


def history(*actions: str) -> list[tuple[str, str, bool, float]]:
    """Writes a history of one device; `!` after an action loses its reply."""
    return [(action.rstrip("!"), "local", action.endswith("!"), 5.0) for action in actions]


# Histories that must be among those tried: late after lost, lost replies, death at each boundary.
HISTORIES = (
    history("sync", "start", "abandon", "finish", "commit"),
    history("sync", "start", "abandon", "resume", "finish", "kill", "commit!", "commit"),
    history("sync!", "kill", "sync", "start!", "kill", "start", "finish", "commit!", "kill", "sync"),
    history("sync", "start", "forget", "sync", "start", "finish", "commit"),
    history("sync", "start", "cancel", "sync", "finish", "resume", "commit"),
)


def live(place: Place, steps: list[tuple[str, str, bool, float]]) -> None:
    world = World(place)
    try:
        for action, name, fault, pause_s in steps:
            world.step(action, name, fault, pause_s)
            world.check()
        world.let_it_end()
        world.check()
    finally:
        world.store.close()


@example(HISTORIES[0])
@example(HISTORIES[1])
@example(HISTORIES[2])
@example(HISTORIES[3])
@example(HISTORIES[4])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_no_history_loses_a_result_or_counts_one_twice(steps: list[tuple[str, str, bool, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        homes.prepare(home)
        live(Place(home, None), steps)


@pytest.mark.parametrize("steps", HISTORIES, ids=range(len(HISTORIES)))
def test_a_server_keeps_the_same_promises(
    cluster: Cluster, home: Home, steps: list[tuple[str, str, bool, float]]
) -> None:
    with cluster.migrated() as url:
        live(Place(home, url), steps)
