import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Nodes of every kind, transactions, access control. */
final class Nodes {
    private Nodes() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("create, read, write, delete", Nodes::basics);
        recipes.put("ephemeral and sequential nodes", Nodes::ephemeralAndSequential);
        recipes.put("container nodes", Nodes::containers);
        recipes.put("TTL nodes", Nodes::ttl);
        recipes.put("create with protection", Nodes::protection);
        recipes.put("work in the background", Nodes::background);
        recipes.put("transactions", Nodes::transactions);
        recipes.put("access control", Nodes::accessControl);
        recipes.put("large values and many children", Nodes::large);
        recipes.put("persistent node", Nodes::persistentNode);
        recipes.put("persistent TTL node", Nodes::persistentTtlNode);
        recipes.put("namespaces and the built-in nodes", Nodes::builtIn);
        return recipes;
    }

    private static void basics(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        String node = clients.path("node");
        Stat stat = new Stat();
        client.create().storingStatIn(stat).creatingParentsIfNeeded().forPath(node, Clients.bytes("one"));
        Check.equal(0, stat.getVersion(), "version of a new node");
        Check.equal(3, stat.getDataLength(), "length");
        Check.equal(stat.getCzxid(), stat.getMzxid(), "created and modified by the same transaction");
        Check.fails(KeeperException.NodeExistsException.class, () -> client.create().forPath(node), "create again");
        client.create().orSetData().forPath(node, Clients.bytes("two"));
        Check.equal("two", Clients.text(client.getData().storingStatIn(stat).forPath(node)), "data");
        Check.equal(1, stat.getVersion(), "version after a write");
        Check.that(stat.getMzxid() > stat.getCzxid(), "a later transaction");
        Check.fails(
                KeeperException.BadVersionException.class,
                () -> client.setData().withVersion(0).forPath(node, Clients.bytes("no")),
                "write to an old version");
        client.setData().withVersion(1).forPath(node, Clients.bytes("three"));
        client.setData().compressed().forPath(node, Clients.bytes("four four four"));
        Check.equal("four four four", Clients.text(client.getData().decompressed().forPath(node)), "compressed");
        client.create().idempotent().forPath(clients.path("idempotent"), Clients.bytes("i"));
        client.create().idempotent().forPath(clients.path("idempotent"), Clients.bytes("i"));
        Check.fails(
                KeeperException.NotEmptyException.class, () -> client.delete().forPath(clients.root), "delete a parent");
        client.delete().guaranteed().deletingChildrenIfNeeded().forPath(clients.root);
        Check.that(client.checkExists().forPath(clients.root) == null, "deleted");
        client.delete().quietly().forPath(clients.root);
        Check.fails(KeeperException.NoNodeException.class, () -> client.getData().forPath(node), "read what is gone");
        client.sync().forPath("/");
    }

    private static void ephemeralAndSequential(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework mortal = clients.client();
        client.create().creatingParentsIfNeeded().forPath(clients.root);
        String ephemeral = mortal.create().withMode(CreateMode.EPHEMERAL).forPath(clients.path("e"), new byte[0]);
        String sequential = mortal.create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(clients.path("s-"));
        String kept = mortal.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(clients.path("s-"));
        Check.equal(clients.path("s-0000000001"), sequential, "sequence numbers count the parent's children");
        Check.equal(clients.path("s-0000000002"), kept, "sequence numbers count the parent's children");
        long session = mortal.getZookeeperClient().getZooKeeper().getSessionId();
        Check.equal(session, client.checkExists().forPath(ephemeral).getEphemeralOwner(), "owner");
        Check.fails(
                KeeperException.NoChildrenForEphemeralsException.class,
                () -> client.create().forPath(ephemeral + "/child"),
                "a child of an ephemeral node");
        mortal.close();
        Check.soon(() -> client.checkExists().forPath(ephemeral) == null, "gone with its session");
        Check.equal(List.of("s-0000000002"), client.getChildren().forPath(clients.root), "children left");
        Check.equal(
                clients.path("t-0000000003"),
                client.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(clients.path("t-")),
                "no number is used again");
    }

    private static void containers(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        client.createContainers(clients.path("a/b"));
        client.create().creatingParentContainersIfNeeded().forPath(clients.path("a/b/child"));
        Check.equal(0L, client.checkExists().forPath(clients.path("a/b")).getEphemeralOwner(), "owner of a container");
        client.delete().forPath(clients.path("a/b/child"));
        Check.soon(() -> client.checkExists().forPath(clients.path("a")) == null, "empty containers are removed");
    }

    private static void ttl(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        String brief = clients.path("brief");
        String parent = clients.path("parent");
        client.create().withTtl(500).creatingParentsIfNeeded().withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(brief);
        client.create().withTtl(500).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(parent);
        client.create().forPath(parent + "/child");
        String numbered = client.create()
                .withTtl(500)
                .withMode(CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL)
                .forPath(clients.path("n-"));
        Check.equal(clients.path("n-0000000002"), numbered, "sequence number");
        Check.soon(() -> client.checkExists().forPath(brief) == null, "gone after its time");
        Check.soon(() -> client.checkExists().forPath(numbered) == null, "gone after its time");
        Check.that(client.checkExists().forPath(parent) != null, "a node with a child stays");
        client.delete().forPath(parent + "/child");
        Check.soon(() -> client.checkExists().forPath(parent) == null, "and goes when the child is gone");
    }

    private static void protection(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        String path = client.create()
                .creatingParentsIfNeeded()
                .withProtection()
                .withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath(clients.path("p-"));
        Check.that(path.startsWith(clients.path("_c_")) && path.endsWith("-p-0000000000"), path);
        Check.that(client.checkExists().forPath(path) != null, "exists");
    }

    private static void background(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        BlockingQueue<CuratorEvent> events = new LinkedBlockingQueue<>();
        client.create().creatingParentsIfNeeded().forPath(clients.root);
        int count = 500;
        for (int number = 0; number < count; number++) {
            client.create().inBackground((source, event) -> events.add(event)).forPath(clients.path("n" + number));
        }
        for (int number = 0; number < count; number++) {
            CuratorEvent event = events.poll(20, TimeUnit.SECONDS);
            Check.that(event != null, "an answer to each");
            Check.equal(0, event.getResultCode(), "result");
            Check.equal(clients.path("n" + number), event.getPath(), "answers in the order of the requests");
        }
        client.delete().inBackground((source, event) -> events.add(event)).forPath(clients.path("none"));
        Check.equal(KeeperException.Code.NONODE.intValue(), events.poll(20, TimeUnit.SECONDS).getResultCode(), "error");
        client.getChildren().inBackground((source, event) -> events.add(event)).forPath(clients.root);
        Check.equal(count, events.poll(20, TimeUnit.SECONDS).getChildren().size(), "children");
    }

    private static void transactions(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        String a = clients.path("a");
        client.create().creatingParentsIfNeeded().forPath(clients.root);
        client.create().forPath(a, Clients.bytes("0"));
        CuratorOp check = client.transactionOp().check().withVersion(0).forPath(a);
        CuratorOp create = client.transactionOp().create().forPath(clients.path("b"), Clients.bytes("b"));
        CuratorOp number =
                client.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(clients.path("b-"));
        CuratorOp set = client.transactionOp().setData().withVersion(0).forPath(a, Clients.bytes("1"));
        CuratorOp delete = client.transactionOp().delete().forPath(clients.path("b"));
        List<CuratorTransactionResult> results = client.transaction().forOperations(check, create, number, set, delete);
        Check.equal(5, results.size(), "one result for each");
        Check.equal(clients.path("b"), results.get(1).getResultPath(), "the created path");
        Check.equal(clients.path("b-0000000002"), results.get(2).getResultPath(), "the numbered path");
        Check.equal(1, results.get(3).getResultStat().getVersion(), "the new version");
        Check.equal("1", Clients.text(client.getData().forPath(a)), "written");
        Check.that(client.checkExists().forPath(clients.path("b")) == null, "created and deleted in one");

        CuratorOp first = client.transactionOp().create().forPath(clients.path("c"));
        CuratorOp wrong = client.transactionOp().setData().withVersion(0).forPath(a, Clients.bytes("2"));
        CuratorOp never = client.transactionOp().delete().forPath(a);
        try {
            client.transaction().forOperations(first, wrong, never);
            throw new AssertionError("a transaction with a wrong version went through");
        } catch (KeeperException.BadVersionException failure) {
            var errors = failure.getResults();
            Check.equal(3, errors.size(), "one result for each");
            int[] codes = errors.stream().mapToInt(r -> ((org.apache.zookeeper.OpResult.ErrorResult) r).getErr()).toArray();
            Check.equal(List.of(0, -103, -2), List.of(codes[0], codes[1], codes[2]), "who failed, and who was not tried");
        }
        Check.that(client.checkExists().forPath(clients.path("c")) == null, "nothing of it happened");
        Check.equal("1", Clients.text(client.getData().forPath(a)), "nothing of it happened");
    }

    private static void accessControl(Clients clients) throws Exception {
        CuratorFramework owner =
                clients.started(clients.builder().authorization("digest", Clients.bytes("alice:secret")));
        CuratorFramework stranger = clients.client();
        String node = clients.path("node");
        owner.create().creatingParentsIfNeeded().forPath(clients.root);
        owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath(node, Clients.bytes("private"));
        Id alice = new Id("digest", DigestAuthenticationProvider.generateDigest("alice:secret"));
        Check.equal(List.of(new ACL(ZooDefs.Perms.ALL, alice)), owner.getACL().forPath(node), "auth became the owner");
        Check.equal("private", Clients.text(owner.getData().forPath(node)), "the owner reads");
        Class<? extends Exception> noAuth = KeeperException.NoAuthException.class;
        Check.fails(noAuth, () -> stranger.getData().forPath(node), "a stranger reads");
        Check.fails(noAuth, () -> stranger.setData().forPath(node, new byte[0]), "a stranger writes");
        Check.fails(noAuth, () -> stranger.create().forPath(node + "/child"), "a stranger creates");
        Check.fails(noAuth, () -> stranger.getACL().forPath(node), "a stranger reads the list");
        Check.fails(noAuth, () -> stranger.setACL().withACL(ZooDefs.Ids.OPEN_ACL_UNSAFE).forPath(node), "takes over");
        List<ACL> shared = List.of(
                new ACL(ZooDefs.Perms.ALL, alice), new ACL(ZooDefs.Perms.READ, ZooDefs.Ids.ANYONE_ID_UNSAFE));
        owner.setACL().withVersion(0).withACL(shared).forPath(node);
        Stat stat = new Stat();
        Check.equal("private", Clients.text(stranger.getData().storingStatIn(stat).forPath(node)), "now all may read");
        Check.equal(1, stat.getAversion(), "version of the list");
        // One who may not administrate sees who may, but not the hash of the password.
        Check.equal("alice:x", stranger.getACL().forPath(node).get(0).getId().getId(), "masked");
        Check.fails(noAuth, () -> stranger.setData().forPath(node, new byte[0]), "but not write");
        Check.fails(
                KeeperException.BadVersionException.class,
                () -> owner.setACL().withVersion(0).withACL(shared).forPath(node),
                "an old version of the list");
        Check.fails(
                KeeperException.InvalidACLException.class,
                () -> stranger.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath(clients.path("x")),
                "auth without being anyone");
        List<ACL> local = Collections.singletonList(new ACL(ZooDefs.Perms.ALL, new Id("ip", "127.0.0.0/8")));
        owner.create().withACL(local).forPath(clients.path("ip"), Clients.bytes("near"));
        Check.equal("near", Clients.text(stranger.getData().forPath(clients.path("ip"))), "from this address");
        List<ACL> far = Collections.singletonList(new ACL(ZooDefs.Perms.ALL, new Id("ip", "192.0.2.1")));
        owner.create().withACL(far).forPath(clients.path("far"));
        Check.fails(noAuth, () -> stranger.getData().forPath(clients.path("far")), "from another address");
        CuratorFramework again =
                clients.started(clients.builder().authorization("digest", Clients.bytes("alice:secret")));
        again.setData().forPath(node, Clients.bytes("from another session"));
        CuratorFramework liar = clients.started(clients.builder().authorization("digest", Clients.bytes("alice:guess")));
        Check.fails(noAuth, () -> liar.setData().forPath(node, new byte[0]), "with a wrong password");
    }

    private static void large(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        byte[] value = new byte[1_000_000];
        for (int at = 0; at < value.length; at++) {
            value[at] = (byte) (at * 31);
        }
        client.create().creatingParentsIfNeeded().forPath(clients.path("large"), value);
        Check.that(java.util.Arrays.equals(value, client.getData().forPath(clients.path("large"))), "read as written");
        int count = 3_000;
        String name = "a-name-of-some-length-".repeat(4);
        BlockingQueue<CuratorEvent> events = new LinkedBlockingQueue<>();
        client.create().forPath(clients.path("many"));
        for (int number = 0; number < count; number++) {
            client.create().inBackground((source, event) -> events.add(event)).forPath(clients.path("many/" + name + number));
        }
        for (int number = 0; number < count; number++) {
            Check.equal(0, events.poll(20, TimeUnit.SECONDS).getResultCode(), "created");
        }
        Check.equal(count, client.getChildren().forPath(clients.path("many")).size(), "children in one reply");
    }

    private static void persistentNode(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework other = clients.client();
        String path = clients.path("node");
        PersistentNode node = new PersistentNode(client, CreateMode.EPHEMERAL, false, path, Clients.bytes("mine"));
        node.start();
        Check.that(node.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
        other.delete().forPath(path);
        Check.soon(() -> other.checkExists().forPath(path) != null, "created again");
        node.setData(Clients.bytes("changed"));
        Check.soon(() -> Clients.text(other.getData().forPath(path)).equals("changed"), "with the new data");
        node.close();
        Check.soon(() -> other.checkExists().forPath(path) == null, "gone");
    }

    private static void persistentTtlNode(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        CuratorFramework other = clients.client();
        client.create().creatingParentsIfNeeded().forPath(clients.root);
        String path = clients.path("node");
        PersistentTtlNode node = new PersistentTtlNode(client, path, 2_000, new byte[0]);
        node.start();
        Check.that(node.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
        Thread.sleep(5_000);
        Check.that(other.checkExists().forPath(path) != null, "touched while it is in use");
        node.close();
        Check.soon(() -> other.checkExists().forPath(path) == null, "gone some time after its owner");
    }

    private static void builtIn(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        Check.that(client.getChildren().forPath("/").contains("zookeeper"), "/zookeeper");
        Check.equal(List.of("config", "quota"), sorted(client.getChildren().forPath("/zookeeper")), "below it");
        Check.that(client.getConfig().forEnsemble() != null, "the configuration can be read");
        CuratorFramework spaced = client.usingNamespace("curator/space");
        spaced.create().creatingParentsIfNeeded().forPath("/inner", Clients.bytes("n"));
        Check.equal("n", Clients.text(client.getData().forPath("/curator/space/inner")), "through the namespace");
        var zookeeper = client.getZookeeperClient().getZooKeeper();
        client.create().creatingParentsIfNeeded().withMode(CreateMode.EPHEMERAL).forPath(clients.path("mine"));
        Check.equal(List.of(clients.path("mine")), zookeeper.getEphemerals(clients.root), "ephemerals of this session");
        Check.equal(1, zookeeper.getAllChildrenNumber(clients.root), "descendants");
        Check.equal("ip", zookeeper.whoAmI().get(0).getAuthScheme(), "who we are");
    }

    private static List<String> sorted(List<String> names) {
        return names.stream().sorted().toList();
    }
}
