from raypipe.coordination.limiter import FORGOTTEN_S, AdaptiveLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_as_there_are_tasks() -> None:
    lanes = AdaptiveLimiter(2)
    assert [lanes.enter(one) for one in "abc"] == [True, True, False]
    lanes.leave("a", refused=False)
    assert lanes.enter("c")


def test_halved_once_for_requests_that_were_in_flight_together() -> None:
    clock = Clock()
    lanes = AdaptiveLimiter(8, clock)
    assert all(lanes.enter(one) for one in "abcdefgh")
    clock.now = 1.0
    for one in "abcdefgh":
        lanes.leave(one, refused=True)
    assert lanes.open == 4
    assert [lanes.enter(one) for one in "abcde"] == [True] * 4 + [False]
    clock.now = 2.0
    lanes.enter("a")  # the same task, asking twice
    lanes.leave("a", refused=True)
    assert lanes.open == 2


def test_never_none() -> None:
    clock = Clock()
    lanes = AdaptiveLimiter(2, clock)
    for _ in range(5):
        clock.now += 1
        assert lanes.enter("a")
        clock.now += 1
        lanes.leave("a", refused=True)
    assert lanes.open == 1


def test_one_more_after_ten_clean_ones_and_no_more_than_there_were() -> None:
    clock = Clock()
    lanes = AdaptiveLimiter(3, clock)
    lanes.enter("a")
    clock.now = 1.0
    lanes.leave("a", refused=True)
    grown = []
    for _ in range(40):
        clock.now += 1
        assert lanes.enter("a")
        lanes.leave("a", refused=False)
        grown.append(lanes.open)
    assert grown == [1] * 9 + [2] * 10 + [3] * 21


def test_a_task_that_died_gives_its_lane_back() -> None:
    clock = Clock()
    lanes = AdaptiveLimiter(1, clock)
    assert lanes.enter("dead")
    clock.now = FORGOTTEN_S - 1
    assert not lanes.enter("b")
    clock.now = FORGOTTEN_S
    assert lanes.enter("b")
    lanes.leave("dead", refused=True)  # it was not: what it says counts for nothing
    assert lanes.open == 1
