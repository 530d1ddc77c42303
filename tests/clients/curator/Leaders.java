import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.nodes.GroupMember;

/** Leader latch, leader selector, group membership. */
final class Leaders {
    private Leaders() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("leader latch", Leaders::latch);
        recipes.put("leader selector", Leaders::selector);
        recipes.put("leader selector interrupted", Leaders::interrupted);
        recipes.put("group member", Leaders::groupMember);
        return recipes;
    }

    private static void latch(Clients clients) throws Exception {
        List<LeaderLatch> candidates = new ArrayList<>();
        AtomicInteger gained = new AtomicInteger();
        AtomicInteger lost = new AtomicInteger();
        for (int number = 0; number < 3; number++) {
            LeaderLatch latch = new LeaderLatch(clients.client(), clients.root, "candidate-" + number);
            latch.addListener(new LeaderLatchListener() {
                @Override
                public void isLeader() {
                    gained.incrementAndGet();
                }

                @Override
                public void notLeader() {
                    lost.incrementAndGet();
                }
            });
            candidates.add(latch);
            latch.start();
        }
        for (int left = 3; left > 0; left--) {
            int count = left;
            Check.soon(() -> candidates.stream().filter(LeaderLatch::hasLeadership).count() == 1, "one leader");
            Check.soon(() -> candidates.get(0).getParticipants().size() == count, count + " participants");
            LeaderLatch leader = candidates.stream().filter(LeaderLatch::hasLeadership).findFirst().orElseThrow();
            Check.that(leader.await(10, TimeUnit.SECONDS), "the leader need not wait");
            Check.equal(leader.getId(), candidates.get(left - 1).getLeader().getId(), "all agree on the leader");
            leader.close(LeaderLatch.CloseMode.NOTIFY_LEADER);
            candidates.remove(leader);
        }
        Check.soon(() -> gained.get() == 3 && lost.get() == 3, "each led once and was told of both ends");
    }

    private static void selector(Clients clients) throws Exception {
        Set<String> led = ConcurrentHashMap.newKeySet();
        AtomicBoolean inside = new AtomicBoolean();
        AtomicInteger overlaps = new AtomicInteger();
        List<LeaderSelector> candidates = new ArrayList<>();
        for (int number = 0; number < 3; number++) {
            String name = "candidate-" + number;
            LeaderSelector selector = new LeaderSelector(clients.client(), clients.root, new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    if (!inside.compareAndSet(false, true)) {
                        overlaps.incrementAndGet();
                    }
                    led.add(name);
                    Thread.sleep(20);
                    inside.set(false);
                }
            });
            selector.setId(name);
            selector.autoRequeue();
            candidates.add(selector);
            selector.start();
        }
        Check.soon(() -> led.size() == 3, "each leads in turn");
        Check.soon(() -> candidates.get(0).getParticipants().size() == 3, "three participants");
        candidates.forEach(LeaderSelector::close);
        Check.equal(0, overlaps.get(), "two leaders at a time");
    }

    private static void interrupted(Clients clients) throws Exception {
        CountDownLatch leading = new CountDownLatch(1);
        CountDownLatch stopped = new CountDownLatch(1);
        LeaderSelector selector = new LeaderSelector(clients.client(), clients.root, new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework client) {
                leading.countDown();
                try {
                    Thread.sleep(60_000);
                } catch (InterruptedException interrupt) {
                    stopped.countDown();
                }
            }
        });
        selector.start();
        Check.that(leading.await(20, TimeUnit.SECONDS), "leads");
        selector.interruptLeadership();
        Check.that(stopped.await(20, TimeUnit.SECONDS), "interrupted");
        Check.soon(() -> !selector.hasLeadership(), "gave it up");
        selector.close();
    }

    private static void groupMember(Clients clients) throws Exception {
        GroupMember one = new GroupMember(clients.client(), clients.root, "one", Clients.bytes("first"));
        GroupMember two = new GroupMember(clients.client(), clients.root, "two", Clients.bytes("second"));
        one.start();
        two.start();
        Check.soon(() -> one.getCurrentMembers().keySet().equals(Set.of("one", "two")), "both are members");
        Check.soon(() -> Clients.text(one.getCurrentMembers().get("two")).equals("second"), "with their data");
        two.setThisData(Clients.bytes("changed"));
        Check.soon(() -> Clients.text(one.getCurrentMembers().get("two")).equals("changed"), "new data");
        two.close();
        Check.soon(() -> one.getCurrentMembers().keySet().equals(Set.of("one")), "one is left");
        one.close();
    }
}
