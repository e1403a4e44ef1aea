"""The cursor's arithmetic, against an upstream that loses answers, restarts and skips."""

from hypothesis import given
from hypothesis import strategies as st

from realtor_assets.source.upstream_cursor import Call, position


class UpstreamModel:
    """Batches 0..n-1 but for `skipped`; the cursor moves at the call."""

    def __init__(self, n: int, skipped: set[int]) -> None:
        self.n, self.skipped, self.cursor = n, skipped, 0

    def answer(self) -> int | None:
        while self.cursor in self.skipped:
            self.cursor += 1
        if self.cursor >= self.n:
            return None
        self.cursor += 1
        return self.cursor - 1


@given(
    n=st.integers(1, 6),
    start=st.integers(0, 6),
    skipped=st.sets(st.integers(0, 5), max_size=2),
    events=st.lists(st.sampled_from(["", "lost", "failed", "restart"]), max_size=30),
    bad=st.sets(st.integers(0, 5), max_size=2),
)
def test_every_batch_is_fetched_whatever_answers_are_lost(
    n: int, start: int, skipped: set[int], events: list[str], bad: set[int]
) -> None:
    upstream = UpstreamModel(n, skipped)
    upstream.cursor = start
    history: list[Call] = []
    events = [*events]
    bad_once = set(bad)
    for _ in range(300):
        reached = position(history)
        event = events.pop(0) if events else ""
        if event == "restart":
            upstream.cursor = 0
        if reached.must_rewind:
            if event == "lost":
                upstream.cursor = 0
                history.append(Call("lost", rewind=True))
            elif event == "failed":
                history.append(Call("failed", rewind=True))
            else:
                upstream.cursor = 0
                history.append(Call("landed", rewind=True))
            continue
        if event == "failed":
            history.append(Call("failed"))
            continue
        batch = upstream.answer()
        if event == "lost":
            history.append(Call("lost"))
        elif batch is None:
            history.append(Call("end of data"))
            if not position(history).must_rewind and not events:
                break
        else:
            history.append(Call("landed", batch, usable=batch not in bad_once))
            bad_once.discard(batch)
    else:
        raise AssertionError(f"no end after {history}")

    reached = position(history)
    there = set(range(n)) - skipped
    # An upstream that is first met in its middle, and at its end, shows nothing of what it has.
    met = any(call.outcome == "landed" and call.batch is not None for call in history)
    assert reached.held == there or (not met and not reached.held)
    assert not reached.missing
    assert reached.unobtainable <= skipped


def test_a_skipped_batch_causes_one_rewind() -> None:
    walk = [Call("landed", 0), Call("landed", 2)]
    assert position(walk).must_rewind
    again = [*walk, Call("landed", rewind=True), *walk]
    assert not position(again).must_rewind
    assert position(again).unobtainable == {1}


def test_a_batch_refused_twice_is_not_fetched_a_third_time() -> None:
    refused = Call("landed", 0, usable=False)
    assert position([refused]).must_rewind
    assert not position([refused, Call("landed", rewind=True), refused]).must_rewind


def test_a_call_lost_at_the_end_may_have_been_the_last_batch() -> None:
    calls = [Call("landed", 0), Call("lost"), Call("end of data")]
    assert position(calls).must_rewind
    calls += [Call("landed", rewind=True), Call("landed", 0), Call("end of data")]
    assert not position(calls).must_rewind
    assert position(calls).held == {0}


def test_after_a_lost_rewind_from_the_end_the_cursor_may_be_at_either_end() -> None:
    calls = [Call("landed", 0), Call("lost"), Call("end of data"), Call("lost", rewind=True)]
    assert position([*calls, Call("end of data")]).must_rewind
    assert position([*calls, Call("end of data")]).missing == {1}
    assert position([*calls, Call("lost"), Call("end of data")]).missing == {1}
    there = position([*calls, Call("landed", 0), Call("end of data")])
    assert not there.must_rewind
    assert there.held == {0}


def test_a_lost_call_may_have_returned_the_batch_behind_an_unobtainable_one() -> None:
    walk = [Call("landed", 0), Call("landed", 2)]
    calls = [*walk, Call("landed", rewind=True), *walk, Call("landed", 0)]
    calls += [Call("lost"), Call("lost"), Call("end of data")]
    assert position(calls).missing == {3}
