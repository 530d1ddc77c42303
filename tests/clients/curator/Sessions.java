import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;

/** What happens to a client whose connection or session is lost. */
final class Sessions {
    private Sessions() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("reconnect keeps the session", Sessions::reconnect);
        recipes.put("watches come back after a reconnect", Sessions::watchesComeBack);
        recipes.put("a session moves to another connection", Sessions::moves);
        recipes.put("expiry", Sessions::expiry);
        recipes.put("a session closed by another connection", Sessions::closedByAnother);
        recipes.put("a wrong password", Sessions::wrongPassword);
        recipes.put("timeouts are negotiated", Sessions::negotiated);
        return recipes;
    }

    private static CuratorFramework through(Gate gate, Clients clients) throws Exception {
        return clients.started(clients.builder().connectString(gate.address()));
    }

    private static List<ConnectionState> states(CuratorFramework client) {
        List<ConnectionState> states = Collections.synchronizedList(new ArrayList<>());
        client.getConnectionStateListenable().addListener((source, state) -> states.add(state));
        return states;
    }

    private static void reconnect(Clients clients) throws Exception {
        try (Gate gate = new Gate(clients.address)) {
            CuratorFramework client = through(gate, clients);
            List<ConnectionState> states = states(client);
            String node = clients.path("mine");
            client.create().creatingParentsIfNeeded().withMode(CreateMode.EPHEMERAL).forPath(node);
            long session = client.getZookeeperClient().getZooKeeper().getSessionId();
            for (int round = 1; round <= 2; round++) {
                int expected = round;
                gate.shut();
                gate.open();
                Check.soon(() -> Collections.frequency(states, ConnectionState.RECONNECTED) == expected, "reconnected");
                Check.equal(session, client.checkExists().forPath(node).getEphemeralOwner(), "the same session");
            }
            Check.that(!states.contains(ConnectionState.LOST), "never lost: " + states);
        }
    }

    private static void watchesComeBack(Clients clients) throws Exception {
        CuratorFramework writer = clients.client();
        writer.create().creatingParentsIfNeeded().forPath(clients.root);
        for (String child : List.of("data", "doomed", "parent", "quiet")) {
            writer.create().forPath(clients.path(child));
        }
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        Watcher watcher = event -> {
            if (event.getType() != EventType.None) {
                events.add(event.getType() + " " + event.getPath().substring(clients.root.length()));
            }
        };
        try (Gate gate = new Gate(clients.address)) {
            CuratorFramework client = through(gate, clients);
            List<ConnectionState> states = states(client);
            client.getData().usingWatcher(watcher).forPath(clients.path("data"));
            client.getData().usingWatcher(watcher).forPath(clients.path("doomed"));
            client.getData().usingWatcher(watcher).forPath(clients.path("quiet"));
            client.checkExists().usingWatcher(watcher).forPath(clients.path("coming"));
            client.getChildren().usingWatcher(watcher).forPath(clients.path("parent"));
            client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher(watcher).forPath(clients.path("deep"));
            client.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher(watcher).forPath(clients.path("long"));
            try (CuratorCache cache = CuratorCache.build(client, clients.path("cached"))) {
                cache.start();
                // While the client is away, what its one-time watches wait for happens.
                gate.shut();
                Check.soon(() -> states.contains(ConnectionState.SUSPENDED), "away");
                writer.setData().forPath(clients.path("data"), Clients.bytes("x"));
                writer.delete().forPath(clients.path("doomed"));
                writer.create().forPath(clients.path("coming"));
                writer.create().forPath(clients.path("parent/child"));
                writer.create().forPath(clients.path("deep"));
                writer.create().forPath(clients.path("cached"), Clients.bytes("c"));
                gate.open();
                Check.soon(() -> states.contains(ConnectionState.RECONNECTED), "back");
                List<String> missed = List.of(
                        "NodeChildrenChanged /parent", "NodeCreated /coming", "NodeDataChanged /data", "NodeDeleted /doomed");
                Check.soon(() -> events.size() >= missed.size(), missed + " of " + events);
                // Their order among each other is not promised.
                Check.equal(missed, events.stream().sorted().toList(), "events that were made up for");
                Check.soon(() -> cache.get(clients.path("cached")).isPresent(), "the cache catches up");
                // And what still waits, waits on.
                events.clear();
                writer.setData().forPath(clients.path("quiet"), Clients.bytes("x"));
                writer.setData().forPath(clients.path("data"), Clients.bytes("not watched any more"));
                writer.create().forPath(clients.path("deep/er"));
                writer.create().forPath(clients.path("long"));
                List<String> later = List.of("NodeDataChanged /quiet", "NodeCreated /deep/er", "NodeCreated /long");
                Check.soon(() -> events.size() >= later.size(), later + " of " + events);
                Check.equal(later, List.copyOf(events), "events after the reconnect");
            }
        }
    }

    private static void moves(Clients clients) throws Exception {
        CountDownLatch disconnected = new CountDownLatch(1);
        ZooKeeper first = connected(clients.address, 5_000, event -> {
            if (event.getState() == KeeperState.Disconnected) {
                disconnected.countDown();
            }
        });
        clients.client().create().creatingParentsIfNeeded().forPath(clients.root);
        first.create(clients.path("mine"), new byte[0], org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        ZooKeeper second = connectedAs(clients.address, first.getSessionId(), first.getSessionPasswd());
        Check.equal(first.getSessionId(), second.getSessionId(), "the same session");
        Check.that(disconnected.await(10, TimeUnit.SECONDS), "the first connection was closed by the server");
        second.close();
        Check.soon(() -> clients.client().checkExists().forPath(clients.path("mine")) == null, "gone with the session");
        first.close();
    }

    private static void expiry(Clients clients) throws Exception {
        CuratorFramework other = clients.client();
        try (Gate gate = new Gate(clients.address)) {
            CuratorFramework client = clients.started(
                    clients.builder().connectString(gate.address()).sessionTimeoutMs(2_000));
            List<ConnectionState> states = states(client);
            PersistentNode kept =
                    new PersistentNode(client, CreateMode.EPHEMERAL, false, clients.path("kept"), Clients.bytes("k"));
            kept.start();
            Check.that(kept.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
            client.create().withMode(CreateMode.EPHEMERAL).forPath(clients.path("lost"));
            long session = client.getZookeeperClient().getZooKeeper().getSessionId();
            long heard = System.nanoTime();
            gate.shut();
            Check.soon(() -> other.checkExists().forPath(clients.path("lost")) == null, "the server expires the session");
            long passed = (System.nanoTime() - heard) / 1_000_000;
            // The server may have heard of the client last at its latest ping, a third of the timeout earlier.
            Check.that(passed > 1_000, "a session of 2000 ms expired after " + passed + " ms");
            Check.that(other.checkExists().forPath(clients.path("kept")) == null, "with all of its nodes");
            gate.open();
            Check.soon(() -> states.contains(ConnectionState.LOST), "lost: " + states);
            Check.soon(() -> states.contains(ConnectionState.RECONNECTED), "with a new session: " + states);
            Check.that(client.getZookeeperClient().getZooKeeper().getSessionId() != session, "another session");
            Check.soon(() -> other.checkExists().forPath(clients.path("kept")) != null, "the recipe made its node again");
            kept.close();
        }
    }

    private static void closedByAnother(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        List<ConnectionState> states = states(client);
        client.create().creatingParentsIfNeeded().withMode(CreateMode.EPHEMERAL).forPath(clients.path("lost"));
        ZooKeeper mine = client.getZookeeperClient().getZooKeeper();
        // Whoever knows id and password may close the session; to its owner that is the same as an expiry.
        connectedAs(clients.address, mine.getSessionId(), mine.getSessionPasswd()).close();
        Check.soon(() -> states.contains(ConnectionState.LOST), "lost: " + states);
        Check.soon(() -> states.contains(ConnectionState.RECONNECTED), "with a new session: " + states);
        Check.that(client.checkExists().forPath(clients.path("lost")) == null, "its ephemeral node is gone");
    }

    private static void wrongPassword(Clients clients) throws Exception {
        ZooKeeper first = connected(clients.address, 5_000, event -> {});
        CountDownLatch expired = new CountDownLatch(1);
        ZooKeeper thief = new ZooKeeper(clients.address, 5_000, event -> {
            if (event.getState() == KeeperState.Expired) {
                expired.countDown();
            }
        }, first.getSessionId(), new byte[16]);
        Check.that(expired.await(10, TimeUnit.SECONDS), "the thief is told that there is no such session");
        thief.close();
        Check.soon(() -> {
            try {
                return first.exists("/", false) != null;
            } catch (KeeperException.ConnectionLossException reconnecting) {
                return false;
            }
        }, "the session lives on");
        first.close();
    }

    private static void negotiated(Clients clients) throws Exception {
        // tickTime is 500 ms: sessions of 1 s to 10 s.
        int[][] asked = {{600, 1_000}, {4_000, 4_000}, {1_000_000, 10_000}};
        for (int[] pair : asked) {
            ZooKeeper session = connected(clients.address, pair[0], event -> {});
            Check.equal(pair[1], session.getSessionTimeout(), "asked for " + pair[0] + " ms");
            session.close();
        }
    }

    private static ZooKeeper connected(String address, int timeoutMs, Watcher watcher) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper session = new ZooKeeper(address, timeoutMs, event -> count(event, connected, watcher));
        Check.that(connected.await(20, TimeUnit.SECONDS), "connected");
        return session;
    }

    private static ZooKeeper connectedAs(String address, long id, byte[] password) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper session =
                new ZooKeeper(address, 5_000, event -> count(event, connected, unused -> {}), id, password);
        Check.that(connected.await(20, TimeUnit.SECONDS), "connected to session " + Long.toHexString(id));
        return session;
    }

    private static void count(WatchedEvent event, CountDownLatch connected, Watcher watcher) {
        if (event.getState() == KeeperState.SyncConnected) {
            connected.countDown();
        }
        watcher.process(event);
    }
}
