import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicValue;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Barriers, shared counts and values, atomic numbers. */
final class Counters {
    private Counters() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("barrier", Counters::barrier);
        recipes.put("double barrier", Counters::doubleBarrier);
        recipes.put("shared count", Counters::sharedCount);
        recipes.put("shared value", Counters::sharedValue);
        recipes.put("atomic long", Counters::atomicLong);
        recipes.put("atomic long promoted to a lock", Counters::promoted);
        recipes.put("atomic integer and value", Counters::integerAndValue);
        return recipes;
    }

    private static void barrier(Clients clients) throws Exception {
        DistributedBarrier keeper = new DistributedBarrier(clients.client(), clients.root);
        DistributedBarrier waiter = new DistributedBarrier(clients.client(), clients.root);
        keeper.setBarrier();
        Check.that(!waiter.waitOnBarrier(300, TimeUnit.MILLISECONDS), "the barrier is closed");
        ExecutorService pool = Executors.newSingleThreadExecutor();
        Future<Boolean> passed = pool.submit(() -> waiter.waitOnBarrier(20, TimeUnit.SECONDS));
        keeper.removeBarrier();
        Check.that(passed.get(), "the barrier is open");
        pool.shutdown();
    }

    private static void doubleBarrier(Clients clients) throws Exception {
        int members = 3;
        AtomicInteger entered = new AtomicInteger();
        AtomicInteger left = new AtomicInteger();
        ExecutorService pool = Executors.newFixedThreadPool(members);
        List<Future<?>> done = new ArrayList<>();
        for (int member = 0; member < members; member++) {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(clients.client(), clients.root, members);
            done.add(pool.submit(() -> {
                entered.incrementAndGet();
                Check.that(barrier.enter(20, TimeUnit.SECONDS), "entered in time");
                Check.equal(members, entered.get(), "members when the barrier let us in");
                left.incrementAndGet();
                Check.that(barrier.leave(20, TimeUnit.SECONDS), "left in time");
                Check.equal(members, left.get(), "members when the barrier let us out");
                return null;
            }));
        }
        for (Future<?> future : done) {
            future.get();
        }
        pool.shutdown();
    }

    private static void sharedCount(Clients clients) throws Exception {
        SharedCount one = new SharedCount(clients.client(), clients.root, 10);
        SharedCount other = new SharedCount(clients.client(), clients.root, 10);
        one.start();
        other.start();
        AtomicInteger heard = new AtomicInteger();
        other.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader count, int value) {
                heard.set(value);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        });
        Check.equal(10, one.getCount(), "the seed");
        one.setCount(11);
        Check.soon(() -> heard.get() == 11 && other.getCount() == 11, "the other hears of it");
        Check.that(other.trySetCount(other.getVersionedValue(), 12), "from the newest version");
        Check.soon(() -> one.getCount() == 12, "and back");
        var stale = one.getVersionedValue();
        other.setCount(13);
        Check.that(!one.trySetCount(stale, 14), "from an old version");
        Check.soon(() -> one.getCount() == 13, "the failed attempt brought the newest value");
        one.close();
        other.close();
    }

    private static void sharedValue(Clients clients) throws Exception {
        SharedValue one = new SharedValue(clients.client(), clients.root, Clients.bytes("seed"));
        SharedValue other = new SharedValue(clients.client(), clients.root, Clients.bytes("seed"));
        one.start();
        other.start();
        one.setValue(Clients.bytes("changed"));
        Check.soon(() -> Clients.text(other.getValue()).equals("changed"), "the other sees it");
        one.close();
        other.close();
    }

    private static void atomicLong(Clients clients) throws Exception {
        int threads = 3;
        int rounds = 20;
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<?>> done = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            CuratorFramework client = clients.client();
            done.add(pool.submit(() -> {
                DistributedAtomicLong number = new DistributedAtomicLong(client, clients.root, new RetryNTimes(500, 2));
                for (int round = 0; round < rounds; round++) {
                    Check.that(number.increment().succeeded(), "incremented");
                }
                return null;
            }));
        }
        for (Future<?> future : done) {
            future.get();
        }
        pool.shutdown();
        DistributedAtomicLong number =
                new DistributedAtomicLong(clients.client(), clients.root, new RetryNTimes(10, 10));
        Check.equal((long) threads * rounds, number.get().postValue(), "the sum of all");
        AtomicValue<Long> result = number.subtract(10L);
        Check.that(result.succeeded() && result.preValue() - result.postValue() == 10, "subtracted");
        Check.that(!number.compareAndSet(-1L, 5L).succeeded(), "compare and set from a wrong value");
        Check.that(number.compareAndSet(result.postValue(), 5L).succeeded(), "compare and set");
        CachedAtomicLong cached = new CachedAtomicLong(number, 10);
        for (long expected = 6; expected < 20; expected++) {
            Check.equal(expected, cached.next().postValue(), "cached number");
        }
    }

    private static void promoted(Clients clients) throws Exception {
        PromotedToLock lock = PromotedToLock.builder()
                .lockPath(clients.path("lock"))
                .retryPolicy(new RetryNTimes(100, 10))
                .build();
        DistributedAtomicLong number = new DistributedAtomicLong(
                clients.client(), clients.path("number"), new RetryNTimes(0, 0), lock);
        Check.that(number.add(7L).succeeded(), "added");
        Check.equal(7L, number.get().postValue(), "value");
    }

    private static void integerAndValue(Clients clients) throws Exception {
        DistributedAtomicInteger number =
                new DistributedAtomicInteger(clients.client(), clients.path("int"), new RetryNTimes(10, 10));
        Check.that(number.initialize(3), "initialized");
        Check.that(!number.initialize(4), "only once");
        Check.equal(2, number.decrement().postValue(), "decremented");
        DistributedAtomicValue value =
                new DistributedAtomicValue(clients.client(), clients.path("value"), new RetryNTimes(10, 10));
        Check.that(value.trySet(Clients.bytes("x")).succeeded(), "set");
        Check.equal("x", Clients.text(value.get().postValue()), "value");
    }
}
