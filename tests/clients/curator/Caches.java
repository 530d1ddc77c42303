import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheBridge;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.cache.TreeCacheEvent;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;

/** Caches and watches of every kind. */
@SuppressWarnings("deprecation") // The older caches are what much software in the field still uses.
final class Caches {
    private Caches() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("one-time watches", Caches::oneTimeWatches);
        recipes.put("persistent watch", Caches::persistentWatch);
        recipes.put("persistent recursive watch", Caches::recursiveWatch);
        recipes.put("persistent watcher recipe", Caches::persistentWatcher);
        recipes.put("removing watches", Caches::removingWatches);
        recipes.put("node cache", Caches::nodeCache);
        recipes.put("path children cache", Caches::pathChildrenCache);
        recipes.put("tree cache", Caches::treeCache);
        recipes.put("curator cache", Caches::curatorCache);
        recipes.put("curator cache of one node", Caches::curatorCacheOfOneNode);
        recipes.put("curator cache bridge", Caches::bridge);
        return recipes;
    }

    /** Events as `Type path`, in the order in which they came. */
    private static final class Seen implements Watcher {
        private final List<String> events = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                events.add(event.getType() + " " + event.getPath());
            }
        }

        void expect(String... expected) throws Exception {
            Check.soon(() -> events.size() >= expected.length, List.of(expected) + " of " + events);
            Check.equal(List.of(expected), List.copyOf(events), "events");
        }
    }

    private static void oneTimeWatches(Clients clients) throws Exception {
        CuratorFramework watcher = clients.client();
        CuratorFramework writer = clients.client();
        String node = clients.path("node");
        writer.create().creatingParentsIfNeeded().forPath(clients.root);
        Seen exists = new Seen();
        Seen data = new Seen();
        Seen children = new Seen();
        Seen parent = new Seen();
        Check.that(watcher.checkExists().usingWatcher(exists).forPath(node) == null, "not there yet");
        watcher.getChildren().usingWatcher(parent).forPath(clients.root);
        writer.create().forPath(node, Clients.bytes("a"));
        exists.expect("NodeCreated " + node);
        parent.expect("NodeChildrenChanged " + clients.root);
        watcher.getData().usingWatcher(data).forPath(node);
        watcher.getChildren().usingWatcher(children).forPath(node);
        writer.setData().forPath(node, Clients.bytes("b"));
        writer.setData().forPath(node, Clients.bytes("c"));
        writer.create().forPath(node + "/child");
        writer.delete().forPath(node + "/child");
        // One time each: nothing after the first.
        data.expect("NodeDataChanged " + node);
        children.expect("NodeChildrenChanged " + node);
        Seen last = new Seen();
        watcher.getData().usingWatcher(last).forPath(node);
        writer.delete().forPath(node);
        last.expect("NodeDeleted " + node);
        data.expect("NodeDataChanged " + node);
        exists.expect("NodeCreated " + node);
    }

    private static void persistentWatch(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework writer = clients.client();
        String node = clients.path("node");
        writer.create().creatingParentsIfNeeded().forPath(clients.root);
        Seen seen = new Seen();
        client.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher(seen).forPath(node);
        writer.create().forPath(node);
        writer.setData().forPath(node, Clients.bytes("1"));
        writer.setData().forPath(node, Clients.bytes("2"));
        writer.create().forPath(node + "/child");
        writer.setData().forPath(node + "/child", Clients.bytes("unseen"));
        writer.delete().forPath(node + "/child");
        writer.delete().forPath(node);
        writer.create().forPath(node);
        seen.expect(
                "NodeCreated " + node,
                "NodeDataChanged " + node,
                "NodeDataChanged " + node,
                "NodeChildrenChanged " + node,
                "NodeChildrenChanged " + node,
                "NodeDeleted " + node,
                "NodeCreated " + node);
    }

    private static void recursiveWatch(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework writer = clients.client();
        String node = clients.path("node");
        writer.create().creatingParentsIfNeeded().forPath(clients.root);
        Seen seen = new Seen();
        client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher(seen).forPath(clients.root);
        writer.create().forPath(node);
        writer.create().forPath(node + "/child");
        writer.setData().forPath(node + "/child", Clients.bytes("seen"));
        writer.delete().forPath(node + "/child");
        writer.delete().forPath(node);
        seen.expect(
                "NodeCreated " + node,
                "NodeCreated " + node + "/child",
                "NodeDataChanged " + node + "/child",
                "NodeDeleted " + node + "/child",
                "NodeDeleted " + node);
    }

    private static void persistentWatcher(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        client.create().creatingParentsIfNeeded().forPath(clients.root);
        Seen seen = new Seen();
        CountDownLatch ready = new CountDownLatch(1);
        try (PersistentWatcher watcher = new PersistentWatcher(client, clients.root, true)) {
            watcher.getListenable().addListener(seen);
            watcher.getResetListenable().addListener(ready::countDown);
            watcher.start();
            Check.that(ready.await(20, TimeUnit.SECONDS), "the watch is set");
            clients.client().create().creatingParentsIfNeeded().forPath(clients.path("a/b"));
            seen.expect("NodeCreated " + clients.path("a"), "NodeCreated " + clients.path("a/b"));
        }
    }

    private static void removingWatches(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework writer = clients.client();
        writer.create().creatingParentsIfNeeded().forPath(clients.root);
        Seen data = new Seen();
        Seen children = new Seen();
        client.getData().usingWatcher(data).forPath(clients.root);
        client.getChildren().usingWatcher(children).forPath(clients.root);
        client.watchers().remove(data).ofType(Watcher.WatcherType.Data).forPath(clients.root);
        data.expect("DataWatchRemoved " + clients.root);
        writer.setData().forPath(clients.root, Clients.bytes("x"));
        writer.create().forPath(clients.path("child"));
        children.expect("NodeChildrenChanged " + clients.root);
        data.expect("DataWatchRemoved " + clients.root);
        Check.fails(
                KeeperException.NoWatcherException.class,
                () -> client.watchers().remove(new Seen()).ofType(Watcher.WatcherType.Any).forPath(clients.root),
                "removing a watch that was never set");
        Seen persistent = new Seen();
        client.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher(persistent).forPath(clients.root);
        client.watchers().removeAll().ofType(Watcher.WatcherType.Any).forPath(clients.root);
        persistent.expect("PersistentWatchRemoved " + clients.root);
    }

    private static void nodeCache(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        try (NodeCache cache = new NodeCache(clients.client(), clients.root)) {
            AtomicInteger changes = new AtomicInteger();
            cache.getListenable().addListener(changes::incrementAndGet);
            cache.start(true);
            Check.that(cache.getCurrentData() == null, "nothing there");
            writer.create().creatingParentsIfNeeded().forPath(clients.root, Clients.bytes("one"));
            Check.soon(() -> cache.getCurrentData() != null, "created");
            writer.setData().forPath(clients.root, Clients.bytes("two"));
            Check.soon(() -> Clients.text(cache.getCurrentData().getData()).equals("two"), "changed");
            Check.equal(1, cache.getCurrentData().getStat().getVersion(), "version");
            writer.delete().forPath(clients.root);
            Check.soon(() -> cache.getCurrentData() == null, "deleted");
            Check.soon(() -> changes.get() == 3, "three changes");
        }
    }

    private static void pathChildrenCache(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        writer.create().creatingParentsIfNeeded().forPath(clients.path("before"), Clients.bytes("0"));
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        try (PathChildrenCache cache = new PathChildrenCache(clients.client(), clients.root, true)) {
            cache.getListenable().addListener((client, event) ->
                    events.add(event.getType() + (event.getData() == null ? "" : " " + event.getData().getPath())));
            cache.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
            Check.soon(() -> events.contains("INITIALIZED"), "initialized");
            writer.create().forPath(clients.path("child"), Clients.bytes("1"));
            Check.soon(() -> events.contains("CHILD_ADDED " + clients.path("child")), "added");
            writer.setData().forPath(clients.path("child"), Clients.bytes("2"));
            Check.soon(() -> events.contains("CHILD_UPDATED " + clients.path("child")), "updated");
            Check.equal("2", Clients.text(cache.getCurrentData(clients.path("child")).getData()), "data");
            writer.delete().forPath(clients.path("child"));
            Check.soon(() -> events.contains("CHILD_REMOVED " + clients.path("child")), "removed");
            Check.equal(1, cache.getCurrentData().size(), "one child left");
        }
    }

    private static void treeCache(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        for (int number = 0; number < 50; number++) {
            writer.create().creatingParentsIfNeeded().forPath(clients.path(number % 5 + "/" + number));
        }
        Map<TreeCacheEvent.Type, AtomicInteger> counts = new ConcurrentHashMap<>();
        try (TreeCache cache = new TreeCache(clients.client(), clients.root)) {
            cache.getListenable().addListener((client, event) ->
                    counts.computeIfAbsent(event.getType(), type -> new AtomicInteger()).incrementAndGet());
            cache.start();
            Check.soon(() -> counts.containsKey(TreeCacheEvent.Type.INITIALIZED), "initialized");
            Check.equal(56, counts.get(TreeCacheEvent.Type.NODE_ADDED).get(), "nodes of the tree");
            writer.setData().forPath(clients.path("3/13"), Clients.bytes("new"));
            Check.soon(() -> Clients.text(cache.getCurrentData(clients.path("3/13")).getData()).equals("new"), "updated");
            writer.delete().deletingChildrenIfNeeded().forPath(clients.path("4"));
            Check.soon(() -> cache.getCurrentChildren(clients.root).size() == 4, "a branch removed");
            Check.soon(() -> counts.get(TreeCacheEvent.Type.NODE_REMOVED).get() == 11, "eleven nodes removed");
        }
    }

    private static void curatorCache(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        writer.create().creatingParentsIfNeeded().forPath(clients.path("a"), Clients.bytes("a0"));
        Map<String, String> mirror = new ConcurrentHashMap<>();
        CountDownLatch initialized = new CountDownLatch(1);
        try (CuratorCache cache = CuratorCache.build(clients.client(), clients.root)) {
            cache.listenable().addListener(CuratorCacheListener.builder()
                    .forCreates(node -> mirror.put(node.getPath(), Clients.text(node.getData())))
                    .forChanges((before, after) -> mirror.put(after.getPath(), Clients.text(after.getData())))
                    .forDeletes(node -> mirror.remove(node.getPath()))
                    .forInitialized(initialized::countDown)
                    .build());
            cache.start();
            Check.that(initialized.await(20, TimeUnit.SECONDS), "initialized");
            Map<String, String> expected = new TreeMap<>();
            expected.put(clients.root, Clients.text(writer.getData().forPath(clients.root)));
            expected.put(clients.path("a"), "a0");
            for (int number = 0; number < 30; number++) {
                String path = clients.path("n" + number);
                writer.create().forPath(path, Clients.bytes("first"));
                if (number % 3 == 0) {
                    writer.delete().forPath(path);
                } else {
                    writer.setData().forPath(path, Clients.bytes("second " + number));
                    expected.put(path, "second " + number);
                }
            }
            writer.create().forPath(clients.path("a/deep"), Clients.bytes("d"));
            expected.put(clients.path("a/deep"), "d");
            Check.soon(() -> new TreeMap<>(mirror).equals(expected), "the mirror equals the tree");
            Check.equal("d", Clients.text(cache.get(clients.path("a/deep")).orElseThrow().getData()), "cached");
            Check.equal((long) expected.size(), cache.stream().count(), "cached nodes");
        }
    }

    private static void curatorCacheOfOneNode(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        try (CuratorCache cache =
                CuratorCache.build(clients.client(), clients.root, CuratorCache.Options.SINGLE_NODE_CACHE)) {
            cache.start();
            writer.create().creatingParentsIfNeeded().forPath(clients.path("child"));
            Check.soon(() -> cache.get(clients.root).isPresent(), "the node");
            Check.that(cache.get(clients.path("child")).isEmpty(), "and nothing below it");
            writer.setData().forPath(clients.root, Clients.bytes("x"));
            Check.soon(() -> cache.get(clients.root).map(ChildData::getData).map(Clients::text).equals(java.util.Optional.of("x")), "data");
        }
    }

    private static void bridge(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        try (CuratorCacheBridge cache = CuratorCache.bridgeBuilder(clients.client(), clients.root).build()) {
            cache.start();
            writer.create().creatingParentsIfNeeded().forPath(clients.path("x/y"));
            Check.soon(() -> cache.stream().count() == 3, "three nodes");
            writer.delete().deletingChildrenIfNeeded().forPath(clients.root);
            Check.soon(() -> cache.stream().count() == 0, "none left");
        }
    }
}
