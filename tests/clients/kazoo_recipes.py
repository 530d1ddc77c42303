"""Runs kazoo's recipes against a server.

usage: kazoo_recipes.py HOST:PORT [RECIPE...]     (the function names below; all if none is given)

One line per recipe; exits with 1 if one failed. Every recipe works under a path of its own, through
clients of its own.
"""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    ReconfigDisabledError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.security import (
    ANYONE_ID_UNSAFE,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    make_acl,
    make_digest_acl,
)

LIMIT = 20
SHORT = 0.3

RECIPES = []


def recipe(function):
    RECIPES.append(function)
    return function


class Clients:
    """Makes the clients of one recipe, and stops them after it."""

    def __init__(self, address, root):
        self.address = address
        self.root = root
        self.open = []

    def client(self, **options):
        client = KazooClient(self.address, timeout=options.pop("timeout", 5.0), **options)
        self.open.append(client)
        client.start(timeout=LIMIT)
        return client

    def close(self):
        for client in self.open:
            client.stop()
            client.close()


def equal(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


def soon(holds, what):
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        time.sleep(0.01)


def fails(error, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except error:
        return
    raise AssertionError(f"{function} succeeded; expected {error.__name__}")


def together(functions):
    """Runs them in threads, and passes on the first failure."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=run, args=(function,), daemon=True) for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT * 2)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]


@recipe
def basics(clients):
    client, node = clients.client(), clients.root + "/node"
    equal(client.create(node, b"one", makepath=True), node)
    data, stat = client.get(node)
    equal(
        (data, stat.version, stat.data_length, stat.children_count, stat.ephemeralOwner),
        (b"one", 0, 3, 0, 0),
    )
    equal(stat.czxid, stat.mzxid)
    fails(NodeExistsError, client.create, node)
    after = client.set(node, b"two!", version=0)
    equal((after.version, after.data_length), (1, 4))
    assert after.mzxid > stat.mzxid and after.czxid == stat.czxid
    fails(BadVersionError, client.set, node, b"no", version=0)
    fails(BadVersionError, client.delete, node, version=7)
    fails(NotEmptyError, client.delete, clients.root)
    fails(NoNodeError, client.get, node + "/none")
    fails(NoNodeError, client.create, node + "/none/child")
    equal(client.exists(node + "/none"), None)
    equal(client.create(clients.root + "/null", None), clients.root + "/null")
    path, stat = client.create(clients.root + "/stat", b"abc", include_data=True)
    equal((path, stat.version, stat.data_length), (clients.root + "/stat", 0, 3))
    children, stat = client.get_children(clients.root, include_data=True)
    equal((sorted(children), stat.children_count, stat.cversion), (["node", "null", "stat"], 3, 3))
    equal(client.sync("/"), "/")
    unicode = clients.root + "/sn\u00f6wm\u00e4n-\u2603"
    client.create(unicode, b"\x00\xff" * 100)
    equal(client.get(unicode)[0], b"\x00\xff" * 100)
    client.delete(clients.root, recursive=True)
    equal(client.exists(clients.root), None)


@recipe
def ephemeral_and_sequence(clients):
    client, mortal = clients.client(), clients.client()
    client.ensure_path(clients.root)
    mine = mortal.create(clients.root + "/mine", ephemeral=True)
    equal(client.exists(mine).ephemeralOwner, mortal.client_id[0])
    fails(NoChildrenForEphemeralsError, client.create, mine + "/child")
    names = [client.create(clients.root + "/n-", sequence=True) for _ in range(3)]
    equal(names, [f"{clients.root}/n-{number:010}" for number in (1, 2, 3)])
    both = mortal.create(clients.root + "/", ephemeral=True, sequence=True)
    equal(both, clients.root + "/0000000004")
    client.delete(names[2])
    equal(client.create(clients.root + "/n-", sequence=True), clients.root + "/n-0000000005")
    mortal.stop()
    soon(
        lambda: not client.exists(mine) and not client.exists(both),
        "ephemeral nodes go with their session",
    )


@recipe
def expiry_of_a_killed_process(clients):
    """A client killed with kill -9 closes nothing: the server has to expire its session in time."""
    client = clients.client()
    client.ensure_path(clients.root)
    program = (
        "import sys, time; from kazoo.client import KazooClient; "
        "c = KazooClient(sys.argv[1], timeout=2.0); c.start(); "
        "c.create(sys.argv[2], ephemeral=True); print(flush=True); time.sleep(60)"
    )
    node = clients.root + "/mine"
    process = subprocess.Popen(
        [sys.executable, "-c", program, clients.address, node], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    assert client.exists(node)
    # Stopped, so that its sockets stay open: only the missing pings tell.
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    soon(lambda: not client.exists(node), "the session expires")
    passed = time.monotonic() - begun
    process.kill()
    process.wait()
    process.stdout.close()
    # The last ping came at most a third of the timeout before; expiry is checked once a tick
    # (500 ms).
    assert 1.0 < passed < 5.0, f"a session of 2 s expired after {passed:.1f} s"


@recipe
def one_time_watches(clients):
    client, writer, events = clients.client(), clients.client(), []
    writer.ensure_path(clients.root)

    def seen(event):
        events.append((event.type, event.path))

    node = clients.root + "/node"
    equal(client.exists(node, watch=seen), None)
    client.get_children(clients.root, watch=seen)
    writer.create(node)
    soon(lambda: len(events) == 2, "created")
    # Both come from one transaction; the order is the server's: data watches before child watches.
    equal(events, [("CREATED", node), ("CHILD", clients.root)])
    client.get(node, watch=seen)
    writer.set(node, b"x")
    writer.set(node, b"y")
    soon(lambda: len(events) == 3, "changed")
    client.get_children(node, watch=seen)
    writer.delete(node)
    soon(lambda: len(events) == 4, "deleted")
    # A reply comes after every event that was sent before it, so none is on its way after this.
    client.sync("/")
    equal(events[2:], [("CHANGED", node), ("DELETED", node)])


@recipe
def transactions(clients):
    client = clients.client()
    client.create(clients.root + "/a", b"0", makepath=True)
    transaction = client.transaction()
    transaction.check(clients.root + "/a", 0)
    transaction.create(clients.root + "/b", b"b")
    transaction.create(clients.root + "/b-", ephemeral=True, sequence=True)
    transaction.set_data(clients.root + "/a", b"1", version=0)
    transaction.delete(clients.root + "/b")
    results = transaction.commit()
    equal(results[:3], [True, clients.root + "/b", clients.root + "/b-0000000002"])
    equal((results[3].version, results[4]), (1, True))
    equal(client.get(clients.root + "/a")[0], b"1")

    transaction = client.transaction()
    transaction.create(clients.root + "/c")
    transaction.check(clients.root + "/a", 0)
    transaction.delete(clients.root + "/a")
    results = transaction.commit()
    equal(
        [type(result) for result in results],
        [RolledBackError, BadVersionError, RuntimeInconsistency],
    )
    equal(client.exists(clients.root + "/c"), None)
    equal(client.transaction().commit(), [])


@recipe
def access_control(clients):
    alice = clients.client(auth_data=[("digest", "alice:secret")])
    stranger = clients.client()
    alice.ensure_path(clients.root)
    node = clients.root + "/node"
    alice.create(node, b"private", acl=CREATOR_ALL_ACL)
    equal(alice.get_acls(node)[0], [make_digest_acl("alice", "secret", all=True)])
    for call in (
        lambda: stranger.get(node),
        lambda: stranger.set(node, b""),
        lambda: stranger.create(node + "/child"),
        lambda: stranger.get_acls(node),
        lambda: stranger.set_acls(node, OPEN_ACL_UNSAFE),
    ):
        fails(NoAuthError, call)
    stat = alice.set_acls(
        node, [make_digest_acl("alice", "secret", all=True), *READ_ACL_UNSAFE], version=0
    )
    equal(stat.aversion, 1)
    equal(stranger.get(node)[0], b"private")
    equal(stranger.get_acls(node)[0][0].id.id, "alice:x")
    fails(NoAuthError, stranger.set, node, b"")
    fails(BadVersionError, alice.set_acls, node, OPEN_ACL_UNSAFE, version=0)
    fails(InvalidACLError, stranger.create, clients.root + "/x", acl=CREATOR_ALL_ACL)
    fails(
        InvalidACLError,
        stranger.create,
        clients.root + "/x",
        acl=[make_acl("no such scheme", "x", all=True)],
    )
    alice.create(clients.root + "/near", b"", acl=[make_acl("ip", "127.0.0.1", all=True)])
    equal(stranger.get(clients.root + "/near")[0], b"")
    alice.create(
        clients.root + "/append", acl=[make_acl("world", ANYONE_ID_UNSAFE.id, create=True)]
    )
    stranger.create(clients.root + "/append/child")
    fails(NoAuthError, stranger.get_children, clients.root + "/append")
    fails(NoAuthError, stranger.delete, clients.root + "/append/child")
    stranger.add_auth("digest", "alice:secret")
    stranger.set(node, b"as alice")
    equal(alice.get(node)[0], b"as alice")


@recipe
def authentication_survives_a_reconnect(clients):
    client = clients.client(auth_data=[("digest", "bob:builder")])
    client.create(clients.root, b"bob's", acl=CREATOR_ALL_ACL, makepath=True)
    session = client.client_id
    break_connection(client)
    equal(client.retry(client.get, clients.root)[0], b"bob's")
    equal(client.client_id, session)


def break_connection(client):
    """Closes the client's socket under it, and waits until it has connected again."""
    states = []
    client.add_listener(states.append)
    client._connection._socket.shutdown(2)
    soon(lambda: states[-1:] == [KazooState.CONNECTED], "connected again")
    client.remove_listener(states.append)
    equal(states, [KazooState.SUSPENDED, KazooState.CONNECTED])


@recipe
def four_letter_words(clients):
    client = clients.client()
    equal(client.command(b"ruok"), "imok")
    assert client.command(b"srvr").startswith("Zookeeper version: ")
    assert "zk_version\t" in client.command(b"mntr")
    equal(client.command(b"isro"), "rw")
    assert client.server_version() >= (3, 9, 0), client.server_version()


@recipe
def lock(clients):
    one, other = clients.client().Lock(clients.root, "one"), clients.client().Lock(
        clients.root, "other"
    )
    assert one.acquire()
    assert not other.acquire(blocking=False)
    equal(one.contenders(), ["one"])
    order = []

    def second():
        with other:
            order.append("other")

    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    soon(lambda: one.contenders() == ["one", "other"], "both contend")
    order.append("one")
    one.release()
    thread.join(LIMIT)
    equal(order, ["one", "other"])
    equal(one.contenders(), [])


@recipe
def lock_under_contention(clients):
    inside, counter = [], []

    def work(own):
        for _ in range(15):
            with own:
                inside.append(own)
                assert inside == [own], "two inside"
                counter.append(own)
                inside.remove(own)

    locks = [clients.client().Lock(clients.root, str(number)) for number in range(4)]
    together([lambda own=own: work(own) for own in locks])
    equal(len(counter), 60)


@recipe
def read_and_write_locks(clients):
    readers = [clients.client().ReadLock(clients.root, f"reader {number}") for number in (1, 2)]
    writer = clients.client().WriteLock(clients.root, "writer")
    assert readers[0].acquire(timeout=LIMIT) and readers[1].acquire(timeout=LIMIT)
    assert not writer.acquire(blocking=False)
    readers[0].release()
    readers[1].release()
    assert writer.acquire(timeout=LIMIT)
    assert not readers[0].acquire(blocking=False)
    writer.release()
    assert readers[0].acquire(timeout=LIMIT)
    readers[0].release()


@recipe
def semaphore(clients):
    holders = [
        clients.client().Semaphore(clients.root, str(number), max_leases=2) for number in range(3)
    ]
    assert holders[0].acquire() and holders[1].acquire()
    assert not holders[2].acquire(blocking=False)
    equal(sorted(holders[2].lease_holders()), ["0", "1"])
    thread = threading.Thread(target=holders[2].acquire, daemon=True)
    thread.start()
    holders[0].release()
    thread.join(LIMIT)
    equal(sorted(holders[0].lease_holders()), ["1", "2"])
    holders[1].release()
    holders[2].release()


@recipe
def election(clients):
    led, inside = [], []

    def lead(name):
        inside.append(name)
        assert inside == [name], "two leaders"
        led.append(name)
        inside.remove(name)

    elections = {name: clients.client().Election(clients.root, name) for name in ("a", "b", "c")}
    together([lambda name=name, own=own: own.run(lead, name) for name, own in elections.items()])
    equal(sorted(led), ["a", "b", "c"])
    equal(elections["a"].contenders(), [])


@recipe
def barrier(clients):
    keeper, waiter = clients.client().Barrier(clients.root), clients.client().Barrier(clients.root)
    keeper.create()
    assert not waiter.wait(SHORT)
    opened = []
    thread = threading.Thread(target=lambda: opened.append(waiter.wait(LIMIT)), daemon=True)
    thread.start()
    assert keeper.remove()
    thread.join(LIMIT)
    equal(opened, [True])
    assert not keeper.remove()


@recipe
def double_barrier(clients):
    entered, left = [], []

    def work(own, name):
        entered.append(name)
        own.enter()
        equal(len(entered), 3)
        assert own.participating
        left.append(name)
        own.leave()
        equal(len(left), 3)

    barriers = [clients.client().DoubleBarrier(clients.root, 3, str(number)) for number in range(3)]
    together([lambda own=own, name=name: work(own, name) for name, own in enumerate(barriers)])


@recipe
def counter(clients):
    def work(own):
        for _ in range(10):
            own += 1

    counters = [clients.client().Counter(clients.root + "/int") for _ in range(3)]
    together([lambda own=own: work(own) for own in counters])
    equal(counters[0].value, 30)
    counters[0] -= 5
    equal((counters[0].pre_value, counters[0].post_value, counters[1].value), (30, 25, 25))
    half = clients.client().Counter(clients.root + "/float", default=1.5)
    half += 1.25
    equal(half.value, 2.75)
    curator = clients.client().Counter(clients.root + "/curator", default=7, support_curator=True)
    curator += 1
    equal(curator.value, 8)


@recipe
def queue(clients):
    producer, consumer = clients.client().Queue(clients.root), clients.client().Queue(clients.root)
    equal(consumer.get(), None)
    producer.put(b"late", 200)
    producer.put(b"first")
    producer.put(b"second")
    producer.put(b"urgent", 5)
    equal(len(consumer), 4)
    equal([consumer.get() for _ in range(5)], [b"urgent", b"first", b"second", b"late", None])


@recipe
def locking_queue(clients):
    producer = clients.client().LockingQueue(clients.root)
    takers = [clients.client().LockingQueue(clients.root) for _ in range(2)]
    producer.put_all([b"a", b"b"], priority=50)
    producer.put(b"urgent", priority=1)
    equal(takers[0].get(LIMIT), b"urgent")
    assert takers[0].holds_lock()
    equal(takers[1].get(LIMIT), b"a")
    assert takers[0].consume()
    assert takers[1].release()
    equal(takers[0].get(LIMIT), b"a")
    assert takers[0].consume()
    equal(takers[1].get(LIMIT), b"b")
    assert takers[1].consume()
    equal(takers[0].get(SHORT), None)


@recipe
def party(clients):
    one, other = clients.client().Party(clients.root, "one"), clients.client().Party(
        clients.root, "other"
    )
    one.join()
    other.join()
    equal((sorted(one), len(other)), (["one", "other"], 2))
    other.leave()
    equal(list(one), ["one"])


@recipe
def shallow_party(clients):
    first, second = clients.client(), clients.client()
    one, other = first.ShallowParty(clients.root, "one"), second.ShallowParty(clients.root, "other")
    one.join()
    other.join()
    equal((sorted(one), len(other)), (["one", "other"], 2))
    second.stop()
    soon(lambda: list(one) == ["one"], "who goes home leaves the party")


@recipe
def set_partitioner(clients):
    items = tuple("abcdef")
    owned = {}

    def work(own, name):
        own.wait_for_acquire(LIMIT)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if own.release:
                own.release_set()
            elif own.acquired:
                owned[name] = list(own)
                if len(owned) == 3 and sorted(sum(owned.values(), [])) == sorted(items):
                    return
                time.sleep(0.02)
            elif own.allocating:
                own.wait_for_acquire(LIMIT)
            assert not own.failed, "the partitioner failed"
        raise AssertionError(f"never partitioned: {owned}")

    partitioners = [
        clients.client().SetPartitioner(
            clients.root, set=items, identifier=str(number), time_boundary=0.2
        )
        for number in range(3)
    ]
    together([lambda own=own, name=name: work(own, name) for name, own in enumerate(partitioners)])
    equal([len(part) for part in owned.values()], [2, 2, 2])
    for own in partitioners:
        own.finish()


@recipe
def leases(clients):
    one, other = clients.client(), clients.client()
    now = [datetime.datetime(2030, 1, 1)]
    minute = datetime.timedelta(minutes=1)

    def lease(client, name):
        return NonBlockingLease(
            client, clients.root + "/one", minute, identifier=name, utcnow=lambda: now[0]
        )

    assert lease(one, "one")
    assert not lease(other, "other")
    assert lease(one, "one")
    now[0] += 2 * minute
    assert lease(other, "other")

    def either(client, name):
        return MultiNonBlockingLease(
            client, 2, clients.root + "/two", minute, identifier=name, utcnow=lambda: now[0]
        )

    assert either(one, "one") and either(other, "other")
    assert not either(clients.client(), "third")


@recipe
def data_watch(clients):
    client, writer, seen = clients.client(), clients.client(), []
    client.DataWatch(clients.root, lambda data, stat: seen.append((data, stat and stat.version)))
    expected = [(None, None)]
    soon(lambda: seen == expected, "called at once")
    writer.create(clients.root, b"zero", makepath=True)
    expected.append((b"zero", 0))
    soon(lambda: seen == expected, f"{expected} and not {seen}")
    for version in (1, 2, 3):
        writer.set(clients.root, b"%d" % version)
        expected.append((b"%d" % version, version))
        soon(lambda: seen == expected, f"{expected} and not {seen}")
    break_connection(client)
    writer.set(clients.root, b"after")
    expected.append((b"after", 4))
    soon(lambda: seen == expected, f"after a reconnect {expected} and not {seen}")
    writer.delete(clients.root)
    expected.append((None, None))
    soon(lambda: seen == expected, f"{expected} and not {seen}")


@recipe
def children_watch(clients):
    client, writer, seen = clients.client(), clients.client(), []
    writer.ensure_path(clients.root)
    client.ChildrenWatch(clients.root, lambda children: seen.append(sorted(children)))
    soon(lambda: seen == [[]], "called at once")
    writer.create(clients.root + "/a")
    soon(lambda: seen[-1] == ["a"], "one child")
    break_connection(client)
    writer.create(clients.root + "/b")
    soon(lambda: seen[-1] == ["a", "b"], "after a reconnect")
    writer.delete(clients.root + "/a")
    soon(lambda: seen == [[], ["a"], ["a", "b"], ["b"]], f"all changes, not {seen}")
    patient = PatientChildrenWatch(client, clients.root, time_boundary=0.2).start()
    children, changed = patient.get(timeout=LIMIT)
    equal(children, ["b"])
    writer.create(clients.root + "/c")
    changed.wait(LIMIT)
    assert changed.ready()


@recipe
def tree_cache(clients):
    client, writer, events = clients.client(), clients.client(), []
    for branch in "xyz":
        for leaf in range(5):
            writer.create(f"{clients.root}/{branch}/{leaf}", b"%d" % leaf, makepath=True)
    cache = TreeCache(client, clients.root)
    cache.listen(lambda event: events.append(event.event_type))
    cache.start()
    soon(lambda: TreeEvent.INITIALIZED in events, "initialized")
    equal(events.count(TreeEvent.NODE_ADDED), 19)
    equal(sorted(cache.get_children(clients.root)), ["x", "y", "z"])
    equal(cache.get_data(clients.root + "/y/3").data, b"3")
    writer.set(clients.root + "/y/3", b"three")
    soon(lambda: cache.get_data(clients.root + "/y/3").data == b"three", "changed")
    writer.create(clients.root + "/new/deep", makepath=True)
    soon(lambda: cache.get_data(clients.root + "/new/deep") is not None, "created")
    writer.delete(clients.root + "/z", recursive=True)
    soon(lambda: events.count(TreeEvent.NODE_REMOVED) == 6, "a branch removed")
    equal(sorted(cache.get_children(clients.root)), ["new", "x", "y"])
    cache.close()


@recipe
def many_requests_in_flight(clients):
    client = clients.client()
    client.ensure_path(clients.root)
    creates = [
        client.create_async(f"{clients.root}/{number}", b"%d" % number) for number in range(1000)
    ]
    reads = [client.get_async(f"{clients.root}/{number}") for number in range(1000)]
    equal(
        [create.get(LIMIT) for create in creates],
        [f"{clients.root}/{number}" for number in range(1000)],
    )
    zxids = []
    for number, read in enumerate(reads):
        data, stat = read.get(LIMIT)
        equal(data, b"%d" % number)
        zxids.append(stat.czxid)
    assert (
        zxids == sorted(zxids) and len(set(zxids)) == 1000
    ), "transactions in the order of the requests"


@recipe
def large_values(clients):
    client = clients.client()
    client.ensure_path(clients.root)
    value = os.urandom(1_000_000)
    client.create(clients.root + "/large", value)
    equal(client.get(clients.root + "/large")[0], value)
    client.set(clients.root + "/large", value[::-1])
    equal(client.get(clients.root + "/large")[0], value[::-1])


@recipe
def reconfiguration_is_refused_by_a_lone_server(clients):
    fails(
        ReconfigDisabledError,
        clients.client().reconfig,
        joining="server.2=127.0.0.1:2888:3888:participant;2181",
        leaving=None,
        new_members=None,
    )


@recipe
def chroot(clients):
    clients.client().ensure_path(clients.root)
    inner = KazooClient(clients.address + clients.root, timeout=5.0)
    clients.open.append(inner)
    inner.start(timeout=LIMIT)
    equal(inner.create("/a", b"in"), "/a")
    equal(clients.client().get(clients.root + "/a")[0], b"in")
    equal(inner.get_children("/"), ["a"])


def main():
    address, names = sys.argv[1], sys.argv[2:]
    chosen = [function for function in RECIPES if not names or function.__name__ in names]
    failed = 0
    for function in chosen:
        clients = Clients(address, "/kazoo/" + function.__name__)
        begun = time.monotonic()
        try:
            function(clients)
            verdict = "ok"
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            verdict = "FAILED"
            failed += 1
        clients.close()
        print(f"{verdict:<6} {function.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"{failed} recipes FAILED" if failed else "all recipes passed")
    # Threads of a recipe that failed may still be waiting.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


main()
