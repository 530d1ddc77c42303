import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** Mutexes, read-write locks, semaphores. */
final class Locks {
    private static final long SHORT_MS = 300;
    private static final long LONG_MS = 15_000;

    private Locks() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("mutex", Locks::mutex);
        recipes.put("mutex under contention", Locks::contention);
        recipes.put("mutex of a client that goes away", Locks::holderGoesAway);
        recipes.put("mutex revoked", Locks::revoked);
        recipes.put("semaphore mutex", Locks::semaphoreMutex);
        recipes.put("read-write lock", Locks::readWriteLock);
        recipes.put("multi lock", Locks::multiLock);
        recipes.put("semaphore", Locks::semaphore);
        recipes.put("semaphore with a shared count", Locks::semaphoreWithCount);
        return recipes;
    }

    private static void mutex(Clients clients) throws Exception {
        InterProcessMutex one = new InterProcessMutex(clients.client(), clients.root);
        InterProcessMutex other = new InterProcessMutex(clients.client(), clients.root);
        one.acquire();
        one.acquire();
        Check.equal(1, one.getParticipantNodes().size(), "participants while reentered");
        Check.that(!other.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "held twice");
        one.release();
        Check.that(!other.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "released once of twice");
        one.release();
        Check.that(other.acquire(LONG_MS, TimeUnit.MILLISECONDS), "free, not acquired");
        Check.that(!one.isAcquiredInThisProcess(), "one still thinks that it holds");
        other.release();
    }

    private static void contention(Clients clients) throws Exception {
        int threads = 4;
        int rounds = 20;
        // Without the lock, the unsynchronised counter would lose steps or the flag would be seen set.
        int[] counter = new int[1];
        AtomicBoolean inside = new AtomicBoolean();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<?>> done = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            CuratorFramework client = clients.client();
            done.add(pool.submit(() -> {
                InterProcessMutex lock = new InterProcessMutex(client, clients.root);
                for (int round = 0; round < rounds; round++) {
                    lock.acquire();
                    try {
                        Check.that(inside.compareAndSet(false, true), "two inside");
                        counter[0]++;
                        inside.set(false);
                    } finally {
                        lock.release();
                    }
                }
                return null;
            }));
        }
        for (Future<?> future : done) {
            future.get();
        }
        pool.shutdown();
        Check.equal(threads * rounds, counter[0], "rounds");
    }

    private static void holderGoesAway(Clients clients) throws Exception {
        CuratorFramework mortal = clients.client();
        new InterProcessMutex(mortal, clients.root).acquire();
        InterProcessMutex heir = new InterProcessMutex(clients.client(), clients.root);
        Check.that(!heir.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "held");
        mortal.close();
        Check.that(heir.acquire(LONG_MS, TimeUnit.MILLISECONDS), "the closed session's lock is free");
    }

    private static void revoked(Clients clients) throws Exception {
        InterProcessMutex holder = new InterProcessMutex(clients.client(), clients.root);
        AtomicBoolean asked = new AtomicBoolean();
        holder.makeRevocable(lock -> asked.set(true));
        holder.acquire();
        CuratorFramework other = clients.client();
        Collection<String> nodes = new InterProcessMutex(other, clients.root).getParticipantNodes();
        Revoker.attemptRevoke(other, nodes.iterator().next());
        Check.soon(asked::get, "the holder hears of the revocation");
        holder.release();
    }

    private static void semaphoreMutex(Clients clients) throws Exception {
        InterProcessLock one = new InterProcessSemaphoreMutex(clients.client(), clients.root);
        InterProcessLock other = new InterProcessSemaphoreMutex(clients.client(), clients.root);
        one.acquire();
        Check.that(!one.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "not reentrant");
        Check.that(!other.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "held");
        one.release();
        Check.that(other.acquire(LONG_MS, TimeUnit.MILLISECONDS), "free");
        other.release();
    }

    private static void readWriteLock(Clients clients) throws Exception {
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(clients.client(), clients.root);
        InterProcessReadWriteLock other = new InterProcessReadWriteLock(clients.client(), clients.root);
        one.readLock().acquire();
        Check.that(other.readLock().acquire(LONG_MS, TimeUnit.MILLISECONDS), "readers share");
        other.readLock().release();
        Check.that(!other.writeLock().acquire(SHORT_MS, TimeUnit.MILLISECONDS), "a reader keeps writers out");
        one.readLock().release();
        Check.that(other.writeLock().acquire(LONG_MS, TimeUnit.MILLISECONDS), "no reader left");
        Check.that(!one.readLock().acquire(SHORT_MS, TimeUnit.MILLISECONDS), "a writer keeps readers out");
        Check.that(other.readLock().acquire(LONG_MS, TimeUnit.MILLISECONDS), "a writer may read as well");
        other.writeLock().release();
        Check.that(one.readLock().acquire(LONG_MS, TimeUnit.MILLISECONDS), "downgraded, so readers share");
        one.readLock().release();
        other.readLock().release();
    }

    private static void multiLock(Clients clients) throws Exception {
        List<String> paths = List.of(clients.path("a"), clients.path("b"));
        InterProcessLock all = new InterProcessMultiLock(clients.client(), paths);
        InterProcessMutex second = new InterProcessMutex(clients.client(), paths.get(1));
        second.acquire();
        Check.that(!all.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "one of the two is held");
        InterProcessMutex first = new InterProcessMutex(clients.client(), paths.get(0));
        Check.that(first.acquire(LONG_MS, TimeUnit.MILLISECONDS), "the failed attempt left the first one free");
        first.release();
        second.release();
        Check.that(all.acquire(LONG_MS, TimeUnit.MILLISECONDS), "both free");
        Check.that(!second.acquire(SHORT_MS, TimeUnit.MILLISECONDS), "held through the multi lock");
        all.release();
    }

    private static void semaphore(Clients clients) throws Exception {
        InterProcessSemaphoreV2 one = new InterProcessSemaphoreV2(clients.client(), clients.root, 3);
        InterProcessSemaphoreV2 other = new InterProcessSemaphoreV2(clients.client(), clients.root, 3);
        Collection<Lease> two = one.acquire(2);
        Lease third = other.acquire(LONG_MS, TimeUnit.MILLISECONDS);
        Check.that(third != null, "a third lease");
        third.close();
        Check.that(other.acquire(2, SHORT_MS, TimeUnit.MILLISECONDS) == null, "no fourth lease");
        Check.equal(2, one.getParticipantNodes().size(), "the failed attempt left nothing behind");
        one.returnAll(two);
        Collection<Lease> three = other.acquire(3, LONG_MS, TimeUnit.MILLISECONDS);
        Check.that(three != null && three.size() == 3, "all three");
        other.returnAll(three);
    }

    private static void semaphoreWithCount(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        SharedCount count = new SharedCount(client, clients.path("count"), 1);
        count.start();
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, clients.path("leases"), count);
        Lease only = semaphore.acquire(LONG_MS, TimeUnit.MILLISECONDS);
        Check.that(only != null, "one lease");
        Check.that(semaphore.acquire(SHORT_MS, TimeUnit.MILLISECONDS) == null, "no second one");
        count.setCount(2);
        Lease second = semaphore.acquire(LONG_MS, TimeUnit.MILLISECONDS);
        Check.that(second != null, "a second one after the count was raised");
        semaphore.returnLease(second);
        semaphore.returnLease(only);
        count.close();
    }
}
