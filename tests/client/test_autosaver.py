"""The small door: one document, saved by itself. Defends P1 (the newest content is never skipped, a failure keeps it) and P5 (every call
answers with what came of it)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.client import AutoSaver, MemoryBackend, Result
from holdfast.core.errors import Forbidden, NotSignedIn, StateError, StorageCorrupt, StorageFull, WorldError
from tests.client.virtual import VirtualRuntime, run_virtually


class Slow(MemoryBackend):
    """Takes a second for a save, and fails as often as it is told to."""

    def __init__(self, *errors: Exception, seconds: float = 1.0) -> None:
        super().__init__()
        self.errors = list(errors)
        self.seconds = seconds
        self.saved: list[bytes] = []
        self.calls: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.closed = False

    async def save(self, name: str, content: bytes) -> None:
        self.calls.append("save")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            if self.errors:
                raise self.errors.pop(0)
            self.saved.append(content)
            await super().save(name, content)
        finally:
            self.in_flight -= 1

    async def delete(self, name: str) -> None:
        self.calls.append("delete")
        await super().delete(name)

    async def close(self) -> None:
        self.closed = True


def told(story: Callable[[VirtualRuntime], Coroutine[Any, Any, None]]) -> None:
    run_virtually(story(VirtualRuntime(1)))


def now() -> float:
    return asyncio.get_running_loop().time()


def test_what_is_scheduled_is_saved_once_after_the_last_change() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(seconds=0.0)
        async with AutoSaver(backend, runtime=runtime) as saver:
            for number in range(10):
                saver.schedule_auto_save("roof", {"number": number})
                await asyncio.sleep(0.5)
                assert saver.state("roof") == "waiting"
            assert backend.saved == []
            await asyncio.sleep(2.0)
            assert backend.saved == [b'{"number":9}'] and saver.state("roof") == "saved" and not saver.unsaved

    told(story)


def test_one_save_of_a_document_is_in_flight_and_of_several_that_wait_the_newest_is_saved() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow()
        async with AutoSaver(backend, runtime=runtime) as saver:
            results = await asyncio.gather(*(saver.save("roof", number) for number in range(20)), saver.save("wall", 1))
            assert all(result.success for result in results)
            assert backend.saved.count(b"0") == 1 and backend.documents["roof"] == b"19"
            assert len(backend.saved) == 3, "the first, the newest, and the other document"
            assert backend.most_in_flight == 2, "two documents beside each other, one save of each"

    told(story)


def test_what_is_typed_while_a_save_is_in_flight_is_saved_after_it() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(seconds=5.0)
        async with AutoSaver(backend, runtime=runtime) as saver:
            saving = asyncio.create_task(saver.save("roof", "old"))
            await asyncio.sleep(1)
            saver.schedule_auto_save("roof", "new")
            assert saver.state("roof") == "saving"
            assert (await saver.load("roof")).value == "new" and (await saver.exists("roof")).value
            assert (await saving).success
        assert backend.saved == [b'"old"', b'"new"']

    told(story)


def test_content_on_its_way_is_what_is_loaded() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow()
        backend.documents["roof"] = b'"older"'
        async with AutoSaver(backend, runtime=runtime) as saver:
            saving = asyncio.create_task(saver.save("roof", "newer"))
            await asyncio.sleep(0.5)
            assert (await saver.load("roof")).value == "newer" and saver.unsaved == {"roof": "newer"}
            await saving

    told(story)


def test_three_retries_come_1_2_and_4_seconds_apart_and_each_is_shown() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(*(WorldError("The network is gone.") for _ in range(4)), seconds=0.0)
        heard: list[tuple[str, float, int]] = []

        def hear(what: str) -> Callable[[str, Result], None]:
            return lambda name, result: heard.append((what, now(), result.retries))

        async with AutoSaver(backend, runtime=runtime, on_retry=hear("retry"), on_failure=hear("failure")) as saver:
            result = await saver.save("roof", "precious")
            assert heard == [("retry", 0.0, 0), ("retry", 1.0, 1), ("retry", 3.0, 2), ("failure", 7.0, 3)]
            assert not result.success and result.kind == "unavailable" and result.retries == 3 and result.error == "The network is gone."
            assert result.ms == pytest.approx(7_000)
            await asyncio.sleep(3_600)
            assert backend.calls == ["save"] * 4, "then it stops"
            assert saver.state("roof") == "error" and saver.unsaved == {"roof": "precious"}
            assert (await saver.flush())["roof"].success and backend.documents["roof"] == b'"precious"'

    told(story)


def test_a_retry_that_works_is_a_success_that_says_how_often_it_was_tried() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        async with AutoSaver(Slow(OSError(5, "the disk stutters"), seconds=0.0), runtime=runtime) as saver:
            result = await saver.save("roof", 1)
            assert result.success and result.retries == 1 and result.ms == pytest.approx(1_000)

    told(story)


@pytest.mark.parametrize(("error", "kind", "tries"), [
    (StorageFull("full"), "full", 4), (StorageCorrupt("torn"), "damaged", 1), (Forbidden("no"), "not_allowed", 1),
    (NotSignedIn("who"), "not_allowed", 1), (StateError("moved"), "failed", 1), (ValueError("not so"), "invalid", 1),
    (OSError(5, "input/output"), "unavailable", 4), (RuntimeError("a backend's own"), "failed", 4),
])
def test_a_result_names_the_kind_of_the_error_and_only_what_may_pass_is_tried_again(error: Exception, kind: str, tries: int) -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(*[error] * 4, seconds=0.0)
        result = await AutoSaver(backend, runtime=runtime).save("roof", 1)
        assert (result.kind, len(backend.calls), result.success) == (kind, tries, False)
        assert result.error

    told(story)


def test_newer_content_goes_out_after_an_older_save_failed_for_good() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(*(WorldError("gone") for _ in range(4)))
        async with AutoSaver(backend, runtime=runtime) as saver:
            first = asyncio.create_task(saver.save("roof", "old"))
            await asyncio.sleep(2)
            second = await saver.save("roof", "new")
            assert not (await first).success and second.success
            assert backend.saved == [b'"new"'] and not saver.unsaved

    told(story)


def test_a_cancelled_auto_save_is_not_saved_and_a_save_in_flight_goes_on() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow()
        async with AutoSaver(backend, runtime=runtime) as saver:
            saving = asyncio.create_task(saver.save("roof", "kept"))
            await asyncio.sleep(0.1)
            saver.schedule_auto_save("roof", "dropped")
            saver.cancel_auto_save("roof")
            saver.cancel_auto_save("a document nobody knows")
            assert (await saving).success
        assert backend.saved == [b'"kept"']

    told(story)


def test_a_deleted_document_does_not_come_back_by_a_save_that_was_scheduled_in_flight_or_had_failed() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(*(WorldError("gone") for _ in range(4)))
        async with AutoSaver(backend, runtime=runtime) as saver:
            assert not (await saver.save("failed", 1)).success
            saver.schedule_auto_save("scheduled", 2)
            flying = asyncio.create_task(saver.save("flying", 3))
            await asyncio.sleep(0.1)
            behind = asyncio.create_task(saver.save("flying", 4))
            await asyncio.sleep(0.1)
            for name in ("failed", "scheduled", "flying"):
                assert (await saver.delete(name)).success
            assert (await flying).success and (await behind).kind == "not_found"
        assert backend.documents == {}, "at close neither"

    told(story)


def test_what_is_saved_while_a_delete_is_under_way_comes_after_it() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow(seconds=0.1)
        async with AutoSaver(backend, runtime=runtime) as saver:
            await saver.save("roof", 1)
            deleting = asyncio.create_task(saver.delete("roof"))
            await asyncio.sleep(0)
            assert (await saver.save("roof", 2)).success and (await deleting).success
            assert backend.calls == ["save", "delete", "save"] and backend.documents == {"roof": b"2"}

    told(story)


def test_at_close_everything_scheduled_is_saved_at_once_and_the_backend_closed() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = Slow()
        async with AutoSaver(backend, runtime=runtime, debounce_seconds=60) as saver:
            for number in range(5):
                saver.schedule_auto_save(f"document {number}", number)
        assert len(backend.documents) == 5 and now() == 1.0, "beside each other, without waiting out the debounce"
        assert backend.closed
        assert len(asyncio.all_tasks()) == 1, "nothing is left running"

    told(story)


def test_listeners_hear_of_start_success_and_failure() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        heard: list[str] = []
        backend = Slow(Forbidden("no"), seconds=0.0)
        async with AutoSaver(backend, runtime=runtime, on_start=lambda name: heard.append(f"start {name}"),
                             on_success=lambda name, result: heard.append(f"success {name} {result.success}"),
                             on_failure=lambda name, result: heard.append(f"failure {name} {result.kind}")) as saver:
            await saver.save("roof", 1)
            await saver.save("roof", 2)
        assert heard == ["start roof", "failure roof not_allowed", "start roof", "success roof True"]

    told(story)


def test_a_listener_that_raises_stops_no_save_and_is_reported() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(str(context["exception"])))

        def raises(*facts: object) -> None:
            raise RuntimeError("a listener's own mistake")

        backend = Slow(WorldError("gone"), seconds=0.0)
        async with AutoSaver(backend, runtime=runtime, on_start=raises, on_success=raises, on_retry=raises) as saver:
            assert (await saver.save("roof", 1)).success
            assert backend.documents and reported == ["a listener's own mistake"] * 3

    told(story)


def test_a_document_is_judged_on_the_way_in_and_out() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        def judge(document: Any) -> Any:
            if not isinstance(document, dict) or "title" not in document:
                raise ValueError("A project has a title.")
            return {**document, "judged": True}

        backend = MemoryBackend()
        async with AutoSaver(backend, validate=judge, runtime=runtime) as saver:
            refused = await saver.save("roof", {"no": "title"})
            assert not refused.success and refused.kind == "invalid" and refused.error == "A project has a title." and not refused.retries
            assert (await saver.save("roof", {"title": "Roof"})).success
            assert (await saver.load("roof")).value == {"title": "Roof", "judged": True}
            backend.documents["foreign"] = b'{"by":"somebody else"}'
            assert (await saver.load("foreign")).kind == "invalid"

    told(story)


def test_what_is_no_json_is_refused_before_it_is_stored_and_a_damaged_document_says_so() -> None:
    async def story(runtime: VirtualRuntime) -> None:
        backend = MemoryBackend()
        async with AutoSaver(backend, runtime=runtime) as saver:
            for value in (float("nan"), {1: "a key"}, object(), "\ud800"):
                assert (await saver.save("roof", value)).kind == "invalid"
            assert backend.documents == {} and (await saver.save("roof", {"a": [1, None, "é"]})).success
            backend.documents["torn"] = b'{"a":'
            assert (await saver.load("torn")).kind == "damaged"
            assert (await saver.load("nothing")).kind == "not_found"
            assert (await saver.save("", 1)).kind == (await saver.load("x" * 201)).kind == (await saver.delete("\0")).kind == "invalid"
            assert (await saver.list()).value == ["roof", "torn"]

    told(story)
