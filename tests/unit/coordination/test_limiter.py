from raypipe.coordination.limiter import FORGOTTEN_S, AdaptiveLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_writer_gets_a_slot_up_to_the_limit() -> None:
    limiter = AdaptiveLimiter(2)
    assert [limiter.acquire(writer) for writer in "abc"] == [True, True, False]
    limiter.release("a", refused=False)
    assert limiter.acquire("c")


def test_limit_is_halved_once_for_requests_that_were_in_flight_together() -> None:
    clock = Clock()
    limiter = AdaptiveLimiter(8, clock)
    assert all(limiter.acquire(writer) for writer in "abcdefgh")
    clock.now = 1.0
    for writer in "abcdefgh":
        limiter.release(writer, refused=True)
    assert limiter.limit == 4
    assert [limiter.acquire(writer) for writer in "abcde"] == [True] * 4 + [False]
    clock.now = 2.0
    limiter.acquire("a")  # the same writer asks twice
    limiter.release("a", refused=True)
    assert limiter.limit == 2


def test_limit_is_never_below_one() -> None:
    clock = Clock()
    limiter = AdaptiveLimiter(2, clock)
    for _ in range(5):
        clock.now += 1
        assert limiter.acquire("a")
        clock.now += 1
        limiter.release("a", refused=True)
    assert limiter.limit == 1


def test_limit_grows_by_one_after_ten_clean_requests_up_to_its_maximum() -> None:
    clock = Clock()
    limiter = AdaptiveLimiter(3, clock)
    limiter.acquire("a")
    clock.now = 1.0
    limiter.release("a", refused=True)
    limits = []
    for _ in range(40):
        clock.now += 1
        assert limiter.acquire("a")
        limiter.release("a", refused=False)
        limits.append(limiter.limit)
    assert limits == [1] * 9 + [2] * 10 + [3] * 21


def test_slot_of_a_dead_task_is_freed() -> None:
    clock = Clock()
    limiter = AdaptiveLimiter(1, clock)
    assert limiter.acquire("dead")
    clock.now = FORGOTTEN_S - 1
    assert not limiter.acquire("b")
    clock.now = FORGOTTEN_S
    assert limiter.acquire("b")
    limiter.release("dead", refused=True)  # its slot has expired: the refusal does not count
    assert limiter.limit == 1
